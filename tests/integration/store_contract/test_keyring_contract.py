"""The Keyring of ports/keyring on both engines: whose keys, in which order, and gone with what removes them."""

import asyncio
from typing import Any

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store.database import Store
from tests.integration.store_contract.databases import TestDatabase
from tests.pki import Entity, make_user

ANNA, BOB = "anna@acme.example", "bob@acme.example"


@pytest.fixture(scope="module")
def anna() -> Entity:
    return make_user(ANNA, kind="p256")


@pytest.fixture(scope="module")
def keys() -> list[Entity]:
    return [make_user("domain-confidentiality-authority@acme.example", kind="p256") for _ in range(4)]


def people(store: Store, *addresses: str) -> Any:
    return asyncio.run(_asked(store, store.keyring.of_people(addresses)))


def domains(store: Store, *names: str) -> Any:
    return asyncio.run(_asked(store, store.keyring.of_domains(names)))


async def _asked(store: Store, question: Any) -> Any:
    await store.directory.view()
    return await question


def manage(change: Any, name: str = "acme.example") -> None:
    change.put_managed_domain(ManagedDomain(name=name, deliver_to="smtp://127.0.0.1:25"), ())


def test_people_have_the_keys_of_their_own_addresses(database: TestDatabase, anna: Entity) -> None:
    store = database.open()
    without = make_user(BOB, kind="p256")
    with store.registry.transaction(write=True) as change:
        change.put_certificate(anna.certificate, (ANNA, "desk@acme.example"), anna.key_der)
        change.put_certificate(without.certificate, (BOB,), None)
    found = people(store, ANNA, BOB, "desk@acme.example", "nobody@acme.example")
    assert set(found) == {ANNA, "desk@acme.example"}
    (key,) = found[ANNA]
    assert (key.owner, key.certificate, key.private_key, key.state) == (ANNA, anna.certificate, anna.key_der, "current")
    assert found["desk@acme.example"][0].owner == "desk@acme.example"
    assert "private_key" not in repr(key)


def test_a_domain_has_its_current_key_first_then_the_next_then_older_ones(
    database: TestDatabase, keys: list[Entity]
) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as change:
        manage(change)
        manage(change, "bolt.example")
    for entity in keys[:3]:
        database.clock.ahead += 10
        with store.registry.transaction(write=True) as change:
            change.domain_keys.put("acme.example", entity.certificate, entity.key_der, "current")
    with store.registry.transaction(write=True) as change:
        change.domain_keys.put("acme.example", keys[3].certificate, keys[3].key_der, "next")
    found = domains(store, "acme.example", "bolt.example", "other.example")
    assert set(found) == {"acme.example"}
    order = [keys[2], keys[3], keys[1], keys[0]]
    assert [key.certificate for key in found["acme.example"]] == [entity.certificate for entity in order]
    assert [key.private_key for key in found["acme.example"]] == [entity.key_der for entity in order]
    assert [key.state for key in found["acme.example"]] == ["current", "next", "older", "older"]


def test_no_other_key_is_here(database: TestDatabase, anna: Entity) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as change:
        manage(change)
        change.put_ime_key("acme.example", anna.certificate, anna.key_der, older_open_until=0.0)
    assert domains(store, "acme.example", "ime.acme.example") == {}
    assert people(store, ANNA, "domain-confidentiality-authority@ime.acme.example") == {}


def test_a_change_by_another_process_holds_for_the_next_mail(database: TestDatabase, anna: Entity) -> None:
    async def walk() -> None:
        worker, desk = database.open(), database.open()
        with desk.registry.transaction(write=True) as change:
            change.put_certificate(anna.certificate, (ANNA,), anna.key_der)
        await worker.directory.view()
        first = await worker.keyring.of_people([ANNA])
        again = await worker.keyring.of_people([ANNA])
        assert first[ANNA][0] is again[ANNA][0]
        assert await worker.keyring.of_people([BOB]) == {}
        with desk.registry.transaction(write=True) as change:
            change.delete_certificate(anna.certificate.thumbprint)
        await worker.directory.view()
        assert await worker.keyring.of_people([ANNA]) == {}

    asyncio.run(walk())


def test_a_key_that_was_moved_to_another_row_does_not_open(database: TestDatabase, keys: list[Entity]) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as change:
        manage(change)
        manage(change, "bolt.example")
        change.domain_keys.put("acme.example", keys[0].certificate, keys[0].key_der, "current")
    database.execute("UPDATE domain_keys SET domain = 'bolt.example'")
    with pytest.raises(StoreUnavailable):
        domains(store, "bolt.example")


def test_many_owners_are_asked_at_once(database: TestDatabase, anna: Entity) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as change:
        change.put_certificate(anna.certificate, (ANNA,), anna.key_der)
    asked = [f"p{number}@acme.example" for number in range(6_000)]
    assert set(people(store, *asked, ANNA, "odd\0name@acme.example")) == {ANNA}
