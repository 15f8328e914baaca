"""How the gateway is: what healthz, the overview and the metrics say, from one place.

200 only when every worker takes mail and the store takes writes, because only then can a message become
durable before its 250. The store is asked in a thread of its own: whoever asks for the report never waits
for it, and a store that does not answer is a finding like any other.
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

log = structlog.get_logger("health")


class StoreProbe:
    """Writes to the store again and again, and remembers how it went."""

    def __init__(self, check_write: Callable[[], None]) -> None:
        self._check_write = check_write
        self._answered_at = time.monotonic()
        self._trouble = "the store was not asked yet"

    def ask(self) -> None:
        """One question; logs what is wrong when it changes."""
        try:
            self._check_write()
            trouble = ""
        except StoreUnavailable as error:
            trouble = str(error)
            if trouble != self._trouble:
                log.error("store does not write", cause=error.evidence or trouble)
        if not trouble and self._trouble and "not asked" not in self._trouble:
            log.info("store writes again")
        self._trouble, self._answered_at = trouble, time.monotonic()

    def run(self) -> None:
        """For ever, in a thread."""
        while True:
            self.ask()
            time.sleep(PROBE_SECONDS)

    def start(self) -> None:
        """Begin asking, in a thread that ends with the process."""
        threading.Thread(target=self.run, name="store-probe", daemon=True).start()

    def words(self) -> str:
        """`ok`, or one sentence."""
        silent = time.monotonic() - self._answered_at
        if silent > STALE_SECONDS:
            return f"the store has not answered for {silent:.0f} seconds"
        return self._trouble or "ok"


class Answers(Protocol):
    """Whoever can say how the store is."""

    def words(self) -> str:
        """`ok`, or one sentence."""
        ...


class Health:
    """Makes the report at each call, without waiting for anything."""

    def __init__(self, store: Answers, board: Board, ports: Mapping[str, int]) -> None:
        self._store = store
        self._board = board
        self._ports = ports

    def __call__(self) -> HealthReport:
        """How the gateway is right now."""
        checks = {"store": self._store.words(), "workers": self._workers()}
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
