"""The supervisor notices a worker that lives but does nothing any more."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from ime_gateway.app.board import WorkerState
from ime_gateway.app.supervisor import Supervisor, _Child
from ime_gateway.settings.model import Settings

NOW = 1_000.0


class Process:
    """A process that can be killed."""

    exitcode: int | None = None

    def kill(self) -> None:
        self.exitcode = -9

    def join(self, timeout: float | None = None) -> None:
        assert self.exitcode is not None, "waits for ever"


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """Two workers and the web pages, all READY since 900 and beating at 999."""
    settings = Settings.model_validate(
        {
            "smtp": {"hostname": "gw.acme.example"},
            "listener": [{"name": "internet", "role": "internet", "port": 0}],
            "web": {"admin": "127.0.0.1:0", "portal": ""},
            "metrics": {"address": ""},
        }
    )
    made = Supervisor(Path("gateway.toml"), settings, 2)
    start = cast(Callable[[], Any], Process)
    made._children = [_Child(name, start, start(), 900.0) for name in ("worker-0", "worker-1", "web")]
    for worker in range(2):
        made._board.set_state(worker, WorkerState.READY)
        made._board.beat(worker, NOW - 1)
    yield made
    for listening in (*made._sockets.values(), made._web):
        listening.close()


def killed(supervisor: Supervisor) -> list[str]:
    with capture_logs():
        supervisor._kill_stuck(NOW)
    return [child.name for child in supervisor._children if child.process.exitcode is not None]


def test_workers_that_beat_live(supervisor: Supervisor) -> None:
    assert killed(supervisor) == []


def test_a_worker_that_is_silent_for_a_minute_is_killed_and_started_again(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor._board.beat(1, NOW - 60)
    stuck = supervisor._children[1].process
    monkeypatch.setattr("time.monotonic", lambda: NOW)
    with capture_logs() as logs:
        supervisor._watch()
    assert stuck.exitcode == -9
    assert [(entry["event"], entry["process"]) for entry in logs] == [
        ("worker is stuck and killed", "worker-1"),
        ("process died", "worker-1"),
    ]
    assert supervisor._board.states() == [WorkerState.READY, WorkerState.GONE]
    monkeypatch.setattr("time.monotonic", lambda: NOW + 1)
    supervisor._watch()
    assert [child.process.exitcode for child in supervisor._children] == [None] * 3
    assert supervisor._children[1].process is not stuck


def test_a_pause_of_half_a_minute_is_forgiven(supervisor: Supervisor) -> None:
    """An import, a slow disk, a laptop that slept."""
    supervisor._board.beat(0, NOW - 30)
    assert killed(supervisor) == []


@pytest.mark.parametrize("state", [WorkerState.STARTING, WorkerState.DRAINING, WorkerState.GONE])
def test_who_does_not_serve_need_not_beat(supervisor: Supervisor, state: WorkerState) -> None:
    supervisor._board.beat(0, NOW - 600)
    supervisor._board.set_state(0, state)
    assert killed(supervisor) == []


def test_the_beat_of_the_predecessor_does_not_count_against_a_new_worker(supervisor: Supervisor) -> None:
    supervisor._board.beat(0, NOW - 600)
    supervisor._children[0].started_at = NOW - 5
    assert killed(supervisor) == []
