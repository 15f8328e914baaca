"""How the gateway is: what healthz, the overview and the metrics say, from one place.

200 only when every worker takes mail, the store takes writes and the live data can be read, because only then can
a message be decided and become durable before its 250. The store is asked in a thread of its own: whoever asks for
the report never waits for it, and a store that does not answer is a finding like any other.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from ime_gateway.admin.health import HealthReport, Status
from ime_gateway.app.board import Board, WorkerState
from ime_gateway.base.errors import StoreUnavailable

PROBE_SECONDS = 1.0
STALE_SECONDS = 5.0
"""An answer of the store that is older says that it does not answer."""
SILENT_SECONDS = 15.0
"""A worker whose event loop gave no sign for so long is taken for stuck."""
_NOT_ASKED = "the store was not asked yet"

log = structlog.get_logger("health")


class StoreProbe:
    """Writes to the store and reads its live data again and again, and remembers how it went."""

    def __init__(self, check_write: Callable[[], None], check_live_data: Callable[[], None]) -> None:
        self._questions = {"store": check_write, "live_data": check_live_data}
        self._answered_at = time.monotonic()
        self._troubles = dict.fromkeys(self._questions, _NOT_ASKED)

    def ask(self) -> None:
        """Both questions once; logs what is wrong when it changes."""
        self._troubles = {name: self._trouble(name) for name in self._questions}
        self._answered_at = time.monotonic()

    def _trouble(self, name: str) -> str:
        before = self._troubles[name]
        try:
            self._questions[name]()
        except StoreUnavailable as error:
            if str(error) != before:
                log.error("store cannot be used", check=name, cause=error.evidence or str(error))
            return str(error)
        if before not in ("", _NOT_ASKED):
            log.info("store can be used again", check=name)
        return ""

    def run(self) -> None:
        """For ever, in a thread."""
        while True:
            self.ask()
            time.sleep(PROBE_SECONDS)

    def start(self) -> None:
        """Begin asking, in a thread that ends with the process."""
        threading.Thread(target=self.run, name="store-probe", daemon=True).start()

    def checks(self) -> Mapping[str, str]:
        """By check: `ok`, or one sentence."""
        found = {name: trouble or "ok" for name, trouble in self._troubles.items()}
        silent = time.monotonic() - self._answered_at
        if silent > STALE_SECONDS:
            found["store"] = f"the store has not answered for {silent:.0f} seconds"
        return found


class Answers(Protocol):
    """Whoever can say how the store is."""

    def checks(self) -> Mapping[str, str]:
        """By check, `store` among them: `ok`, or one sentence."""
        ...


class Health:
    """Makes the report at each call, without waiting for anything."""

    def __init__(self, store: Answers, board: Board, ports: Mapping[str, int]) -> None:
        self._store = store
        self._board = board
        self._ports = ports

    def __call__(self) -> HealthReport:
        """How the gateway is right now."""
        checks = {**self._store.checks(), "workers": self._workers()}
        return HealthReport(self._status(checks), checks, self._ports)

    @property
    def ready_workers(self) -> int:
        """Workers that take mail and whose event loop runs."""
        now = time.monotonic()
        return sum(
            state is WorkerState.READY and now - beat < SILENT_SECONDS
            for state, beat in zip(self._board.states(), self._board.beats(), strict=True)
        )

    def _workers(self) -> str:
        ready = self.ready_workers
        if ready == self._board.workers or (ready and self._board.reloading):
            return "ok"  # while settings are reloaded one by one, the others take all mail
        return f"{ready} of {self._board.workers} workers are ready"

    def _status(self, checks: Mapping[str, str]) -> Status:
        if self._board.stopping:
            return "stopping"
        if all(words == "ok" for words in checks.values()):
            return "ok"
        started = [state for state in self._board.states() if state is not WorkerState.STARTING]
        return "degraded" if started else "starting"
