"""Files that commands write: whole or not at all, and secret ones for their owner only."""

import os
import secrets
from pathlib import Path

from ime_gateway.base.errors import UserError


def write_new(path: Path, data: bytes, *, secret: bool = False, replace: bool = False) -> None:
    """Write a file and wait for the disk. secret: mode 0600. Without `replace` a file that is there is kept.

    Raises UserError; then `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)  # fails when there is one, however it came there meanwhile
    except FileExistsError:
        raise UserError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
