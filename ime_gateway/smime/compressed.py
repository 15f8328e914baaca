"""Undoes compression (RFC 3274, RFC 8551 section 3.6) without letting a small mail fill the memory.

zlib makes 1 MiB of nothing out of 1 KiB, and an attacker may nest that. So the output is made in small
steps and given up as soon as it is larger, or grows more for its size, than mail does.
"""

import zlib
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.structures import Compressed

_ZLIB = "1.2.840.113549.1.9.16.3.8"
"""id-alg-zlibCompress, the only algorithm there is (RFC 3274 section 2)."""
_INPUT_BYTES = 16_384
_OUTPUT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class CompressionLimits:
    """How far compressed content may grow."""

    most_bytes: int = 104_857_600
    """Bytes of content."""
    ratio: int = 100
    """Times that the content may be larger than what it was compressed to; text makes 3 to 20."""
    free_bytes: int = 1_048_576
    """Up to so many bytes the ratio doesn't matter."""


def decompress(compressed: Compressed, limits: CompressionLimits | None = None) -> memoryview:
    """The content of CompressedData in one buffer.

    Raises UnreadableCms for another algorithm, a damaged or truncated stream, octets behind its end, and
    beyond the limits; at most one step more than allowed is ever in memory.
    """
    limits = limits or CompressionLimits()
    if compressed.algorithm.oid != _ZLIB:
        raise UnreadableCms("the compression is not zlib", compressed.algorithm.oid)
    stream = zlib.decompressobj()
    size = sum(map(len, compressed.content))
    room = min(limits.most_bytes, max(limits.free_bytes, size * limits.ratio))
    octets = bytearray()
    for piece in compressed.content:
        for start in range(0, len(piece), _INPUT_BYTES):
            if stream.eof:
                raise UnreadableCms("octets follow the compressed content")
            _inflate(stream, piece[start : start + _INPUT_BYTES], octets, room)
    if not stream.eof or stream.unused_data:
        raise UnreadableCms("the compressed content is cut short or followed by other octets")
    return memoryview(octets).toreadonly()


def _inflate(stream: "zlib._Decompress", data: bytes | memoryview, octets: bytearray, room: int) -> None:
    """One step: what these octets make is added to `octets`, never more than `room` in all."""
    while data and not stream.eof:
        try:
            octets += stream.decompress(data, _OUTPUT_BYTES)
        except zlib.error as error:
            raise UnreadableCms("the compressed content is damaged", str(error)) from error
        if len(octets) > room:
            raise UnreadableCms("the compressed content grows beyond what mail does", f"more than {room} bytes")
        data = stream.unconsumed_tail
