"""IME 2.0 containers made by `openssl cms`, a foreign implementation, in every shape that a program may choose.

setup(core)                                       acme.example gets an IME address with a key
carrier(original, signer=signer_of(ANNA))         the mail that Exchange would bring
"""

import base64
import itertools
import subprocess
import tempfile
import time
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import Pin, PinOrigin, PinState
from ime_gateway.settings.site import ManagedDomain
from tests.core import Core
from tests.pki import DAY, NOW, Entity, make_user

IME = "domain-confidentiality-authority@ime.acme.example"
IME_DOMAIN = "ime.acme.example"
ANNA = "anna@acme.example"
MARKER = "orchid-7431"
LONG_AGO, FAR_AWAY = NOW - 1000 * DAY, NOW + 1000 * DAY
_ids = itertools.count()


def ime_key(address: str = IME) -> Entity:
    """The key pair of an IME address."""
    return _pair(address, 0)


def signer_of(address: str, machine: int = 1) -> Entity:
    """The self-signed pair that Outlook signs with on one of a person's machines."""
    return _pair(address, machine)


@cache
def _pair(address: str, number: int) -> Entity:
    return make_user(address)


def setup(core: Core, mode: str = "confirm", domain: str = "acme.example", ime_address: str = IME) -> None:
    """Give a managed domain its IME address, with a key that opens containers."""
    key = ime_key(ime_address)
    managed = ManagedDomain.model_validate(
        {
            "name": domain,
            "deliver_to": "smtp://127.0.0.1:25",
            "return_to": "smtp://127.0.0.1:26",
            "ime_address": ime_address,
            "ime_signers": mode,
        }
    )

    def act(live: Any) -> None:
        live.put_managed_domain(managed, ())
        live.put_ime_key(domain, key.certificate, key.key_der, older_open_until=0.0)

    core.configure(act)


def pin(
    core: Core,
    address: str,
    certificate: Certificate | None = None,
    state: PinState = "approved",
    origin: PinOrigin = "registered",
) -> None:
    """What an administrator says about a signer."""
    entry = Pin(address, certificate or signer_of(address).certificate, state, origin, time.time())
    core.configure(lambda live: live.put_pin(entry))


def pins(core: Core, address: str = ANNA) -> list[tuple[str, str, str]]:
    """Thumbprint, state and origin of everything known about a person's signers."""
    found = core.run(core.store.containers.pins(address))
    return [(entry.certificate.thumbprint, entry.state, entry.origin) for entry in found]


def original(
    to: str = "bob@acme.example", sender: str = ANNA, subject: str = "Merger", text: str = "", **fields: str
) -> bytes:
    """A mail as its author wrote it; LF line ends. More fields by keyword, `_` for `-`."""
    lines = [f"From: {sender}", f"To: {to}", f"Subject: {subject}", f"Message-ID: <c{next(_ids)}.{time.time()}@acme>"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    lines += [] if "Date" in fields else [f"Date: {formatdate(time.time())}"]
    lines += ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8"]
    return ("\n".join([*lines, "", f"The marker is {MARKER}. {text}", ""])).encode()


def wrap(mail: bytes, shape: str = "rfc822") -> bytes:
    """The entity that is signed: `rfc822`, `message` (the mail itself), `mixed`, `eml`, `mixed-eml` or `two`."""
    if shape == "message":
        return mail
    if shape in ("rfc822", "eml"):
        return _part(mail, shape)
    kinds = {
        "mixed": ["blank", "rfc822"],
        "mixed-eml": ["eml"],
        "two": ["rfc822", "rfc822"],
        "text": ["text", "rfc822"],
    }
    parts = [_part(mail, kind) for kind in kinds[shape]]
    edge = b"--in-the-middle"
    body = b"".join(edge + b"\n" + part + b"\n" for part in parts) + edge + b"--\n"
    return b'Content-Type: multipart/mixed; boundary="in-the-middle"\n\n' + body


def _part(mail: bytes, kind: str) -> bytes:
    match kind:
        case "rfc822":
            return b"Content-Type: message/rfc822\n\n" + mail
        case "eml":
            head = b'Content-Type: application/octet-stream; name="Merger.eml"\nContent-Transfer-Encoding: base64\n\n'
            return head + base64.encodebytes(mail)
        case "blank":
            return b"Content-Type: text/plain\n\n \n"
        case _:
            return b"Content-Type: text/plain\n\nSomething else.\n"


def openssl(arguments: list[str], data: bytes) -> bytes:
    """What `openssl` makes of `data`; its complaints end the test."""
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def sign(entity: bytes, *signers: Entity, detached: bool = False, arguments: tuple[str, ...] = ()) -> bytes:
    """`openssl cms -sign`, opaque or as multipart/signed."""
    with tempfile.TemporaryDirectory() as name:
        command = ["cms", "-sign", *([] if detached else ["-nodetach"]), *arguments]
        for number, signer in enumerate(signers):
            certificate, key = signer.write(Path(name), f"signer{number}")
            command += ["-signer", str(certificate), "-inkey", str(key)]
        return openssl(command, entity)


def encrypt(entity: bytes, *readers: Entity, cipher: str = "aes-256-cbc", form: str = "SMIME") -> bytes:
    """`openssl cms -encrypt`; form SMIME or DER."""
    with tempfile.TemporaryDirectory() as name:
        files = [str(reader.write(Path(name), f"reader{place}")[0]) for place, reader in enumerate(readers)]
        return openssl(["cms", "-encrypt", f"-{cipher}", "-outform", form, *files], entity)


def sign_binary(entity: bytes, signer: Entity) -> bytes:
    """`openssl cms -sign -outform DER` as an entity with its octets as they are, which is what Outlook encrypts."""
    der = sign(entity.replace(b"\n", b"\r\n"), signer, arguments=("-binary", "-outform", "DER"))
    kind = b'application/pkcs7-mime; smime-type=signed-data; name="smime.p7m"'
    return b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: binary\r\n\r\n" + der


def encrypt_binary(entity: bytes, reader: Entity, cipher: str = "aes-256-cbc") -> bytes:
    """`openssl cms -encrypt -binary`: DER, the content octet for octet."""
    with tempfile.TemporaryDirectory() as name:
        certificate = str(reader.write(Path(name), "reader")[0])
        return openssl(["cms", "-encrypt", "-binary", f"-{cipher}", "-outform", "DER", certificate], entity)


@dataclass(frozen=True)
class Carried:
    """The steps of a container, for tests that change one of them."""

    signed: bytes
    encrypted: bytes
    mail: bytes


def container(
    mail: bytes,
    *,
    signer: Entity | None,
    shape: str = "rfc822",
    detached: bool = False,
    cipher: str = "aes-256-cbc",
    ime: str = IME,
    own: Entity | None = None,
    binary: bool = False,
    **outside: Any,
) -> Carried:
    """Sign, encrypt and mail `mail` as the add-in does; `outside` are arguments of `carrier`. binary: the signed layer
    in octets, opaque."""
    entity = wrap(mail, shape)
    if binary and signer is not None:
        signed = sign_binary(entity, signer)
        encrypted = encrypt_binary(signed, ime_key(ime), cipher)
        return Carried(signed, encrypted, carrier(encrypted, **{"to": ime, **outside}))
    signed = sign(entity, signer, detached=detached) if signer is not None else entity
    encrypted = encrypt(signed, ime_key(ime), *([own] if own is not None else []), cipher=cipher, form="DER")
    return Carried(signed, encrypted, carrier(encrypted, **{"to": ime, **outside}))


def carrier(
    encrypted: bytes, sender: str = ANNA, to: str = IME, form: str = "pkcs7-mime", extra: tuple[str, ...] = ()
) -> bytes:
    """The neutral mail around a container: `pkcs7-mime`, `x-pkcs7-mime`, `octet-stream` or `attachment`."""
    if form == "attachment":
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = sender, to, "Encrypted message"
        mail["Message-ID"] = f"<carrier{next(_ids)}.{time.time()}@acme.example>"
        mail.set_content("An encrypted message.\n")
        mail.add_attachment(encrypted, maintype="application", subtype="pkcs7-mime", filename="smime.p7m")
        return mail.as_bytes()
    kind = "application/octet-stream" if form == "octet-stream" else f"application/{form}; smime-type=enveloped-data"
    head = [
        f"From: {sender}",
        f"To: {to}",
        "Subject: Encrypted message",
        f"Message-ID: <carrier{next(_ids)}.{time.time()}@acme.example>",
        "Date: Sun, 22 Nov 2026 10:00:00 +0100",
        *extra,
        "MIME-Version: 1.0",
        f'Content-Type: {kind}; name="smime.p7m"',
        "Content-Transfer-Encoding: base64",
    ]
    return ("\n".join(head) + "\n\n").encode() + base64.encodebytes(encrypted)
