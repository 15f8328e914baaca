"""The store keeps the contract of ports/revocation on both engines, between workers."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ime_gateway.ports.revocation import AnswerKind, OwnAuthorities, RevocationStore, StoredAnswer
from ime_gateway.store.revocation_rows import FORGET_SECONDS, RETRY_SECONDS
from tests.doubles.memory_revocations import MemoryRevocations
from tests.integration.store_contract.databases import TestDatabase

NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86_400.0
KINDS: list[AnswerKind] = ["crl", "ocsp"]


def answer(kind: AnswerKind, name: str = "http://a.example/\u00fc", **changes: Any) -> StoredAnswer:
    return replace(StoredAnswer(kind, name, b"\x00der", NOW, NOW + DAY, NOW, "", NOW), **changes)


class RevocationStoreContract:
    """Every RevocationStore keeps it."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_kept_and_found_by_kind(self, store: RevocationStore, kind: AnswerKind) -> None:
        async def go() -> None:
            one, two = answer(kind), answer(kind, "b", der=b"x" * 200_000)
            for each in (one, two):
                await store.keep(each)
            assert await store.answers(kind, [one.name, "c", two.name]) == {one.name: one, "b": two}
            assert await store.answers("ocsp" if kind == "crl" else "crl", [one.name]) == {}
            assert await store.answers(kind, []) == {}

        asyncio.run(go())

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_failure_takes_nothing_away(self, store: RevocationStore, kind: AnswerKind) -> None:
        async def go() -> None:
            failed = StoredAnswer(kind, "n", tried_at=NOW + 5, fault="down", wanted_at=NOW + 5)
            await store.keep(failed)
            assert await store.answers(kind, ["n"]) == {"n": failed}
            await store.keep(answer(kind, "n", tried_at=NOW + 6))
            await store.keep(replace(failed, tried_at=NOW + 7))
            (row,) = (await store.answers(kind, ["n"])).values()
            assert (row.der, row.fetched_at, row.next_update) == (b"\x00der", NOW, NOW + DAY)
            assert (row.tried_at, row.fault) == (NOW + 7, "down")
            await store.keep(answer(kind, "n", fetched_at=NOW + 8, tried_at=NOW + 8))
            assert (await store.answers(kind, ["n"]))["n"].fault == ""

        asyncio.run(go())

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_older_answer_never_replaces_a_newer_one(self, store: RevocationStore, kind: AnswerKind) -> None:
        async def go() -> None:
            newer = answer(kind, "n", der=b"newer", fetched_at=NOW + 10)
            await store.keep(newer)
            await store.keep(answer(kind, "n", der=b"older", fetched_at=NOW))
            assert (await store.answers(kind, ["n"]))["n"].der == b"newer"

        asyncio.run(go())

    def test_which_lists_are_renewed(self, store: RevocationStore) -> None:
        async def go() -> None:
            late = NOW - RETRY_SECONDS - 1
            half = {"fetched_at": NOW - DAY, "next_update": NOW + DAY, "tried_at": late}
            for one in (
                answer("crl", "due", **half),
                answer("crl", "young", fetched_at=NOW - HOUR, next_update=NOW + DAY, tried_at=late),
                answer("crl", "just tried", **{**half, "tried_at": NOW - 5}),
                answer("crl", "unwanted", **{**half, "wanted_at": NOW - 8 * DAY}),
                StoredAnswer("crl", "never came", tried_at=late, wanted_at=NOW),
                answer("ocsp", "answer", **half),
            ):
                await store.keep(one)
            assert [row.name for row in await store.crls_to_renew(NOW, NOW - 7 * DAY)] == ["due"]
            await store.want("crl", ["unwanted", "unknown"], NOW)
            await store.want("crl", ["due"], NOW - 9 * DAY)
            names = sorted(row.name for row in await store.crls_to_renew(NOW, NOW - 7 * DAY))
            assert names == ["due", "unwanted"], "wanting never goes back in time"

        asyncio.run(go())

    def test_no_authorities_of_our_own(self, store: RevocationStore) -> None:
        assert asyncio.run(store.own_authorities()) == OwnAuthorities()


class TestStoredRevocations(RevocationStoreContract):
    """The real one."""

    @pytest.fixture
    def store(self, database: TestDatabase) -> RevocationStore:
        return database.open().revocations

    def test_other_workers_see_it_and_housekeeping_forgets(self, database: TestDatabase) -> None:
        first, second = database.open(), database.open()

        async def go() -> None:
            await first.revocations.keep(answer("crl", "old", wanted_at=NOW - FORGET_SECONDS - 1))
            await first.revocations.keep(answer("crl", "new"))
            await first.revocations.keep(answer("ocsp", "old", wanted_at=NOW - FORGET_SECONDS - 1))
            assert set(await second.revocations.answers("crl", ["old", "new"])) == {"old", "new"}
            await asyncio.to_thread(second.tidy, NOW)
            assert set(await first.revocations.answers("crl", ["old", "new"])) == {"new"}
            assert await first.revocations.answers("ocsp", ["old"]) == {}

        asyncio.run(go())

    def test_what_our_own_ca_revoked(self, database: TestDatabase) -> None:
        store = database.open()
        insert = "INSERT INTO authorities (thumbprint, role, der, state, crl_number, made_at) VALUES"
        database.execute(f"{insert} ('sha256:aa', 'issuing', '0', 'active', 0, 0)")
        columns = "(authority, serial, thumbprint, der, owner, purpose, made_at, revoked_at, revocation_reason)"
        database.execute(
            f"INSERT INTO issued {columns} VALUES ('sha256:aa', 'ff01', 'x', '0', 'o', 'user', 0, NULL, '')"
        )
        database.execute(
            f"INSERT INTO issued {columns} VALUES ('sha256:aa', '0a', 'y', '0', 'o', 'user', 0, 7, 'superseded')"
        )
        told = asyncio.run(store.revocations.own_authorities())
        assert told == OwnAuthorities(frozenset({"sha256:aa"}), {("sha256:aa", 10): (7.0, "superseded")})
        with store.registry.transaction(write=False) as live:
            assert live.revocations.own_authorities() == told

    @pytest.mark.parametrize("kind", KINDS)
    def test_administrators_read_the_same_answers(self, database: TestDatabase, kind: AnswerKind) -> None:
        store = database.open()
        failed = StoredAnswer(kind, "b", tried_at=NOW, fault="down", wanted_at=NOW)

        async def go() -> None:
            for one in (answer(kind), failed):
                await store.revocations.keep(one)

        asyncio.run(go())
        with store.registry.transaction(write=False) as live:
            found = live.revocations.answers(kind, [answer(kind).name, "b", "c"])
            assert found == {answer(kind).name: answer(kind), "b": failed}
            assert live.revocations.answers("ocsp" if kind == "crl" else "crl", ["b"]) == {}
            assert live.revocations.answers(kind, []) == {}
            assert live.revocations.own_authorities() == OwnAuthorities()


class TestMemoryRevocations(RevocationStoreContract):
    """The double of unit tests."""

    @pytest.fixture
    def store(self) -> RevocationStore:
        return MemoryRevocations()
