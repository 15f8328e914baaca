"""Mail by which gateways exchange certificates and test each other: written, and read.

For people as well as for programs: text that says what it is and what to do, the machine-readable note
(`exchange_note`), and the certificates as every S/MIME program knows them (certs-only, RFC 8551 section 3.8). Signed as
a whole, because nothing in it counts otherwise; encrypted, where the partner can open it.
"""

import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ime_gateway.base.errors import UnreadableCertificate, UnreadableCms, UnreadableMail
from ime_gateway.certs.capabilities import own_capabilities, stated_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.exchange_note import MOST_BYTES, ExchangeNote, decode_note, encode_note
from ime_gateway.mail.address import Address, Mailbox
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.content_type import file_names
from ime_gateway.mail.headers import Field, HeaderBlock, make_address_field, make_field
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk
from ime_gateway.mail.received import date_time
from ime_gateway.mail.secure_parts import Cipher, outer_smime_fields
from ime_gateway.mail.transfer_encoding import decode_transfer
from ime_gateway.settings.site import CipherChoice
from ime_gateway.smime.encrypt import encrypt_entity
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.sign import SigningKey, multipart_signed
from ime_gateway.smime.structures import Signed

NOTE_TYPE: Final = "application/vnd.imegw.exchange+json"
_NOTE_FILE = "imegw-exchange.json"
_CMS_TYPES = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime", "application/x-pkcs7-certificates"))
_CERTIFICATE_TYPES = frozenset(("application/pkix-cert", "application/x-x509-ca-cert", "application/x-x509-user-cert"))
_CERTIFICATE_FILE = re.compile(r".+\.(p7[bcm]|cer|crt|der|pem)", re.IGNORECASE | re.DOTALL)
_PEM = re.compile(rb"-----BEGIN (CERTIFICATE|X509 CERTIFICATE|PKCS7|CMS)-----\s(.*?)-----END \1-----", re.DOTALL)
_MOST_PARTS = 200
_MOST_FILES = 5
_MOST_CERTIFICATES = 10
_FILE_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Letter:
    """The outside of such a mail."""

    author: Address
    """The exchange address of our domain."""
    recipient: Address
    subject: str
    text: str
    """For people: ASCII, lines of at most 76 characters that end with a line feed."""
    unique: str
    """The left side of its Message-ID."""
    hostname: str
    moment: float
    """Seconds since 1970 UTC."""
    automatic: Literal["auto-generated", "auto-replied"] = "auto-generated"
    """RFC 3834 section 5."""
    in_reply_to: str = ""

    @property
    def message_id(self) -> str:
        """With its angle brackets."""
        return f"<{self.unique}@{self.hostname}>"


@dataclass(frozen=True, slots=True)
class ExchangeContents:
    """What came in such a mail; without its signature all of it is a claim."""

    note: ExchangeNote | None
    certificates: tuple[Certificate, ...]
    """Those that are attached, people's before CAs', each once; those inside the signature are not among them."""
    fault: str = ""
    """What could not be read, for the log and for tracking."""


NOTHING: Final = ExchangeContents(None, ())
"""What mail without a believable signature brings."""


def write_mail(
    letter: Letter,
    note: ExchangeNote | None,
    attached: Sequence[Certificate],
    key: SigningKey,
    readers: Sequence[Certificate],
    cipher: Cipher,
    randomness: Callable[[int], bytes],
) -> tuple[bytes, bytes]:
    """Header block with its empty line, and body; 7-bit.

    readers: whom it is encrypted to; nobody: it is signed only. Raises UnreadableCertificate when a reader's key
    cannot encrypt.
    """
    entity = _entity(letter.text, note, attached, randomness)
    signed = multipart_signed(
        (entity,), key, moment=letter.moment, randomness=randomness, capabilities=own_capabilities()
    )
    outer = _outer(letter)
    if not readers:
        fields = (make_field("MIME-Version", "1.0"), *signed.fields)
        return outer.append(*fields).to_bytes() + b"\r\n", b"".join(signed.body)
    inside = signed.to_bytes()
    body = b"".join(encrypt_entity((inside,), len(inside), readers, cipher, randomness))
    return outer.append(*outer_smime_fields(cipher)).to_bytes() + b"\r\n", body


def cipher_for(reader: Certificate, setting: CipherChoice) -> Cipher:
    """The cipher for one reader by `[policy] content_cipher`: GCM on its word, or where the reader says it is read."""
    if setting == "auto":
        return "aes-256-gcm" if stated_capabilities(reader).gcm else "aes-256-cbc"
    return setting


def _outer(letter: Letter) -> HeaderBlock:
    author = (Mailbox("Mail encryption gateway", letter.author),)
    fields: list[Field] = [
        make_address_field("From", author),
        make_address_field("To", (Mailbox("", letter.recipient),)),
        make_field("Subject", letter.subject),
        make_field("Date", date_time(letter.moment)),
        make_field("Message-ID", letter.message_id),
        make_field("Auto-Submitted", letter.automatic),
        make_field("X-Auto-Response-Suppress", "All"),
    ]
    if letter.in_reply_to:
        fields.append(make_field("In-Reply-To", letter.in_reply_to))
    return HeaderBlock(tuple(fields))


def _entity(
    text: str, note: ExchangeNote | None, attached: Sequence[Certificate], randomness: Callable[[int], bytes]
) -> bytes:
    parts = [_part("text/plain; charset=us-ascii", "7bit", text.replace("\n", "\r\n").encode("ascii"))]
    if note is not None:
        said = b"".join(encode_lines([encode_note(note)]))
        parts.append(_part(f'{NOTE_TYPE};\r\n name="{_NOTE_FILE}"', "base64", said, _NOTE_FILE))
    if attached:
        bundle = pkcs7.serialize_certificates([one.x509 for one in attached], Encoding.DER)
        content_type = "application/pkcs7-mime; smime-type=certs-only;\r\n name=certificates.p7c"
        parts.append(_part(content_type, "base64", b"".join(encode_lines([bundle])), "certificates.p7c"))
    boundary = f"=_{randomness(18).hex()}".encode("ascii")
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return head + b"".join(b"--" + boundary + b"\r\n" + part for part in parts) + b"--" + boundary + b"--\r\n"


def _part(content_type: str, encoding: str, body: bytes, file: str = "") -> bytes:
    fields = [f"Content-Type: {content_type}", f"Content-Transfer-Encoding: {encoding}"]
    if file:
        fields.append(f"Content-Disposition: attachment; filename={file}")
    return "\r\n".join((*fields, "", "")).encode("ascii") + body + b"\r\n"


def read_contents(entity: Message) -> ExchangeContents:
    """The note and the attached certificates of an entity. Never raises: what cannot be read is named in `fault`."""
    try:
        parts = walk(entity, max_parts=_MOST_PARTS)
    except UnreadableMail as error:
        return ExchangeContents(None, (), str(error))
    note: ExchangeNote | None = None
    fault = ""
    files = 0
    found: dict[Certificate, None] = {}
    for part in parts:
        try:
            if part.media_type == NOTE_TYPE:
                if note is not None:
                    return ExchangeContents(None, (), "there are two machine-readable parts")
                note = decode_note(_content(entity, part, 2 * MOST_BYTES))
            elif _may_hold_certificates(part) and files < _MOST_FILES:
                files += 1
                found.update(dict.fromkeys(_certificates(_content(entity, part, _FILE_BYTES))))
        except (UnreadableMail, UnreadableCms, UnreadableCertificate) as error:
            fault = fault or str(error)
    ranked = sorted(found, key=lambda one: one.is_ca)
    return ExchangeContents(note, tuple(ranked[:_MOST_CERTIFICATES]), fault)


def _content(entity: Message, part: Part, most: int) -> bytes:
    if part.end - part.start > most:
        raise UnreadableMail("an attachment is too large")
    return decode_transfer(entity.body[part.start : part.end], part.encoding)


def _may_hold_certificates(part: Part) -> bool:
    if part.media_type in _CMS_TYPES or part.media_type in _CERTIFICATE_TYPES:
        return True
    names = file_names(part.headers)
    return part.media_type.startswith(("application/", "text/")) and any(map(_CERTIFICATE_FILE.fullmatch, names))


def _certificates(data: bytes) -> Iterator[Certificate]:
    """From DER, certs-only or PEM; nothing that would need a password is looked into."""
    encoded = [_decoded(match[2]) for match in _PEM.finditer(data)] if b"-----BEGIN " in data else [data]
    for one in encoded[:_MOST_CERTIFICATES]:
        try:
            yield Certificate.from_der(one)
            continue
        except UnreadableCertificate:
            cms = read_cms(one)  # and if it is no CMS object either, it is nothing of ours
        if not isinstance(cms, Signed):
            raise UnreadableCms("an attachment holds no certificates")
        for inside in cms.certificates[:_MOST_CERTIFICATES]:
            yield Certificate.from_der(inside)


def _decoded(lines: bytes) -> bytes:
    try:
        return binascii.a2b_base64(lines)
    except binascii.Error:
        raise UnreadableCertificate("an attached PEM file is damaged") from None
