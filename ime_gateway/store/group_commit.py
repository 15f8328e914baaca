"""Commits the work of many concurrent messages in one transaction: one wait for the disk for all.

A durable commit costs the disk's own time, 0.1 to 10 ms, however little it writes. So all jobs that
have come while the last commit ran go into the next one, and each caller hears of success only after
the commit that holds its job (P3). When a group fails, each job runs again alone, so that nobody
suffers for another's message.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.store.connections import Connections
from ime_gateway.store.dialect import Transaction

Operation = Callable[[Transaction, list[Any]], Sequence[Any]]
"""Does the same thing for a list of arguments and gives one result for each; may run twice, so it
changes nothing but the transaction."""

_PATIENCE_SECONDS = 30.0
_LARGEST_GROUP = 256


@dataclass(slots=True)
class _Job:
    operation: Operation
    argument: Any
    future: "asyncio.Future[Any] | Future[Any] | None"
    loop: asyncio.AbstractEventLoop | None
    abandoned: Callable[[Any], None] | None
    asked_at: float
    result: Any = None
    error: BaseException | None = None


class _Keep:
    """Keeps whatever error the block raises, to be raised where the job was asked for."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> "_Keep":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.error = error
        return True


class GroupCommit:
    """Writer threads that share out whatever waits: one for SQLite, several for PostgreSQL."""

    def __init__(self, connections: Connections, writers: int, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """A job that has waited `patience_seconds` without being started fails: the peer hears 451."""
        self._connections = connections
        self._patience = patience_seconds
        self._waiting: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, name=f"store-writer-{number}", daemon=True)
            for number in range(writers)
        ]
        self._threads.append(threading.Thread(target=self._watch, name="store-watch", daemon=True))
        self._started = False

    async def run(self, operation: Operation, argument: Any, abandoned: Callable[[Any], None] | None = None) -> Any:
        """The operation's result, once it is committed. `abandoned` is called with the result when the
        caller was cancelled meanwhile: nobody else will ever learn what was committed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._put(_Job(operation, argument, future, loop, abandoned, time.monotonic()))
        return await future

    def run_blocking(self, operation: Operation, argument: Any) -> Any:
        """As `run`, for threads."""
        future: Future[Any] = Future()
        self._put(_Job(operation, argument, future, None, None, time.monotonic()))
        return future.result()

    def post(self, operation: Operation, argument: Any) -> None:
        """Have something written without waiting for it; a failure is nobody's concern."""
        with suppress(StoreUnavailable):
            self._put(_Job(operation, argument, None, None, None, time.monotonic()))

    def close(self) -> None:
        """Write what waits, then stop the threads."""
        with self._wake:
            self._closed.set()
            self._wake.notify_all()
        if self._started:
            for thread in self._threads:
                thread.join()

    def _put(self, job: _Job) -> None:
        with self._wake:
            if self._closed.is_set():
                raise StoreUnavailable("the store is closed")
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
            self._waiting.append(job)
            self._wake.notify()

    def _write(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closed.is_set():
                    self._wake.wait()
                if not self._waiting:
                    return
            self._commit_waiting()

    def _commit_waiting(self) -> None:
        group: list[_Job] = []
        with _Keep() as kept, self._connections.write_group() as transaction:
            group = self._take()  # only now, when the writer's lock is ours: the group is as large as can be
            _run_together(transaction, group)
        if kept.error is None:
            _report(group)
        elif not group:
            _fail(self._take(), kept.error)
        else:
            self._commit_each(group)

    def _commit_each(self, group: list[_Job]) -> None:
        for position, job in enumerate(group):
            begun = False
            with _Keep() as kept, self._connections.write_group() as transaction:
                begun = True
                _run_together(transaction, [job])
            if kept.error is None:
                _report([job])
            elif begun:
                _fail([job], kept.error)
            else:  # the store itself is away: no need to find out again for each job
                _fail(group[position:], kept.error)
                return

    def _take(self) -> list[_Job]:
        with self._wake:
            count = min(len(self._waiting), _LARGEST_GROUP)
            jobs = [self._waiting.popleft() for _ in range(count)]
        return [job for job in jobs if job.future is None or not job.future.cancelled()]

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._patience / 4)):
            limit = time.monotonic() - self._patience
            late: list[_Job] = []
            with self._wake:
                while self._waiting and self._waiting[0].asked_at < limit:
                    late.append(self._waiting.popleft())
            _fail(late, StoreUnavailable("the store is busy or locked", "a writer waited too long for its turn"))


def _run_together(transaction: Transaction, group: list[_Job]) -> None:
    by_operation: dict[Operation, list[_Job]] = {}
    for job in group:
        by_operation.setdefault(job.operation, []).append(job)
    for operation, jobs in by_operation.items():
        results = operation(transaction, [job.argument for job in jobs])
        for job, result in zip(jobs, results, strict=True):
            job.result = result


def _fail(jobs: list[_Job], error: BaseException) -> None:
    for job in jobs:
        job.error = error
    _report(jobs)


def _report(jobs: list[_Job]) -> None:
    """Tell each caller, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        if job.loop is not None:
            by_loop.setdefault(job.loop, []).append(job)
        elif job.future is not None:
            _answer([job])
    for loop, answered in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody is left to hear of it
            loop.call_soon_threadsafe(_answer, answered)


def _answer(jobs: list[_Job]) -> None:
    for job in jobs:
        assert job.future is not None
        if job.future.cancelled():
            if job.error is None and job.abandoned is not None:
                job.abandoned(job.result)
        elif job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
