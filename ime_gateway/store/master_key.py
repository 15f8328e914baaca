"""The file with the master key: 64 hexadecimal digits, readable by the gateway's user alone.

It lies outside the database on purpose: who takes one of them away can open nothing. Text instead
of raw bytes, so that it survives being copied into a password safe and back.
"""

import os
import re
import stat
from pathlib import Path

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.ports.clock import Randomness

COPY_BACK = "put your copy back; a new key opens nothing that is stored"


def create_master_key(path: Path, randomness: Randomness) -> bytes:
    """Make a new key file with mode 0600; ConfigurationError when there is a file already."""
    key = randomness(32)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.hex().encode() + b"\n")
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise ConfigurationError(f"cannot create the master key file {path}: {error.strerror}") from error
    return key


def read_master_key(path: Path) -> bytes:
    """The 32 bytes of the key; ConfigurationError with a sentence that says what is wrong."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(200)
    except OSError as error:
        advice = f"; {COPY_BACK}" if isinstance(error, FileNotFoundError) else ""
        raise ConfigurationError(f"cannot read the master key file {path}: {error.strerror}{advice}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"the master key file {path} can be read by others (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}"
        )
    if not re.fullmatch(rb"[0-9a-fA-F]{64}", text.strip()):
        raise ConfigurationError(
            f"the master key file {path} must hold 64 hexadecimal digits and nothing else; {COPY_BACK}"
        )
    return bytes.fromhex(text.strip().decode())
