"""A store that version 1 made, with mail in its queue, goes on: nothing is lost, and nothing ever goes back."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.containers import ContainerRecord
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.registry import AdminAccount
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store import migrations
from ime_gateway.store.connections import Connections
from ime_gateway.store.database import Store
from ime_gateway.store.schema import metadata
from ime_gateway.store.sealed_secrets import SecretBox
from tests.integration.store_contract.databases import MASTER_KEY, PostgresqlDatabase, SqliteDatabase, TestDatabase
from tests.integration.store_contract.parcels import make_event, make_parcel, read_all
from tests.pki import make_ca, make_user

FIRST = "0001"


def _made_by_version_1(self: TestDatabase) -> None:
    key_id = SecretBox(MASTER_KEY, os.urandom).key_id
    connections = Connections(self.url, key_id)
    with connections.create() as connection:
        configuration = Config()
        configuration.set_main_option("script_location", str(Path(migrations.__file__).parent))
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, FIRST)
        connection.execute(text(f"INSERT INTO meta (name, value) VALUES ('key_check', '{key_id}')"))
        connection.execute(text("INSERT INTO site (id, generation, policy) VALUES (1, 1, '{}')"))
    connections.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestDatabase]:
    """A database as version 1 left it."""
    with monkeypatch.context() as patched:
        patched.setattr(Store, "migrate", lambda store: None)
        if request.param == "sqlite":
            made: TestDatabase = SqliteDatabase(tmp_path)
        else:
            made = PostgresqlDatabase(request.getfixturevalue("postgresql_server"), tmp_path)
    _made_by_version_1(made)
    yield made
    made.close()


def test_what_version_1_promised_is_kept(old: TestDatabase) -> None:
    async def walk() -> None:
        store = old.open()
        before = store.schema_state()
        assert (before.kind, before.found) == ("older", FIRST)
        root, anna = make_ca(), make_user("anna@acme.example")
        acme, denied = ManagedDomain(name="acme.example", deliver_to="smtp://a.example:25"), "sha256:" + "0" * 64
        small = make_parcel(store, groups=(("bob@x.example", "carol@x.example"),))
        large = make_parcel(store, content=os.urandom(1_000_000))
        await store.queue.enqueue(small, [make_event("accepted", id=small.id)], None)
        await store.queue.enqueue(large, [], None)
        store.registry.put_admin(AdminAccount("admin", "hash", False))
        with store.registry.transaction(write=True) as live:
            live.put_managed_domain(acme, ())
            live.put_certificate(anna.certificate, ["anna@acme.example"], anna.key_der)
            live.put_root(root.certificate)
            live.put_trust(TrustEntry(denied, "deny"))
            live.audit("cli:root", "test", "before")

        store.migrate()

        new = old.open()
        assert new.schema_state().kind == "current"
        leased = await new.queue.lease("w1", 10)
        assert {row.row for row in leased} == {*small.rows, *large.rows}
        assert read_all(new, large.bodies[0].id) == read_all(store, large.bodies[0].id)
        assert await new.queue.envelope(small.envelopes[0].id) == small.envelopes[0]
        assert [event.event for event in new.registry.events(id=small.id)] == ["accepted"]
        assert new.registry.admin("admin") == AdminAccount("admin", "hash", False)
        assert new.registry.audit_break() is None
        with new.registry.transaction(write=False) as live:
            assert live.private_key(anna.certificate.thumbprint) == anna.key_der
            view = live.view()
            assert (view.managed, view.roots) == ({"acme.example": acme}, (root.certificate,))
            assert view.trust == {denied: TrustEntry(denied, "deny")}
        container = ContainerRecord("aa" * 32, "anna@acme.example", new_time(old))
        await new.queue.enqueue(make_parcel(new), [], None, (), container)
        assert await new.containers.seen("aa" * 32) is not None

    asyncio.run(walk())


def new_time(database: TestDatabase) -> float:
    return database.clock.now() + 1000


def test_settings_that_nobody_named_are_inherited_afterwards(old: TestDatabase) -> None:
    """Version 2 wrote every key out. What was in force for partners stays in force."""
    partner = {"smime_certificates": [], "pgp_keys": [], "tls_profile": "", "route": "", "rollover": "approve"}
    managed = {
        "deliver_to": "mx",
        "return_to": "",
        "ime_address": "",
        "ime_signers": "confirm",
        "domain_key": "",
        "domain_pgp_key": "",
        "exchange_address": "",
        "sign_outgoing": "never",
    }
    settings = {
        "x.example": partner | {"encryption": "opportunistic"},
        "*.y.example": partner | {"encryption": "mandatory", "route": "smtp://y.example:25"},
        "a.y.example": partner | {"encryption": "never"},
    }
    policy = {"on_unprotectable": "report", "calendar": "encrypt", "reply_to_encrypted": "may", "portal": "off"}
    engine = create_engine(old.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE site SET policy = :text"), {"text": json.dumps(policy)})
        insert = text("INSERT INTO domains (name, kind, settings) VALUES (:name, :kind, :settings)")
        for name, keys in settings.items():
            values = {"name": name, "kind": "partner", "settings": json.dumps({"name": name} | keys)}
            connection.execute(insert, values)
        ours = {"name": "acme.example", "kind": "managed", "settings": json.dumps({"name": "acme.example"} | managed)}
        connection.execute(insert, ours)
    engine.dispose()
    store = old.open()
    store.migrate()
    with store.registry.transaction(write=False) as live:
        view = live.view()
    assert view.policy.as_stored() == {"on_unprotectable": "report"}
    assert view.managed["acme.example"].as_stored() == {"name": "acme.example", "deliver_to": "mx"}
    assert {name: domain.as_stored() for name, domain in view.partners.items()} == {
        "x.example": {"name": "x.example", "encryption": "opportunistic"},
        "*.y.example": {"name": "*.y.example", "encryption": "mandatory", "route": "smtp://y.example:25"},
        # Its mail went by the default route although the pattern above it names another; so it goes on.
        "a.y.example": {"name": "a.y.example", "encryption": "never", "route": ""},
    }


def test_an_upgraded_schema_is_the_described_one(old: TestDatabase) -> None:
    old.open().migrate()
    engine = create_engine(old.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_nodes_that_upgrade_at_once_upgrade_once(old: TestDatabase) -> None:
    async def walk() -> None:
        stores = [old.open() for _ in range(4)]
        await asyncio.gather(*(asyncio.to_thread(store.migrate) for store in stores))
        assert {store.schema_state().kind for store in stores} == {"current"}

    asyncio.run(walk())


def test_an_older_program_still_serves_what_a_newer_one_upgraded(old: TestDatabase) -> None:
    """Two nodes on one PostgreSQL are not restarted in the same second."""

    async def walk() -> None:
        running = old.open()
        await running.queue.enqueue(make_parcel(running), [], None)
        old.open().migrate()
        await running.queue.enqueue(make_parcel(running), [], None)
        assert len(await running.queue.lease("w1", 10)) == 2

    asyncio.run(walk())


def test_a_newer_schema_is_left_alone(database: TestDatabase) -> None:
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    store = database.open()
    assert (store.schema_state().kind, store.schema_state().found) == ("newer", "9999")
    with pytest.raises(StoreUnavailable, match=r"newer version .*9999"):
        store.migrate()
    assert database.query("SELECT version_num FROM alembic_version") == [("9999",)]


def test_what_is_written_now_has_only_keys_that_version_1_knows(database: TestDatabase) -> None:
    """While nodes are changed one by one, those of version 1 read what the others write, and refuse unknown keys."""
    known = {"name", "deliver_to", "return_to", "internal_certificates", "ime_address", "ime_key", "ime_signers"}
    known |= {"domain_key", "domain_pgp_key", "exchange_address", "sign_outgoing"}
    store = database.open()
    domain = ManagedDomain(name="acme.example", deliver_to="smtp://a.example:25")
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(domain, ())
        assert live.view().managed == {"acme.example": domain}
    ((settings,),) = database.query("SELECT settings FROM domains")
    written = json.loads(str(settings))
    assert set(written) <= known
    assert not written.get("ime_key"), "version 1 has no IME keys"
