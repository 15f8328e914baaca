"""A message on its way into DATA: dots doubled, lines ended, nothing smuggled (RFC 5321 sections 2.3.8, 4.5.2).

Pieces come as the spool gives them, so a CRLF or a dot line may lie across two of them. A bare CR, a
bare LF or a NUL is never sent: a receiver could see the end of the message there (SMTP smuggling).
"""

from ime_gateway.smtp.line_scan import scan

END = b".\r\n"
"""What follows the last CRLF of a message."""


class UnsafeContent(Exception):
    """The message holds bytes that must not be sent; the transaction has to be given up."""


class DataWriter:
    """Pieces of one message in, bytes for the wire out."""

    __slots__ = ("_carriage_return", "_line_start")

    def __init__(self) -> None:
        self._line_start = True
        self._carriage_return = False
        """A CR came last and is held back until the LF is seen."""

    def feed(self, piece: bytes) -> bytes:
        """The piece as it goes on the wire, the same object where nothing needs changing.

        Raises UnsafeContent; what was written before must then not be ended with a dot.
        """
        if self._carriage_return:
            piece = b"\r" + piece
        self._carriage_return = piece.endswith(b"\r")
        if self._carriage_return:
            piece = piece[:-1]
        if not piece:
            return b""
        found = scan(piece)
        if found.bare_newline or found.nul or (self._carriage_return and piece.endswith(b"\r")):
            raise UnsafeContent("the message holds a CR or LF that stands alone, or a NUL byte")
        wire = piece.replace(b"\r\n.", b"\r\n..") if found.dot_line else piece
        if self._line_start and wire.startswith(b"."):
            wire = b"." + wire
        self._line_start = wire.endswith(b"\n")
        return wire

    def finish(self) -> bytes:
        """The end: a last line without its CRLF gets one, then the dot. Raises UnsafeContent."""
        if self._carriage_return:
            raise UnsafeContent("the message ends with a CR that stands alone")
        return END if self._line_start else b"\r\n" + END
