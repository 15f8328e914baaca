"""What ports/containers promises, for whatever keeps it: a subclass gives `world`, pytest runs all of it.

The real store runs it on SQLite and PostgreSQL (test_container_contract); a double runs it by a subclass of
`ContainerContract` of its own with a `world` fixture.
"""

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import pytest

from ime_gateway.base.errors import AlreadySeen
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import Challenge, ContainerRecord, Containers, Learnt, Pin, Seen
from ime_gateway.ports.queue import Parcel, Queue
from tests.integration.store_contract.parcels import make_event
from tests.pki import make_user

DAY = 86_400.0
ANNA = "anna@acme.example"


class ContainerWorld(Protocol):
    """A queue and containers over one memory, and how an administrator changes what they read."""

    queue: Queue
    containers: Containers

    def now(self) -> float: ...

    def parcel(self, recipient: str = "bob@partner.example") -> Parcel: ...

    def put_ime_key(self, domain: str, certificate: Certificate, key: bytes, *, older_open_until: float) -> None: ...

    def put_pin(self, pin: Pin) -> None: ...

    def promised(self) -> list[str]:
        """Ids of the messages in the queue."""
        ...

    def told(self, message: str) -> list[str]:
        """Names of the tracking events of a message."""
        ...


def certificate(address: str = ANNA) -> Certificate:
    return make_user(address).certificate


def record(world: ContainerWorld, key: str = "aa" * 32, **fields: Any) -> ContainerRecord:
    return ContainerRecord(key, ANNA, world.now() + 14 * DAY, **fields)


async def take(world: ContainerWorld, container: ContainerRecord) -> Parcel:
    parcel = world.parcel()
    await world.queue.enqueue(parcel, [make_event("accepted", id=parcel.id)], None, (), container)
    return parcel


def ask(world: ContainerWorld, token: str, signer: Certificate, address: str = ANNA) -> Challenge:
    return Challenge(token, address, signer, world.now(), world.now() + DAY)


class ContainerContract:
    def test_a_container_is_acted_upon_once(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            assert await world.containers.seen("aa" * 32) is None
            first = await take(world, record(world))
            assert await world.containers.seen("aa" * 32) == Seen(ANNA, first.id, first.received_at)
            again = world.parcel()
            events = [make_event("accepted", id=again.id)]
            pin = Pin(ANNA, certificate(), "approved", "first-use", world.now())
            with pytest.raises(AlreadySeen):
                await world.queue.enqueue(again, events, "w1", (), record(world, pins=[pin]))
            assert world.promised() == [first.id]
            assert world.told(again.id) == []
            assert await world.containers.pins(ANNA) == ()
            assert await world.containers.seen("aa" * 32) == Seen(ANNA, first.id, first.received_at)
            other = await take(world, record(world, "bb" * 32))
            assert sorted(world.promised()) == sorted([first.id, other.id])

        asyncio.run(walk())

    def test_of_many_at_once_one_gets_through(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            tries = await asyncio.gather(*(take(world, record(world)) for _ in range(20)), return_exceptions=True)
            through = [one for one in tries if isinstance(one, Parcel)]
            assert len(through) == 1
            assert all(isinstance(one, AlreadySeen) for one in tries if one not in through)
            assert world.promised() == [through[0].id]

        asyncio.run(walk())

    def test_a_duplicate_does_no_harm_to_those_beside_it(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            await take(world, record(world))
            keys = ("aa", "bb", "aa", "cc")
            tries = await asyncio.gather(
                *(take(world, record(world, key * 32)) for key in keys), return_exceptions=True
            )
            assert [type(one) for one in tries] == [AlreadySeen, Parcel, AlreadySeen, Parcel]
            assert len(world.promised()) == 3

        asyncio.run(walk())

    def test_what_was_seen_is_forgotten_in_the_end(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            await take(world, replace(record(world), keep_until=world.now() - 1))
            assert await world.containers.seen("aa" * 32) is None
            second = await take(world, record(world))
            assert (await world.containers.seen("aa" * 32) or Seen("", "", 0)).message == second.id

        asyncio.run(walk())

    def test_a_container_brings_pins_but_overrules_nobody(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            fresh, waiting, refused = (certificate() for _ in range(3))
            world.put_pin(Pin(ANNA, waiting, "pending", "challenged", 1.0))
            world.put_pin(Pin(ANNA, refused, "revoked", "registered", 2.0, "stolen laptop"))
            brought = [Pin(ANNA, one, "approved", "endorsed", 3.0) for one in (fresh, waiting, refused)]
            await take(world, record(world, pins=brought))
            found = {pin.certificate.thumbprint: pin for pin in await world.containers.pins(ANNA)}
            assert found[fresh.thumbprint] == brought[0]
            assert found[waiting.thumbprint] == brought[1]
            assert found[refused.thumbprint] == Pin(ANNA, refused, "revoked", "registered", 2.0, "stolen laptop")
            assert await world.containers.pins("bob@acme.example") == ()

        asyncio.run(walk())

    def test_pins_come_newest_first(self, world: ContainerWorld) -> None:
        for at in (2.0, 3.0, 1.0):
            world.put_pin(Pin(ANNA, certificate(), "approved", "registered", at))
        assert [pin.at for pin in asyncio.run(_pins(world))] == [3.0, 2.0, 1.0]

    def test_only_a_newer_signature_teaches(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            first = Learnt(ANNA, b"\x30\x00", 1000.0, "sha256:aa")
            await take(world, record(world, "01" * 32, learnt=first))
            for number, moment in (("02", 999.0), ("03", 1000.0)):
                await take(world, record(world, number * 32, learnt=Learnt(ANNA, b"\x30\x01", moment)))
            assert await world.containers.learnt([ANNA, "bob@acme.example"]) == {ANNA: first}
            newer = Learnt(ANNA, b"\x30\x02", 1001.0)
            await take(world, record(world, "04" * 32, learnt=newer))
            assert await world.containers.learnt([ANNA]) == {ANNA: newer}
            assert await world.containers.learnt([]) == {}

        asyncio.run(walk())

    def test_keys_open_until_the_end_of_their_overlap(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            address = "any@ime.acme.example"
            old, new = make_user(address), make_user(address)
            end = world.now() + 14 * DAY
            world.put_ime_key("acme.example", old.certificate, old.key_der, older_open_until=0)
            (only,) = await world.containers.ime_keys("acme.example", world.now())
            assert (only.certificate, only.private_key, only.opens_until) == (
                old.certificate,
                old.key_der,
                float("inf"),
            )
            assert old.key_der.hex()[:40] not in repr(only)
            world.put_ime_key("acme.example", new.certificate, new.key_der, older_open_until=end)
            both = await world.containers.ime_keys("acme.example", end - 1)
            assert [(key.certificate, key.opens_until) for key in both] == [
                (new.certificate, float("inf")),
                (old.certificate, end),
            ]
            assert [key.certificate for key in await world.containers.ime_keys("acme.example", end)] == [
                new.certificate
            ]
            assert await world.containers.ime_keys("other.example", world.now()) == ()

        asyncio.run(walk())

    def test_a_challenge_is_asked_once_and_answered_once(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer = certificate()
            asked, mail = ask(world, "t1", signer), world.parcel(ANNA)
            events = [make_event("accepted", id=mail.id)]
            assert await world.containers.challenge(asked, mail, events, 3)
            assert world.promised() == [mail.id]
            assert world.told(mail.id) == ["accepted"]
            assert await world.containers.pins(ANNA) == (Pin(ANNA, signer, "pending", "challenged", asked.sent_at),)
            again = world.parcel(ANNA)
            assert not await world.containers.challenge(ask(world, "t2", signer), again, events, 3)
            assert world.promised() == [mail.id]
            assert await world.containers.open_challenge("t2", world.now()) is None
            assert await world.containers.open_challenge("t1", world.now()) == asked
            assert await world.containers.open_challenge("t1", asked.expires_at) is None
            answer = Pin(ANNA, signer, "approved", "confirmed", world.now())
            assert await world.containers.confirm("t1", answer, [make_event("accepted", id="c1")])
            assert await world.containers.pins(ANNA) == (answer,)
            assert world.told("c1") == ["accepted"]
            assert await world.containers.open_challenge("t1", world.now()) is None
            assert not await world.containers.confirm("t1", answer, [make_event("accepted", id="c2")])
            assert world.told("c2") == []

        asyncio.run(walk())

    def test_a_mailbox_is_asked_only_so_much_at_once(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            tries = [
                world.containers.challenge(ask(world, f"t{number}", certificate()), world.parcel(ANNA), (), 2)
                for number in range(5)
            ]
            assert sum(await asyncio.gather(*tries)) == 2
            assert len(world.promised()) == 2
            assert len(await world.containers.pins(ANNA)) == 2
            bob = ask(world, "t9", certificate(), "bob@acme.example")
            assert await world.containers.challenge(bob, world.parcel(), (), 2)

        asyncio.run(walk())

    def test_a_challenge_that_ran_out_makes_room(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer = certificate()
            old = replace(ask(world, "t1", signer), sent_at=world.now() - 2 * DAY, expires_at=world.now() - DAY)
            assert await world.containers.challenge(old, world.parcel(ANNA), (), 1)
            assert await world.containers.challenge(ask(world, "t2", signer), world.parcel(ANNA), (), 1)
            late = Pin(ANNA, signer, "approved", "confirmed", world.now())
            assert not await world.containers.confirm("t1", late, ())
            assert [pin.state for pin in await world.containers.pins(ANNA)] == ["pending"]

        asyncio.run(walk())

    def test_an_answer_counts_only_for_what_was_asked(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer = certificate()
            assert await world.containers.challenge(ask(world, "t1", signer), world.parcel(ANNA), (), 3)
            foreign = Pin(ANNA, certificate(), "approved", "confirmed", world.now())
            assert not await world.containers.confirm("t1", foreign, ())
            other = Pin("bob@acme.example", signer, "approved", "confirmed", world.now())
            assert not await world.containers.confirm("t1", other, ())
            assert [pin.state for pin in await world.containers.pins(ANNA)] == ["pending"]
            assert await world.containers.pins("bob@acme.example") == ()
            assert await world.containers.confirm("t1", Pin(ANNA, signer, "approved", "confirmed", world.now()), ())

        asyncio.run(walk())

    def test_nothing_brings_a_revoked_signer_back(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer = certificate()
            assert await world.containers.challenge(ask(world, "t1", signer), world.parcel(ANNA), (), 3)
            world.put_pin(Pin(ANNA, signer, "revoked", "registered", world.now()))
            answer = Pin(ANNA, signer, "approved", "confirmed", world.now())
            assert not await world.containers.confirm("t1", answer, [make_event("accepted", id="c1")])
            assert world.told("c1") == []
            assert not await world.containers.challenge(ask(world, "t2", signer), world.parcel(ANNA), (), 3)
            assert [pin.state for pin in await world.containers.pins(ANNA)] == ["revoked"]

        asyncio.run(walk())


async def _pins(world: ContainerWorld) -> tuple[Pin, ...]:
    return await world.containers.pins(ANNA)
