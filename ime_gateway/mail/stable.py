"""Makes a MIME entity stable enough to be signed in the open: 7 bits, short lines, nothing that servers change.

A detached signature covers bytes, and mail servers on the way convert 8-bit text, strip blanks at line ends, write
`>From` for `From` and break long lines (RFC 8551 section 3.1.3, RFC 1847 section 2.1, RFC 2045 section 6.7). Each of
these makes a good signature look forged. So texts that could be hit are written anew in quoted-printable, everything
else in base64, before the signature is made; what decodes out of it is the same.
"""

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.base64_body import decode_base64_body
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk

_LONGEST_LINE = 998
_UNSTABLE = re.compile(
    rb"[\x00\x80-\xff]|[ \t](?:\r\n|\Z)|\r(?!\n)|(?<!\r)\n|(?:\A|\n)(?:From |[^\r\n]{%d})" % (_LONGEST_LINE + 1)
)
"""What some server changes. Lines are measured from their beginning only, so the search is linear."""
_TRAILING_BLANKS = re.compile(rb"(?:\r\n)?(?<![ \t])[ \t]++(?=\r\n)")
"""With the line break before it when nothing else stands in the line: an empty line would end the header."""
_PADDING = re.compile(rb"(?<![ \t])[ \t]++(?=\r\n|\Z)")
"""RFC 2045 section 6.7, rule 3: blanks at the end of a quoted-printable line were added on the way."""
_FROM = re.compile(rb"^From ", re.MULTILINE)
_IDENTITY = ("7bit", "8bit", "binary", "")
_SEALED = ("multipart/signed", "multipart/encrypted")
_SMALL_BYTES = 4_096
_BLOCK_BYTES = 1_048_576
_LONGEST_GAP = 4_096
_MOSTLY_TEXT = 4
"""Quoted-printable trebles each byte beyond ASCII, base64 lengthens all by a third: this is where they meet, nearly."""


@dataclass(frozen=True, slots=True)
class StableEntity:
    """An entity ready to be signed."""

    headers: HeaderBlock
    body: tuple[memoryview, ...] = field(repr=False)
    stable: bool
    """False: something in it could not be written anew (a signed part, a header beyond ASCII), so only a signature
    with the content inside, as one block of base64, is safe on the way."""


def stable_entity(headers: HeaderBlock, body: memoryview) -> StableEntity:
    """The entity with every part made safe for the way, and whether that succeeded for all of it.

    headers: of the entity itself, the line end of the last included. What is signed or encrypted inside keeps every
    byte (P7). Never raises; linear in the size.
    """
    try:
        parts = walk(Message(headers, body))
    except UnreadableMail:
        return StableEntity(headers, (body,), stable=False)
    pieces: list[memoryview] = []
    place = 0
    own = _trimmed(headers)
    untouchable = _untouchable(parts)
    parents = {id(part.parent) for part in parts}
    for part in parts:
        if id(part) in untouchable:
            continue
        is_leaf = id(part) not in parents and not part.media_type.startswith(("multipart/", "message/"))
        content = body[part.start : part.end]
        rewritten = _rewrite(part, content) if is_leaf and _is_unstable(content) else None
        changed = _relabelled(_trimmed(part.headers), part, rewritten)
        if part.depth == 0:
            own = changed
        elif part.start > part.header_start:
            pieces.append(_between(body, place, part.header_start))
            pieces.append(memoryview(changed.to_bytes() + _separator(body, part)))
            place = part.start
        if rewritten is not None:
            pieces.append(_between(body, place, part.start))
            pieces += rewritten.body
            place = part.end
    pieces.append(_between(body, place, len(body)))
    whole = tuple(piece for piece in pieces if len(piece))
    stable = not _is_unstable(own.to_bytes()) and not any(map(_is_unstable, whole))
    return StableEntity(own, whole, stable)


@dataclass(frozen=True, slots=True)
class _Rewritten:
    """The content of one part anew."""

    encoding: bytes
    body: tuple[memoryview, ...]


def _is_unstable(octets: memoryview | bytes) -> bool:
    if len(octets) < _SMALL_BYTES:
        return _UNSTABLE.search(octets) is not None
    view = memoryview(octets)
    start = 0
    while start < len(view):
        end = start + _BLOCK_BYTES
        if end < len(view):
            rest = bytes(view[end : end + _LONGEST_LINE + 2])
            end += rest.find(b"\n") + 1 if b"\n" in rest else len(rest)
            if b"\n" not in rest and end < len(view):
                return True  # a line that is too long
        if _has_unstable_line(view[start:end]):
            return True
        start = end
    return False


def _has_unstable_line(lines: memoryview) -> bool:
    """The same question for a block of whole lines, fifty times as fast: an attachment has millions."""
    octets = np.frombuffer(lines, np.uint8)
    if octets.max() >= 0x80 or octets.min() == 0:
        return True
    feeds, returns = np.flatnonzero(octets == 0x0A), np.flatnonzero(octets == 0x0D)
    if len(feeds) != len(returns) or not (returns + 1 == feeds).all():
        return True
    ends = np.concatenate((returns, [len(octets)]))
    starts = np.concatenate(([0], feeds + 1))
    if int((ends - starts).max()) > _LONGEST_LINE:
        return True
    last = octets[np.maximum(ends - 1, 0)]
    if ((last == 0x20) | (last == 0x09)).any():
        return True
    text = bytes(lines)
    return text.startswith(b"From ") or b"\nFrom " in text


def _untouchable(parts: Sequence[Part]) -> set[int]:
    """Parts inside what is signed or encrypted, that itself included, unless it is the whole entity's own header."""
    found: set[int] = set()
    for part in parts:
        sealed_above = part.parent is not None and id(part.parent) in found
        if sealed_above or part.media_type in _SEALED or _is_encoded_message(part):
            found.add(id(part))
    return found


def _is_encoded_message(part: Part) -> bool:
    """A message or multipart with a transfer encoding, against RFC 2045 section 6.4: its parts are not where they
    seem to be."""
    composite = part.embeds_message or part.media_type.startswith("multipart/")
    return composite and part.encoding not in _IDENTITY


def _between(body: memoryview, start: int, end: int) -> memoryview:
    """What lies between parts: boundaries, whose trailing blanks are padding (RFC 2046 section 5.1.1), and text that
    nobody reads. Parts that stay as they are lie here too; blanks at their line ends are not touched."""
    gap = body[start:end]
    if len(gap) > _LONGEST_GAP or (b" \r\n" not in bytes(gap) and b"\t\r\n" not in bytes(gap)):
        return gap
    lines = bytes(gap).split(b"\r\n")
    if all(line.startswith(b"--") or not line.strip(b" \t") for line in lines):
        return memoryview(b"\r\n".join(line.rstrip(b" \t") for line in lines))
    return gap


def _separator(body: memoryview, part: Part) -> bytes:
    """The empty line behind a header; a part that ended in its header has none."""
    return bytes(body[part.header_start + len(part.headers.to_bytes()) : part.start])


def _trimmed(headers: HeaderBlock) -> HeaderBlock:
    """Without blanks at line ends, which mail programs like to write behind a semicolon."""
    return HeaderBlock(
        Field(one.name, _TRAILING_BLANKS.sub(b"", one.raw)) if b" \r\n" in one.raw or b"\t\r\n" in one.raw else one
        for one in headers.fields
    )


def _relabelled(headers: HeaderBlock, part: Part, rewritten: _Rewritten | None) -> HeaderBlock:
    """The header with the transfer encoding as it is now."""
    if rewritten is not None:
        encoding = rewritten.encoding
    elif part.encoding in ("8bit", "binary"):
        encoding = b"7bit"
    else:
        return headers
    text = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return headers.replace("Content-Transfer-Encoding", Field("Content-Transfer-Encoding", text))


def _rewrite(part: Part, content: memoryview) -> _Rewritten | None:
    """The content in another encoding; None when what it says cannot be told without guessing."""
    if len(part.headers.all("content-transfer-encoding")) > 1:
        return None
    match part.encoding:
        case "7bit" | "8bit" | "binary" | "":
            octets = content
        case "quoted-printable":
            octets = memoryview(binascii.a2b_qp(_PADDING.sub(b"", content)))
        case "base64":
            try:
                octets = decode_base64_body(content)
            except UnreadableMail:
                return None
        case _:
            return None
    if part.media_type.startswith("text/") and _reads_well_quoted(octets):
        return _Rewritten(b"quoted-printable", (_quoted(bytes(octets)),))
    return _Rewritten(b"base64", (memoryview(b"".join(encode_lines([octets]))),))


def _reads_well_quoted(octets: memoryview) -> bool:
    """Mostly ASCII, with line ends as text has them; quoted-printable can hold no others (RFC 2045 section 6.7)."""
    if re.search(rb"\x00|\r(?!\n)|(?<!\r)\n", octets):
        return False
    beyond = len(octets) - len(bytes(octets).translate(None, bytes(range(128, 256))))
    return beyond * _MOSTLY_TEXT <= len(octets)


def _quoted(octets: bytes) -> memoryview:
    """Text with CRLF line ends in quoted-printable. `From ` at the beginning of a line is cut in two, so that no line
    grows beyond the 76 characters that are allowed."""
    quoted = binascii.b2a_qp(octets.replace(b"\r\n", b"\n"), istext=True)
    return memoryview(_FROM.sub(b"=46=\nrom ", quoted).replace(b"\n", b"\r\n"))
