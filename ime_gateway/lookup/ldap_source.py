"""One directory as the mail path asks it: in threads, within a budget, each question once, answers remembered.

A question that outlasts its budget goes on, so that the next attempt of the mail server finds its answer. While the
directory cannot be reached, answers of the last day still stand, because being down changes nobody's certificate; what
was never answered stays unanswered. After a failure the directory is left in peace for a moment.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from ime_gateway.lookup.ldap_entries import LdapSession, LdapTrouble
from ime_gateway.ports.address_directory import NoDirectoryAnswer
from ime_gateway.settings.model import Ldap

Answer = TypeVar("Answer")

_THREADS = 4
_WAITING = 500
"""Questions under way; more are answered with "later" at once."""
_REMEMBERED = 10_000
_FRESH_SECONDS = 900.0
"""So long an answer is not asked for again: what an administrator changes there holds after a quarter of an hour."""
_STALE_SECONDS = 86_400.0
_PEACE_SECONDS = 5.0
_PATIENCE = 3
"""A thread waits this many budgets for one answer; after twice that its connection is cut."""

log = structlog.get_logger("lookup")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Answer]):
    answer: Answer
    at: float
    """By the loop's clock."""


class LdapSource(Generic[Answer]):
    """Asks one directory one kind of question; one event loop uses it."""

    def __init__(self, directory: Ldap, connect: Callable[[float], LdapSession]) -> None:
        """connect: gives a bound session, given the longest wait for anything in seconds; raises LdapTrouble."""
        self.directory = directory
        self._connect = connect
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"ldap-{directory.name}")
        self._idle: list[LdapSession] = []
        self._busy: set[LdapSession] = set()
        self._guard = threading.Lock()
        self._kept: dict[str, _Kept[Answer]] = {}
        self._asked: dict[str, asyncio.Task[Answer | NoDirectoryAnswer]] = {}
        self._peace_until = 0.0
        self._closed = False

    async def ask(self, question: str, work: Callable[[LdapSession], Answer]) -> Answer | NoDirectoryAnswer:
        """The answer to a question, which `work` finds out in a thread; remembered under its text."""
        now = asyncio.get_running_loop().time()
        kept = self._kept.get(question)
        if kept is not None and now - kept.at < _FRESH_SECONDS:
            return kept.answer
        task = self._asked.get(question)
        if task is None:
            if now < self._peace_until or len(self._asked) >= _WAITING:
                return self._without(question, "is left in peace after a failure")
            task = asyncio.create_task(self._fetch(question, work))
            self._asked[question] = task
        try:
            async with asyncio.timeout(self.directory.seconds):
                return await asyncio.shield(task)
        except TimeoutError:
            return self._without(question, f"did not answer within {self.directory.seconds:g} s")

    def close(self) -> None:
        """Hang up; what is under way ends soon, without an answer."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._guard:
            idle, self._idle = self._idle, []
            for session in self._busy:
                session.cut()
        for session in idle:
            session.close()

    def _without(self, question: str, what: str) -> Answer | NoDirectoryAnswer:
        kept = self._kept.get(question)
        if kept is not None and asyncio.get_running_loop().time() - kept.at < _STALE_SECONDS:
            return kept.answer
        return NoDirectoryAnswer(f"directory {self.directory.name} {what}")

    async def _fetch(self, question: str, work: Callable[[LdapSession], Answer]) -> Answer | NoDirectoryAnswer:
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._threads, self._work, work)
        except (LdapTrouble, RuntimeError) as error:  # RuntimeError: the threads are gone, we are closing
            self._peace_until = loop.time() + _PEACE_SECONDS
            log.warning("directory cannot be asked", directory=self.directory.name, cause=str(error))
            return self._without(question, "cannot be asked; the cause is in the log")
        finally:
            self._asked.pop(question, None)
        self._kept.pop(question, None)  # so that it becomes the newest
        self._kept[question] = _Kept(answer, loop.time())
        if len(self._kept) > _REMEMBERED:
            self._kept.pop(next(iter(self._kept)))
        return answer

    def _work(self, work: Callable[[LdapSession], Answer]) -> Answer:
        """In a thread. A session that has been idle may be dead, which says nothing: then once more with a new one."""
        with self._guard:
            session = self._idle.pop() if self._idle else None
        if session is not None:
            try:
                return self._use(session, work)
            except LdapTrouble:
                pass
        return self._use(self._connect(_PATIENCE * self.directory.seconds), work)

    def _use(self, session: LdapSession, work: Callable[[LdapSession], Answer]) -> Answer:
        # A server that drips would never run into the time-out of a single read.
        alarm = threading.Timer(2 * _PATIENCE * self.directory.seconds, session.cut)
        alarm.daemon = True
        alarm.start()
        with self._guard:
            self._busy.add(session)
        kept = False
        try:
            answer = work(session)
            kept = True
            return answer
        finally:
            alarm.cancel()
            with self._guard:
                self._busy.discard(session)
                kept = kept and not self._closed
                if kept:
                    self._idle.append(session)
            if not kept:
                session.close()
