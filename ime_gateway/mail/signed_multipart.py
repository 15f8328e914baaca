"""Cuts multipart/signed into what is signed and its signature (RFC 1847 section 2.1), byte for byte.

A signature covers the first part only. Whatever else stands in the body (further parts, text around
them) is shown by some mail programs as if it were signed too, so it is said here that it is there.
"""

import re
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.message import Message, parse_message

_MAX_PARTS = 64
"""Parts that are counted; a signed body has two."""
_MAX_MENTIONS = 100_000
"""Places with the boundary's text that are looked at; beyond, looking at each would stop the worker."""
_IDENTITY = ("", "7bit", "8bit", "binary")
_NOTICE = re.compile(rb"[^\r\n<]{0,120}MIME[^\r\n<]{0,120}", re.IGNORECASE)
"""The one line that programs write for readers that do not know MIME ("This is an S/MIME signed message")."""
_LOOK_BYTES = 1_000
_BLANK = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class SignedMultipart:
    """The two parts of a multipart/signed."""

    content: memoryview
    """The first part with its header, without the line break before the boundary: what is signed."""
    signature: Message
    """The second part."""
    whole_body: bool
    """Nothing else stands in the body: no further part, no text before or behind, no line that some readers would
    take for a boundary."""


def split_signed(message: Message) -> SignedMultipart:
    """Cut the body of a multipart/signed at its boundary; nothing is copied but the signature's header.

    A line belongs to the boundary when it is the boundary line and nothing else (RFC 2046 section
    5.1.1). Raises UnreadableMail without boundary or second part, and for a transfer encoding on the
    multipart itself, which section 6.4 of RFC 2045 forbids.
    """
    encoding = message.headers.first("content-transfer-encoding")
    if encoding is not None and encoding.text.strip().lower() not in _IDENTITY:
        raise UnreadableMail("a signed multipart is encoded as a whole")
    content_type = content_type_of(message.headers)
    boundary = content_type.parameters.get("boundary", "").rstrip().encode("latin-1", "replace")
    if not boundary or len(boundary) > _LOOK_BYTES:
        raise UnreadableMail("a signed multipart has no boundary")
    cuts, closed, doubtful = _cuts(message.body, boundary)
    if len(cuts) < 3:
        raise UnreadableMail("a signed multipart has not two complete parts")
    body = message.body
    first, second, behind = cuts[:3]
    nothing_else = closed and len(cuts) == 3 and _is_notice(body[: first[0]]) and not _has_text(body[behind[1] :])
    return SignedMultipart(
        content=body[first[1] : max(first[1], second[0])],
        signature=parse_message(body[second[1] : max(second[1], behind[0])]),
        whole_body=nothing_else and not doubtful,
    )


def _cuts(body: memoryview, boundary: bytes) -> tuple[list[tuple[int, int]], bool, bool]:
    """Where each delimiter starts (with the line break before it) and ends, whether the last one closes the multipart,
    and whether a line is a delimiter for some readers only: it goes on behind the boundary, which RFC 2046 section
    5.1.1 lets them overlook, or is set off by a lone CR or LF."""
    cuts: list[tuple[int, int]] = []
    doubtful = False
    for count, match in enumerate(re.finditer(rb"--" + re.escape(boundary) + rb"([^\n]*\n?)", body)):
        if count > _MAX_MENTIONS:
            raise UnreadableMail("a signed multipart mentions its boundary too often")
        start = match.start()
        before = bytes(body[max(start - 2, 0) : start])
        if before and before[-1:] not in b"\r\n":
            continue  # in the middle of a line
        rest = match[1].removesuffix(b"\r\n").rstrip(b" \t")
        if before not in (b"", b"\r\n") or rest not in (b"", b"--"):
            doubtful = True
            continue
        if len(cuts) >= _MAX_PARTS:
            raise UnreadableMail(f"a signed multipart has more than {_MAX_PARTS} parts")
        cuts.append((start - len(before), match.end()))
        if rest:
            return cuts, True, doubtful
    return cuts, False, doubtful


def _is_notice(preamble: memoryview) -> bool:
    """Nothing, or what programs write there by custom."""
    if not _has_text(preamble):
        return True
    return len(preamble) <= _LOOK_BYTES and _NOTICE.fullmatch(bytes(preamble).strip(_BLANK)) is not None


def _has_text(around: memoryview) -> bool:
    """More than blanks stand there."""
    return any(bytes(around[at : at + 65_536]).strip(_BLANK) for at in range(0, len(around), 65_536))
