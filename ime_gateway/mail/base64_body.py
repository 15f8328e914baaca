"""Undoes base64 of a whole body (RFC 2045 section 6.8), strictly, at the speed of memory.

Encrypted mail is one long base64 text. Lines may be of any length and blanks may stand anywhere, as
mail programs differ in that; but letters outside the alphabet and text behind the padding are
refused, because readers skip, stop or go on there and would each see another object.
"""

import binascii

import numpy as np
import pybase64

from ime_gateway.base.errors import UnreadableMail

_BLANKS = b" \t\r\n\v\f"
_BLOCK_LINES = 512
_BLOCK_BYTES = 65_536


def decode_base64_body(body: memoryview) -> memoryview:
    """The octets behind the base64 text, in one buffer; beside it no more than a block is held.

    Missing padding at the very end is forgiven. Raises UnreadableMail for anything else.
    """
    # numpy hands out memory without zeroing it first, unlike bytearray.
    octets = np.empty(len(body) // 4 * 3 + 3, np.uint8).data
    place, size = _even_lines(body, octets)
    waiting = b""
    for start in range(place, len(body), _BLOCK_BYTES):
        waiting += bytes(body[start : start + _BLOCK_BYTES]).translate(None, _BLANKS)
        ready = len(waiting) // 4 * 4
        if waiting.find(b"=", 0, ready) >= 0:
            break  # the padding: all that follows is looked at as one
        size = _put(waiting[:ready], octets, size)
        waiting = waiting[ready:]
    else:
        start = len(body)
    rest = waiting + _few_letters(body[start + _BLOCK_BYTES :])
    size = _put(rest + b"=" * (-len(rest) % 4), octets, size)
    return octets[:size].toreadonly()


def _even_lines(body: memoryview, octets: memoryview) -> tuple[int, int]:
    """Decode the lines that are as long as the first one, nearly always all; what was read, and what it gave."""
    length = bytes(body[:1000]).find(b"\r\n")
    count = len(body) // (length + 2) - 1 if length > 0 else 0
    if count < 1:
        return 0, 0
    table = np.frombuffer(body, np.uint8, count * (length + 2)).reshape(count, length + 2)
    size = 0
    for first in range(0, count, _BLOCK_LINES):
        lines = table[first : first + _BLOCK_LINES]
        if len(lines) * length % 4 or not (lines[:, length:] == (13, 10)).all():
            return first * (length + 2), size
        try:
            decoded = pybase64.b64decode(np.ascontiguousarray(lines[:, :length]).reshape(-1).data, validate=True)
        except ValueError:  # blanks inside a line, or no base64: the patient way tells
            return first * (length + 2), size
        if len(decoded) < len(lines) * length // 4 * 3:  # padding
            return first * (length + 2), size
        octets[size : size + len(decoded)] = decoded
        size += len(decoded)
    return count * (length + 2), size


def _few_letters(rest: memoryview) -> bytes:
    """What follows the block with the padding: blanks only, in honest mail."""
    for start in range(0, len(rest), _BLOCK_BYTES):
        if letters := bytes(rest[start : start + _BLOCK_BYTES]).translate(None, _BLANKS):
            return letters  # one letter is enough to be refused
    return b""


def _put(text: bytes | memoryview, octets: memoryview, size: int) -> int:
    """Decode whole groups into the buffer; the new size."""
    try:
        decoded = pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableMail("a body that should be base64 holds something else", str(error)) from error
    octets[size : size + len(decoded)] = decoded
    return size + len(decoded)
