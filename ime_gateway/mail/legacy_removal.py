"""Takes the subject out of the text again that a sender put there for programs without header protection (RFC 9788).

The Legacy Display Element (sections 2.1.2 and 5.2.2) repeats hidden header fields on top of the main text, for readers
whose programs would show `[...]`. Once the gateway has restored the real subject it is only in the way, and a program
that would leave it out does not know any more that it should.
"""

import quopri
import re
from typing import Final

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.base64_body import decode_base64_body
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.content_type import parse_content_type
from ime_gateway.mail.encoded_words import known_codec
from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk

_PARAMETER = re.compile(rb';[ \t\r\n]*hp-legacy-display[ \t]*=[ \t]*(?:"[^"]*"|[^;\s]*)', re.IGNORECASE)
_SHOWN: Final = ("subject", "from", "to", "cc", "date", "reply-to", "keywords", "comments", "sender", "followup-to")
"""Fields that people see (RFC 9788 section 1.1); other lines on top are text."""
_LINES = re.compile(
    rb"(?:(?:" + "|".join(_SHOWN).encode("ascii") + rb"):[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*)+\r?\n", re.IGNORECASE
)
_BLOCK_START = re.compile(rb'(?:\r?\n)?<div class="?header-protection-legacy-display"?[^<>]{0,200}>', re.IGNORECASE)
_BLOCK_END = re.compile(rb"</div>(?:\r?\n)?", re.IGNORECASE)
_LONGEST = 65_536
_AS_IS = ("7bit", "8bit", "binary", "")


def without_legacy_display(message: Message) -> Message:
    """The message without marked elements on top of its texts; itself when there is none that can be taken out
    faithfully. Never raises. Linear in the size of the message."""
    try:
        parts = [part for part in walk(message) if _is_marked(part)]
    except UnreadableMail:
        return message
    pieces: list[bytes | memoryview] = []
    place = 0
    for part in parts:
        rewritten = _rewritten(part, message.body[part.start : part.end])
        if rewritten is None:
            continue
        headers, body = rewritten
        if part.depth == 0:
            return Message(headers, memoryview(body))
        pieces += [message.body[place : part.header_start], headers.to_bytes(), b"\r\n", body]
        place = part.end
    if not pieces:
        return message
    return Message(message.headers, memoryview(b"".join((*pieces, message.body[place:]))), message.ends_in_header)


def _is_marked(part: Part) -> bool:
    return (
        part.media_type in ("text/plain", "text/html")
        and part.parameters.get("hp-legacy-display") == "1"
        and len(part.headers.all("content-type")) == 1
        and len(part.headers.all("content-transfer-encoding")) <= 1
    )


def _rewritten(part: Part, body: memoryview) -> tuple[HeaderBlock, bytes] | None:
    headers, text = _unmarked(part), _decoded(part, body)
    codec = known_codec(part.parameters.get("charset", "us-ascii"))
    if headers is None or text is None or codec is None or "Subject:".encode(codec, "replace") != b"Subject:":
        return None
    rest = _rest_of_text(text) if part.media_type == "text/plain" else _rest_of_page(text)
    if rest is None:
        return None
    if part.encoding in _AS_IS:
        return headers, rest
    encoding = Field("Content-Transfer-Encoding", b"Content-Transfer-Encoding: base64\r\n")
    return headers.replace("Content-Transfer-Encoding", encoding), b"".join(encode_lines((memoryview(rest),)))


def _rest_of_text(text: bytes) -> bytes | None:
    """Behind the lines on top and the empty line that ends them."""
    found = _LINES.match(text, 0, _LONGEST)
    return text[found.end() :] if found else None


def _rest_of_page(page: bytes) -> bytes | None:
    """Without the marked block, which holds no other block (section 5.2.2.2)."""
    start = _BLOCK_START.search(page)
    end = _BLOCK_END.search(page, start.end(), start.end() + _LONGEST) if start else None
    return page[: start.start()] + page[end.end() :] if start and end else None


def _unmarked(part: Part) -> HeaderBlock | None:
    old = part.headers.first("content-type")
    if old is None:
        return None
    new = Field(old.name, _PARAMETER.sub(b"", old.raw))
    try:
        said = parse_content_type(new.value.decode("latin-1"))
    except UnreadableMail:
        return None
    kept = {name: value for name, value in part.parameters.items() if name != "hp-legacy-display"}
    if said.media_type != part.media_type or said.parameters != kept:
        return None
    return part.headers.replace("Content-Type", new)


def _decoded(part: Part, body: memoryview) -> bytes | None:
    if part.encoding in _AS_IS:
        return bytes(body)
    try:
        if part.encoding == "base64":
            return bytes(decode_base64_body(body))
    except UnreadableMail:
        return None
    return quopri.decodestring(bytes(body)) if part.encoding == "quoted-printable" else None
