"""Reads the bytes of a message out of the stream: DATA with its dots (RFC 5321 section 4.5.2) or BDAT (RFC 3030).

Only CR LF dot CR LF ends DATA; every other sequence that some server takes for an end ("SMTP smuggling") is content.
Pure: chunks of any length in, canonical message out; where the chunks are cut never changes the result.
"""

from enum import Enum, auto

from ime_gateway.smtp.line_scan import Scan, scan

_END = b"\r\n.\r\n"


class ContentFault(Enum):
    """Why a message that was read to its end is not taken."""

    BARE_NEWLINE = auto()
    """A CR or LF stands alone (RFC 5321 section 2.3.8)."""
    NUL = auto()
    """A zero byte, which SMTP has no room for (RFC 5321 section 4.5.2)."""
    TOO_LARGE = auto()
    """More bytes than the announced SIZE (RFC 1870 section 6.3)."""
    OUT_OF_MEMORY = auto()
    """All messages in hand together are more than this worker may hold."""


class MessageContent:
    """The canonical message as it grows: CRLF line ends, no dot-stuffing, no NUL, at most `limit` bytes.

    normalise: turn a lone CR or LF into CRLF and drop NUL, instead of refusing the message.
    """

    __slots__ = ("_data", "_limit", "_normalise", "fault")

    def __init__(self, limit: int, *, normalise: bool) -> None:
        self._data = bytearray()
        self._limit = limit
        self._normalise = normalise
        self.fault: ContentFault | None = None

    @property
    def size(self) -> int:
        """Bytes held now."""
        return len(self._data)

    def add(self, piece: bytes | bytearray, seen: Scan) -> None:
        """Append a piece that splits no CRLF; `seen` may report more than is in it, never less."""
        if self.fault is not None:
            return
        if seen.bare_newline or seen.nul:
            piece = self._cleaned(piece)
        if len(self._data) + len(piece) > self._limit:
            self.discard(ContentFault.TOO_LARGE)
        elif self.fault is None:
            self._data += piece

    def discard(self, fault: ContentFault) -> None:
        """Keep nothing of this message; the first fault stays the one that is reported."""
        if self.fault is None:
            self.fault = fault
        self._data = bytearray()

    def take(self) -> bytearray:
        """The finished message. A last line without CRLF (possible with BDAT only) gets one."""
        data, self._data = self._data, bytearray()
        if data and not data.endswith(b"\r\n"):
            data += b"\r\n"
        return data

    def _cleaned(self, piece: bytes | bytearray) -> bytes | bytearray:
        if self._normalise:
            # Line ends first: removing a NUL must not make a CRLF of a CR and an LF that stood apart.
            lines = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            return lines.replace(b"\n", b"\r\n").replace(b"\0", b"")
        if piece.count(b"\r\n") != piece.count(b"\r") or piece.count(b"\r\n") != piece.count(b"\n"):
            self.discard(ContentFault.BARE_NEWLINE)
        elif 0 in piece:
            self.discard(ContentFault.NUL)
        return piece


class DotReader:
    """Finds the end of DATA and undoes dot-stuffing."""

    __slots__ = ("_at_start", "_content", "_held")

    def __init__(self, content: MessageContent) -> None:
        self._content = content
        # The CRLF of the DATA command counts as the end of the line before the first (RFC 5321 section 4.1.1.4).
        self._held: bytes | bytearray = b"\r\n"
        self._at_start = True

    def feed(self, chunk: bytes | bytearray) -> bytes | bytearray | None:
        """Take the next bytes. None: more are wanted. Else: the bytes that follow the end of data."""
        window = self._held + chunk if self._held else chunk
        seen = scan(window)
        end = window.find(_END) if seen.dot_line else -1
        if end >= 0:
            self._keep(window[: end + 2], seen)
            return window[end + len(_END) :]
        held = _beginning_of_end(window)
        self._held = window[len(window) - held :]
        self._keep(window[: len(window) - held] if held else window, seen)
        return None

    def _keep(self, piece: bytes | bytearray, seen: Scan) -> None:
        if seen.dot_line:
            piece = piece.replace(b"\r\n.", b"\r\n")
        if self._at_start and piece:
            piece = piece[2:]
            self._at_start = False
        self._content.add(piece, seen)


class ChunkReader:
    """Takes the chunks of BDAT: counted bytes, no dots to undo (RFC 3030 section 2)."""

    __slots__ = ("_content", "_held", "_left")

    def __init__(self, content: MessageContent) -> None:
        self._content = content
        self._held: bytes | bytearray = b""
        self._left = 0

    def expect(self, size: int) -> None:
        """A BDAT command announced `size` bytes."""
        self._left = size

    def feed(self, chunk: bytes | bytearray) -> bytes | bytearray | None:
        """Take the next bytes. None: more are wanted. Else: the bytes that follow the chunk."""
        piece, rest = chunk[: self._left], chunk[self._left :]
        self._left -= len(piece)
        window = self._held + piece
        # A CR at the border waits for its LF, which may come with the next BDAT.
        held = 1 if window.endswith(b"\r") else 0
        self._held = window[len(window) - held :]
        self._content.add(window[: len(window) - held], scan(window))
        return None if self._left else rest

    def finish(self) -> None:
        """The last chunk is complete: a CR that still waits stands alone."""
        self._content.add(self._held, Scan(dot_line=False, bare_newline=bool(self._held), nul=False))
        self._held = b""


def _beginning_of_end(window: bytes | bytearray) -> int:
    """How many of the last bytes may be the beginning of CR LF dot CR LF."""
    return next((length for length in (4, 3, 2, 1) if window.endswith(_END[:length])), 0)
