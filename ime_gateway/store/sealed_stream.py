"""Bodies as sealed chunks: any part of a mail can be checked before a byte of it is given out.

A body has a data key of its own. It is cut into chunks of 256 KiB, each sealed with AES-256-GCM;
the nonce counts the chunks, the associated data names body and chunk, and the body's size is bound
into its wrapped key. So chunks cannot be changed, swapped, dropped or moved to another body
unnoticed, and memory stays constant however large the mail is.
"""

from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ime_gateway.base.errors import StoreUnavailable

CHUNK_BYTES = 262_144
"""Plain bytes in a chunk. AES-GCM in one call holds the interpreter for some 25 microseconds at this size."""
TAG_BYTES = 16


def chunk_count(size: int) -> int:
    """How many chunks a body of `size` bytes has; an empty body has one."""
    return max(1, -(-size // CHUNK_BYTES))


def sealed_size(size: int) -> int:
    """Bytes of all sealed chunks of a body of `size` bytes."""
    return size + TAG_BYTES * chunk_count(size)


def seal_stream(key: bytes, body_id: str, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Sealed chunks of a body, one at a time; `key` must never have sealed anything else."""
    cipher = AESGCM(key)
    for index, chunk in enumerate(_cut(pieces)):
        yield cipher.encrypt(_nonce(index), chunk, _place(body_id, index))


def open_chunk(key: bytes, body_id: str, size: int, index: int, sealed: bytes | memoryview) -> bytes:
    """The plain bytes of chunk `index`; StoreUnavailable when it is torn, changed or misplaced."""
    expected = min(CHUNK_BYTES, size - index * CHUNK_BYTES)
    if len(sealed) == expected + TAG_BYTES:
        try:
            return AESGCM(key).decrypt(_nonce(index), sealed, _place(body_id, index))
        except InvalidTag:
            pass
    raise StoreUnavailable("a stored message is damaged", f"body {body_id}: chunk {index} is torn or was changed")


def _cut(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | bytearray | memoryview]:
    """Pieces of any size as chunks of CHUNK_BYTES and a last one; large pieces are sliced, not copied."""
    rest = bytearray()
    nothing_given = True
    for piece in pieces:
        view = memoryview(piece).cast("B")
        start = 0
        if rest:
            start = min(CHUNK_BYTES - len(rest), len(view))
            rest += view[:start]
            if len(rest) < CHUNK_BYTES:
                continue
            yield rest
            nothing_given, rest = False, bytearray()
        while len(view) - start >= CHUNK_BYTES:
            yield view[start : start + CHUNK_BYTES]
            nothing_given = False
            start += CHUNK_BYTES
        rest += view[start:]
    if rest or nothing_given:
        yield rest


def _nonce(index: int) -> bytes:
    return index.to_bytes(12, "big")


def _place(body_id: str, index: int) -> bytes:
    return f"body\0{body_id}\0{index}".encode()
