"""The original message inside a container's signed entity: found in every shape that programs wrap it in.

A message/rfc822 part, an attached *.eml, a multipart/mixed that holds nothing but one of these, or the signed entity
itself when it has the headers of a message (RFC 8551 section 3.1, reference shapes of IME 2.0). Two possible messages
are one too many: which of them was meant is never guessed. To be asked only after the signature was found intact.
"""

import re
from dataclasses import dataclass, field

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.ime.container import ContainerFault
from ime_gateway.ime.restore import wordless
from ime_gateway.mail.author import Author, read_author
from ime_gateway.mail.content_type import content_type_of, file_names
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk
from ime_gateway.mail.recognise import is_calendar, is_tnef, protection_of
from ime_gateway.mail.transfer_encoding import decode_transfer
from ime_gateway.smime.entity import cms_object, decoded_body, read_entity
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import Enveloped

_MAX_PARTS = 10_000
_MESSAGE_FILE = re.compile(r".+\.eml", re.IGNORECASE | re.DOTALL)
_BLANK_BYTES = 1_024
"""Outlook puts an empty text beside attachments; more than so many bytes are no empty text."""


@dataclass(frozen=True, slots=True)
class InnerMessage:
    """The original as its sender wrote it."""

    message: Message = field(repr=False)
    author: Author


def inner_message(entity: Message) -> InnerMessage | ContainerFault | None:
    """The message in a signed entity; None when there is none (a plain signed text, perhaps an answer to a challenge).

    Refuses what IME mail may not be: encrypted again, winmail.dat, an invitation (design 6.5, fact 4). No fault quotes
    the message: it was encrypted, and logs are not.
    """
    try:
        message = _find(entity)
        if message is None or isinstance(message, ContainerFault):
            return message
        unfit = _unfit(message)
    except UnreadableMail as error:
        return ContainerFault(Reason.IME_MALFORMED, f"the message inside: {wordless(error)}")
    try:
        return unfit or InnerMessage(message, read_author(message.headers))
    except UnreadableMail as error:
        return ContainerFault(Reason.FROM_AMBIGUOUS, f"the message inside: {wordless(error)}")


def _find(entity: Message) -> Message | ContainerFault | None:
    itself = _is_wrapped(entity)
    if entity.headers.first("from") is not None:
        if itself:
            return _ambiguous()
        return entity
    if itself:
        return _unwrap(entity)
    if content_type_of(entity.headers).media_type != "multipart/mixed":
        return _layered(entity)
    parts = walk(entity, max_parts=_MAX_PARTS)
    children = [part for part in parts if part.parent is parts[0]]
    wrapped = [part for part in children if _is_wrapped(_as_message(entity, part))]
    if not wrapped:
        return None
    if len(wrapped) > 1 or any(part not in wrapped and not _is_blank(entity, part) for part in children):
        return _ambiguous()
    return _unwrap(_as_message(entity, wrapped[0]))


def _layered(entity: Message) -> ContainerFault | None:
    """One signature, one encryption: a further layer around the message is no container."""
    if protection_of(entity) == "none" and cms_object(entity) is None:
        return None
    return ContainerFault(Reason.IME_NESTED, "what is signed is signed or encrypted again instead of a message")


def _ambiguous() -> ContainerFault:
    return ContainerFault(Reason.IME_MALFORMED, "more stands inside than exactly one message")


def _is_wrapped(entity: Message) -> bool:
    """It is a message/rfc822, or a file named *.eml."""
    media_type = content_type_of(entity.headers).media_type
    if media_type == "message/rfc822":
        return True
    return media_type == "application/octet-stream" and any(
        _MESSAGE_FILE.fullmatch(name) for name in file_names(entity.headers)
    )


def _unwrap(entity: Message) -> Message:
    """The message in a message/rfc822 or *.eml; RFC 2046 section 5.2.1 forbids to encode it, some programs do."""
    said = entity.headers.first("content-transfer-encoding")
    encoded = said is not None and said.text.strip().lower() in ("base64", "quoted-printable")
    return read_entity(decoded_body(entity) if encoded else entity.body)


def _is_blank(entity: Message, part: Part) -> bool:
    """An empty text: nothing that a reader of the container could have seen."""
    if part.media_type != "text/plain" or part.end - part.start > _BLANK_BYTES:
        return False
    return not decode_transfer(entity.body[part.start : part.end], part.encoding).strip()


def _as_message(entity: Message, part: Part) -> Message:
    return Message(part.headers, entity.body[part.start : part.end])


def _is_encrypted(message: Message) -> bool:
    """By what the octets are, however they are labelled; what cannot be read counts as encrypted unless it is known as
    signed, since octets may have suffered from line ends on the way to us."""
    octets = cms_object(message)
    if octets is None:
        return False
    try:
        return isinstance(read_cms(octets), Enveloped)
    except UnreadableCms:
        return protection_of(message) != "smime-signed"


def _unfit(message: Message) -> ContainerFault | None:
    if _is_encrypted(message):
        return ContainerFault(Reason.IME_NESTED, "the message inside is encrypted itself")
    parts = walk(message, max_parts=_MAX_PARTS)
    if is_tnef(message, parts):
        return ContainerFault(Reason.IME_TNEF, "the message inside contains winmail.dat")
    if is_calendar(message, parts):
        return ContainerFault(Reason.IME_CALENDAR, "the message inside is an invitation or an answer to one")
    return None
