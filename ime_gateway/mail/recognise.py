"""What kind of mail this is: Outlook's own format, a meeting, already protected.

Each kind has its own way through the gateway (design 6.5 (4)); recognising looks at the MIME
tree and at the first bytes of CMS objects, because smime-type is optional and often missing
(RFC 8551 section 3.2.2).
"""

import re
from collections.abc import Sequence
from typing import Literal

from ime_gateway.mail.content_type import ContentType, content_type_of, file_names, parse_content_type
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk
from ime_gateway.mail.transfer_encoding import decode_transfer

Protection = Literal["none", "smime-encrypted", "smime-signed", "pgp-encrypted", "pgp-signed"]

_TNEF_TYPES = frozenset(("application/ms-tnef", "application/vnd.ms-tnef", "application/x-ms-tnef"))
_CALENDAR_TYPES = frozenset(("text/calendar", "text/x-vcalendar", "application/ics"))
_METHOD = re.compile(rb"(?:\A|[\r\n])METHOD[ \t]*[:;]", re.IGNORECASE)
_CMS_TYPES = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime"))
_CMS_FILE = re.compile(r".+\.p7[ms]", re.IGNORECASE | re.DOTALL)
_PGP_BLOCK = re.compile(rb"-----BEGIN PGP (SIGNED )?MESSAGE-----")
_ARMOR_BYTES = 1 << 16  # an armored mail begins with it, after a few words at most
_LOOK_BYTES = 1 << 20  # METHOD stands in the first lines of a calendar
_CMS_ENCRYPTED = (
    bytes.fromhex("06092a864886f70d010703"),  # envelopedData, RFC 5652 section 6
    bytes.fromhex("060b2a864886f70d0109100117"),  # authEnvelopedData, RFC 5083
)
_CMS_SIGNED = bytes.fromhex("06092a864886f70d010702")  # signedData, RFC 5652 section 5


def is_tnef(message: Message, parts: Sequence[Part] | None = None) -> bool:
    """The mail, or a part of it, is Outlook's own format: a winmail.dat, which can carry the Bcc list.

    parts: what `walk` gave for this message, when the caller has it.
    """
    return any(_is_tnef_part(part) for part in (walk(message) if parts is None else parts))


def is_calendar(message: Message, parts: Sequence[Part] | None = None) -> bool:
    """A part is a meeting message: a calendar with a METHOD (RFC 6047 section 2.4).

    A calendar file without METHOD is an attachment like any other.
    """
    for part in walk(message) if parts is None else parts:
        for content_type in _content_types(part.headers):
            if content_type.media_type in _CALENDAR_TYPES and _has_method(message, part, content_type):
                return True
        content_class = part.headers.first("content-class")
        if content_class and content_class.text.lower() == "urn:content-classes:calendarmessage":
            return True
    return False


def protection_of(message: Message) -> Protection:
    """How the whole message is protected already; a protected part among others does not count."""
    content_type = content_type_of(message.headers)
    media_type, parameters = content_type.media_type, content_type.parameters
    protocol = parameters.get("protocol", "").lower()
    if media_type == "multipart/encrypted":
        return "pgp-encrypted" if protocol == "application/pgp-encrypted" else "none"
    if media_type == "multipart/signed":
        if protocol in ("application/pkcs7-signature", "application/x-pkcs7-signature"):
            return "smime-signed"
        return "pgp-signed" if protocol == "application/pgp-signature" else "none"
    if media_type in _CMS_TYPES:
        return _cms_protection(message, parameters.get("smime-type", "").lower())
    if media_type == "application/octet-stream" and any(
        _CMS_FILE.fullmatch(name) for name in file_names(message.headers)
    ):
        return _cms_protection(message, "")
    return _armored(message) if media_type == "text/plain" else "none"


def _armored(message: Message) -> Protection:
    """OpenPGP without MIME: an armor line at the beginning of a line of the text (RFC 9580 section 6.2)."""
    for block in _PGP_BLOCK.finditer(message.body[:_ARMOR_BYTES]):
        if block.start() == 0 or message.body[block.start() - 1] == 0x0A:
            return "pgp-signed" if block[1] else "pgp-encrypted"
    return "none"


def _cms_protection(message: Message, smime_type: str) -> Protection:
    """The content type inside the CMS object decides; what the header says only when that is unreadable."""
    encoding = message.headers.first("content-transfer-encoding")
    start = decode_transfer(message.body[:200], encoding.text.strip().lower() if encoding else "base64")
    if any(oid in start[:64] for oid in _CMS_ENCRYPTED):
        return "smime-encrypted"
    if _CMS_SIGNED in start[:64]:
        return "smime-signed"
    if smime_type in ("enveloped-data", "authenveloped-data"):
        return "smime-encrypted"
    return "smime-signed" if smime_type == "signed-data" else "none"


def _is_tnef_part(part: Part) -> bool:
    if any(content_type.media_type in _TNEF_TYPES for content_type in _content_types(part.headers)):
        return True
    return any(name.lower() == "winmail.dat" for name in file_names(part.headers))


def _content_types(headers: HeaderBlock) -> list[ContentType]:
    return [parse_content_type(field.value.decode("latin-1")) for field in headers.all("content-type")]


def _has_method(message: Message, part: Part, content_type: ContentType) -> bool:
    if "method" in content_type.parameters:
        return True
    return _METHOD.search(decode_transfer(message.body[part.start : part.end][:_LOOK_BYTES], part.encoding)) is not None
