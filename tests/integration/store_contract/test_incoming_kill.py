"""Whatever the instant of death: what was opened for somebody is remembered if and only if its message is there."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.store_contract.databases import TestDatabase

REPOSITORY = Path(__file__).resolve().parents[3]

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from ime_gateway.ports.incoming import IncomingRecord, OpenedKey
from ime_gateway.store.database import open_store
from tests.integration.store_contract.databases import MASTER_KEY, SettableClock
from tests.integration.store_contract.parcels import make_parcel

async def receive(store):
    while True:
        parcel = make_parcel(store, content=os.urandom(50_000))
        opened = OpenedKey("k" + parcel.id, ("anna@acme.example", "bob@acme.example"))
        record = IncomingRecord((opened,), ("p" + parcel.id,))
        await store.queue.enqueue(parcel, [], "w1", (), None, record)
        os.write(1, f"{parcel.id} done\\n".encode())

async def main():
    store = open_store(sys.argv[1], MASTER_KEY, Path(sys.argv[2]), SettableClock(), os.urandom)
    await asyncio.gather(*(receive(store) for _ in range(8)))

asyncio.run(main())
"""


def test_memory_and_message_live_and_die_together(database: TestDatabase) -> None:
    acknowledged: set[str] = set()
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, database.url, str(database.folder)],
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        assert process.stdout is not None
        lines = [process.stdout.readline().decode()]
        time.sleep(random.uniform(0.0, 0.3))  # the instant of death, not a wait for anything
        process.kill()
        lines += process.stdout.read().decode().splitlines(keepends=True)
        process.stdout.close()
        process.wait()
        acknowledged |= {line.split()[0] for line in lines if line.endswith(" done\n")}
    assert len(acknowledged) >= 3
    database.open()
    # In one look: a server may still commit what a program asked for before it was killed.
    rows = database.query(
        "SELECT 'parcel', id, '', '' FROM parcels UNION ALL SELECT 'protected', digest, '', '' FROM protected_ids"
        " UNION ALL SELECT 'opened', key_digest, address, message FROM opened_keys"
    )
    there = {str(id_) for what, id_, _, _ in rows if what == "parcel"}
    assert acknowledged <= there
    opened = [row[1:] for row in rows if row[0] == "opened"]
    assert {(str(key), str(who)) for key, who, _ in opened} == {
        (f"k{parcel}", f"{name}@acme.example") for parcel in there for name in ("anna", "bob")
    }
    assert all(key == f"k{message}" for key, _, message in opened)
    assert {str(digest) for what, digest, _, _ in rows if what == "protected"} == {f"p{parcel}" for parcel in there}
