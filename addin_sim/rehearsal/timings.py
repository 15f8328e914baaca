"""How long each step took: a roll-out is judged by its slow mails, so percentiles, not averages."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic


class Step(StrEnum):
    """What is timed; the value is the key in the report."""

    FIND = "find"
    WRITE = "write"
    SUBMIT = "submit"
    ARRIVE = "arrive"
    OPEN = "open"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Summary:
    """One step; times in seconds."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float


def summary(seconds: list[float]) -> Summary | None:
    """Percentiles by the nearest rank: each is a time that was really measured. None when nothing was."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Summary(len(ordered), rank(0.5), rank(0.95), rank(0.99), ordered[-1])


class Timings:
    """Collects times from any number of threads."""

    def __init__(self) -> None:
        self._seconds: dict[Step, list[float]] = {step: [] for step in Step}
        self._lock = threading.Lock()

    def add(self, step: Step, seconds: float) -> None:
        """One more time of that step."""
        with self._lock:
            self._seconds[step].append(max(0.0, seconds))

    @contextmanager
    def timed(self, step: Step) -> Iterator[None]:
        """Time the block; one that raises is not counted."""
        began = monotonic()
        yield
        self.add(step, monotonic() - began)

    def summaries(self) -> dict[Step, Summary]:
        """The steps that happened, in the order of a mail's life."""
        with self._lock:
            return {step: found for step, times in self._seconds.items() if (found := summary(times)) is not None}
