"""One directory within its budget: answers are remembered, questions shared, and a failure is never a "no"."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ime_gateway.lookup import ldap_source
from ime_gateway.lookup.ldap_entries import LdapTrouble, RawEntry
from ime_gateway.lookup.ldap_source import LdapSource
from ime_gateway.ports.address_directory import NoDirectoryAnswer
from ime_gateway.settings.model import Ldap


class Session:
    """Counts what is done with it; `search` says the number of the search."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.closed = False
        self.was_cut = threading.Event()

    def search(self, base: str, filter_text: str, scope: object, attributes: object, limit: int) -> list[RawEntry]:
        self.server.searches += 1
        if self.server.hangs:
            self.server.reached.set()
            self.was_cut.wait(60)
            if not self.server.gate.is_set():
                raise LdapTrouble("the connection was cut")
        if self in self.server.dead:
            raise LdapTrouble("the connection is gone")
        return [RawEntry(f"cn={self.server.searches}", {})]

    def close(self) -> None:
        self.closed = True

    def cut(self) -> None:
        self.was_cut.set()


class Server:
    """A directory as a test wants it."""

    def __init__(self, seconds: float = 30.0) -> None:
        self.searches = 0
        self.sessions: list[Session] = []
        self.dead: set[Session] = set()
        self.down = False
        self.hangs = False
        self.reached = threading.Event()
        self.gate = threading.Event()
        settings = {"name": "corp", "url": "ldaps://dc.acme.example", "base": "dc=acme", "groups": True}
        self.source: LdapSource[str] = LdapSource(Ldap.model_validate({**settings, "seconds": seconds}), self.connect)

    def connect(self, seconds: float) -> Session:
        if self.down:
            raise LdapTrouble("nobody listens")
        self.sessions.append(Session(self))
        return self.sessions[-1]

    async def ask(self, question: str = "bob") -> str | NoDirectoryAnswer:
        return await self.source.ask(question, lambda session: session.search("", "", "base", (), 1)[0].dn)


def play(server: Server, story: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        try:
            async with asyncio.timeout(60):
                await story(server)
        finally:
            server.source.close()

    asyncio.run(go())


@pytest.fixture
def time_flies(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    return lambda name, seconds: monkeypatch.setattr(ldap_source, name, seconds)


def test_an_answer_is_remembered_and_one_connection_serves() -> None:
    async def story(server: Server) -> None:
        assert [await server.ask("bob"), await server.ask("bob"), await server.ask("eve")] == ["cn=1", "cn=1", "cn=2"]
        assert len(server.sessions) == 1

    play(Server(), story)


def test_the_same_question_at_once_is_asked_once() -> None:
    async def story(server: Server) -> None:
        assert await asyncio.gather(*(server.ask() for _ in range(5))) == ["cn=1"] * 5

    play(Server(), story)


def test_an_old_answer_is_asked_for_again(time_flies: Callable[[str, float], None]) -> None:
    async def story(server: Server) -> None:
        time_flies("_FRESH_SECONDS", 0.0)
        assert [await server.ask(), await server.ask()] == ["cn=1", "cn=2"]

    play(Server(), story)


def test_a_failure_is_no_answer_and_the_directory_is_left_in_peace(time_flies: Callable[[str, float], None]) -> None:
    async def story(server: Server) -> None:
        server.down = True
        failed = await server.ask()
        assert isinstance(failed, NoDirectoryAnswer) and "corp cannot be asked" in failed.detail
        server.down = False
        again = await server.ask()
        assert isinstance(again, NoDirectoryAnswer) and "in peace" in again.detail and server.searches == 0
        server.source._peace_until = 0.0
        assert await server.ask() == "cn=1"

    play(Server(), story)


def test_yesterdays_answer_stands_while_the_directory_is_down(time_flies: Callable[[str, float], None]) -> None:
    async def story(server: Server) -> None:
        assert await server.ask() == "cn=1"
        time_flies("_FRESH_SECONDS", 0.0)
        server.down = True
        server.dead = set(server.sessions)
        assert await server.ask() == "cn=1"  # failing
        assert await server.ask() == "cn=1"  # left in peace
        time_flies("_STALE_SECONDS", 0.0)
        assert isinstance(await server.ask(), NoDirectoryAnswer)

    play(Server(), story)


def test_a_connection_that_died_while_idle_is_replaced_once() -> None:
    async def story(server: Server) -> None:
        await server.ask("bob")
        server.dead = set(server.sessions)
        assert await server.ask("eve") == "cn=3"
        assert len(server.sessions) == 2 and server.sessions[0].closed

    play(Server(), story)


def test_a_slow_directory_costs_its_budget_and_its_answer_serves_the_retry() -> None:
    async def story(server: Server) -> None:
        server.hangs = True
        late = await server.ask()
        assert isinstance(late, NoDirectoryAnswer) and "within 0.05 s" in late.detail
        await asyncio.to_thread(server.reached.wait)
        server.gate.set()
        server.sessions[0].cut()  # the answer comes at last
        await asyncio.gather(*server.source._asked.values())
        assert await server.ask() == "cn=1" and server.searches == 1

    play(Server(seconds=0.05), story)


def test_a_connection_that_drips_for_ever_is_cut() -> None:
    async def story(server: Server) -> None:
        server.hangs = True
        assert isinstance(await server.ask(), NoDirectoryAnswer)
        await asyncio.gather(*server.source._asked.values())
        assert server.sessions[0].was_cut.is_set() and server.sessions[0].closed

    play(Server(seconds=0.05), story)


def test_closing_ends_what_is_under_way() -> None:
    async def story(server: Server) -> None:
        server.hangs = True
        asking = asyncio.create_task(server.ask())
        await asyncio.to_thread(server.reached.wait)
        server.source.close()
        assert isinstance(await asking, NoDirectoryAnswer)
        assert isinstance(await server.ask("eve"), NoDirectoryAnswer)

    play(Server(), story)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(server: Server) -> None:
        for number in range(10):
            await server.ask(f"x{number}")
        assert list(server.source._kept) == ["x7", "x8", "x9"]

    monkeypatch.setattr(ldap_source, "_REMEMBERED", 3)
    play(Server(), story)


def test_too_many_questions_at_once_are_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(server: Server) -> None:
        answers = await asyncio.gather(*(server.ask(f"x{number}") for number in range(5)))
        assert sum(isinstance(one, NoDirectoryAnswer) for one in answers) == 3

    monkeypatch.setattr(ldap_source, "_WAITING", 2)
    play(Server(), story)
