"""Store, queue worker, relay and a real socket together: what was accepted arrives, across a restart."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.pipeline.deliver import Deliverer
from ime_gateway.ports.queue import Parcel
from ime_gateway.settings.model import Delivery, Listener, Settings, Smtp
from ime_gateway.store.database import Store
from tests.integration.outbound.scripted_server import ScriptedServer, answering, closing
from tests.integration.outbound.sending import FixedLookup
from tests.integration.store_contract.databases import SqliteDatabase
from tests.integration.store_contract.parcels import make_parcel

from ime_gateway.smtp.outbound.send import OutboundRelay  # isort: skip


class _Clock:
    def now(self) -> float:
        return time.time()


async def deliver_until(store: Store, route: str, done: Callable[[], bool], *, retry_minutes: float = 5) -> None:
    """One life of a worker."""
    delivery = Delivery(default_route=route, retry_minutes=(retry_minutes,))
    listener = Listener(name="internal", role="internal", port=0)
    settings = Settings(smtp=Smtp(hostname="gw.acme.example"), listener=(listener,), delivery=delivery)
    async with closing(OutboundRelay("gw.acme.example", delivery, FixedLookup(), os.urandom)) as relay:
        deliverer = Deliverer(
            store.queue, store.spool, relay, store.directory, _Clock(), os.urandom, settings, "one", poll_seconds=0.01
        )
        task = asyncio.create_task(deliverer.run())
        async with asyncio.timeout(20):
            while not done():  # noqa: ASYNC110 - it polls, up to a deadline
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await deliverer.drain(5)


@pytest.fixture
def database(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = SqliteDatabase(tmp_path)
    yield made
    made.close()


def rows(database: SqliteDatabase) -> list[tuple[object, ...]]:
    return database.query("SELECT recipient, state, attempts FROM queue_rows ORDER BY recipient")


def wire(parcel: Parcel, content: bytes, number: int = 0) -> bytes:
    envelope = parcel.envelopes[number]
    return envelope.head + b"".join(encode_lines([envelope.prefix, content, envelope.suffix]))


def test_recipients_keep_their_state_across_a_restart(database: SqliteDatabase) -> None:
    first_life = True

    def rcpt(line: bytes) -> bytes:
        if b"never@" in line:
            return b"550 5.1.1 no such user\r\n"
        return b"451 4.3.0 busy\r\n" if first_life and b"later@" in line else b"250 ok\r\n"

    script = answering(rcpt=rcpt)
    groups = [["ok@p.example", "later@p.example"], ["never@p.example", "fine@p.example"]]

    async def scenario() -> None:
        nonlocal first_life
        async with ScriptedServer(script) as server:
            store = database.open()
            parcel = make_parcel(store, content=b"x" * 5000, groups=groups)
            await store.queue.enqueue(parcel, (), None)
            await deliver_until(
                store, server.route, lambda: rows(database) == [("later@p.example", "deferred", 1)], retry_minutes=0.01
            )
            first_life = False
            await deliver_until(database.open(), server.route, lambda: not rows(database))
            received = [message for peer in server.peers for message in peer.messages]
            assert received.count(wire(parcel, b"x" * 5000, 0)) == 2
            assert received.count(wire(parcel, b"x" * 5000, 1)) == 1
            reports = [message for message in received if b"multipart/report" in message]
            assert len(reports) == 1 and len(received) == 4
            assert re.findall(rb"Final-Recipient: rfc822; (\S+)", reports[0]) == [b"never@p.example"]
            said = [line for peer in server.peers for line in peer.lines if line.startswith(b"RCPT")]
            assert sum(b"ok@p" in line for line in said) == 1
            assert sum(b"later@p" in line for line in said) == 2
            assert sum(b"alice@acme" in line for line in said) == 1

    asyncio.run(scenario())
    events = database.query("SELECT recipient, event FROM events ORDER BY recipient, event")
    assert ("never@p.example", "reported") in events and ("later@p.example", "deferred") in events
    for table in ("parcels", "envelopes", "bodies"):
        assert database.query(f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_large_body_goes_through(database: SqliteDatabase) -> None:
    content = os.urandom(7_000_000)

    async def scenario() -> None:
        async with ScriptedServer(answering(ehlo=b"250-peer.example\r\n250 PIPELINING\r\n")) as server:
            store = database.open()
            parcel = make_parcel(store, content=content)
            await store.queue.enqueue(parcel, (), None)
            await deliver_until(store, server.route, lambda: not rows(database))
            (message,) = [message for peer in server.peers for message in peer.messages]
            assert message == wire(parcel, content)

    asyncio.run(scenario())


def test_a_changed_body_is_kept_back_and_never_ended(database: SqliteDatabase) -> None:
    async def scenario() -> None:
        async with ScriptedServer(answering(ehlo=b"250-peer.example\r\n250 PIPELINING\r\n")) as server:
            store = database.open()
            damaged, fine = make_parcel(store, content=os.urandom(3_000_000)), make_parcel(store)
            for parcel in (damaged, fine):
                await store.queue.enqueue(parcel, (), None)
            (file,) = database.folder.glob("spool/??/*")
            changed = bytearray(file.read_bytes())
            changed[-1] ^= 1
            file.write_bytes(changed)
            again = database.open()  # nothing kept in memory
            await deliver_until(again, server.route, lambda: [row[1:] for row in rows(database)] == [("deferred", 1)])
            assert [m for peer in server.peers for m in peer.messages] == [wire(fine, b"body\r\n")]

    asyncio.run(scenario())
