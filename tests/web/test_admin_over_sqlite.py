"""The same pages over the real store: what the doubles promise, SQLite keeps, from several threads at once."""

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ime_gateway.ports.queue import Envelope, Parcel, Row
from ime_gateway.store.database import Store, open_store
from tests.doubles.admin_site import PASSWORD, AdminSite, MovableClock
from tests.doubles.memory_registry import MemoryRegistry
from tests.doubles.site_world import DELIVERED, MOMENT, REFUSED, fill


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    clock = MovableClock(MOMENT)
    store = open_store(f"sqlite:///{tmp_path}/gateway.db", bytes(range(32)), tmp_path, clock, os.urandom)
    store.migrate()
    yield store
    store.close()


def move_in(store: Store) -> None:
    """The small world of the doubles, and one message in the queue."""
    world = MemoryRegistry()
    fill(world)
    with world.transaction(write=False) as source, store.registry.transaction(write=True) as live:
        for root in source.view().roots:
            live.put_root(root)
        for entry in source.certificates():
            live.put_certificate(entry.certificate, entry.addresses, source.private_key(entry.certificate.thumbprint))
    body = store.spool.write([b"body"], 4)
    envelope = Envelope("e1", body.id, b"Subject: x\r\n\r\n", wire_size=18)
    row = Row("r1", "e1", "bob@partner.example", "recipient", "smime-personal", "personal-certificate", "CN=bob")
    parcel = Parcel("p1", "ada@acme.example", "<x@acme.example>", "internal", MOMENT, [body], [envelope], [row])

    async def write() -> None:
        await store.queue.record(world.all_events)
        await store.queue.enqueue(parcel, [], None)

    asyncio.run(write())


def test_rooms_over_sqlite(store: Store) -> None:
    move_in(store)
    site = AdminSite(registry=store.registry, clock=MovableClock(time.time()))
    admin = site.logged_in()
    assert "carol@partner.example" in admin.get("/").text
    assert "bob@partner.example" in admin.get("/queue").text
    assert "bob@partner.example" in admin.get("/queue?id=p1").text
    refused = admin.get(f"/tracking?id={REFUSED}").text
    assert "certificate-expired" in refused and "no-certificate" in refused
    assert "personal-certificate" in admin.get(f"/tracking?message_id={DELIVERED}@acme.example").text
    certificates = admin.get("/certificates").text
    assert certificates.count("<tr") == 6 and "certificate-untrusted" in certificates
    assert admin.get("/certificates?search=bob%25").text.count("<tr") == 0, "% is a letter, not a wildcard"
    with store.registry.transaction(write=False) as live:
        assert ("ada", "password-changed") in [(line.actor, line.action) for line in live.audit_lines()]


def test_many_visitors_at_once(store: Store) -> None:
    move_in(store)
    site = AdminSite(registry=store.registry, clock=MovableClock(time.time()))
    site.choose_password()

    def visit(_: int) -> list[int]:
        client = site.client()
        codes = [site.login(client, "ada", PASSWORD).status_code]
        return codes + [client.get(path).status_code for path in ("/", "/queue", "/tracking", "/certificates")]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(visit, range(8))) == [[303, 200, 200, 200, 200]] * 8
