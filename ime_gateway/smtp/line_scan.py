"""Looks through message bytes for what must not be there, at memory speed.

Every byte of every message passes here once, so the three questions (a line that begins with a dot, a CR or LF that
stands alone, a NUL) are answered with vector comparisons: 3 GB/s where a regular expression makes 40 MB/s.
"""

from dataclasses import dataclass

import numpy as np

BLOCK = 65_536
"""Bytes compared at a time: small enough that the intermediate arrays stay in the processor's cache."""


_SMALL = 8_192
"""Up to here counting is as fast, and unlike numpy it does not give up the interpreter to other threads."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one piece of a message holds."""

    dot_line: bool
    """LF and dot stand together: a stuffed line or the end of data may be here (RFC 5321 section 4.5.2)."""
    bare_newline: bool
    """A CR without LF or an LF without CR (RFC 5321 section 2.3.8); a CR as last byte is not judged."""
    nul: bool
    """A zero byte is here."""


def scan(piece: bytes | bytearray) -> Scan:
    """Answer the three questions for a piece that does not begin in the middle of a CRLF."""
    if len(piece) <= _SMALL:
        return _scan_small(piece)
    octets = np.frombuffer(piece, np.uint8)
    dot_line = False
    bare_newline = octets.size > 0 and bool(octets[0] == 10)
    for start in range(0, octets.size, BLOCK):
        # One byte more than the block, so that pairs across the border are seen.
        block = octets[start : start + BLOCK + 1]
        line_feed = block == 10
        dot_line = dot_line or bool((line_feed[:-1] & (block[1:] == 46)).any())
        bare_newline = bare_newline or bool(((block == 13)[:-1] != line_feed[1:]).any())
    return Scan(dot_line, bare_newline, 0 in piece)


def _scan_small(piece: bytes | bytearray) -> Scan:
    pairs = piece.count(b"\r\n")
    # A CR as last byte is not judged: its LF may be on its way.
    lone_cr = piece.count(b"\r") - piece.endswith(b"\r") != pairs
    return Scan(b"\n." in piece, lone_cr or piece.count(b"\n") != pairs, 0 in piece)
