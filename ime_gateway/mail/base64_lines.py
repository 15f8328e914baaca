"""Base64 in lines of 76 characters (RFC 2045 section 6.8), at the speed of memory.

An S/MIME body is one long base64 text, and breaking it into lines in Python costs ten to thirty
times what the encoding costs. So blocks of whole lines that fit the processor's cache are encoded
at once, and numpy spreads them over a table of 76-byte lines whose CR LF column is written already.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pybase64

from ime_gateway.base.octets import Buffer

LINE_BYTES = 57
"""Bytes that fill one line: 57 x 4 / 3 = 76 characters."""
_LINE = np.dtype([("text", "V76"), ("end", "V2")])
_TEXT = np.dtype("V76")
_BLOCK_LINES = 512
_BLOCK_BYTES = LINE_BYTES * _BLOCK_LINES


def encoded_size(size: int) -> int:
    """Bytes that `encode_lines` makes of `size` bytes, line ends included."""
    full, rest = divmod(size, LINE_BYTES)
    return full * 78 + ((rest + 2) // 3 * 4 + 2 if rest else 0)


def encode_lines(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    """Encode the concatenation of `chunks`; every line, the last too, ends with CR LF.

    Memory is constant: at most one block beside the chunk at hand. Chunks must not change before
    the next one is asked for. Nothing comes of nothing: no bytes give no line.
    """
    table = np.empty(0, _LINE)
    waiting: list[Buffer] = []
    size = 0
    for chunk in chunks:
        if size + len(chunk) < _BLOCK_BYTES:
            # A copy, unless nobody can change it: its owner may reuse a scratch buffer.
            waiting.append(chunk if isinstance(chunk, bytes) else bytes(chunk))
            size += len(chunk)
            continue
        if not len(table):
            table = _table(_BLOCK_LINES)
        view = memoryview(chunk)
        first = 0
        if size:
            first = _BLOCK_BYTES - size
            yield _full_lines(b"".join([*waiting, view[:first]]), table)
        while len(view) - first >= _BLOCK_BYTES:
            yield _full_lines(view[first : first + _BLOCK_BYTES], table)
            first += _BLOCK_BYTES
        waiting = [bytes(view[first:])]
        size = len(view) - first
    if size:
        yield _last_lines(b"".join(waiting), table)


def _table(lines: int) -> "np.ndarray[Any, np.dtype[np.void]]":
    table = np.empty(lines, _LINE)
    table["end"] = np.void(b"\r\n")
    return table


def _full_lines(block: Buffer, table: "np.ndarray[Any, np.dtype[np.void]]") -> bytes:
    """`block`, a multiple of 57 bytes and no longer than `table` has lines."""
    lines = len(block) // LINE_BYTES
    table["text"][:lines] = np.frombuffer(pybase64.b64encode(block), _TEXT)
    return table[:lines].tobytes()


def _last_lines(block: bytes, table: "np.ndarray[Any, np.dtype[np.void]]") -> bytes:
    lines, rest = divmod(len(block), LINE_BYTES)
    if not lines:
        return pybase64.b64encode(block) + b"\r\n"
    if len(table) < lines:
        table = _table(lines)
    if not rest:
        return _full_lines(block, table)
    text = pybase64.b64encode(block)
    table["text"][:lines] = np.frombuffer(text, _TEXT, lines)
    return b"".join((table[:lines].data, text[lines * 76 :], b"\r\n"))
