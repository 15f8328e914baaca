"""A database as migrations leave it, copied: they cost a test as much as the test itself. They are tested in
`integration/store_contract/`, where every database is made by them."""

import os
import sqlite3
import tempfile
import time
from contextlib import closing
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from ime_gateway.store.database import Store, open_store
from ime_gateway.store.sealed_secrets import SecretBox


def place_migrated(path: Path, master_key: bytes) -> None:
    """Put a new database of that key at `path`, as `Store.migrate` would."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_migrated())
    with closing(sqlite3.connect(path)) as connection, connection:
        row = (SecretBox(master_key, os.urandom).key_id,)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'key_check'", row)


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "gateway.db"
        clock = SimpleNamespace(now=time.time)
        store: Store = open_store(f"sqlite:///{path}", bytes(32), path.parent, clock, os.urandom)
        store.migrate()
        store.close()
        return path.read_bytes()
