"""A throw-away PostgreSQL: Debian's own binaries, data and socket in a temporary folder, no TCP.

    with PostgresqlServer() as server:
        url = server.new_database()

Run as root, the server runs as Debian's user `postgres`, because it refuses to be root.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

_START_SECONDS = 60.0


class PostgresqlServer:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imegw-pg-"))
        self._data = self.folder / "data"
        self._log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
            self._as_user = ["setpriv", *ids, "--"]
        initdb = [str(_program("initdb")), "-D", str(self._data), "-U", "test", "-A", "trust", "-E", "UTF8"]
        made = subprocess.run(
            [*self._as_user, *initdb, "--locale=C.UTF-8", "--no-instructions"], capture_output=True, text=True, cwd="/"
        )
        assert made.returncode == 0, made.stderr
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.remove()

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = [
            "-c",
            "listen_addresses=",
            "-c",
            f"unix_socket_directories={self.folder}",
            "-c",
            "max_connections=200",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user, str(_program("postgres")), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self._conninfo("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop; SIGINT is PostgreSQL's fast shutdown, SIGQUIT its crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder)

    def new_database(self) -> str:
        """An empty database; its URL as in `[store] url`."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql+psycopg://test@/{name}?host={self.folder}"

    def conninfo(self, url: str) -> str:
        """What psycopg and psql take, for a URL that `new_database` gave."""
        return self._conninfo(url.partition("@/")[2].partition("?")[0])

    def _conninfo(self, database: str) -> str:
        return f"host={self.folder} user=test dbname={database}"


def _program(name: str) -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    assert found, f"PostgreSQL's {name} is missing; Debian package postgresql"
    return found[-1]
