"""One `serve` per installation: a second one would take the rows out of the first one's hands and send them again."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ime_gateway.base.errors import ConfigurationError


@contextmanager
def only_one(config: Path) -> Iterator[None]:
    """Hold `serve.lock` beside gateway.toml; raises ConfigurationError naming the process that holds it.

    The kernel gives the lock back when this process ends, however it ends.
    """
    path = config.absolute().parent / "serve.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise ConfigurationError(
                f"this installation is already served by process {holder}; stop it first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
