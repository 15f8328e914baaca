"""What has had its time goes while the gateway runs: nobody calls a command for it."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from tests.servers.gateway import Gateway, free_port

CHALLENGE = "INSERT INTO challenges VALUES (?, 'anna@acme.example', 'sha256:00', x'00', 1.0, ?, '')"


def test_a_challenge_that_ran_out_goes_and_an_open_one_stays(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.configure(next_hop=free_port(), workers=2)
    store = gateway.config.parent / "gateway.db"
    with closing(sqlite3.connect(store)) as database, database:
        database.execute(CHALLENGE, ("over", time.time() - 1))
        database.execute(CHALLENGE, ("open", time.time() + 3600))
    gateway.start()
    try:
        deadline = time.monotonic() + 30
        tokens = [("over",), ("open",)]
        while len(tokens) > 1 and time.monotonic() < deadline:
            with closing(sqlite3.connect(store)) as database:
                tokens = database.execute("SELECT token_hash FROM challenges").fetchall()
            time.sleep(0.02)
        assert tokens == [("open",)]
    finally:
        gateway.stop()
