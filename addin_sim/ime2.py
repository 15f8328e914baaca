"""Internal mail encryption 2.0, the add-in's half: a neutral carrier with the whole original inside.

Exchange sees who sends and when, a subject that is the same for everybody, and one recipient that it does
not know; so it hands the mail to the gateway. Subject, recipients (blind ones too) and text travel inside
an S/MIME envelope (RFC 8551): signed by the sender, then encrypted to the IME certificate and to the
sender's own, so that whoever wrote a mail can always read what is kept of it.
"""

import base64
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from addin_sim.outlook_settings import ContainerSettings
from addin_sim.own_keys import OwnKeys
from addin_sim.raw_mail import Field, RawMail, UnusableMailError, make_field

CARRIER_SUBJECT = "Encrypted message"
"""Says nothing: the same for everybody and everything."""

_FORGED = ("X-SM-ORIGTO", "X-SM-ORIGCC", "X-SM-ORIGBCC")
"""Recipients that nobody saw while writing; a container names its recipients in To, Cc and Bcc."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """What is submitted, and kept until its copy has come back."""

    recipient: str
    message_id: str
    """Of the carrier; the mail inside has its own."""
    data: bytes


def for_ime2(
    mail: RawMail,
    internal_recipient: str,
    ime_certificate: x509.Certificate,
    keys: OwnKeys,
    shape: ContainerSettings,
    unique: str,
) -> Carrier:
    """The mail as the add-in hands it to Exchange; `UnusableMailError` when it has no recipient at all.

    `unique` makes Message-ID and MIME boundaries: new for each mail, and in none.
    """
    if not any(field.value for name in ("To", "Cc", "Bcc") for field in mail.all(name)):
        raise UnusableMailError("The mail has no recipient; give To, Cc or Bcc.")
    original = mail.without(*_FORGED).to_bytes()
    signed = sign(_wrapped(original, shape.original, unique), keys, detached=shape.signature == "detached", edge=unique)
    envelope = (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(signed)
        .add_recipient(ime_certificate)
        .add_recipient(keys.certificate)
        .set_content_encryption_algorithm(algorithms.AES256)
        .encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )
    sender_domain = mail.value("Message-ID").rstrip("> ").rpartition("@")[2] or "localhost"
    message_id = f"<{unique}@{sender_domain}>"
    header = (
        *mail.all("From"),
        *mail.all("Sender"),
        make_field("To", internal_recipient),
        *mail.all("Date"),
        make_field("Message-ID", message_id),
        make_field("Subject", CARRIER_SUBJECT),
        make_field("MIME-Version", "1.0"),
    )
    parts = _pkcs7_fields("application/pkcs7-mime; smime-type=enveloped-data", "smime.p7m")
    return Carrier(internal_recipient, message_id, RawMail((*header, *parts), _base64_lines(envelope)).to_bytes())


def sign(entity: bytes, keys: OwnKeys, *, detached: bool, edge: str) -> bytes:
    """A signed MIME entity around `entity` (a whole one, header and body); RFC 8551 sections 3.5.2 and 3.5.3.

    The signature carries signingTime and SMIMECapabilities. `edge` is the boundary of a multipart/signed.
    """
    options = [pkcs7.PKCS7Options.Binary]
    if detached:
        options.append(pkcs7.PKCS7Options.DetachedSignature)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(entity)
    signature = builder.add_signer(keys.certificate, keys.private_key, hashes.SHA256()).sign(Encoding.DER, options)
    if not detached:
        fields = _pkcs7_fields("application/pkcs7-mime; smime-type=signed-data", "smime.p7m")
        return RawMail(fields, _base64_lines(signature)).to_bytes()
    part = RawMail(_pkcs7_fields("application/pkcs7-signature", "smime.p7s"), _base64_lines(signature)).to_bytes()
    media_type = make_field(
        "Content-Type",
        f'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="{edge}-signed"',
    )
    return RawMail((media_type,), _multipart(f"{edge}-signed", entity, part)).to_bytes()


def _wrapped(original: bytes, shape: str, unique: str) -> bytes:
    """What is signed: nobody knows which of these the real add-in emits, so each can be chosen."""
    if shape == "message":
        return original
    encoding = "7bit" if original.isascii() else "8bit"
    fields = (
        make_field("Content-Type", "message/rfc822"),
        make_field("Content-Transfer-Encoding", encoding),
        make_field("Content-Disposition", "attachment"),
    )
    part = RawMail(fields, original).to_bytes()
    if shape == "rfc822":
        return part
    media_type = make_field("Content-Type", f'multipart/mixed; boundary="{unique}-mixed"')
    return RawMail((media_type,), _multipart(f"{unique}-mixed", part)).to_bytes()


def _multipart(boundary: str, *parts: bytes) -> bytes:
    """RFC 2046 section 5.1.1: the line break before a boundary belongs to the boundary."""
    edge = f"--{boundary}".encode("ascii")
    return b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"


def _pkcs7_fields(media_type: str, file_name: str) -> tuple[Field, ...]:
    return (
        make_field("Content-Type", f'{media_type}; name="{file_name}"'),
        make_field("Content-Transfer-Encoding", "base64"),
        make_field("Content-Disposition", f'attachment; filename="{file_name}"'),
    )


def _base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
