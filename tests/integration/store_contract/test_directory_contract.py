"""The Directory of ports/directory: never older than the last committed change, on both engines."""

import asyncio

import pytest

from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from ime_gateway.store.database import Store
from tests.integration.store_contract.databases import TestDatabase
from tests.pki import Entity, make_ca, make_user


@pytest.fixture(scope="module")
def root() -> Entity:
    return make_ca("Contract Root")


@pytest.fixture(scope="module")
def user(root: Entity) -> Entity:
    return make_user("bob@partner.example", root)


def add(store: Store, entity: Entity, *addresses: str) -> None:
    with store.registry.transaction(write=True) as change:
        change.put_certificate(entity.certificate, addresses, None)


def test_a_new_store_has_the_default_policy(database: TestDatabase) -> None:
    view = asyncio.run(database.open().directory.view())
    assert view.policy == Policy()
    assert (view.managed, view.partners, view.roots, view.trust) == ({}, {}, (), {})


def test_a_change_of_another_process_is_seen_at_once(database: TestDatabase, root: Entity, user: Entity) -> None:
    async def walk() -> None:
        worker, desk = database.open(), database.open()
        first = await worker.directory.view()
        assert await worker.directory.view() is first
        managed = ManagedDomain(name="acme.example", deliver_to="smtp://127.0.0.1:25")
        partner = PartnerDomain(name="*.partner.example", encryption="mandatory")
        entry = TrustEntry(user.certificate.thumbprint, "deny", note="lost")
        with desk.registry.transaction(write=True) as change:
            change.put_policy(Policy(on_unprotectable="report"))
            change.put_managed_domain(managed, [])
            change.put_partner_domain(partner, [user.certificate])
            change.put_root(root.certificate)
            change.put_trust(entry)
        view = await worker.directory.view()
        assert view.generation == first.generation + 1
        assert view.policy == Policy(on_unprotectable="report")
        assert view.managed == {"acme.example": managed}
        assert view.partners == {"*.partner.example": partner}
        assert view.domain_certificates == {"*.partner.example": (user.certificate,)}
        assert view.roots == (root.certificate,)
        assert view.trust == {entry.thumbprint: entry}

    asyncio.run(walk())


def test_every_caller_sees_what_was_committed_before_it_asked(database: TestDatabase) -> None:
    async def walk() -> None:
        worker, desk = database.open(), database.open()
        loop = asyncio.get_running_loop()

        def change(number: int) -> None:
            with desk.registry.transaction(write=True) as transaction:
                transaction.put_partner_domain(PartnerDomain(name=f"p{number}.example"), [])

        background = [asyncio.create_task(_view_often(worker)) for _ in range(5)]
        for number in range(20):
            await loop.run_in_executor(None, change, number)
            views = await asyncio.gather(*(worker.directory.view() for _ in range(5)))
            assert all(f"p{number}.example" in view.partners for view in views)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)

    asyncio.run(walk())


async def _view_often(store: Store) -> None:
    while True:
        await store.directory.view()
        await asyncio.sleep(0)


def test_certificates_are_found_by_address_and_changes_are_seen(
    database: TestDatabase, root: Entity, user: Entity
) -> None:
    async def walk() -> None:
        worker, desk = database.open(), database.open()
        renewed = make_user("bob@partner.example", root)
        addresses = ["bob@partner.example", "nobody@partner.example"]
        assert await worker.directory.certificates(await worker.directory.view(), addresses) == dict.fromkeys(
            addresses, ()
        )
        add(desk, user, "bob@partner.example", "robert@partner.example")
        found = await worker.directory.certificates(await worker.directory.view(), addresses)
        assert found == {"bob@partner.example": (user.certificate,), "nobody@partner.example": ()}
        add(desk, renewed, "bob@partner.example")
        found = await worker.directory.certificates(await worker.directory.view(), addresses)
        assert set(found["bob@partner.example"]) == {user.certificate, renewed.certificate}
        with desk.registry.transaction(write=True) as change:
            assert change.delete_certificate(user.certificate.thumbprint)
        found = await worker.directory.certificates(await worker.directory.view(), ["bob@partner.example"])
        assert found == {"bob@partner.example": (renewed.certificate,)}

    asyncio.run(walk())


def test_imported_authorities_are_links_of_paths_unless_they_are_roots(database: TestDatabase, root: Entity) -> None:
    async def walk() -> None:
        store = database.open()
        add(store, root)
        assert (await store.directory.view()).intermediates == (root.certificate,)
        with store.registry.transaction(write=True) as change:
            change.put_root(root.certificate)
        view = await store.directory.view()
        assert (view.roots, view.intermediates) == ((root.certificate,), ())

    asyncio.run(walk())


def test_many_certificates_are_asked_for_at_once(database: TestDatabase, user: Entity) -> None:
    async def walk() -> None:
        store = database.open()
        addresses = [f"user{number}@partner.example" for number in range(700)]
        add(store, user, *addresses[::2])
        found = await store.directory.certificates(await store.directory.view(), addresses)
        assert [bool(found[address]) for address in addresses] == [True, False] * 350

    asyncio.run(walk())


def test_certificates_by_thumbprint_whoever_they_are_for(database: TestDatabase, user: Entity) -> None:
    async def walk() -> None:
        store = database.open()
        known, unknown = user.certificate.thumbprint, "sha256:" + "0" * 64
        view = await store.directory.view()
        assert await store.directory.named(view, [known, unknown]) == {}
        add(store, user, "somebody@else.example")
        view = await store.directory.view()
        assert await store.directory.named(view, [known, unknown]) == {known: user.certificate}
        assert await store.directory.named(view, []) == {}
        with store.registry.transaction(write=True) as change:
            change.delete_certificate(known)
        assert await store.directory.named(await store.directory.view(), [known]) == {}

    asyncio.run(walk())


def test_for_whom_certificates_are(database: TestDatabase, user: Entity) -> None:
    async def walk() -> None:
        worker, desk = database.open(), database.open()
        known, unknown = user.certificate.thumbprint, "sha256:" + "0" * 64
        owners: tuple[str, ...] = ()
        for address in ("anna@partner.example", "bob@partner.example"):
            add(desk, user, *owners)
            found = await worker.directory.owners(await worker.directory.view(), [known, unknown])
            assert found == {known: owners, unknown: ()}
            owners = (*owners, address)

    asyncio.run(walk())
