"""An envelope and its stored body become the bytes on the wire, never whole in memory when they are large.

The body is stored once as ciphertext; head, frame and base64 lines are put around it at delivery, so
that five hundred recipients cost one stored body (design, section 5). What passes unchanged leaves
byte for byte as it came (P7).
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import chain

from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.ports.queue import Envelope, Spool
from ime_gateway.ports.relay import Content

INLINE_BYTES = 1_048_576
"""Messages up to this size are put together at once, larger ones in a thread, piece by piece."""
_PIECE_BYTES = 524_288


def wire_content(envelope: Envelope, spool: Spool) -> Content:
    """The content of an envelope for `Relay.send`. Reading it may raise StoreUnavailable."""

    async def inline() -> AsyncGenerator[bytes, None]:
        yield b"".join(wire_pieces(envelope, spool))

    async def in_pieces() -> AsyncGenerator[bytes, None]:
        # One piece is read and encoded ahead while the one before it is on its way.
        pieces = wire_pieces(envelope, spool)
        coming = asyncio.ensure_future(asyncio.to_thread(_piece, pieces))
        try:
            while piece := await coming:
                coming = asyncio.ensure_future(asyncio.to_thread(_piece, pieces))
                yield piece
        finally:
            await asyncio.wait([coming])  # a generator that runs in a thread cannot be closed
            if not coming.cancelled():
                coming.exception()

    return inline if 0 < envelope.wire_size <= INLINE_BYTES else in_pieces


def wire_pieces(envelope: Envelope, spool: Spool) -> Iterator[bytes]:
    """The bytes on the wire in pieces of any size. Blocking. Raises StoreUnavailable."""
    yield envelope.head
    body = chain((envelope.prefix,), spool.read(envelope.body_id), (envelope.suffix,))
    yield from encode_lines(body) if envelope.base64 else body


def _piece(pieces: Iterator[bytes]) -> bytes:
    """The next half MiB or so; empty at the end."""
    taken = []
    size = 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            break
    return b"".join(taken)
