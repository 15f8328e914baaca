"""openssl as the foreign reader of what we encrypt."""

import subprocess
import tempfile
from pathlib import Path

from tests.pki import Entity


def decrypt(wire: bytes, reader: Entity) -> bytes | None:
    """The MIME entity inside an S/MIME message, or None when this reader's key does not open it.

    Judged by the recipient's certificate: openssl then looks for the matching RecipientInfo only and
    says so when there is none, instead of trying a random key (implicit rejection).
    """
    with tempfile.TemporaryDirectory() as name:
        certificate, key = reader.write(Path(name), "reader")
        command = ["openssl", "cms", "-decrypt", "-recip", str(certificate), "-inkey", str(key)]
        done = subprocess.run(command, input=wire, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def verify(signed: bytes, signer: Entity) -> bytes | None:
    """The content that `signer` alone signed, as openssl takes it out of multipart/signed or opaque signed-data; None
    when the signature is broken or another one's."""
    with tempfile.TemporaryDirectory() as name:
        certificate, _ = signer.write(Path(name), "signer")
        command = ["openssl", "cms", "-verify", "-nointern", "-noverify", "-certfile", str(certificate)]
        done = subprocess.run([*command, "-inform", "SMIME"], input=signed, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def readers(wire: bytes) -> str:
    """The printed CMS structure, to look for names and key identifiers in it."""
    command = ["openssl", "cms", "-cmsout", "-print", "-inform", "SMIME"]
    return subprocess.run(command, input=wire, capture_output=True, check=True).stdout.decode("utf-8", "replace")
