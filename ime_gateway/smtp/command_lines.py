"""Splits the stream between messages into command lines (RFC 5321 section 2.3.8: only CR LF ends a line).

A line that some other server would read as two is never run, so nobody can hide a command in an argument.
Pure: bytes in, lines or faults out.
"""

from enum import Enum, auto

MAX_LINE = 2048
"""Octets of the longest command line with its CRLF: 512 (RFC 5321 section 4.5.3.1.4) plus what SIZE, DSN (RFC 3461
section 5: 614) and SMTPUTF8 (RFC 6531 section 3.4) add."""


class LineFault(Enum):
    """A line that is not run."""

    TOO_LONG = auto()
    BARE_NEWLINE = auto()
    CONTROL = auto()


class CommandLines:
    """What has arrived and was not used yet."""

    __slots__ = ("_buffer", "_skipping")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipping = False

    @property
    def waiting(self) -> int:
        """Bytes that have come and were not used yet."""
        return len(self._buffer)

    def append(self, data: bytes | bytearray) -> None:
        """Bytes came from the peer."""
        self._buffer += data

    def next(self) -> bytes | LineFault | None:
        """The next line without its CRLF, a fault in its place, or None when more must come.

        A fault is told as soon as it is certain; the rest of that line is then skipped.
        """
        while True:
            end = self._buffer.find(b"\r\n")
            if self._skipping:
                if not self._skip(end):
                    return None
                continue
            if end < 0:
                return self._unfinished()
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            return _fault_of(line) or line

    def take_all(self) -> bytearray:
        """Everything that waits, for a reader of message bytes."""
        taken, self._buffer = self._buffer, bytearray()
        return taken

    def put_back(self, data: bytes | bytearray) -> None:
        """Bytes that a reader of message bytes took but did not need."""
        self._buffer[:0] = data

    def _skip(self, end: int) -> bool:
        """Drop the rest of a refused line; False when its CRLF has not come yet."""
        if end >= 0:
            del self._buffer[: end + 2]
            self._skipping = False
            return True
        del self._buffer[: len(self._buffer) - self._buffer.endswith(b"\r")]
        return False

    def _unfinished(self) -> LineFault | None:
        fault = LineFault.TOO_LONG if len(self._buffer) >= MAX_LINE else None
        if b"\n" in self._buffer or b"\r" in self._buffer[:-1]:
            fault = LineFault.BARE_NEWLINE
        if fault is not None:
            self._skipping = True
            self._skip(-1)
        return fault


def _fault_of(line: bytes) -> LineFault | None:
    if len(line) + 2 > MAX_LINE:
        return LineFault.TOO_LONG
    if b"\n" in line or b"\r" in line:
        return LineFault.BARE_NEWLINE
    if line.isascii() and line.decode("ascii").isprintable():
        return None
    return LineFault.CONTROL if any(octet < 32 or octet == 127 for octet in line) else None
