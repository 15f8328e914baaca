"""When has a server that was just started begun to listen?"""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterable


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
