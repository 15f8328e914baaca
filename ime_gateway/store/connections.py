"""Opens the database and turns every way in which it can fail into one error, StoreUnavailable.

An existing SQLite file is opened, never created, and its identity is checked whenever it is used: on
Linux a program may go on writing to a database that somebody has removed or replaced, and mail that
was acknowledged into it would be gone (RFC 5321 section 6.1). Writers of all processes queue at a
lock file, because SQLite's own waiting is a race that one process can lose for seconds.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import QueuePool

from ime_gateway.base.errors import ConfigurationError, StoreUnavailable
from ime_gateway.store.dialect import POSTGRESQL, SQLITE, Dialect, Transaction
from ime_gateway.store.master_key import COPY_BACK
from ime_gateway.store.storage_errors import driver_errors, storage_errors

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # each commit is on the disk before 250; NORMAL may lose the last ones
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA cache_size=-16384",
)
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 10,
    "application_name": "ime-gateway",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    # Whatever the server's default: a commit that returns is on its disk; short statements are not compiled.
    "options": "-c synchronous_commit=on -c jit=off -c lock_timeout=30s -c idle_in_transaction_session_timeout=10min",
}
_KEY_CHECK = "SELECT value FROM meta WHERE name = 'key_check'"


class ForeignMasterKey(StoreUnavailable):
    """The database was sealed by another master key than the one given."""


class Connections:
    """One database: pooled connections, transactions, and what its failures mean."""

    def __init__(self, url: str, key_id: str) -> None:
        """`url`: `sqlite:////ABSOLUTE/PATH` or `postgresql+psycopg://…`."""
        self._key_id = key_id
        self.path: Path | None = None
        if url.startswith("sqlite:"):
            self.dialect: Dialect = SQLITE
            self.path = _sqlite_path(url)
            self.engine = create_engine(
                "sqlite://",
                creator=self._open_file,
                poolclass=QueuePool,
                pool_size=8,
                max_overflow=24,
                hide_parameters=True,
            )
            event.listen(self.engine, "connect", self._remember_file)
            event.listen(self.engine, "begin", _begin)
            event.listen(self.engine, "checkout", self._same_file)
        else:
            self.dialect = POSTGRESQL
            self.engine = create_engine(
                url,
                connect_args=_POSTGRESQL_OPTIONS,
                pool_size=8,
                max_overflow=24,
                pool_pre_ping=True,
                hide_parameters=True,
            )
            event.listen(self.engine, "connect", self._check_key_of_server)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading: one consistent view of the data."""
        options = {} if self.path else {"isolation_level": "REPEATABLE READ"}
        with storage_errors(), self.engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction for an administrator's change; committed when the block ends without error."""
        immediate = {"imegw_begin": "BEGIN IMMEDIATE"}
        with storage_errors(), self._writer_lock(), self.engine.connect().execution_options(**immediate) as connection:
            with connection.begin():
                yield connection
            self._check_identity(connection.info)

    @contextmanager
    def write_group(self) -> Iterator[Transaction]:
        """A transaction on the bare driver, for the group commit of mail."""
        with storage_errors(), self._writer_lock():
            pooled = self.engine.raw_connection()
            try:
                cursor = pooled.cursor()
                if self.path:
                    cursor.execute("BEGIN IMMEDIATE")
                yield Transaction(cursor, self.dialect)
                if self.path:
                    cursor.execute("COMMIT")
                else:
                    pooled.commit()
                self._check_identity(pooled.info)
            except BaseException:
                # Rolled back by name: a closed connection keeps its lock as long as a cursor of it lives.
                with suppress(*driver_errors()):
                    pooled.rollback()
                pooled.invalidate()  # whatever state it is in: the next group starts with a new one
                raise
            finally:
                pooled.close()

    def read_bare(self, template: str, parameters: Sequence[object] = ()) -> list[Any]:
        """The rows of one statement, on the bare driver."""
        with self._bare() as transaction:
            return transaction.run(template, parameters)

    def read_bare_for(self, template: str, keys: Sequence[object]) -> list[Any]:
        """The rows of a statement with `{list}`, for many keys, on the bare driver."""
        with self._bare() as transaction:
            return transaction.run_for(template, keys)

    @contextmanager
    def _bare(self) -> Iterator[Transaction]:
        with storage_errors():
            pooled = self.engine.raw_connection()
            try:
                yield Transaction(pooled.cursor(), self.dialect)
            except driver_errors():
                pooled.invalidate()
                raise
            finally:
                pooled.close()

    @contextmanager
    def create(self) -> Iterator[Connection]:
        """A transaction for migrations: the only one that may make a new database file."""
        if self.path is None:
            with storage_errors(), self.engine.begin() as connection:
                yield connection
            return
        with storage_errors():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        with self.write() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def open_file(self) -> sqlite3.Connection:
        """A connection of one's own to the SQLite file, outside the pool."""
        with storage_errors():
            return self._open_file()

    def identity(self) -> tuple[int, int]:
        """Device and inode of the SQLite file."""
        assert self.path is not None
        found = self.path.stat()
        return found.st_dev, found.st_ino

    def _open_file(self) -> sqlite3.Connection:
        assert self.path is not None
        uri = f"file:{quote(str(self.path))}?mode=rw"  # rw, not rwc: a missing database is an error
        connection = sqlite3.connect(
            uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                self._compare_key(connection.execute(_KEY_CHECK).fetchone())
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_key_of_server(self, connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('meta') IS NOT NULL")
            if cursor.fetchone()[0]:
                self._compare_key(cursor.execute(_KEY_CHECK).fetchone())
        connection.rollback()

    def _compare_key(self, row: Any) -> None:
        if row is not None and row[0] != self._key_id:
            raise ForeignMasterKey(
                f"this database was sealed by another master key than the one in use; {COPY_BACK}",
                f"key check of the database {row[0]}, of the key {self._key_id}",
            )

    def _remember_file(self, _connection: object, record: Any) -> None:
        record.info["identity"] = self.identity()

    def _same_file(self, _connection: object, record: Any, _proxy: object) -> None:
        try:
            identity = self.identity()
        except OSError as error:
            raise DisconnectionError("the database file is gone") from error
        if record.info.get("identity") != identity:
            raise DisconnectionError("the database file was replaced")

    def _check_identity(self, info: dict[str, Any]) -> None:
        """After a commit: was it made in the file that carries the database's name?"""
        if self.path and info.get("identity") != self.identity():
            raise StoreUnavailable("the database file was removed or replaced", str(self.path))

    @contextmanager
    def _writer_lock(self) -> Iterator[None]:
        if self.path is None:
            yield
            return
        name = f"{self.path}.writer"
        owner = self.path.stat()
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)  # a command run by root must not lock out the service
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _sqlite_path(url: str) -> Path:
    database = make_url(url).database
    if not database or not Path(database).is_absolute():
        raise ConfigurationError(f"[store] url: {url!r} must name a database file by its absolute path")
    return Path(database)


def _begin(connection: Connection) -> None:
    """sqlite3 would begin transactions by its own rules; we say which and when."""
    connection.exec_driver_sql(connection.get_execution_options().get("imegw_begin", "BEGIN"))
