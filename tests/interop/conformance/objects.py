"""Short ways to open, verify and make CMS objects, and OpenSSL beside them as the other implementation."""

import re
import secrets
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pybase64

from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.smime.decrypt import Decrypted, LegacyPolicy, Undecryptable, decrypt
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import Enveloped, Pieces, Signed
from ime_gateway.smime.verify import SignatureReport, verify

STRICT = LegacyPolicy()


def certificate(path: Path) -> Certificate:
    (found,) = read_bundle(path.read_bytes(), None).certificates
    return found


def owned(certificate_path: Path, key_path: Path | None = None, password: str | None = None) -> OwnedKey:
    """A key pair from one file or from two."""
    bundle = read_bundle(certificate_path.read_bytes(), password)
    keys = bundle.private_keys if key_path is None else read_bundle(key_path.read_bytes(), password).private_keys
    (key,) = {entry.pkcs8_der for entry in keys}
    return OwnedKey.from_pkcs8(bundle.certificates[0], key)


def unarmoured(text: bytes) -> bytes:
    """The octets of a PEM block of any label, whatever stands around it."""
    match = re.search(rb"-----BEGIN [^-]+-----\s(.*?)-----END", text, re.DOTALL)
    assert match
    return bytes(pybase64.b64decode(match[1]))


def joined(pieces: Pieces | None) -> bytes:
    assert pieces is not None
    return b"".join(pieces)


def opened(data: bytes, keys: Sequence[OwnedKey], legacy: LegacyPolicy = STRICT) -> Decrypted | Undecryptable:
    read = read_cms(data)
    assert isinstance(read, Enveloped)
    return decrypt(read, keys, legacy=legacy, randomness=secrets.token_bytes)


def plaintext(data: bytes, keys: Sequence[OwnedKey], legacy: LegacyPolicy = STRICT) -> bytes:
    """What is inside; the case fails when it cannot be opened."""
    result = opened(data, keys, legacy)
    assert isinstance(result, Decrypted), result
    return bytes(result.content)


def signed(data: bytes) -> Signed:
    read = read_cms(data)
    assert isinstance(read, Signed)
    return read


def report(data: bytes, content: bytes | None = None, known: Sequence[Certificate] = ()) -> SignatureReport:
    """The verdict on every signature; `content` for a detached one."""
    return verify(signed(data), None if content is None else (memoryview(content),), known)


def openssl(arguments: Iterable[str | Path], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`openssl` with these arguments; the caller looks at the exit status."""
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def openssl_output(arguments: Iterable[str | Path], given: bytes = b"") -> bytes:
    """What `openssl` writes; the case fails when it refuses."""
    done = openssl(arguments, given)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout
