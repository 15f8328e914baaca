"""healthz: 200 only when every worker is ready and alive and the store takes writes."""

import time

import pytest
from structlog.testing import capture_logs

from ime_gateway.app.board import Board, WorkerState
from ime_gateway.app.health import STALE_SECONDS, Health, StoreProbe
from ime_gateway.base.errors import StoreUnavailable


def health(board: Board, store: Exception | None = None, live_data: Exception | None = None) -> Health:
    def check_write() -> None:
        if store is not None:
            raise store

    def check_live_data() -> None:
        if live_data is not None:
            raise live_data

    probe = StoreProbe(check_write, check_live_data)
    probe.ask()
    return Health(probe, board, {"internal": 2525})


@pytest.fixture
def board() -> Board:
    made = Board(2)
    for worker in range(2):
        made.set_state(worker, WorkerState.READY)
        made.beat(worker, time.monotonic())
    return made


def test_all_is_well(board: Board) -> None:
    report = health(board)()
    assert report.status == "ok" and report.checks == {"store": "ok", "live_data": "ok", "workers": "ok"}


@pytest.mark.parametrize("state", [WorkerState.STARTING, WorkerState.GONE, WorkerState.DRAINING, WorkerState.ABSENT])
def test_one_worker_that_is_not_ready_is_enough(board: Board, state: WorkerState) -> None:
    board.set_state(1, state)
    report = health(board)()
    assert report.status == "degraded" and report.checks["workers"] == "1 of 2 workers are ready"


def test_a_worker_whose_loop_is_stuck_is_not_ready(board: Board) -> None:
    board.beat(0, time.monotonic() - 16)
    assert health(board)().status == "degraded"


def test_a_store_that_does_not_write_is_named(board: Board) -> None:
    report = health(board, StoreUnavailable("the disk is full"))()
    assert report.status == "degraded" and report.checks["store"] == "the disk is full"


def test_live_data_of_another_version_are_named(board: Board) -> None:
    """Every MAIL is answered with 451 then, so the load balancer must look elsewhere."""
    report = health(board, live_data=StoreUnavailable("not of this version"))()
    assert report.status == "degraded"
    assert report.troubles == {"live_data": "not of this version"}


def test_the_log_tells_each_trouble_once_and_its_end(board: Board) -> None:
    troubles: list[Exception] = []

    def check() -> None:
        if troubles:
            raise troubles[0]

    probe = StoreProbe(lambda: None, check)
    with capture_logs() as logs:
        probe.ask()
        troubles.append(StoreUnavailable("not of this version", "key: extra"))
        probe.ask()
        probe.ask()
        troubles.clear()
        probe.ask()
    assert [(line["event"], line["check"], line.get("cause")) for line in logs] == [
        ("store cannot be used", "live_data", "key: extra"),
        ("store can be used again", "live_data", None),
    ]


def test_before_the_first_worker_and_after_the_signal(board: Board) -> None:
    for worker in range(2):
        board.set_state(worker, WorkerState.STARTING)
    assert health(board)().status == "starting"
    board.stop()
    assert health(board)().status == "stopping"


def test_a_store_that_does_not_answer_is_a_finding_and_nobody_waits(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = health(board)
    later = time.monotonic() + STALE_SECONDS + 1
    monkeypatch.setattr("ime_gateway.app.health.time.monotonic", lambda: later)
    assert asked().checks["store"] == "the store has not answered for 6 seconds"


def test_while_settings_are_reloaded_the_others_take_all_mail(board: Board) -> None:
    board.reloading = True
    board.set_state(1, WorkerState.STARTING)
    assert health(board)().status == "ok"
    board.set_state(0, WorkerState.STARTING)
    assert health(board)().status == "starting"
