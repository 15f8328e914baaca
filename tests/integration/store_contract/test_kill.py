"""What `enqueue` confirmed is there after SIGKILL at any instant, whole and readable (RFC 5321 section 6.1)."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.store_contract.databases import TestDatabase
from tests.integration.store_contract.parcels import read_all

REPOSITORY = Path(__file__).resolve().parents[3]
SIZES = (100, 5_000, 200_000, 700_000)

PROGRAM = """
import asyncio, hashlib, os, sys, time
from pathlib import Path
from ime_gateway.store.database import open_store
from tests.integration.store_contract.databases import MASTER_KEY, SettableClock
from tests.integration.store_contract.parcels import make_parcel

async def produce(store):
    while True:
        for size in (100, 5_000, 200_000, 700_000):
            content = os.urandom(size)
            parcel = make_parcel(store, content=content)
            await store.queue.enqueue(parcel, [], "w1")
            digest = hashlib.sha256(content).hexdigest()
            os.write(1, f"{parcel.id} {parcel.envelopes[0].id} {parcel.bodies[0].id} {digest}\\n".encode())

async def main():
    store = open_store(sys.argv[1], MASTER_KEY, Path(sys.argv[2]), SettableClock(), os.urandom)
    await asyncio.gather(*(produce(store) for _ in range(8)))

asyncio.run(main())
"""


def test_acknowledged_mail_survives_being_killed(database: TestDatabase) -> None:
    acknowledged: list[list[str]] = []
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, database.url, str(database.folder)],
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        assert process.stdout is not None
        lines = [process.stdout.readline().decode().split()]
        time.sleep(random.uniform(0.0, 0.3))  # the instant of death, not a wait for anything
        process.kill()
        lines += [line.split() for line in process.stdout.read().decode().splitlines()]
        process.stdout.close()
        process.wait()
        acknowledged += [line for line in lines if len(line) == 4 and len(line[3]) == 64]
    assert len(acknowledged) >= 4
    store = database.open()
    there = {line.id for line in store.registry.queue_lines(limit=1_000_000)}
    for parcel, envelope, body, digest in acknowledged:
        assert parcel in there
        assert asyncio.run(store.queue.envelope(envelope)).body_id == body
        assert hashlib.sha256(read_all(store, body)).hexdigest() == digest
    for line in store.registry.queue_lines(limit=1_000_000):
        (row,) = database.query(
            f"SELECT e.body_id FROM queue_rows r JOIN envelopes e ON e.id = r.envelope_id WHERE r.id = '{line.row}'"
        )
        assert read_all(store, str(row[0])), "what was not acknowledged is absent or whole"
