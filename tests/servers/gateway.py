"""A gateway process for tests and benchmarks: `ime-gateway` as an administrator runs it, on free ports of loopback."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ime_gateway.app.cli.main import run
from tests.servers.listening import free_port as free_port

COMMANDS = Path(sys.executable).parent


def said_here(*words: str) -> str:
    """Standard output of `ime-gateway WORDS`, run in this process: for what prepares a test, or asks again and again,
    and is tested as a process elsewhere."""
    before = sys.excepthook
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            run(words)
        except SystemExit as ended:
            assert not ended.code, f"ime-gateway {' '.join(words)}: exit {ended.code}"
        finally:
            sys.excepthook = before
    return said.getvalue()


class Gateway:
    """One installation in `folder`/gw and the process that serves it."""

    def __init__(self, folder: Path, *, store: str = "", environment: Mapping[str, str] | None = None) -> None:
        """`environment`: added to that of the gateway's processes and of its commands, `init` excepted."""
        self.folder = folder
        self._environment = {**os.environ, **(environment or {})}
        self.config = folder / "gw" / "gateway.toml"
        self.port = free_port()
        self.internet_port = free_port()
        self.web_port = free_port()
        self.portal_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        made = said_here("init", str(folder / "gw"), *(["--store", store] if store else []))
        self.password = next(
            line.split(":", 1)[1].strip() for line in made.splitlines() if line.lower().startswith("one-time password")
        )

    def configure(
        self,
        *,
        next_hop: int,
        workers: int = 2,
        smtp: str = "",
        delivery: str = "",
        store: str = "",
        hostname: str = "gw.acme.example",
        more: str = "",
    ) -> None:
        """Write gateway.toml: both listeners, everything without a route of its own leaves to `next_hop`."""
        self.config.write_text(
            f"""{store}
[smtp]
hostname = "{hostname}"
workers = {workers}
{smtp}
[[listener]]
name = "internal"
role = "internal"
port = {self.port}
allow = ["127.0.0.0/8"]
[[listener]]
name = "internet"
role = "internet"
port = {self.internet_port}
[delivery]
default_route = "smtp://127.0.0.1:{next_hop}"
{delivery}
[web]
admin = "127.0.0.1:{self.web_port}"
portal = "127.0.0.1:{self.portal_port}"
[metrics]
address = ""
{more}"""
        )

    def apply(self, site: str) -> str:
        """Apply SITE.toml text; files in it are relative to `folder`."""
        (self.folder / "site.toml").write_text(site)
        return self.command("apply", str(self.folder / "site.toml"))

    def command(self, *words: str, config: bool = True, check: bool = True) -> str:
        """Standard output of `ime-gateway WORDS`; raises CalledProcessError on refusal when `check`."""
        last = ["-c", str(self.config)] if config else []
        done = subprocess.run(
            [str(COMMANDS / "ime-gateway"), *words, *last],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=self._environment,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"ime-gateway {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *words: str) -> Any:
        """What a command says with --json."""
        return json.loads(self.command(*words, "--json"))

    def start(self) -> None:
        """`serve` in a session of its own; returns when healthz says ok."""
        with (self.folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(COMMANDS / "ime-gateway"), "serve", "-c", str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._environment,
            )
        deadline = time.monotonic() + 60
        while self.health()[0] != 200:
            assert self._process.poll() is None, f"serve ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"not healthy: {self.health()}\n{self.log()}"
            time.sleep(0.05)

    def health(self) -> tuple[int, dict[str, Any]]:
        """healthz: HTTP status and report; (0, {}) when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/healthz", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (OSError, ValueError):
            return 0, {}

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL for the supervisor and everything it started, at once."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill_supervisor(self) -> None:
        """SIGKILL for the supervisor alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; the exit status."""
        if self._process is None or self._process.poll() is not None:
            return 0 if self._process is None else int(self._process.returncode)
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"serve did not stop:\n{self.log()}") from None

    def wait_until_empty(self, seconds: float = 60.0) -> None:
        """Until the queue holds nothing."""
        deadline = time.monotonic() + seconds
        while lines := json.loads(said_here("queue", "list", "--json", "-c", str(self.config))):
            assert time.monotonic() < deadline, f"still queued: {lines[:3]}\n{self.log()}"
            time.sleep(0.2)

    def log(self, size: int = 6000) -> str:
        """The end of the log."""
        return (self.folder / "serve.log").read_text(errors="replace")[-size:]
