"""What the gateway did not take for the moment waits and is tried again, as Exchange does (RFC 5321 section 4.5.4).

IME 2.0 relies on it: the first container of a new signer gets a 4xx, its author confirms it, the next attempt
passes. Exchange waits a minute, this world less than a second. The mails wait in memory only and are gone when
the world stops.
"""

import threading
from collections.abc import Callable


class Retries:
    """Attempts that are made anew every `seconds` until they end; `stop` ends them all."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, attempt: Callable[[], bool]) -> None:
        """Try `attempt()` later; it says whether it has come to an end, good or bad."""
        with self._lock:
            self._waiting.append(attempt)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="retries", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Try no more, and wait for the attempt that is under way."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopped.wait(self._seconds):
            with self._lock:
                waiting = list(self._waiting)
            for attempt in waiting:
                if not self._stopped.is_set() and attempt():
                    with self._lock:
                        self._waiting.remove(attempt)
