"""Base64 lines: the standard library's own decoder and line breaks are the judges."""

import base64
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.mail.base64_lines import encode_lines, encoded_size

BLOCK = 57 * 512


def reference(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 100])
def test_one_chunk_is_encoded_as_the_standard_library_does(size: int) -> None:
    data = pattern(size)
    encoded = b"".join(encode_lines([data]))
    assert encoded == reference(data)
    assert len(encoded) == encoded_size(size)


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=130), st.integers(BLOCK - 60, 2 * BLOCK + 60).map(pattern)), max_size=6))
def test_chunk_boundaries_leave_no_trace(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    encoded = b"".join(encode_lines(chunks))
    assert encoded == reference(whole)
    assert len(encoded) == encoded_size(len(whole))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [100, BLOCK + 7])
def test_every_kind_of_buffer_is_taken(kind: type, size: int) -> None:
    assert b"".join(encode_lines([kind(pattern(size))])) == reference(pattern(size))


def test_a_chunk_whose_owner_reuses_it_is_not_remembered() -> None:
    scratch = bytearray(50)

    def reusing() -> Iterator[bytearray]:
        for byte in range(10):
            scratch[:] = bytes((byte,)) * 50
            yield scratch

    assert b"".join(encode_lines(reusing())) == reference(b"".join(bytes((byte,)) * 50 for byte in range(10)))


def test_memory_is_constant_whatever_the_size() -> None:
    # Each piece that comes out is one block at most: nothing is gathered.
    pieces = encode_lines(bytes(10 * BLOCK) for _ in range(3))
    assert max(len(piece) for piece in pieces) <= 512 * 78
