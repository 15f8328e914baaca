"""S/MIME mail as a stranger's program makes it: `openssl cms` signs and encrypts, layer by layer, around an entity.

Entities here have LF line ends, as openssl writes them; `Core.send` makes CRLF of them.
"""

import re
import subprocess
import tempfile
import zlib
from base64 import encodebytes
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

from ime_gateway.certs.der import tlv
from tests import cms_objects
from tests.pki import Entity


def text_entity(text: str, *fields: str, content_type: str = "text/plain; charset=utf-8") -> bytes:
    """A small MIME entity; `fields` stand before the text."""
    return "".join([f"Content-Type: {content_type}\n", *(f"{field}\n" for field in fields), "\n", text, "\n"]).encode()


def signed(
    entity: bytes, *signers: Entity, opaque: bool = False, digest: str = "sha256", certificates: bool = True
) -> bytes:
    """multipart/signed, or `opaque`, with the certificates of the signers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = ["openssl", "cms", "-sign", "-md", digest, *(["-nodetach"] if opaque else [])]
        command += [] if certificates else ["-nocerts"]
        for number, signer in enumerate(signers):
            certificate, key = signer.write(folder, f"signer-{number}")
            command += ["-signer", str(certificate), "-inkey", str(key)]
        return _entity(command, _crlf(entity))


def encrypted(entity: bytes, *readers: Entity, cipher: str = "aes-256-gcm", oaep: bool = False) -> bytes:
    """An enveloped entity for `readers`; with a cipher that ends in `-gcm` it is an AuthEnvelopedData."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = ["openssl", "cms", "-encrypt", "-binary", f"-{cipher}"]
        for number, reader in enumerate(readers):
            certificate, _ = reader.write(folder, f"reader-{number}")
            command += ["-recip", str(certificate)]
            command += ["-keyopt", "rsa_padding_mode:oaep"] if oaep else []
        return _entity(command, _crlf(entity))


def compressed(entity: bytes) -> bytes:
    """A CompressedData (RFC 3274); Debian's openssl is built without zlib, so the object is made by hand."""
    der = cms_objects.compressed(tlv(0xA0, tlv(0x04, zlib.compress(_crlf(entity)))))
    head = b"Content-Type: application/pkcs7-mime; smime-type=compressed-data; name=smime.p7z\n"
    return head + b"Content-Transfer-Encoding: base64\n\n" + encodebytes(der)


def mail(
    entity: bytes, sender: str, recipients: str | Sequence[str], subject: str = "[...]", extra: Sequence[str] = ()
) -> bytes:
    """The entity as a whole mail."""
    to = recipients if isinstance(recipients, str) else ", ".join(recipients)
    head = [
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        f"Message-ID: <{abs(hash(entity)):x}@outside.example>",
        f"Date: {formatdate()}",
        "MIME-Version: 1.0",
        *extra,
    ]
    return "\n".join(head).encode() + b"\n" + entity.replace(b"MIME-Version: 1.0\n", b"", 1)


def wrapped(
    letter: bytes, layers: Sequence[Mapping[str, Any]], inside: Sequence[str], key_of: Callable[[str], Entity]
) -> bytes:
    """A letter whose content travels inside `layers`, the innermost first.

    Each layer: `{sign = [names], opaque, digest}`, `{encrypt = [names], cipher, oaep}` or `{compress = true}`.
    inside: fields in front of the content, under its protection.
    """
    head, _, body = letter.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = re.findall(rb"[^\n]+(?:\n[ \t][^\n]*)*", head)
    content = [field for field in fields if field.lower().startswith(b"content-")]
    outer = [field for field in fields if field not in content and not field.lower().startswith(b"mime-version")]
    entity = b"".join(line + b"\n" for line in (*content, *(line.encode() for line in inside))) + b"\n" + body
    for layer in layers:
        options = {name: value for name, value in layer.items() if name not in ("sign", "encrypt", "compress")}
        if "sign" in layer:
            entity = signed(entity, *map(key_of, layer["sign"]), **options)
        elif "encrypt" in layer:
            entity = encrypted(entity, *map(key_of, layer["encrypt"]), **options)
        else:
            entity = compressed(entity)
    entity = entity if entity.startswith(b"MIME-Version") else b"MIME-Version: 1.0\n" + entity
    return b"".join(field + b"\n" for field in outer) + entity


def _entity(command: Sequence[str], content: bytes) -> bytes:
    done = subprocess.run(command, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.replace(b"\r\n", b"\n")


def _crlf(entity: bytes) -> bytes:
    return entity.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
