"""The parts of a message as places in its bytes (RFC 2046), found in one pass over the body.

Nothing is copied but header blocks. All lines that begin with `--` are looked up among the open
boundaries, so time is linear in the body however deep multiparts nest. Where readers differ, the
view is the widest: text after a closing boundary that looks like a part is one, a missing closing
boundary ends at the next outer one (RFC 2046 section 5.1.2).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.content_type import PARAMETER_FIELDS, content_type_of
from ime_gateway.mail.headers import MAX_BLOCK_BYTES, HeaderBlock, parse_fields
from ime_gateway.mail.message import Message

MAX_PARTS = 10_000
MAX_FIELDS_IN_ALL = 50_000
"""Header fields of all parts together; beyond, a small message would fill the memory."""
MAX_HEADER_BYTES_IN_ALL = 8 << 20
"""Header bytes of all parts together; enough for a thousand forwarded mails."""
MAX_PARAMETERS_IN_ALL = 50_000
"""Semicolons in the fields with parameters of all parts together, at least as many as there are parameters."""
MAX_DASH_LINES = 2_000_000
"""Lines that begin with `--` in one message; beyond, looking at each would stop the worker."""

_DASH_LINE = re.compile(rb"\r\n--([^\r\n]*)")
_FIRST_LINE = re.compile(rb"--([^\r\n]*)")
_EMPTY_LINE = re.compile(rb"\r\n\r\n")

_REPORTS = frozenset(
    f"message/{kind}"
    for kind in (
        "delivery-status",
        "global-delivery-status",
        "disposition-notification",
        "global-disposition-notification",
        "feedback-report",
        "tracking-status",
    )
)
"""Message types that hold fields about a mail instead of a mail (RFC 3464, 8098, 5965)."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One entity of the tree; offsets count bytes of the top message's body."""

    headers: HeaderBlock
    media_type: str
    header_start: int
    """Where its header begins; 0 for the top part, whose header lies outside of the body."""
    start: int
    end: int
    depth: int
    """0 for the top part."""
    parent: "Part | None"

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters of its Content-Type, by lower-case name."""
        return content_type_of(self.headers).parameters

    @property
    def encoding(self) -> str:
        """Its Content-Transfer-Encoding in lower case (RFC 2045 section 6.1)."""
        field = self.headers.first("content-transfer-encoding")
        return field.text.partition(";")[0].strip().lower() if field else "7bit"

    @property
    def embeds_message(self) -> bool:
        """Its body is a message with a header of its own."""
        return embeds_message(self.media_type)


def embeds_message(media_type: str) -> bool:
    """Whether bodies of this type begin with the header of another message (RFC 2046 section 5.2)."""
    return media_type == "text/rfc822-headers" or (media_type.startswith("message/") and media_type not in _REPORTS)


def walk(message: Message, max_depth: int = 50, max_parts: int = MAX_PARTS) -> list[Part]:
    """All parts in the order in which they begin, the whole message first.

    Raises UnreadableMail beyond the limits, or when a part says in two ways what it is.
    """
    return _Walk(message, max_depth, max_parts).parts()


@dataclass(slots=True)
class _Draft:
    """A part whose end is not known yet."""

    headers: HeaderBlock
    media_type: str
    header_start: int
    start: int
    end: int
    depth: int
    parent: int


@dataclass(frozen=True, slots=True)
class _Header:
    """A header that begins here and whose end is still to be met."""

    start: int
    parent: int


class _Walk:
    """The state of one pass."""

    def __init__(self, message: Message, max_depth: int, max_parts: int) -> None:
        self._message = message
        self._body = message.body
        self._max_depth = max_depth
        self._max_parts = max_parts
        self._drafts: list[_Draft] = []
        self._open: list[int] = []  # drafts that contain the place we are at, outermost first
        self._frames: list[tuple[bytes, int]] = []  # boundary, and its multipart's place in _open
        self._levels: dict[bytes, int] = {}  # boundary -> place in _frames
        self._expected: _Header | None = None
        self._empty_line = -1  # the last empty line that was found; places only grow
        self._fields = 0
        self._header_bytes = 0
        self._parameters = 0

    def parts(self) -> list[Part]:
        """Run the pass and freeze the result."""
        self._begin(self._message.headers, 0, 0, -1)
        if self._frames or self._expected:
            self._scan()
            self._read_headers_before(len(self._body) + 1)
            if self._expected:
                self._read_header(self._expected, len(self._body), len(self._body))
        self._close_above(0, len(self._body))
        parts: list[Part] = []
        for d in self._drafts:
            parent = parts[d.parent] if d.parent >= 0 else None
            parts.append(Part(d.headers, d.media_type, d.header_start, d.start, d.end, d.depth, parent))
        return parts

    def _scan(self) -> None:
        if first := _FIRST_LINE.match(self._body):
            self._dash_line(-2, first)
        for count, match in enumerate(_DASH_LINE.finditer(self._body)):
            if count > MAX_DASH_LINES:
                raise UnreadableMail("the message has too many lines that look like boundaries")
            if not self._frames and not self._expected:
                return
            self._dash_line(match.start(), match)

    def _dash_line(self, line_break: int, match: re.Match[bytes]) -> None:
        """A line that begins with `--`, after the line break at that place."""
        line_start = line_break + 2
        self._read_headers_before(line_start)
        line = match[1].rstrip(b" \t")
        level = self._levels.get(line)
        closing = level is None and line.endswith(b"--")
        if closing:
            level = self._levels.get(line[:-2].rstrip(b" \t"))
        if level is None:
            return
        if self._expected:  # the boundary comes before the empty line: a part of headers only
            self._read_header(self._expected, line_start, line_start)
        place = self._frames[level][1]
        self._close_above(place + 1, max(line_break, 0))
        self._expected = None
        if not closing:
            self._expected = _Header(min(match.end() + 2, len(self._body)), self._open[place])

    def _read_headers_before(self, limit: int) -> None:
        """Read the expected header, and those of messages inside it, that end before the limit."""
        while (header := self._expected) is not None:
            if bytes(self._body[header.start : header.start + 2]) == b"\r\n":
                block_end, start = header.start, header.start + 2
            else:
                if self._empty_line < header.start:
                    found = _EMPTY_LINE.search(self._body, header.start)
                    self._empty_line = found.start() if found else len(self._body) + 1
                block_end, start = self._empty_line + 2, self._empty_line + 4
            if start > min(limit, len(self._body)):
                return
            self._read_header(header, block_end, start)

    def _read_header(self, header: _Header, block_end: int, start: int) -> None:
        self._expected = None
        if block_end - header.start > MAX_BLOCK_BYTES:
            raise UnreadableMail(f"the header of a part is larger than {MAX_BLOCK_BYTES} bytes")
        self._header_bytes += block_end - header.start
        if self._header_bytes > MAX_HEADER_BYTES_IN_ALL:
            raise UnreadableMail(f"the headers of all parts are larger than {MAX_HEADER_BYTES_IN_ALL} bytes")
        headers = parse_fields(bytes(self._body[header.start : block_end]))
        self._fields += len(headers.fields)
        if self._fields > MAX_FIELDS_IN_ALL:
            raise UnreadableMail(f"the parts of the message have more than {MAX_FIELDS_IN_ALL} header fields")
        self._begin(headers, header.start, start, header.parent)

    def _begin(self, headers: HeaderBlock, header_start: int, start: int, parent: int) -> None:
        above = self._drafts[parent] if parent >= 0 else None
        depth = above.depth + 1 if above else 0
        if depth > self._max_depth:
            raise UnreadableMail(f"the message nests deeper than {self._max_depth} parts")
        if len(self._drafts) >= self._max_parts:
            raise UnreadableMail(f"the message has more than {self._max_parts} parts")
        self._count_parameters(headers)
        # RFC 2046 section 5.1.5: the parts of a digest are messages unless they say otherwise.
        default = "message/rfc822" if above and above.media_type == "multipart/digest" else "text/plain"
        content_type = content_type_of(headers, default)
        number = len(self._drafts)
        self._drafts.append(_Draft(headers, content_type.media_type, header_start, start, start, depth, parent))
        self._open.append(number)
        if content_type.media_type.startswith("multipart/"):
            boundary = content_type.parameters.get("boundary", "").rstrip().encode("latin-1", "replace")
            if boundary and boundary not in self._levels:  # the outer multipart owns a boundary used twice
                self._levels[boundary] = len(self._frames)
                self._frames.append((boundary, len(self._open) - 1))
        elif embeds_message(content_type.media_type):
            self._expected = _Header(start, number)

    def _count_parameters(self, headers: HeaderBlock) -> None:
        """Before any of them is read, here or later: reading one costs a hundred times as much as counting it."""
        for name in PARAMETER_FIELDS:
            for field in headers.all(name):
                self._parameters += field.raw.count(b";")
        if self._parameters > MAX_PARAMETERS_IN_ALL:
            raise UnreadableMail(f"the parts of the message have more than {MAX_PARAMETERS_IN_ALL} parameters")

    def _close_above(self, place: int, end: int) -> None:
        """End all open parts from that place on, and forget the boundaries of those."""
        while len(self._open) > place:
            draft = self._drafts[self._open.pop()]
            draft.end = max(draft.start, end)
        while self._frames and self._frames[-1][1] >= place:
            del self._levels[self._frames.pop()[0]]
