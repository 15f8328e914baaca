"""The Spool of ports/queue: sealed, whole or not at all, on both engines."""

import asyncio
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.queue import Parcel
from ime_gateway.store.database import Store
from ime_gateway.store.sealed_stream import CHUNK_BYTES
from ime_gateway.store.spool import INLINE_BYTES, MEMORY_BYTES
from tests.integration.store_contract.databases import SqliteDatabase, TestDatabase
from tests.integration.store_contract.parcels import make_parcel, read_all, settlement

SIZES = (
    0,
    1,
    INLINE_BYTES,
    INLINE_BYTES + 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    3 * CHUNK_BYTES,
    MEMORY_BYTES + CHUNK_BYTES + 7,
)


def enqueue(store: Store, content: bytes) -> Parcel:
    parcel = make_parcel(store, content=content)
    asyncio.run(store.queue.enqueue(parcel, [], None))
    return parcel


@pytest.mark.parametrize("size", SIZES)
def test_a_body_comes_back_in_this_and_another_process(database: TestDatabase, size: int) -> None:
    store = database.open()
    content = os.urandom(size)
    body = enqueue(store, content).bodies[0]
    assert body.size == size
    assert read_all(store, body.id) == content
    assert read_all(database.open(), body.id) == content


@pytest.mark.parametrize("size", [1000, 300_000, 6_000_000])
def test_nothing_readable_lies_on_the_disk(database: TestDatabase, size: int) -> None:
    store = database.open()
    marker = os.urandom(16).hex().encode()
    parcel = make_parcel(store, content=marker * (size // len(marker)))
    secret = replace(parcel, return_headers=b"Subject: " + marker)
    asyncio.run(store.queue.enqueue(secret, [], None))
    raw = database.raw_bytes()
    assert parcel.bodies[0].id.encode() in raw, "the search looks where the data lies"
    assert marker not in raw
    assert b"head-0" not in raw
    assert b"prefix-0" not in raw


def test_pieces_of_any_size_make_the_same_body(database: TestDatabase) -> None:
    store = database.open()
    content = os.urandom(CHUNK_BYTES * 2 + 1000)
    for step in (7_001, 65_536, CHUNK_BYTES, CHUNK_BYTES + 3, len(content)):
        view = memoryview(content)
        body = store.spool.write((view[at : at + step] for at in range(0, len(content), step)), len(content))
        plain = make_parcel(store)
        parcel = replace(plain, bodies=[body], envelopes=[replace(plain.envelopes[0], body_id=body.id)])
        asyncio.run(store.queue.enqueue(parcel, [], None))
        assert read_all(database.open(), body.id) == content


def test_memory_is_constant_for_large_bodies(database: TestDatabase) -> None:
    store = database.open()
    block = os.urandom(65_536)

    def pieces() -> Iterator[bytes]:
        for _ in range(800):  # 50 MiB
            yield block

    tracemalloc.start()
    body = store.spool.write(pieces(), 800 * len(block))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert body.size == 800 * len(block)
    assert peak < 2 * MEMORY_BYTES
    store.spool.discard(body)


def test_a_failing_source_leaves_nothing_behind(sqlite: SqliteDatabase) -> None:
    store = sqlite.open()

    def pieces() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise ConnectionError("the peer went away")

    with pytest.raises((ConnectionError, StoreUnavailable)):
        store.spool.write(pieces(), 2_000_000)
    assert list(sqlite.folder.glob("spool/??/*")) == []


def test_a_discarded_body_leaves_no_file(sqlite: SqliteDatabase) -> None:
    store = sqlite.open()
    body = store.spool.write([b"x" * 1_000_000], 1_000_000)
    assert len(list(sqlite.folder.glob("spool/??/*"))) == 1
    store.spool.discard(body)
    assert list(sqlite.folder.glob("spool/??/*")) == []


def _spool_file(database: SqliteDatabase) -> Path:
    (path,) = database.folder.glob("spool/??/*")
    return path


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage", ["first bit", "last bit", "middle", "cut", "cut a chunk", "swapped", "empty", "missing"]
)
def test_a_damaged_file_is_noticed_and_the_others_go_on(sqlite: SqliteDatabase, damage: str) -> None:
    store = sqlite.open()
    content = os.urandom(2 * CHUNK_BYTES)
    body = enqueue(store, content).bodies[0]
    path = _spool_file(sqlite)
    data = path.read_bytes()
    sealed = CHUNK_BYTES + 16
    assert len(data) == 2 * sealed
    match damage:
        case "first bit":
            _flip(path, 0)
        case "last bit":
            _flip(path, len(data) - 1)
        case "middle":
            _flip(path, sealed + 5)
        case "cut":
            path.write_bytes(data[:-1])
        case "cut a chunk":
            path.write_bytes(data[:sealed])
        case "swapped":
            path.write_bytes(data[sealed:] + data[:sealed])
        case "empty":
            path.write_bytes(b"")
        case "missing":
            path.unlink()
    given = []
    with pytest.raises(StoreUnavailable):
        given.extend(store.spool.read(body.id))
    assert b"".join(given) in (b"", content[:CHUNK_BYTES]), "only checked bytes are given out"
    other = enqueue(store, content).bodies[0]
    assert read_all(store, other.id) == content


def test_a_damaged_row_is_noticed(database: TestDatabase) -> None:
    body = enqueue(database.open(), b"small body").bodies[0]
    (row,) = database.query("SELECT sealed_content FROM bodies")
    sealed = bytearray(row[0])  # type: ignore[arg-type]
    sealed[3] ^= 4
    database.execute("UPDATE bodies SET sealed_content = %s", bytes(sealed))
    with pytest.raises(StoreUnavailable):
        read_all(database.open(), body.id)


def test_a_size_that_was_changed_is_noticed(database: TestDatabase) -> None:
    body = enqueue(database.open(), b"x" * (CHUNK_BYTES + 10)).bodies[0]
    database.execute("UPDATE bodies SET size = %s", CHUNK_BYTES)
    with pytest.raises(StoreUnavailable):
        read_all(database.open(), body.id)


def test_a_body_that_was_put_in_the_place_of_another_is_noticed(database: TestDatabase) -> None:
    store = database.open()
    one, two = enqueue(store, b"first body").bodies[0], enqueue(store, b"other body").bodies[0]
    database.execute(
        "UPDATE bodies SET sealed_content = (SELECT sealed_content FROM bodies WHERE id = %s),"
        " sealed_key = (SELECT sealed_key FROM bodies WHERE id = %s) WHERE id = %s",
        one.id, one.id, two.id,
    )  # fmt: skip
    with pytest.raises(StoreUnavailable):
        read_all(database.open(), two.id)


def test_a_missing_chunk_row_is_noticed(database: TestDatabase) -> None:
    body = enqueue(database.open(), os.urandom(3 * CHUNK_BYTES)).bodies[0]
    database.execute("DELETE FROM body_chunks WHERE position = 1")
    for path in database.folder.glob("spool/??/*"):
        path.write_bytes(path.read_bytes()[: CHUNK_BYTES + 16])
    with pytest.raises(StoreUnavailable):
        read_all(database.open(), body.id)


def test_an_envelope_that_was_changed_or_moved_is_noticed(database: TestDatabase) -> None:
    store = database.open()
    parcel = make_parcel(store, groups=(("a@x.example",), ("b@x.example",)))
    asyncio.run(store.queue.enqueue(parcel, [], None))
    first, second = parcel.envelopes
    database.execute(
        "UPDATE envelopes SET sealed_parts = (SELECT sealed_parts FROM envelopes WHERE id = %s) WHERE id = %s",
        first.id, second.id,
    )  # fmt: skip
    fresh = database.open()
    assert asyncio.run(fresh.queue.envelope(first.id)) == first
    with pytest.raises(StoreUnavailable):
        asyncio.run(fresh.queue.envelope(second.id))


def test_the_sweeper_removes_only_old_files_that_no_body_names(sqlite: SqliteDatabase) -> None:
    store = sqlite.open()
    kept = enqueue(store, b"x" * 500_000)
    orphan = store.spool.write([b"y" * 500_000], 500_000)
    young = store.spool.write([b"z" * 500_000], 500_000)
    for path in sqlite.folder.glob("spool/??/*"):
        if path.name != young.id:
            os.utime(path, (1_000_000_000, 1_000_000_000))
    assert store.sweep() == 1
    names = {path.name for path in sqlite.folder.glob("spool/??/*")}
    assert names == {kept.bodies[0].id, young.id}
    assert orphan.id not in names
    leased = asyncio.run(store.queue.lease("w1", 1))
    asyncio.run(store.queue.settle([settlement(leased[0], "delivered")]))
