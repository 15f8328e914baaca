"""A small shared memory in which workers tell the supervisor, healthz and metrics how they are.

Plain counters in one block per worker, written by that worker only and read by everybody: no lock is
needed, and a worker that dies leaves its last words. Times are seconds of the system-wide monotonic
clock.
"""

import ctypes
import multiprocessing
from collections.abc import Sequence
from enum import IntEnum

from ime_gateway.base.reasons import Reason

OUTCOMES = ("accepted", "duplicate", "delivered", "deferred", "failed", "dropped", "reported")
COUNTERS = (*OUTCOMES, "accepted_bytes", *(f"refused:{reason.value}" for reason in Reason))
_INDEX = {name: index for index, name in enumerate(COUNTERS)}


class WorkerState(IntEnum):
    """Where a worker stands in its life."""

    ABSENT = 0
    STARTING = 1
    READY = 2
    DRAINING = 3
    GONE = 4


class Board:
    """Shared by the supervisor and the processes it starts (spawned, so it travels by pickling)."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.workers = workers
        self._states = context.RawArray(ctypes.c_int, workers)
        self._beats = context.RawArray(ctypes.c_double, workers)
        self._stopping = context.RawValue(ctypes.c_int, 0)
        self._reloading = context.RawValue(ctypes.c_int, 0)
        self._counters = context.RawArray(ctypes.c_ulonglong, workers * len(COUNTERS))

    def set_state(self, worker: int, state: WorkerState) -> None:
        """Called by the worker itself, and by the supervisor when it died."""
        self._states[worker] = int(state)

    def states(self) -> list[WorkerState]:
        """One state per worker."""
        return [WorkerState(value) for value in self._states]

    def beat(self, worker: int, moment: float) -> None:
        """The worker's event loop runs; `moment` in seconds of the monotonic clock."""
        self._beats[worker] = moment

    def beats(self) -> Sequence[float]:
        """The last beat of each worker."""
        return list(self._beats)

    def stop(self) -> None:
        """The supervisor was asked to stop; healthz says `stopping` from now on."""
        self._stopping.value = 1

    @property
    def stopping(self) -> bool:
        """Whether the supervisor was asked to stop."""
        return bool(self._stopping.value)

    @property
    def reloading(self) -> bool:
        """Workers are being replaced one by one (SIGHUP)."""
        return bool(self._reloading.value)

    @reloading.setter
    def reloading(self, value: bool) -> None:
        self._reloading.value = int(value)

    def count(self, worker: int, name: str, amount: int = 1) -> None:
        """Add to a counter of `COUNTERS`; KeyError for any other name."""
        self._counters[worker * len(COUNTERS) + _INDEX[name]] += amount

    def totals(self) -> dict[str, int]:
        """Every counter, summed over the workers."""
        size = len(COUNTERS)
        return {
            name: sum(int(self._counters[worker * size + index]) for worker in range(self.workers))
            for name, index in _INDEX.items()
        }
