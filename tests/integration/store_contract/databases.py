"""Databases for contract tests: opened as often as wanted, like by several workers, and looked into raw."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg

from ime_gateway.store.database import Store, open_store
from tests.integration.postgresql_server import PostgresqlServer

MASTER_KEY = bytes(range(32))


class SettableClock:
    """The gateway's clock, moved by hand; the database keeps its own."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead


class TestDatabase:
    __test__ = False

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.clock = SettableClock()
        self._stores: list[Store] = []
        store = self.open()
        store.migrate()

    def open(self, *, lease_seconds: float = 120.0, master_key: bytes = MASTER_KEY) -> Store:
        """One more store on this database, as another worker has it."""
        store = open_store(self.url, master_key, self.folder, self.clock, os.urandom, lease_seconds=lease_seconds)
        self._stores.append(store)
        return store

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def execute(self, statement: str, *parameters: object) -> None:
        """Change the database behind the store's back."""
        raise NotImplementedError

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Look into the database behind the store's back."""
        raise NotImplementedError

    def raw_bytes(self) -> bytes:
        """Everything that lies on the disk, for searching."""
        raise NotImplementedError


class SqliteDatabase(TestDatabase):
    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gateway.db"
        super().__init__(f"sqlite:///{self.path}", folder)

    def execute(self, statement: str, *parameters: object) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement.replace("%s", "?"), parameters)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(statement).fetchall()

    def raw_bytes(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file())


class PostgresqlDatabase(TestDatabase):
    __test__ = False

    def __init__(self, server: PostgresqlServer, folder: Path) -> None:
        self.server = server
        super().__init__(server.new_database(), folder)

    def execute(self, statement: str, *parameters: object) -> None:
        with psycopg.connect(self.server.conninfo(self.url)) as connection:
            connection.execute(statement.encode(), parameters)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.server.conninfo(self.url)) as connection:
            return connection.execute(statement.encode()).fetchall()

    def raw_bytes(self) -> bytes:
        with psycopg.connect(self.server.conninfo(self.url), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        return b"".join(path.read_bytes() for path in sorted(self.server.folder.rglob("*")) if path.is_file())
