"""The processes that a benchmark starts and stops: gateway, Postfix in clear, sink and source.

All on loopback and on the same disk. Everything is stopped by pid, in the reverse order of its start.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.servers.gateway import Gateway, free_port

HERE = Path(__file__).parent


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    """Until somebody listens; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


class Sink:
    """smtp-sink, which throws mail away and counts it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._out = (folder / "sink.out").open("wb+")
        self._process = subprocess.Popen(
            ["smtp-sink", "-c", *_as_nobody(), f"127.0.0.1:{self.port}", "1000"],
            stdout=self._out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_for_port(self.port)
        except BaseException:
            self.stop()
            raise

    def messages(self) -> int:
        """Messages taken since the start."""
        size = self._out.seek(0, 2)
        self._out.seek(max(0, size - 400))
        found = re.findall(rb"mesg=(\d+)", self._out.read())
        return int(found[-1]) if found else 0

    def wait(self, wanted: int, seconds: float = 300.0) -> None:
        """Until so many messages have come; raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.messages() < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.messages()} of {wanted} messages arrived")
            time.sleep(0.005)

    def stop(self) -> None:
        """End it."""
        stop(self._process)
        self._out.close()


def _as_nobody() -> list[str]:
    """smtp-sink refuses to run as root."""
    return ["-u", "nobody"] if os.getuid() == 0 else []


def stop(process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """SIGTERM, then SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def source(port: int, count: int, size: int, recipient: str, sessions: int = 20) -> None:
    """smtp-source with reused connections; returns when the last message was accepted."""
    subprocess.run(
        ["smtp-source", "-s", str(sessions), "-m", str(count), "-l", str(size), "-d", "-f", "anna@acme.example",
         "-t", recipient, f"127.0.0.1:{port}"],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip


@contextlib.contextmanager
def postfix_in_clear(folder: Path, sink: int) -> Iterator[int]:
    """A private Postfix instance that relays everything to `sink`; gives its port."""
    config, port = folder / "etc", free_port()
    places = {"queue": folder / "queue", "data": folder / "data", "sink": sink, "port": port, "log": folder / "log"}
    config.mkdir(parents=True)
    for name in ("queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    for name in ("main.cf", "master.cf"):
        text = (HERE / "postfix_clear" / name).read_text()
        (config / name).write_text(text.format(**places))
    (config / "dynamicmaps.cf").touch()
    try:
        subprocess.run(["postfix", "-c", str(config), "start"], check=True, capture_output=True)
        wait_for_port(port)
        yield port
    finally:
        subprocess.run(["postfix", "-c", str(config), "stop"], check=False, capture_output=True)


@contextlib.contextmanager
def gateway(folder: Path, site: str, sink: int, workers: int = 2, smtp: str = "") -> Iterator[Gateway]:
    """An installation in `folder` with SITE.toml text `site`, serving; everything leaves to `sink`."""
    ours = Gateway(folder)
    ours.configure(next_hop=sink, workers=workers, smtp=smtp)
    ours.apply(site)
    try:
        ours.start()
        yield ours
    finally:
        ours.stop(120)


def worker_pids(ours: Gateway) -> list[int]:
    """The processes that take mail: the children that inherited the listening socket and serve it."""
    children = psutil.Process(ours.pid).children()
    return [child.pid for child in children if any("spawn_main" in word for word in child.cmdline())]
