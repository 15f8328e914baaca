"""Opens S/MIME mail with one person's key: the reader's half, done by others than those who made it.

`cryptography` opens the common envelope (RFC 5652 section 6, AES-CBC, RSA); what it does not know, such as
AES-GCM (RFC 5083), openssl opens. Signed layers inside are taken off by openssl, which checks the signature too.
"""

import base64
import binascii
import re
import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import pkcs7

from addin_sim.own_keys import OwnKeys
from addin_sim.raw_mail import RawMail, canonical_newlines, parse

_OPENSSL_SECONDS = 30.0
"""How long one call may take; a busy machine is no reason to end the rehearsal."""
_MOST_LAYERS = 4
"""Entities that are looked into, the innermost one counted: a mail may be made to have thousands."""


class UnreadableError(Exception):
    """This key does not open this mail; the text is one sentence."""


def envelope_of(mail: RawMail) -> bytes:
    """The CMS structure of an S/MIME mail, in DER or BER; empty when the body is no base64."""
    try:
        return base64.b64decode(mail.body)
    except (ValueError, binascii.Error):
        return b""


def names_of(certificate: x509.Certificate) -> tuple[bytes, ...]:
    """How an envelope names this reader: issuer and serial number, or the key identifier (RFC 5652 section 6.2.1).

    Looked for as bytes: that they stand in a ciphertext by chance will not happen.
    """
    serial = certificate.serial_number
    number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    names = [certificate.issuer.public_bytes() + b"\x02" + bytes([len(number)]) + number]
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        names.append(bytes([0x80, len(identifier)]) + identifier)
    except x509.ExtensionNotFound:
        pass
    return tuple(names)


class Opener:
    """Opens mail for the owner of one pair; `file` holds that pair in PEM, for openssl."""

    def __init__(self, keys: OwnKeys, file: Path) -> None:
        self._keys = keys
        self._file = file

    def open(self, mail: RawMail) -> bytes:
        """The innermost entity with CRLF line ends. Raises `UnreadableError`."""
        entity = mail
        for _ in range(_MOST_LAYERS):
            match _layer(entity):
                case "enveloped":
                    entity = parse(canonical_newlines(self._decrypt(envelope_of(entity))))
                case "signed":
                    entity = parse(canonical_newlines(_taken_out(envelope_of(entity))))
                case _:
                    return entity.to_bytes()
        raise UnreadableError("The mail has too many layers.")

    def _decrypt(self, envelope: bytes) -> bytes:
        try:
            return pkcs7.pkcs7_decrypt_der(envelope, self._keys.certificate, self._keys.private_key, [])
        except (ValueError, UnsupportedAlgorithm):
            return self._decrypt_by_openssl(envelope)

    def _decrypt_by_openssl(self, envelope: bytes) -> bytes:
        """By the reader's certificate: else openssl tries the key on everybody's envelope and may find nonsense."""
        own = str(self._file)
        return _openssl(["-decrypt", "-inform", "DER", "-recip", own, "-inkey", own], envelope)


def _layer(entity: RawMail) -> str:
    media_type, _, parameters = entity.value("Content-Type").lower().partition(";")
    if media_type.strip() not in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        return ""
    return "signed" if re.search(r"smime-type\s*=\s*\"?signed-data", parameters) else "enveloped"


def _taken_out(signed: bytes) -> bytes:
    return _openssl(["-verify", "-noverify", "-inform", "DER"], signed)


def _openssl(arguments: list[str], data: bytes) -> bytes:
    if shutil.which("openssl") is None:
        raise UnreadableError("The mail needs the program openssl to be opened: apt-get install openssl")
    try:
        done = subprocess.run(  # noqa: S603 - no shell, our own file names
            ["openssl", "cms", *arguments],  # noqa: S607
            input=data,
            capture_output=True,
            timeout=_OPENSSL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"openssl took longer than {_OPENSSL_SECONDS:.0f} seconds to open it") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UnreadableError(f"openssl does not open it: {said[0] if said else 'no reason given'}")
    return done.stdout
