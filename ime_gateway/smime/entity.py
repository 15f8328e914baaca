"""Finds the CMS object of a MIME entity, and the signed entity in it (RFC 8551 sections 3.2 to 3.5).

Programs label S/MIME in many ways: types with and without `x-`, octet-stream with a file name, base64
or plain octets, smime-type right, wrong or missing. All of that is read; what the object *is* only the
CMS content type inside says, because everything around it can be written by anybody.
"""

import quopri
import re
from dataclasses import dataclass, field, replace

import numpy as np

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.mail.base64_body import decode_base64_body
from ime_gateway.mail.content_type import content_type_of, file_names, parse_content_type
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.mail.signed_multipart import split_signed
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import CmsLimits, Pieces, Signed

DATA = "1.2.840.113549.1.7.1"
"""id-data (RFC 5652 section 4): what stands inside is a MIME entity (RFC 8551 section 3.1)."""
_CMS_TYPES = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime"))
_SIGNATURE_TYPES = frozenset(("application/pkcs7-signature", "application/x-pkcs7-signature"))
_NAMELESS_TYPE = "application/octet-stream"
_CMS_FILE = re.compile(r".+\.p7[msz]", re.IGNORECASE | re.DOTALL)
_SIGNATURE_FILE = re.compile(r".+\.p7s", re.IGNORECASE | re.DOTALL)
_SMIME_TYPES = _CMS_TYPES | _SIGNATURE_TYPES | {"multipart/signed"}
_BLOCK_BYTES = 65_536
_COMMENT = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, slots=True)
class SignedEntity:
    """An entity and what signs it; whether the signature is any good is for `smime.verify` to say."""

    signed: Signed
    content: Pieces = field(repr=False)
    """What the signature covers, octet for octet."""
    entity: Message = field(repr=False)
    """The MIME entity that is signed."""
    detached: bool
    """It came as multipart/signed."""
    whole_body: bool
    """Nothing stands beside the signed entity: no further part, no text around. Where this is False, a reader of
    the mail sees more than was signed, so it must not be shown or used as signed mail."""


def cms_object(message: Message) -> memoryview | None:
    """The CMS object that this entity itself is, its transfer encoding undone; None when it is none.

    Read by type, or as octet-stream by the file name *.p7m, *.p7s or *.p7z (RFC 8551 section 3.2.1).
    Raises UnreadableMail when the entity says in two ways what it is, or its encoding is broken.
    """
    return decoded_body(message) if _is_labelled(message.headers, _CMS_TYPES, _CMS_FILE) else None


def signed_entity(message: Message, limits: CmsLimits | None = None) -> SignedEntity | None:
    """The entity that this one signs, opaque or as multipart/signed; None when it is no signed S/MIME entity.

    The body of multipart/signed is cut as `mail.signed_multipart.split_signed` says. Raises
    UnreadableMail or UnreadableCms for what claims to be S/MIME signed mail and can't be read as such.
    """
    limits = limits or CmsLimits()
    if _media_type(message.headers) == "multipart/signed":
        protocol = content_type_of(message.headers).parameters.get("protocol", "").strip().lower()
        return _detached(message, limits) if protocol in ("", *_SIGNATURE_TYPES) else None
    octets = cms_object(message)
    if octets is None:
        return None
    cms = read_cms(octets, limits)
    return opaque_entity(cms) if isinstance(cms, Signed) and cms.signers else None


def opaque_entity(signed: Signed) -> SignedEntity:
    """The entity inside a SignedData that carries its content (RFC 8551 section 3.5.2).

    Raises UnreadableCms when there is no content or it is no MIME entity by its type, UnreadableMail
    when it can't be read as one.
    """
    if signed.content is None:
        raise UnreadableCms("a signature without content stands alone")
    if signed.content_type != DATA:
        raise UnreadableCms("what is signed is no mail", f"content type {signed.content_type}")
    return SignedEntity(signed, signed.content, read_entity(joined(signed.content)), detached=False, whole_body=True)


def decoded_body(message: Message) -> memoryview:
    """The body with its transfer encoding undone (RFC 2045 section 6), without a copy where there is none.

    Without a word about the encoding, or with a wrong one, DER is known by its first octets and
    everything else taken for base64. Raises UnreadableMail.
    """
    encodings = {_encoding(f.text) for f in message.headers.all("content-transfer-encoding")}
    if len(encodings) > 1:
        raise UnreadableMail("an entity has two transfer encodings that contradict each other")
    encoding = encodings.pop() if encodings else ""
    if encoding == "quoted-printable":
        return memoryview(quopri.decodestring(bytes(message.body)))
    return message.body if encoding != "base64" and _is_der(message.body) else decode_base64_body(message.body)


def read_entity(content: memoryview) -> Message:
    """Octets from inside a CMS object as a MIME entity with CRLF lines (RFC 8551 section 3.1.1).

    Content that has no CR at all gets CRLF line ends: some programs encrypt or sign text as it lies on
    their disk. Other lone CR or LF in the body become CRLF too, since the mail goes on by SMTP: NSS writes a
    lone CR at the end. In the header they raise UnreadableMail: programs would see different fields.
    """
    returns, feeds, pairs = _line_ends(content)
    if returns == feeds == pairs:
        return parse_message(content)
    if not returns:
        return parse_message(bytes(content).replace(b"\n", b"\r\n"))
    message = parse_message(content)
    if _is_der(message.body) and _is_labelled(message.headers, _CMS_TYPES, _CMS_FILE):
        return message  # the next layer, in binary (RFC 8551 section 3.1.2)
    lines = bytes(message.body).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return replace(message, body=memoryview(lines.replace(b"\n", b"\r\n")))


def _is_der(body: memoryview) -> bool:
    """It begins as a SEQUENCE does; base64 of one begins with M."""
    return len(body) > 0 and body[0] == 0x30


def _line_ends(content: memoryview) -> tuple[int, int, int]:
    """How many CR, LF and CRLF there are; counted in blocks, so that large content is not copied."""
    returns = feeds = pairs = 0
    octets = np.frombuffer(content, np.uint8)
    for start in range(0, len(octets), _BLOCK_BYTES):
        # One octet more, so that a pair across two blocks is seen.
        block = octets[start : start + _BLOCK_BYTES + 1]
        is_return, is_feed = block == 13, block == 10
        pairs += int(np.count_nonzero(is_return[:-1] & is_feed[1:]))
        returns += int(np.count_nonzero(is_return[:_BLOCK_BYTES]))
        feeds += int(np.count_nonzero(is_feed[:_BLOCK_BYTES]))
    return returns, feeds, pairs


def joined(pieces: Pieces) -> memoryview:
    """The octets in one buffer; a single piece stays where it is."""
    return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))


def _detached(message: Message, limits: CmsLimits) -> SignedEntity | None:
    parts = split_signed(message)
    if not _is_labelled(parts.signature.headers, _SIGNATURE_TYPES, _SIGNATURE_FILE):
        if content_type_of(message.headers).parameters.get("protocol"):
            raise UnreadableMail("the second part of the signed mail is no signature")
        return None
    signed = read_cms(decoded_body(parts.signature), limits)
    if not isinstance(signed, Signed):
        raise UnreadableCms("the signature of the mail is no SignedData")
    if signed.content is not None:
        # It would be judged by what it carries while readers see the first part (RFC 8551 section 3.5.3.1).
        raise UnreadableCms("a detached signature carries content of its own")
    entity = parse_message(parts.content)
    return SignedEntity(signed, (parts.content,), entity, detached=True, whole_body=parts.whole_body)


def _media_type(headers: HeaderBlock) -> str:
    """The type that the header says. Raises UnreadableMail when it says two and one of them is S/MIME: readers
    choose differently among several."""
    said = {parse_content_type(f.value.decode("latin-1")).media_type for f in headers.all("content-type")}
    if len(said) > 1 and (said & _SMIME_TYPES or (_NAMELESS_TYPE in said and _is_named(headers, _CMS_FILE))):
        raise UnreadableMail("an entity has two Content-Type fields that contradict each other")
    return said.pop() if len(said) == 1 else ""


def _is_labelled(headers: HeaderBlock, types: frozenset[str], file: re.Pattern[str]) -> bool:
    """Whether the header calls the entity one of these types, or octet-stream with such a file name."""
    media_type = _media_type(headers)
    return media_type in types or (media_type == _NAMELESS_TYPE and _is_named(headers, file))


def _is_named(headers: HeaderBlock, file: re.Pattern[str]) -> bool:
    """Whether a file name that a reader might show is of that kind."""
    return any(file.fullmatch(name) for name in file_names(headers))


def _encoding(text: str) -> str:
    return _COMMENT.sub("", text).partition(";")[0].strip(" \t\"'").lower()
