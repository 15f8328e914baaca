"""Full disks, missing and foreign databases, dead servers: StoreUnavailable, nothing lost, back by itself."""

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ime_gateway.base.errors import ConfigurationError, StoreUnavailable
from ime_gateway.store import connections as connections_module
from ime_gateway.store.connections import Connections
from ime_gateway.store.database import Store
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.group_commit import GroupCommit
from tests.integration.store_contract.databases import PostgresqlDatabase, SqliteDatabase, TestDatabase
from tests.integration.store_contract.parcels import make_parcel, read_all


def enqueue(store: Store, size: int = 1000) -> str:
    parcel = make_parcel(store, content=os.urandom(size))
    asyncio.run(store.queue.enqueue(parcel, [], None))
    return parcel.id


def queued(store: Store) -> set[str]:
    return {line.id for line in store.registry.queue_lines()}


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file of this process grows beyond `limit` bytes: the kernel refuses, as it does when the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_temporary_error_and_nothing_is_lost(sqlite: SqliteDatabase) -> None:
    store = sqlite.open()
    first = enqueue(store)
    with full_disk(Path(f"{sqlite.path}-wal").stat().st_size + 8192):
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                enqueue(store, 100_000)
            with pytest.raises(StoreUnavailable):
                store.spool.write([b"x" * 50_000_000], 50_000_000)
    assert list(sqlite.folder.glob("spool/??/*")) == []
    assert queued(store) == {first}
    second = enqueue(store, 1_000_000)
    assert queued(store) == queued(sqlite.open()) == {first, second}


def test_a_database_that_is_removed_is_missed_and_not_made_anew(sqlite: SqliteDatabase) -> None:
    store = sqlite.open()
    first = enqueue(store)
    asyncio.run(store.directory.view())
    away = sqlite.folder / "away"
    away.mkdir()
    moved = [path.rename(away / path.name) for path in sqlite.folder.glob("gateway.db*")]
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            enqueue(store)
        with pytest.raises(StoreUnavailable):
            asyncio.run(store.directory.view())
        with pytest.raises(StoreUnavailable):
            store.registry.queue_lines()
        with pytest.raises(StoreUnavailable):
            store.registry.check_write()
        with pytest.raises(StoreUnavailable):
            asyncio.run(store.queue.lease("w1", 1))
    assert not sqlite.path.exists()
    with pytest.raises(StoreUnavailable):
        sqlite.open().schema_is_current()
    assert not sqlite.path.exists()
    for path in moved:
        path.rename(sqlite.folder / path.name)
    second = enqueue(store)
    assert queued(store) == {first, second}
    assert asyncio.run(store.directory.view()).generation == 1


def test_a_database_that_is_replaced_is_noticed(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    store = sqlite.open()
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(sqlite.path)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    enqueue(store)
    for path in sqlite.folder.glob("gateway.db*"):
        path.unlink()
    shutil.copy(backup, sqlite.path)
    after = enqueue(store)
    assert queued(sqlite.open()) == {after}


def test_a_locked_database_is_a_temporary_error(sqlite: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tuple(pragma.replace("10000", "50") for pragma in connections_module._PRAGMAS)
    assert quick != connections_module._PRAGMAS
    monkeypatch.setattr(connections_module, "_PRAGMAS", quick)
    store = sqlite.open()
    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            enqueue(store)
        assert queued(store) == set()
        shell.execute("ROLLBACK")
    stored = enqueue(store)
    assert queued(store) == {stored}


def test_who_waits_too_long_for_the_writer_hears_so_and_is_not_stored_later(sqlite: SqliteDatabase) -> None:
    (key_check,) = sqlite.query("SELECT value FROM meta WHERE name = 'key_check'")
    connections = Connections(sqlite.url, str(key_check[0]))
    commits = GroupCommit(connections, 1, patience_seconds=0.3)
    written: list[str] = []

    def write(_: Transaction, arguments: list[str]) -> list[None]:
        written.extend(arguments)
        return [None] * len(arguments)

    with connections.write(), pytest.raises(StoreUnavailable, match="busy"):
        commits.run_blocking(write, "late")
    commits.run_blocking(write, "next")
    commits.close()
    connections.close()
    assert written == ["next"]


def test_a_file_that_is_no_database_is_refused(sqlite: SqliteDatabase) -> None:
    for path in sqlite.folder.glob("gateway.db*"):
        path.unlink()
    sqlite.path.write_bytes(b"not a database, but long enough to look at" * 100)
    store = sqlite.open()
    with pytest.raises(StoreUnavailable, match="damaged"):
        enqueue(store)


def test_the_wrong_master_key_opens_nothing(database: TestDatabase) -> None:
    with pytest.raises(ConfigurationError, match="master key"):
        database.open(master_key=b"w" * 32)


def test_a_database_without_schema_is_named(tmp_path: Path) -> None:
    made = SqliteDatabase(tmp_path)
    for path in tmp_path.glob("gateway.db*"):
        path.unlink()
    with closing(sqlite3.connect(made.path)) as shell:
        shell.execute("VACUUM")  # writes an empty database
    store = made.open()
    assert store.schema_is_current() is False
    with pytest.raises(StoreUnavailable, match="schema"):
        enqueue(store)
    store.migrate()
    assert store.schema_is_current() is True
    stored = enqueue(store)
    assert queued(store) == {stored}
    made.close()


def test_a_server_that_dies_comes_back(own_server: PostgresqlDatabase) -> None:
    store = own_server.open()
    first = make_parcel(store, content=os.urandom(1_000_000))
    asyncio.run(store.queue.enqueue(first, [], None))
    own_server.server.stop(signal.SIGQUIT)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            enqueue(store)
        with pytest.raises(StoreUnavailable):
            asyncio.run(store.directory.view())
        with pytest.raises(StoreUnavailable):
            store.registry.check_write()
        with pytest.raises(StoreUnavailable):
            read_all(store, first.bodies[0].id)
    own_server.server.start()
    assert len(read_all(store, first.bodies[0].id)) == 1_000_000
    second = enqueue(store)
    assert queued(store) == {first.id, second}
    assert asyncio.run(store.directory.view()).generation == 1


def test_errors_tell_no_values(database: TestDatabase) -> None:
    store = database.open()
    parcel = make_parcel(store, sender="secret-sender@acme.example")
    asyncio.run(store.queue.enqueue(parcel, [], None))
    with pytest.raises(StoreUnavailable) as caught:
        asyncio.run(store.queue.enqueue(parcel, [], None))
    assert "secret-sender" not in f"{caught.value} {caught.value.evidence}"
    assert caught.value.evidence
