"""What ports/incoming promises, for whatever keeps it: a subclass gives `world`, pytest runs all of it."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import pytest

from ime_gateway.base.errors import OpenedForOthers
from ime_gateway.ports.incoming import (
    OPENED_SECONDS,
    PROTECTED_SECONDS,
    IncomingMemory,
    IncomingRecord,
    KnownKey,
    OpenedKey,
)
from ime_gateway.ports.queue import Parcel, Queue
from tests.integration.store_contract.parcels import make_event

ANNA, BOB, CAROL = (f"{name}@acme.example" for name in ("anna", "bob", "carol"))
K1, K2, K3 = ("11" * 32, "22" * 32, "33" * 32)


class IncomingWorld(Protocol):
    """A queue and what is remembered of incoming mail over one memory."""

    queue: Queue
    incoming: IncomingMemory

    def later(self, seconds: float) -> None:
        """Move the gateway's clock."""
        ...

    def parcel(self) -> Parcel: ...

    def promised(self) -> list[str]:
        """Ids of the messages in the queue."""
        ...

    def told(self, message: str) -> list[str]:
        """Names of the tracking events of a message."""
        ...


def opened(digest: str, *addresses: str, bound: bool = False, content: str = "") -> IncomingRecord:
    return IncomingRecord((OpenedKey(digest, addresses, bound, content),))


async def opened_for(world: IncomingWorld, digests: Sequence[str]) -> dict[str, frozenset[str]]:
    return {digest: one.addresses for digest, one in (await world.incoming.opened_for(digests)).items()}


async def take(world: IncomingWorld, record: IncomingRecord) -> Parcel:
    parcel = world.parcel()
    await world.queue.enqueue(parcel, [make_event("accepted", id=parcel.id)], None, incoming=record)
    return parcel


class IncomingContract:
    def test_what_was_opened_is_known_with_the_message(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            assert await opened_for(world, [K1, K2]) == {}
            record = IncomingRecord((OpenedKey(K1, (ANNA, BOB)), OpenedKey(K2, (CAROL,))))
            parcel = await take(world, record)
            assert await opened_for(world, [K1, K2, K3]) == {K1: {ANNA, BOB}, K2: {CAROL}}
            assert await opened_for(world, []) == {}
            assert world.promised() == [parcel.id] and world.told(parcel.id) == ["accepted"]

        asyncio.run(walk())

    @pytest.mark.parametrize("again", [(ANNA,), (BOB,), (ANNA, BOB)])
    def test_the_same_recipients_again_are_no_others(self, world: IncomingWorld, again: tuple[str, ...]) -> None:
        async def walk() -> None:
            await take(world, opened(K1, ANNA, BOB))
            await take(world, opened(K1, *again))
            assert len(world.promised()) == 2
            assert await opened_for(world, [K1]) == {K1: {ANNA, BOB}}

        asyncio.run(walk())

    @pytest.mark.parametrize("others", [(CAROL,), (ANNA, CAROL), (ANNA, BOB, CAROL)])
    def test_for_others_nothing_at_all_is_written(self, world: IncomingWorld, others: tuple[str, ...]) -> None:
        async def walk() -> None:
            first = await take(world, opened(K1, ANNA, BOB))
            parcel = world.parcel()
            record = IncomingRecord((OpenedKey(K2, others), OpenedKey(K1, others)), ("p1",))
            report = world.parcel()
            with pytest.raises(OpenedForOthers):
                await world.queue.enqueue(parcel, [make_event("accepted", id=parcel.id)], "w1", [report], None, record)
            assert world.promised() == [first.id]
            assert world.told(parcel.id) == []
            assert await opened_for(world, [K1, K2]) == {K1: {ANNA, BOB}}
            assert not await world.incoming.came_protected(["p1"])

        asyncio.run(walk())

    def test_one_message_may_name_a_key_twice(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            await take(world, IncomingRecord((OpenedKey(K1, (ANNA,)), OpenedKey(K1, (BOB,)))))
            assert await opened_for(world, [K1]) == {K1: {ANNA, BOB}}

        asyncio.run(walk())

    def test_whom_the_mail_itself_names_is_no_stranger(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            await take(world, opened(K1, ANNA, bound=True))
            await take(world, opened(K1, BOB, bound=True))
            assert await opened_for(world, [K1]) == {K1: {ANNA, BOB}}
            with pytest.raises(OpenedForOthers):
                await take(world, opened(K1, CAROL))
            mixed = IncomingRecord((OpenedKey(K1, (CAROL,), bound=True), OpenedKey(K1, (ANNA,))))
            await take(world, mixed)
            assert await opened_for(world, [K1]) == {K1: {ANNA, BOB, CAROL}}

        asyncio.run(walk())

    def test_other_content_under_the_key_is_taken_for_nobody(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            await take(world, opened(K1, ANNA, content="c1"))
            for who, bound in ((ANNA, False), (ANNA, True), (BOB, True)):
                with pytest.raises(OpenedForOthers):
                    await take(world, opened(K1, who, bound=bound, content="c2"))
            await take(world, opened(K1, ANNA, content="c1"))
            await take(world, opened(K1, BOB, bound=True, content="c1"))
            found = await world.incoming.opened_for([K1])
            assert found == {K1: KnownKey(frozenset((ANNA, BOB)), frozenset(("c1",)))}
            assert len(world.promised()) == 3

        asyncio.run(walk())

    def test_of_many_at_once_for_different_people_one_gets_through(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            people = [f"p{number}@acme.example" for number in range(20)]
            done = await asyncio.gather(*(take(world, opened(K1, who)) for who in people), return_exceptions=True)
            through = [who for who, one in zip(people, done, strict=True) if isinstance(one, Parcel)]
            assert len(through) == 1
            assert sum(isinstance(one, OpenedForOthers) for one in done) == 19
            assert await opened_for(world, [K1]) == {K1: set(through)}
            assert len(world.promised()) == 1

        asyncio.run(walk())

    def test_one_in_a_group_does_no_harm_to_those_beside_it(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            await take(world, opened(K1, ANNA))
            records = (opened(K2, BOB), opened(K1, BOB), opened(K1, ANNA), IncomingRecord())
            done = await asyncio.gather(*(take(world, one) for one in records), return_exceptions=True)
            assert [type(one) for one in done] == [Parcel, OpenedForOthers, Parcel, Parcel]
            assert len(world.promised()) == 4

        asyncio.run(walk())

    def test_an_opened_key_is_forgotten_in_the_end(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            await take(world, opened(K1, ANNA))
            world.later(OPENED_SECONDS - 60)
            assert await opened_for(world, [K1]) == {K1: {ANNA}}
            with pytest.raises(OpenedForOthers):
                await take(world, opened(K1, BOB))
            world.later(120)
            assert await opened_for(world, [K1]) == {}
            await take(world, opened(K1, BOB))
            assert await opened_for(world, [K1]) == {K1: {BOB}}

        asyncio.run(walk())

    def test_coming_again_it_is_kept_for_longer(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            for _ in range(2):
                await take(world, IncomingRecord((OpenedKey(K1, (ANNA,)),), ("p1",)))
                world.later(PROTECTED_SECONDS - 60)
            assert await world.incoming.came_protected(["p1"])
            assert await opened_for(world, [K1]) == {K1: {ANNA}}
            world.later(OPENED_SECONDS - PROTECTED_SECONDS)
            assert await opened_for(world, [K1]) == {K1: {ANNA}}

        asyncio.run(walk())

    def test_protected_mail_is_remembered_for_ninety_days(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            memory = world.incoming
            assert not await memory.came_protected(["p1", "p2"])
            assert not await memory.came_protected([])
            await take(world, IncomingRecord(protected_ids=("p1", "p2")))
            assert await memory.came_protected(["p2"]) == {"p2"}
            assert await memory.came_protected(["p9", "p1", "p2"]) == {"p1", "p2"}
            assert not await memory.came_protected(["p9"])
            world.later(PROTECTED_SECONDS - 60)
            assert await memory.came_protected(["p1"])
            world.later(120)
            assert not await memory.came_protected(["p1", "p2"])

        asyncio.run(walk())

    def test_very_many_can_be_asked_about_at_once(self, world: IncomingWorld) -> None:
        async def walk() -> None:
            await take(world, IncomingRecord((OpenedKey(K1, (ANNA,)),), ("p1999",)))
            assert await world.incoming.came_protected([f"p{number}" for number in range(2000)])
            assert await opened_for(world, [K1] + [f"{n:064x}" for n in range(999)]) == {K1: {ANNA}}

        asyncio.run(walk())
