"""The real store keeps the contract of ports/incoming on both engines, between nodes, and when it is killed."""

import asyncio
import itertools
from dataclasses import dataclass

import pytest

from ime_gateway.base.errors import OpenedForOthers, StoreUnavailable
from ime_gateway.ports.incoming import OPENED_SECONDS, PROTECTED_SECONDS, Candidate, IncomingRecord, OpenedKey
from ime_gateway.ports.queue import Parcel
from ime_gateway.store.database import Store
from tests.integration.store_contract.databases import TestDatabase
from tests.integration.store_contract.incoming_contract import (
    ANNA,
    BOB,
    K1,
    K2,
    K3,
    IncomingContract,
    opened,
    opened_for,
    take,
)
from tests.integration.store_contract.parcels import make_parcel
from tests.pki import make_user


@dataclass
class StoreWorld:
    """An `IncomingWorld` over a real store."""

    database: TestDatabase
    store: Store

    def __post_init__(self) -> None:
        self.queue, self.incoming = self.store.queue, self.store.incoming

    def later(self, seconds: float) -> None:
        self.database.clock.ahead += seconds

    def parcel(self) -> Parcel:
        return make_parcel(self.store)

    def promised(self) -> list[str]:
        return [line.id for line in self.store.registry.queue_lines()]

    def told(self, message: str) -> list[str]:
        return [event.event for event in self.store.registry.events(id=message)]


@pytest.fixture
def world(database: TestDatabase) -> StoreWorld:
    return StoreWorld(database, database.open())


class TestStoredIncoming(IncomingContract):
    """The whole contract."""


def candidate(sender: str = "eve@partner.example", owner: str = "eve@partner.example", at: float = 5.0) -> Candidate:
    return Candidate(owner, "person", make_user(owner).certificate, "harvested", sender, "<m@x>", "why", at)


def test_two_nodes_never_both_open_a_key_for_different_people(database: TestDatabase) -> None:
    async def walk() -> None:
        worlds = [StoreWorld(database, database.open()) for _ in range(4)]
        for number in range(10):
            tries = [
                take(world, opened(f"{number:064x}", f"p{turn}@acme.example")) for turn, world in enumerate(worlds)
            ]
            done = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(isinstance(one, Parcel) for one in done) == 1, done
            assert sum(isinstance(one, OpenedForOthers) for one in done) == 3, done
            known = await opened_for(worlds[0], [f"{number:064x}"])
            assert [len(who) for who in known.values()] == [1]
        assert len(worlds[0].promised()) == 10

    asyncio.run(walk())


def test_nodes_that_bring_keys_in_other_orders_never_block_each_other(database: TestDatabase) -> None:
    async def walk() -> None:
        worlds = [StoreWorld(database, database.open()) for _ in range(3)]
        keys = [f"{number:064x}" for number in range(20)]
        tries = []
        for turn, world in enumerate(worlds):
            order = keys if turn % 2 else keys[::-1]
            for first, second in itertools.pairwise(order):
                record = IncomingRecord((OpenedKey(first, (ANNA,)), OpenedKey(second, (ANNA,))), (first, second))
                tries.append(take(world, record))
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert all(isinstance(one, Parcel) for one in done), done
        assert await opened_for(worlds[0], keys) == {key: {ANNA} for key in keys}

    asyncio.run(walk())


def test_a_store_that_is_away_remembers_nothing_and_promises_nothing(world: StoreWorld) -> None:
    async def walk() -> None:
        parcel = world.parcel()
        world.store.close()
        with pytest.raises(StoreUnavailable):
            await world.queue.enqueue(parcel, (), None, incoming=opened(K1, ANNA))

    asyncio.run(walk())


def test_a_message_that_cannot_be_stored_leaves_nothing_in_the_memory(world: StoreWorld) -> None:
    """One transaction: a parcel whose id is taken fails as a whole, whatever was written before it."""

    async def walk() -> None:
        parcel = await take(world, opened(K1, ANNA))
        record = IncomingRecord((OpenedKey(K2, (BOB,)),), ("p1",), (candidate(),))
        with pytest.raises(StoreUnavailable):
            await world.queue.enqueue(parcel, (), None, incoming=record)
        assert await opened_for(world, [K1, K2]) == {K1: {ANNA}}
        assert not await world.incoming.came_protected(["p1"])

    asyncio.run(walk())
    assert world.database.query("SELECT COUNT(*) FROM certificate_candidates") == [(0,)]


def test_housekeeping_forgets_what_has_had_its_time(database: TestDatabase, world: StoreWorld) -> None:
    start = database.clock.now()
    asyncio.run(take(world, IncomingRecord((OpenedKey(K1, (ANNA,)),), ("p1",))))
    world.later(60)
    asyncio.run(take(world, IncomingRecord((OpenedKey(K2, (ANNA, BOB)),), ("p2",))))
    world.store.tidy(start + PROTECTED_SECONDS + 30)
    assert database.query("SELECT digest FROM protected_ids") == [("p2",)]
    assert len(database.query("SELECT key_digest FROM opened_keys")) == 3
    world.store.tidy(start + OPENED_SECONDS + 30)
    assert database.query("SELECT DISTINCT key_digest FROM opened_keys") == [(K2,)]


def test_candidates_come_with_the_message_and_others_stay_out_with_it(world: StoreWorld) -> None:
    async def walk() -> None:
        first = candidate()
        await take(world, IncomingRecord((OpenedKey(K1, (ANNA,)),), (), (first,)))
        with pytest.raises(OpenedForOthers):
            await take(world, IncomingRecord((OpenedKey(K1, (BOB,)),), (), (candidate(),)))
        found = world.database.query("SELECT owner, thumbprint, state, origin, sender FROM certificate_candidates")
        assert found == [(first.owner, first.certificate.thumbprint, "pending", "harvested", first.sender)]

    asyncio.run(walk())


def test_addresses_of_any_letters_are_found_again(world: StoreWorld) -> None:
    async def walk() -> None:
        who = "jürgen\0@acme.example"
        await take(world, opened(K3, who))
        with pytest.raises(OpenedForOthers):
            await take(world, opened(K3, ANNA))
        await take(world, opened(K3, who))

    asyncio.run(walk())


def test_what_is_kept_of_message_ids_is_what_was_given(database: TestDatabase, world: StoreWorld) -> None:
    """The store sees hashes only: it adds nothing of the mail to them."""
    asyncio.run(take(world, IncomingRecord(protected_ids=("ab" * 32,))))
    rows = database.query("SELECT digest, keep_until FROM protected_ids")
    assert [row[0] for row in rows] == ["ab" * 32]
