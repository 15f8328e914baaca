"""The gateway as a stranger meets it: the program `ime-gateway`, started, asked and stopped from outside."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COMMAND_SECONDS = 60.0
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0


class ProgramError(Exception):
    """A program of the demo did not do what it should; the text says which and what it answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended."""

    status: int
    output: str
    errors: str


def run_program(name: str, *arguments: object, environment: dict[str, str] | None = None) -> Answer:
    """Run one of the installed programs to its end."""
    command = [_program(name), *map(str, arguments)]
    done = subprocess.run(  # noqa: S603 - our own programs, no shell
        command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, env=environment, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now, each a different one."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Gateway:
    """One installation in `folder`, on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.log = folder.parent / "log" / "gateway.log"
        self.password = ""
        internal, internet, web, portal, metrics = free_ports(5)
        self.web_address = f"127.0.0.1:{web}"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("IMEGW_")} | {
            "IMEGW_CONFIG": str(self.config),
            "IMEGW_SMTP__HOSTNAME": "gateway.acme.example",
            "IMEGW_LISTENER__INTERNAL__PORT": str(internal),
            "IMEGW_LISTENER__INTERNET__PORT": str(internet),
            "IMEGW_WEB__ADMIN": self.web_address,
            "IMEGW_WEB__PORTAL": f"127.0.0.1:{portal}",
            "IMEGW_METRICS__ADDRESS": f"127.0.0.1:{metrics}",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def init(self) -> None:
        """Make the installation and keep the first administrator's password."""
        output = self.command("init", self.folder)
        found = re.search(r"one-time password:\s*(\S+)", output, re.IGNORECASE)
        if found is None:
            raise ProgramError(f"ime-gateway init printed no one-time password:\n{output}")
        self.password = found[1]

    def command(self, *arguments: object) -> str:
        """Run `ime-gateway …` and return what it printed; `ProgramError` unless it ends well."""
        answer = run_program("ime-gateway", *arguments, environment=self._environment)
        if answer.status != 0:
            said = answer.errors.strip() or answer.output.strip()
            raise ProgramError(f"ime-gateway {arguments[0]} ended with status {answer.status}: {said}")
        return answer.output

    def ask(self, *arguments: object) -> Any:
        """Run `ime-gateway … --json` and return what it means."""
        output = self.command(*arguments, "--json")
        try:
            return json.loads(output)
        except json.JSONDecodeError as error:
            raise ProgramError(f"ime-gateway {arguments[0]} --json printed no JSON: {output[:200]}") from error

    def start(self) -> dict[str, int]:
        """Start `serve`, wait until healthz says ok, and return the port of each listener."""
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                [_program("ime-gateway"), "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the demo only, which stops the gateway in order
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ProgramError(f"ime-gateway serve ended at once: {self._end_of_log()}")
            if (health := self._health()) is not None:
                return {str(name): int(port) for name, port in health["listeners"].items()}
            time.sleep(0.1)
        raise ProgramError(f"http://{self.web_address}/healthz did not say ok in time: {self._end_of_log()}")

    def stop(self) -> None:
        """Let it finish what it has and end; does nothing when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _health(self) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://{self.web_address}/healthz", timeout=2) as answer:
                health: dict[str, Any] = json.load(answer)
        except (OSError, urllib.error.URLError, json.JSONDecodeError):
            return None
        return health if health.get("status") == "ok" else None

    def _end_of_log(self) -> str:
        if not self.log.exists():
            return "it never started"
        text = self.log.read_text("utf-8", "replace").strip()
        return "\n".join(text.splitlines()[-5:]) or "it printed nothing"


def _program(name: str) -> str:
    """Beside this Python (a virtual environment that is not activated), else on the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ProgramError(f"The program {name} is not installed beside {sys.executable}.")
    return found
