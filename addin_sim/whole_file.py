"""Writes a file whole or not at all: a full disk leaves what was there before, and nothing unfinished."""

import contextlib
import os
import uuid
from pathlib import Path


def write_whole(file: Path, data: bytes, *, mode: int = 0o666) -> None:
    """All of it, on the disk when this returns; `mode` before the umask. Raises OSError, and the file is as it was.

    What is no plain file (a pipe, /dev/stdout) is written as it stands: a name put in its place would destroy it.
    """
    if file.exists() and not file.is_file():
        file.write_bytes(data)
        return
    file = file.resolve()
    unfinished = file.with_name(f".{uuid.uuid4().hex}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as written:
            written.write(data)
            written.flush()
            os.fsync(written.fileno())
        unfinished.replace(file)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
