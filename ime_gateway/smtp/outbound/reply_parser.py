"""Replies of a server, from bytes: bounded, and wrong in one way only (RFC 5321 section 4.2.1)."""

import re
from dataclasses import dataclass

MAX_LINE_BYTES = 4096
"""RFC 5321 section 4.5.3.1.5 allows 512; servers that quote addresses and URLs need more."""
MAX_REPLY_BYTES = 65_536
"""All lines of one reply; a list of EHLO keywords stays under 2 KiB."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_SHOWN_CHARACTERS = 500


class GarbledReply(Exception):
    """The peer sent what is no SMTP reply; the connection cannot be understood any more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply with all its lines."""

    code: int
    lines: tuple[bytes, ...]
    """The text of each line, without code and line end."""

    @property
    def kind(self) -> int:
        """The first digit: 2 done, 3 go on, 4 later, 5 never."""
        return self.code // 100

    @property
    def text(self) -> str:
        """All lines as one line of printable ASCII: what a peer says goes into logs, reports and pages."""
        joined = b" ".join(self.lines).decode("ascii", "replace")
        plain = "".join(letter if " " <= letter <= "~" else "?" for letter in joined)
        return " ".join(plain.split())[:_SHOWN_CHARACTERS]


class ReplyParser:
    """Bytes in, replies out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._code = 0
        self._size = 0

    @property
    def in_reply(self) -> bool:
        """Part of a reply has come."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes. Raises GarbledReply, after which the parser is spent."""
        if not self._buffer and not self._lines and data[3:4] == b" " and data.find(b"\n") == len(data) - 1:
            return [self._single(data)]  # one reply of one line, as nearly always
        self._buffer += data
        replies = []
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._size += end + 1
            if (reply := self._take(line)) is not None:
                replies.append(reply)
                self._lines, self._size = [], 0
        if len(self._buffer) > MAX_LINE_BYTES:
            raise GarbledReply("an endless line")
        return replies

    def _single(self, data: bytes) -> Reply:
        reply = self._take(data[:-1].removesuffix(b"\r"))
        assert reply is not None
        self._lines = []
        return reply

    def _take(self, line: bytes) -> Reply | None:
        found = _LINE.fullmatch(line)
        if found is None or len(line) > MAX_LINE_BYTES:
            raise GarbledReply("a line that is no SMTP reply")
        code = int(found[1])
        if self._lines and code != self._code:
            raise GarbledReply("a reply whose lines carry different codes")
        if self._size > MAX_REPLY_BYTES:
            raise GarbledReply("an endless reply")
        self._code = code
        self._lines.append(found[3] or b"")
        return None if found[2] == b"-" else Reply(code, tuple(self._lines))
