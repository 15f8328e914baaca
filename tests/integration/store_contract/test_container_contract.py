"""The real store keeps the contract of ports/containers on both engines, between processes, and at rest."""

import asyncio
from dataclasses import dataclass
from typing import Literal

import pytest

from ime_gateway.base.errors import AlreadySeen, OtherSignerFirst, StoreUnavailable
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import Challenge, ContainerRecord, Pin
from ime_gateway.ports.queue import Parcel
from ime_gateway.ports.registry import ContainerCounts
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store.database import Store
from tests.integration.store_contract.container_contract import ANNA, DAY, ContainerContract, certificate, record, take
from tests.integration.store_contract.databases import TestDatabase
from tests.integration.store_contract.parcels import make_parcel, read_all, settlement
from tests.pki import make_user


@dataclass
class StoreWorld:
    """A `ContainerWorld` over a real store."""

    database: TestDatabase
    store: Store

    def __post_init__(self) -> None:
        self.queue, self.containers = self.store.queue, self.store.containers

    def now(self) -> float:
        return self.database.clock.now()

    def parcel(self, recipient: str = "bob@partner.example") -> Parcel:
        return make_parcel(self.store, groups=((recipient,),))

    def put_ime_key(self, domain: str, certificate: Certificate, key: bytes, *, older_open_until: float) -> None:
        with self.store.registry.transaction(write=True) as live:
            assert live.put_ime_key(domain, certificate, key, older_open_until=older_open_until)

    def put_pin(self, pin: Pin) -> None:
        with self.store.registry.transaction(write=True) as live:
            live.put_pin(pin)

    def promised(self) -> list[str]:
        return [line.id for line in self.store.registry.queue_lines()]

    def told(self, message: str) -> list[str]:
        return [event.event for event in self.store.registry.events(id=message)]


@pytest.fixture
def world(database: TestDatabase) -> StoreWorld:
    return StoreWorld(database, database.open())


class TestStoredContainers(ContainerContract):
    """The whole contract."""


def test_two_nodes_never_both_take_a_container(database: TestDatabase) -> None:
    async def walk() -> None:
        worlds = [StoreWorld(database, database.open()) for _ in range(4)]
        for number in range(10):
            key = f"{number:02x}" * 32
            tries = await asyncio.gather(
                *(take(world, record(world, key)) for world in worlds for _ in range(2)), return_exceptions=True
            )
            assert sum(isinstance(one, Parcel) for one in tries) == 1, tries
            assert all(isinstance(one, Parcel | AlreadySeen) for one in tries), tries
        assert len(worlds[0].promised()) == 10

    asyncio.run(walk())


def test_two_nodes_never_both_hear_of_different_ciphertexts(database: TestDatabase) -> None:
    async def walk() -> None:
        worlds = [StoreWorld(database, database.open()) for _ in range(4)]
        until = worlds[0].now() + DAY
        for number in range(10):
            tries = [
                world.containers.first_ciphertext(f"k{number}", f"c{n % 2}", until) for n, world in enumerate(worlds)
            ]
            answers = await asyncio.gather(*tries)
            assert answers in ([True, False] * 2, [False, True] * 2), answers
            assert await worlds[3].containers.ciphertext_under(f"k{number}") == ("c0" if answers[0] else "c1")

    asyncio.run(walk())


def test_two_nodes_together_ask_no_more_than_one(database: TestDatabase) -> None:
    async def walk() -> None:
        worlds = [StoreWorld(database, database.open()) for _ in range(4)]
        now = worlds[0].now()
        tries = [
            world.containers.challenge(
                Challenge(f"t{number}", ANNA, certificate(), now, now + DAY), world.parcel(ANNA), (), 2
            )
            for number, world in enumerate(worlds * 2)
        ]
        assert sorted(one.why for one in await asyncio.gather(*tries)) == ["asked"] * 2 + ["full"] * 6

    asyncio.run(walk())


def test_nodes_that_bring_the_same_things_in_other_orders_never_block_each_other(database: TestDatabase) -> None:
    async def walk() -> None:
        worlds = [StoreWorld(database, database.open()) for _ in range(3)]
        endorser, *signers = (certificate() for _ in range(5))
        worlds[0].put_pin(Pin(ANNA, endorser, "approved", "registered", 1.0))
        pins = [Pin(ANNA, signer, "approved", "endorsed", 1.0) for signer in signers]
        keys = [f"{number:02x}" * 32 for number in range(20)]
        tries = []
        for turn, world in enumerate(worlds):
            order = keys if turn % 2 else keys[::-1]
            brought = pins if turn % 2 else pins[::-1]
            tries += [take(world, record(world, key, pins=brought, signer=endorser.thumbprint)) for key in order]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(one, Parcel) for one in done) == len(keys)
        assert not [one for one in done if isinstance(one, StoreUnavailable)]
        assert len(await worlds[0].containers.pins(ANNA)) == 5

    asyncio.run(walk())


def test_two_nodes_never_both_pin_a_first_signer(database: TestDatabase) -> None:
    async def walk() -> None:
        worlds = [StoreWorld(database, database.open()) for _ in range(4)]
        for number in range(10):
            person = f"p{number}@acme.example"
            pins = [Pin(person, certificate(person), "approved", "first-use", 1.0) for _ in worlds]
            tries = [
                take(world, record(world, f"{number:02x}{turn:02x}" * 16, pins=[pin]))
                for turn, (world, pin) in enumerate(zip(worlds, pins, strict=True))
            ]
            done = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(isinstance(one, Parcel) for one in done) == 1, done
            assert sum(isinstance(one, OtherSignerFirst) for one in done) == 3, done
            assert len(await worlds[0].containers.pins(person)) == 1

    asyncio.run(walk())


def test_a_call_that_finds_its_own_message_was_merely_not_told(world: StoreWorld) -> None:
    """The commit was made, the connection died before it said so, and the group commit tries once more."""

    async def walk() -> None:
        parcel = world.parcel()
        seen = ContainerRecord("aa" * 32, ANNA, world.now() + DAY)
        leased = await world.queue.enqueue(parcel, (), "w1", (), seen)
        again = await world.queue.enqueue(parcel, (), "w1", (), seen)
        assert [row.row for row in again] == [row.row for row in leased]
        assert read_all(world.store, parcel.bodies[0].id) == b"body\r\n"
        assert world.promised() == [parcel.id]

    asyncio.run(walk())


def test_reports_of_a_refused_container_are_not_sent_either(world: StoreWorld) -> None:
    async def walk() -> None:
        await take(world, record(world))
        report = world.parcel("sender@acme.example")
        with pytest.raises(AlreadySeen):
            await world.queue.enqueue(world.parcel(), (), None, [report], record(world))
        assert report.id not in world.promised()

    asyncio.run(walk())


def test_housekeeping_forgets_and_erases(database: TestDatabase, world: StoreWorld) -> None:
    async def walk() -> None:
        now = world.now()
        await take(world, ContainerRecord("aa" * 32, ANNA, now + 10))
        await take(world, ContainerRecord("bb" * 32, ANNA, now + 1000))
        for name, end in (("k1", now + 10), ("k2", now + 1000)):
            await world.containers.first_ciphertext(name, "c", end)
        for token, end in (("t1", now + 10), ("t2", now + 1000)):
            await world.containers.challenge(Challenge(token, ANNA, certificate(), now, end), world.parcel(), (), 9)
        keys = [make_user("any@ime.acme.example") for _ in range(3)]
        for number, key in enumerate(keys):
            world.put_ime_key(
                "acme.example", key.certificate, key.key_der, older_open_until=now + (10, 10, 1000)[number]
            )
        assert world.store.tidy(now + 5) == []
        assert world.store.tidy(now + 100) == ["acme.example"]
        assert database.query("SELECT replay_key FROM containers_seen") == [("bb" * 32,)]
        assert database.query("SELECT key_digest FROM first_ciphertexts") == [("k2",)]
        assert database.query("SELECT token_hash FROM challenges") == [("t2",)]
        with world.store.registry.transaction(write=False) as live:
            entries = live.ime_keys("acme.example")
            assert [(entry.certificate, entry.has_private_key) for entry in entries] == [
                (keys[2].certificate, True),
                (keys[1].certificate, True),
                (keys[0].certificate, False),
            ]
            assert live.ime_private_key("acme.example", keys[0].certificate.thumbprint) is None
            assert live.ime_private_key("acme.example", keys[1].certificate.thumbprint) == keys[1].key_der
            assert live.container_counts("acme.example") == ContainerCounts(pending=2, open_challenges=1)
            assert live.container_counts("cme.example") == ContainerCounts()

    asyncio.run(walk())


def test_a_ciphertext_that_comes_again_keeps_its_place_for_longer(world: StoreWorld) -> None:
    async def walk() -> None:
        containers, now = world.containers, world.now()
        for end in (now + 10, now + 1000):
            assert await containers.first_ciphertext("k1", "c1", end)
        assert not await containers.first_ciphertext("k1", "c2", now + 9999)
        world.store.tidy(now + 100)
        assert await containers.ciphertext_under("k1") == "c1"
        world.store.tidy(now + 1000)
        assert await containers.ciphertext_under("k1") is None

    asyncio.run(walk())


def test_whatever_a_peer_says_of_a_question_can_be_noted(world: StoreWorld) -> None:
    """A reply that a column does not take would keep the queue from settling, again and again."""

    async def walk() -> None:
        question = Challenge("t1", ANNA, certificate(), world.now(), world.now() + DAY)
        await world.containers.challenge(question, world.parcel(ANNA), (), 1)
        (leased,) = await world.queue.lease("w1", 9)
        said = settlement(leased, "failed", last_reply="550 \0\udcff" + "x" * 9999)
        assert await world.queue.settle([said]) == [leased.row.id]
        (pin,) = await world.containers.pins(ANNA)
        assert "550 \\0\\udcff" in pin.note and len(pin.note) == 300

    asyncio.run(walk())


def test_private_keys_rest_sealed_for_their_domain(database: TestDatabase, world: StoreWorld) -> None:
    key = make_user("any@ime.acme.example")
    world.put_ime_key("acme.example", key.certificate, key.key_der, older_open_until=0)
    assert key.key_der[-80:-20] not in database.raw_bytes()
    database.execute("UPDATE ime_keys SET domain = 'other.example'")
    with pytest.raises(StoreUnavailable):
        asyncio.run(world.containers.ime_keys("other.example", world.now()))


def test_the_current_key_is_not_put_twice_and_an_older_one_can_come_back(world: StoreWorld) -> None:
    first, second = (make_user("any@ime.acme.example") for _ in range(2))
    with world.store.registry.transaction(write=True) as live:
        assert live.put_ime_key("acme.example", first.certificate, first.key_der, older_open_until=0)
        assert not live.put_ime_key("acme.example", first.certificate, first.key_der, older_open_until=0)
        assert live.put_ime_key("acme.example", second.certificate, second.key_der, older_open_until=5e9)
        assert live.put_ime_key("acme.example", first.certificate, first.key_der, older_open_until=6e9)
        assert [(key.certificate, key.opens_until) for key in live.ime_keys("acme.example")] == [
            (first.certificate, float("inf")),
            (second.certificate, 6e9),
        ]
        assert live.close_older_ime_keys("acme.example") == 1
        assert [key.has_private_key for key in live.ime_keys()] == [True, False]


def test_a_domain_keeps_its_key_when_it_changes_and_loses_it_when_it_goes(world: StoreWorld) -> None:
    key = make_user("any@ime.acme.example")
    with world.store.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="smtp://a.example:25"), ())
        live.put_ime_key("acme.example", key.certificate, key.key_der, older_open_until=0)
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="smtp://b.example:25"), ())
        assert len(live.ime_keys("acme.example")) == 1
        live.delete_domain("acme.example")
        assert live.ime_keys() == []


@pytest.mark.parametrize("state", ["approved", "revoked"])
def test_an_administrators_word_ends_the_open_question(
    world: StoreWorld, state: Literal["approved", "revoked"]
) -> None:
    """Otherwise it counts against the person's next computer."""

    async def walk() -> None:
        signer, next_one = certificate(), certificate()
        for token, asked in (("t1", signer), ("t2", next_one)):
            question = Challenge(token, ANNA, asked, world.now(), world.now() + 1000)
            if token == "t2":
                assert (await world.containers.challenge(question, world.parcel(), (), 1)).why == "full"
                world.put_pin(Pin(ANNA, signer, state, "registered", world.now()))
                assert await world.containers.open_challenge("t1", world.now()) is None
            assert (await world.containers.challenge(question, world.parcel(), (), 1)).why == "asked"

    asyncio.run(walk())


def test_pins_are_found_by_state_person_and_beginning(world: StoreWorld) -> None:
    signers = [certificate() for _ in range(3)]
    world.put_pin(Pin(ANNA, signers[0], "approved", "registered", 3.0, "by phone"))
    world.put_pin(Pin(ANNA, signers[1], "pending", "challenged", 1.0))
    world.put_pin(Pin("bob@acme.example", signers[2], "pending", "challenged", 2.0))
    with world.store.registry.transaction(write=True) as live:
        assert [pin.at for pin in live.pins()] == [2.0, 1.0, 3.0]
        assert [pin.at for pin in live.pins(address=ANNA)] == [1.0, 3.0]
        assert [pin.at for pin in live.pins(state="pending", limit=1, offset=1)] == [1.0]
        assert [pin.at for pin in live.pins(thumbprint=signers[0].thumbprint[:20])] == [3.0]
        assert not live.put_pin(Pin(ANNA, signers[0], "approved", "registered", 9.0, "by phone"))
        assert live.put_pin(Pin(ANNA, signers[0], "revoked", "registered", 9.0, "by phone"))
