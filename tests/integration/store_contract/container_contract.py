"""What ports/containers promises, for whatever keeps it: a subclass gives `world`, pytest runs all of it.

The real store runs it on SQLite and PostgreSQL (test_container_contract); a double runs it by a subclass of
`ContainerContract` of its own with a `world` fixture.
"""

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import pytest

from ime_gateway.base.errors import AlreadySeen, OtherSignerFirst
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import (
    MOST_PENDING,
    Asking,
    Challenge,
    ContainerRecord,
    Containers,
    Learnt,
    Pin,
    PinState,
    Seen,
)
from ime_gateway.ports.queue import Parcel, Queue
from tests.integration.store_contract.parcels import make_event, settlement
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
            second = await take(world, replace(record(world), sender="bob@acme.example"))
            assert await world.containers.seen("aa" * 32) == Seen("bob@acme.example", second.id, second.received_at)

        asyncio.run(walk())

    def test_one_ciphertext_for_each_content_key(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            containers, until = world.containers, world.now() + 14 * DAY
            assert await containers.ciphertext_under("k1") is None
            assert await containers.first_ciphertext("k1", "c1", until)
            assert not await containers.first_ciphertext("k1", "c2", until)
            assert await containers.first_ciphertext("k1", "c1", until)
            assert not await containers.first_ciphertext("k1", "c2", until + DAY)
            assert await containers.first_ciphertext("k2", "c2", until)
            assert [await containers.ciphertext_under(key) for key in ("k1", "k2", "k3")] == ["c1", "c2", None]

        asyncio.run(walk())

    def test_of_many_ciphertexts_at_once_one_is_the_first(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            until = world.now() + 14 * DAY
            names = [f"c{number % 5}" for number in range(20)]
            first = await asyncio.gather(*(world.containers.first_ciphertext("k1", name, until) for name in names))
            winner = await world.containers.ciphertext_under("k1")
            assert winner in names and first == [name == winner for name in names]

        asyncio.run(walk())

    def test_a_ciphertext_keeps_its_place_until_its_time_is_over(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            assert await world.containers.first_ciphertext("k1", "c1", world.now() - 1)
            assert await world.containers.ciphertext_under("k1") is None
            assert await world.containers.first_ciphertext("k1", "c2", world.now() + DAY)
            assert not await world.containers.first_ciphertext("k1", "c1", world.now() + DAY)
            assert await world.containers.ciphertext_under("k1") == "c2"

        asyncio.run(walk())

    def test_only_who_waits_counts_among_those_who_wait(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            states: tuple[PinState, ...] = ("approved", "revoked")
            for number in range(MOST_PENDING):
                world.put_pin(Pin(ANNA, certificate(), states[number % 2], "registered", 1.0))
            asking = await world.containers.challenge(ask(world, "t1", certificate()), world.parcel(ANNA), (), 0)
            assert asking == Asking("full", unanswered=0, pinned=True)
            assert len(await world.containers.pins(ANNA)) == MOST_PENDING + 1

        asyncio.run(walk())

    def test_a_container_brings_pins_but_overrules_nobody(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            endorser, fresh, waiting, refused = (certificate() for _ in range(4))
            world.put_pin(Pin(ANNA, endorser, "approved", "registered", 1.0))
            world.put_pin(Pin(ANNA, waiting, "pending", "challenged", 1.0))
            world.put_pin(Pin(ANNA, refused, "revoked", "registered", 2.0, "stolen laptop"))
            brought = [Pin(ANNA, one, "approved", "endorsed", 3.0) for one in (fresh, waiting, refused)]
            await take(world, record(world, pins=brought, signer=endorser.thumbprint))
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
            assert (await world.containers.challenge(asked, mail, events, 3)).why == "asked"
            assert world.promised() == [mail.id]
            assert world.told(mail.id) == ["accepted"]
            assert await world.containers.pins(ANNA) == (Pin(ANNA, signer, "pending", "challenged", asked.sent_at),)
            again = world.parcel(ANNA)
            asking = await world.containers.challenge(ask(world, "t2", signer), again, events, 3)
            assert asking == Asking("open", sent_at=asked.sent_at)
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
            late = await world.containers.challenge(ask(world, "t3", signer), world.parcel(ANNA), (), 3)
            assert late == Asking("approved")  # the container was looked at before the answer came
            assert world.promised() == [mail.id]
            assert await world.containers.pins(ANNA) == (answer,)

        asyncio.run(walk())

    def test_a_mailbox_is_asked_only_so_much_at_once(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            tries = [
                world.containers.challenge(ask(world, f"t{number}", certificate()), world.parcel(ANNA), (), 2)
                for number in range(5)
            ]
            asking = await asyncio.gather(*tries)
            assert sorted(one.why for one in asking) == ["asked"] * 2 + ["full"] * 3
            assert {(one.unanswered, one.pinned) for one in asking if one.why == "full"} == {(2, True)}
            assert len(world.promised()) == 2
            assert [pin.state for pin in await world.containers.pins(ANNA)] == ["pending"] * 5
            bob = ask(world, "t9", certificate(), "bob@acme.example")
            assert (await world.containers.challenge(bob, world.parcel(), (), 2)).why == "asked"

        asyncio.run(walk())

    def test_a_challenge_that_ran_out_makes_room(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer = certificate()
            old = replace(ask(world, "t1", signer), sent_at=world.now() - 2 * DAY, expires_at=world.now() - DAY)
            assert (await world.containers.challenge(old, world.parcel(ANNA), (), 1)).why == "asked"
            assert (
                await world.containers.challenge(ask(world, "t2", signer), world.parcel(ANNA), (), 1)
            ).why == "asked"
            late = Pin(ANNA, signer, "approved", "confirmed", world.now())
            assert not await world.containers.confirm("t1", late, ())
            assert [pin.state for pin in await world.containers.pins(ANNA)] == ["pending"]

        asyncio.run(walk())

    def test_an_answer_counts_only_for_what_was_asked(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer = certificate()
            assert (
                await world.containers.challenge(ask(world, "t1", signer), world.parcel(ANNA), (), 3)
            ).why == "asked"
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
            assert (
                await world.containers.challenge(ask(world, "t1", signer), world.parcel(ANNA), (), 3)
            ).why == "asked"
            world.put_pin(Pin(ANNA, signer, "revoked", "registered", world.now()))
            answer = Pin(ANNA, signer, "approved", "confirmed", world.now())
            assert not await world.containers.confirm("t1", answer, [make_event("accepted", id="c1")])
            assert world.told("c1") == []
            asking = await world.containers.challenge(ask(world, "t2", signer), world.parcel(ANNA), (), 3)
            assert asking.why == "revoked"
            assert [pin.state for pin in await world.containers.pins(ANNA)] == ["revoked"]

        asyncio.run(walk())

    def test_so_many_signers_wait_for_an_administrator_and_the_oldest_stay(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signers = [certificate() for _ in range(MOST_PENDING + 2)]
            tries = [
                await world.containers.challenge(ask(world, f"t{number}", signer), world.parcel(ANNA), (), 1)
                for number, signer in enumerate(signers)
            ]
            assert [one.why for one in tries] == ["asked"] + ["full"] * (MOST_PENDING + 1)
            assert [one.pinned for one in tries] == [True] * MOST_PENDING + [False] * 2
            kept = {pin.certificate.thumbprint for pin in await world.containers.pins(ANNA)}
            assert kept == {signer.thumbprint for signer in signers[:MOST_PENDING]}

        asyncio.run(walk())

    def test_a_question_of_long_ago_is_asked_anew(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer, now = certificate(), world.now()
            old = replace(ask(world, "t1", signer), sent_at=now - 100)
            other = ask(world, "t9", certificate())
            for asked in (old, other):
                assert (await world.containers.challenge(asked, world.parcel(ANNA), (), 2)).why == "asked"
            new = ask(world, "t2", signer)
            asking = await world.containers.challenge(new, world.parcel(ANNA), (), 2, now - 101)
            assert asking == Asking("open", sent_at=now - 100)
            assert (await world.containers.challenge(new, world.parcel(ANNA), (), 2, now - 100)).why == "asked"
            assert await world.containers.open_challenge("t1", now) is None
            assert await world.containers.open_challenge("t2", now) == new
            assert len(world.promised()) == 3
            third = await world.containers.challenge(ask(world, "t3", certificate()), world.parcel(ANNA), (), 2)
            assert third.why == "full" and third.unanswered == 2

        asyncio.run(walk())

    @pytest.mark.parametrize("outcome", ["failed", "dropped", "delivered", "deferred"])
    def test_a_lost_question_is_asked_anew(self, world: ContainerWorld, outcome: str) -> None:
        async def walk() -> None:
            signer, mail = certificate(), world.parcel(ANNA)
            assert (await world.containers.challenge(ask(world, "t1", signer), mail, (), 1)).why == "asked"
            (leased,) = await world.queue.lease("w1", 9)
            said = settlement(leased, outcome, last_reply="550 5.1.1 no such user", next_attempt=world.now() + 99)
            assert await world.queue.settle([said]) == [leased.row.id]
            lost = outcome in ("failed", "dropped")
            assert (await world.containers.open_challenge("t1", world.now()) is None) is lost
            (pin,) = await world.containers.pins(ANNA)
            assert pin.note == (f"question {mail.id} {outcome}: 550 5.1.1 no such user" if lost else "")
            asking = await world.containers.challenge(ask(world, "t2", signer), world.parcel(ANNA), (), 1)
            assert asking.why == ("asked" if lost else "open")
            assert [pin.note for pin in await world.containers.pins(ANNA)] == [""]

        asyncio.run(walk())

    def test_an_earlier_question_that_is_lost_does_not_end_a_later_one(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signer = certificate()
            await world.containers.challenge(ask(world, "t1", signer), world.parcel(ANNA), (), 1)
            (leased,) = await world.queue.lease("w1", 9)
            late = world.now() + 9
            again = await world.containers.challenge(ask(world, "t2", signer), world.parcel(ANNA), (), 1, late)
            assert again.why == "asked"
            await world.queue.settle([settlement(leased, "failed")])
            assert await world.containers.open_challenge("t2", world.now()) is not None
            assert [pin.note for pin in await world.containers.pins(ANNA)] == [""]

        asyncio.run(walk())

    def test_a_lost_question_says_nothing_about_a_signer_who_is_approved(self, world: ContainerWorld) -> None:
        """An approved machine of the person named it meanwhile; its mail bounces later."""

        async def walk() -> None:
            endorser, signer = certificate(), certificate()
            world.put_pin(Pin(ANNA, endorser, "approved", "registered", 1.0))
            await world.containers.challenge(ask(world, "t1", signer), world.parcel(ANNA), (), 1)
            (leased,) = await world.queue.lease("w1", 9)
            named = Pin(ANNA, signer, "approved", "endorsed", 3.0)
            await take(world, record(world, pins=[named], signer=endorser.thumbprint))
            await world.queue.settle([settlement(leased, "failed", last_reply="550 no")])
            assert named in await world.containers.pins(ANNA)
            assert await world.containers.open_challenge("t1", world.now()) is None

        asyncio.run(walk())

    def test_of_first_signers_at_once_one_is_taken(self, world: ContainerWorld) -> None:
        async def walk() -> None:
            signers = [certificate() for _ in range(3)] * 2
            pins = [Pin(ANNA, signer, "approved", "first-use", world.now()) for signer in signers]
            tries = [take(world, record(world, f"{n:02x}" * 32, pins=[pin])) for n, pin in enumerate(pins)]
            done = await asyncio.gather(*tries, return_exceptions=True)
            (winner,) = await world.containers.pins(ANNA)
            taken = [isinstance(one, Parcel) for one in done]
            assert taken == [pin.certificate == winner.certificate for pin in pins]
            assert all(isinstance(one, Parcel | OtherSignerFirst) for one in done)
            assert sorted(world.promised()) == sorted(one.id for one in done if isinstance(one, Parcel))
            for number, through in enumerate(taken):
                assert (await world.containers.seen(f"{number:02x}" * 32) is not None) is through

        asyncio.run(walk())

    @pytest.mark.parametrize("state", ["approved", "pending", "revoked"])
    def test_a_first_signer_is_none_beside_any_other(self, world: ContainerWorld, state: PinState) -> None:
        async def walk() -> None:
            world.put_pin(Pin(ANNA, certificate(), state, "registered", 1.0))
            pin = Pin(ANNA, certificate(), "approved", "first-use", world.now())
            with pytest.raises(OtherSignerFirst):
                await take(world, record(world, pins=[pin]))
            other = Pin("bob@acme.example", certificate(), "approved", "first-use", world.now())
            await take(world, record(world, pins=[other]))
            assert [len(await world.containers.pins(who)) for who in (ANNA, "bob@acme.example")] == [1, 1]

        asyncio.run(walk())

    @pytest.mark.parametrize("state", ["approved", "pending", "revoked", None])
    def test_an_endorser_must_still_be_approved(self, world: ContainerWorld, state: PinState | None) -> None:
        async def walk() -> None:
            endorser, new = certificate(), certificate()
            if state is not None:
                world.put_pin(Pin(ANNA, endorser, state, "registered", 1.0))
            pin = Pin(ANNA, new, "approved", "endorsed", 3.0)
            await take(world, record(world, pins=[pin], signer=endorser.thumbprint))
            assert (pin in await world.containers.pins(ANNA)) is (state == "approved")

        asyncio.run(walk())


async def _pins(world: ContainerWorld) -> tuple[Pin, ...]:
    return await world.containers.pins(ANNA)
