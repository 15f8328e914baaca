"""Foreign judges: OpenSSL says which key opens a mail, and a search says that nothing lies in clear.

Our own code never judges our own encryption. OpenSSL gets each private key without a hint, so it
tries it on every recipient of the envelope.
"""

import base64
import email
import email.policy
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from email.message import EmailMessage
from pathlib import Path


def openssl_is_there() -> bool:
    """Is the judge installed?"""
    return shutil.which("openssl") is not None


def decrypt(mail: Path, private_key: Path) -> bytes | None:
    """What `openssl cms -decrypt` makes of the mail with that key; None when it refuses."""
    done = subprocess.run(  # noqa: S603 - no shell, our own file names
        ["openssl", "cms", "-decrypt", "-in", str(mail), "-inkey", str(private_key)],  # noqa: S607
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None


def who_can_read(mail: Path, keys: Mapping[str, Path], secret: bytes) -> set[str]:
    """The owners of the keys with which the mail gives away the secret text."""
    readers = set()
    for owner, key in keys.items():
        clear = decrypt(mail, key)
        if clear is not None and secret in clear:
            readers.add(owner)
    return readers


def files_with(secret: bytes, folders: Iterable[Path]) -> list[Path]:
    """Every file below the folders in which the text stands, as it is or in base64."""
    needles = [secret, *_base64_forms(secret)]
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            try:
                data = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:  # a running server has just renamed or removed it
                continue
            joined = data.replace(b"\r\n", b"").replace(b"\n", b"")
            if any(needle in data or needle in joined for needle in needles):
                found.append(path)
    return found


def headers_of(mail: Path) -> EmailMessage:
    """The parsed header of a mail file."""
    with mail.open("rb") as file:
        message = email.message_from_binary_file(file, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _base64_forms(secret: bytes) -> list[bytes]:
    """How the text looks inside base64, at each of the three offsets it may have there."""
    forms = []
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret + b"\0\0")
        forms.append(encoded[4 if offset else 0 : (len(secret) + offset) // 3 * 4])
    return forms
