"""Where servers of tests listen, and when they have begun to: a port is given to one of them only."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterable

_given: set[int] = set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago and that nobody else in this process was given.

    The kernel gives a port that is free again to the next who asks: so two listeners of one gateway got the same one.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def wait_until_listening(
    process: "subprocess.Popen[bytes]", host: str, ports: Iterable[int], log: Callable[[], str], seconds: float = 20.0
) -> None:
    """Return when every port takes connections; fails with its log when it ends before, or after so many seconds."""
    deadline = time.monotonic() + seconds
    for port in ports:
        while True:
            assert process.poll() is None, log()
            with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5):
                break
            assert time.monotonic() < deadline, log()
            time.sleep(0.02)
