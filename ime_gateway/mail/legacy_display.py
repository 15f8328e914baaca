"""Shows a hidden subject to programs that do not know header protection (RFC 9788 section 5.2.2 and 5.2.3).

They would show `[...]` for ever. So the main text begins with the line "Subject: ..." (the Legacy
Display Element), marked so that other programs leave it out. Only the parts that a reader sees first
are touched; each keeps its charset and gets a transfer encoding that holds what it then says.
"""

import binascii
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.base64_body import decode_base64_body
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.content_type import parse_content_type, with_parameter
from ime_gateway.mail.encoded_words import known_codec
from ime_gateway.mail.headers import Field, HeaderBlock, without_controls
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk

_CHARSET = re.compile(rb';[ \t\r\n]*charset[ \t]*=[ \t]*(?:"[^"]*"|[^;\s]*)', re.IGNORECASE)
_PLACE = re.compile(rb"<!--|<(body|style|script|title)\b", re.IGNORECASE)
_TAG_END = re.compile(rb"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_CLOSING = {name: re.compile(rb"</" + name + rb"\b", re.IGNORECASE) for name in (b"style", b"script", b"title")}
_COMMENT_END = re.compile(rb"-->")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_LINE = 998
_MULTIPARTS = {"multipart/mixed": 1, "multipart/related": 1, "multipart/alternative": 16}
"""Where the main text is looked for, and in how many of the first parts (RFC 9787 section 7.1)."""


@dataclass(frozen=True, slots=True)
class Displayed:
    """A message with its main text changed."""

    headers: HeaderBlock
    """The Content-* fields of the message, changed where the message itself is the main text."""
    body: tuple[memoryview, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Rewritten:
    """One part anew."""

    headers: HeaderBlock
    body: tuple[memoryview, ...]


def with_legacy_display(message: Message, shown: Sequence[tuple[str, str]]) -> Displayed:
    """The message with header fields (name and decoded text) on top of its main text parts.

    A part whose encoding or charset cannot be read without guessing stays as it is, as does the whole
    message when its structure cannot be read; never raises. Linear in the size of the message.
    """
    lines = [f"{name}: {' '.join(without_controls(text).split())}" for name, text in shown]
    own = _content_fields(message.headers)
    try:
        parts = walk(message)
    except UnreadableMail:
        return Displayed(own, (message.body,))
    pieces: list[memoryview] = []
    place = 0
    for part in _main_texts(parts):
        rewritten = _rewrite(part, message.body[part.start : part.end], lines)
        if rewritten is None:
            continue
        if part.depth == 0:
            return Displayed(
                HeaderBlock(f for f in rewritten.headers.fields if f.key.startswith("content-")), rewritten.body
            )
        head = memoryview(rewritten.headers.to_bytes() + b"\r\n")
        pieces += [message.body[place : part.header_start], head, *rewritten.body]
        place = part.end
    pieces.append(message.body[place:])
    return Displayed(own, tuple(piece for piece in pieces if len(piece)))


def _content_fields(headers: HeaderBlock) -> HeaderBlock:
    return HeaderBlock(f for f in headers.fields if f.key.startswith("content-"))


def _main_texts(parts: Sequence[Part]) -> list[Part]:
    """The parts that a reader takes for the text of the mail, in their order."""
    found: list[Part] = []
    inside: dict[int, int] = {}  # multiparts on the way to the main text, and how many of their parts still count
    for part in parts:
        if part.parent is not None:
            room = inside.get(id(part.parent), 0)
            if room <= 0:
                continue
            inside[id(part.parent)] = room - 1
        if part.media_type in _MULTIPARTS:
            inside[id(part)] = _MULTIPARTS[part.media_type]
        elif part.media_type in ("text/plain", "text/html") and _is_shown(part):
            found.append(part)
    return found


def _is_shown(part: Part) -> bool:
    """It is neither an attachment nor marked already, and says once and to the end what it is."""
    if part.headers.fields and not part.headers.fields[-1].raw.endswith(b"\n"):
        return False
    disposition = part.headers.first("content-disposition")
    if disposition is not None and disposition.text.partition(";")[0].strip().lower() == "attachment":
        return False
    single = len(part.headers.all("content-type")) <= 1 and len(part.headers.all("content-transfer-encoding")) <= 1
    return single and "hp-legacy-display" not in part.parameters


def _rewrite(part: Part, body: memoryview, lines: Sequence[str]) -> _Rewritten | None:
    """The part with the lines on top; None when that cannot be done faithfully."""
    charset = part.parameters.get("charset", "us-ascii")
    codec = known_codec(charset)
    if codec is None or "Subject:\r\n".encode(codec, "replace") != b"Subject:\r\n":
        return None
    if part.media_type == "text/html":
        return _rewrite_html(part, body, lines)
    text = "".join(f"{line}\r\n" for line in lines) + "\r\n"
    try:
        return _on_top(part, body, text.encode(codec), _headers(part, None))
    except UnicodeEncodeError:
        return _in_utf8(part, body, text, codec) or _on_top(
            part, body, text.encode(codec, "replace"), _headers(part, None)
        )


def _on_top(part: Part, body: memoryview, prefix: bytes, headers: HeaderBlock | None) -> _Rewritten | None:
    """Octets before the text, in the text's own charset."""
    if headers is None:
        return None
    match part.encoding:
        case "quoted-printable":  # joins without a seam, as the prefix ends a line
            return _Rewritten(headers, (_quoted(prefix), body))
        case "7bit" | "8bit" | "binary" | "":
            short = len(max(prefix.split(b"\r\n"), key=len)) <= _LONGEST_LINE
            if part.encoding == "binary" or (short and (part.encoding == "8bit" or prefix.isascii())):
                return _Rewritten(headers, (memoryview(prefix), body))
            return _as_base64(headers, (memoryview(prefix), body))
        case "base64":
            decoded = _decoded(part, body)
            return _as_base64(headers, (memoryview(prefix), decoded)) if decoded is not None else None
    return None


def _in_utf8(part: Part, body: memoryview, text: str, codec: str) -> _Rewritten | None:
    """The whole text in UTF-8, when its own charset lacks letters of the subject; None where it breaks its charset."""
    decoded = _decoded(part, body)
    headers = _headers(part, b'charset="utf-8"')
    if decoded is None or headers is None:
        return None
    try:
        whole = text + bytes(decoded).decode(codec)
    except UnicodeDecodeError:
        return None
    return _as_base64(headers, (memoryview(whole.encode("utf-8")),))


def _rewrite_html(part: Part, body: memoryview, lines: Sequence[str]) -> _Rewritten | None:
    """HTML: a block of its own behind `<body>`, in ASCII, which every charset here holds."""
    decoded, headers = _decoded(part, body), _headers(part, None)
    if decoded is None or headers is None:
        return None
    said = "\r\n".join(html.escape(line, quote=False) for line in lines)
    block = f'\r\n<div class="header-protection-legacy-display">\r\n<pre>{said}</pre>\r\n</div>\r\n'
    octets = memoryview(block.encode("ascii", "xmlcharrefreplace"))
    place = _body_start(decoded)
    pieces = (decoded[:place], octets, decoded[place:])
    untouched = part.encoding in ("7bit", "8bit", "binary", "")
    if untouched and len(max(bytes(octets).split(b"\r\n"), key=len)) <= _LONGEST_LINE:
        return _Rewritten(headers, pieces)
    return _as_base64(headers, pieces)


def _body_start(page: memoryview) -> int:
    """Where the visible text of an HTML page begins: behind `<body ...>`, else at the start. In one pass."""
    at = 0
    while (found := _PLACE.search(page, at)) is not None:
        name = (found[1] or b"").lower()
        if name == b"body":
            end = _TAG_END.match(page, found.end())
            return end.end() if end else 0
        end = (_CLOSING[name] if name else _COMMENT_END).search(page, found.end())
        if end is None:
            break
        at = end.end()
    return len(_BYTE_ORDER_MARK) if bytes(page[:3]) == _BYTE_ORDER_MARK else 0


def _decoded(part: Part, body: memoryview) -> memoryview | None:
    """The text behind the transfer encoding; None when that is broken or unknown."""
    match part.encoding:
        case "7bit" | "8bit" | "binary" | "":
            return body
        case "quoted-printable":
            return memoryview(binascii.a2b_qp(body))
        case "base64":
            try:
                return decode_base64_body(body)
            except UnreadableMail:
                return None
    return None


def _quoted(octets: bytes) -> memoryview:
    """Whole lines in quoted-printable (RFC 2045 section 6.7) with CRLF."""
    quoted = binascii.b2a_qp(octets.replace(b"\r\n", b"\n"), istext=True)
    return memoryview(quoted.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def _as_base64(headers: HeaderBlock, pieces: Sequence[memoryview]) -> _Rewritten:
    encoding = Field("Content-Transfer-Encoding", b"Content-Transfer-Encoding: base64\r\n")
    text = b"".join(encode_lines(pieces))
    return _Rewritten(headers.replace("Content-Transfer-Encoding", encoding), (memoryview(text),))


def _headers(part: Part, charset: bytes | None) -> HeaderBlock | None:
    """The part's header with the mark, and another charset where one is given; None if the field resists."""
    old = part.headers.first("content-type")
    raw = old.raw if old is not None else b'Content-Type: text/plain; charset="us-ascii"'
    if charset is not None:
        raw = with_parameter(_CHARSET.sub(b"", raw), charset)
    new = Field("Content-Type", with_parameter(raw, b'hp-legacy-display="1"'))
    try:
        said = parse_content_type(new.value.decode("latin-1"))
    except UnreadableMail:  # the field was full already
        return None
    wanted = {"charset": "us-ascii", **part.parameters, "hp-legacy-display": "1"}
    if charset is not None:
        wanted["charset"] = "utf-8"
    if said.media_type != part.media_type or {"charset": "us-ascii", **said.parameters} != wanted:
        return None
    return part.headers.replace("Content-Type", new)
