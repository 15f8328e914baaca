"""Chunks of bodies: any cut of the input gives the same body, and no chunk fits another place."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.store.sealed_stream import CHUNK_BYTES, TAG_BYTES, chunk_count, open_chunk, seal_stream, sealed_size

KEY = bytes(range(32))


def opened(body_id: str, size: int, sealed: list[bytes]) -> bytes:
    return b"".join(open_chunk(KEY, body_id, size, index, chunk) for index, chunk in enumerate(sealed))


@given(st.lists(st.integers(0, CHUNK_BYTES + 100), max_size=6))
def test_any_cut_gives_the_same_body(lengths: list[int]) -> None:
    block = bytes(range(256)) * (CHUNK_BYTES // 256 + 1)
    pieces = [memoryview(block)[:length] for length in lengths]
    size = sum(lengths)
    sealed = list(seal_stream(KEY, "b", pieces))
    assert len(sealed) == chunk_count(size)
    assert sum(map(len, sealed)) == sealed_size(size)
    assert opened("b", size, sealed) == b"".join(pieces)


def test_a_chunk_opens_only_at_its_place_in_its_body() -> None:
    size = 2 * CHUNK_BYTES
    first, second = seal_stream(KEY, "b", [bytes(size)])
    assert open_chunk(KEY, "b", size, 0, first) == bytes(CHUNK_BYTES)
    for body, index, chunk in (("b", 1, first), ("b", 0, second), ("c", 0, first)):
        with pytest.raises(StoreUnavailable):
            open_chunk(KEY, body, size, index, chunk)
    with pytest.raises(StoreUnavailable):
        open_chunk(bytes(32), "b", size, 0, first)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES])
def test_a_torn_or_changed_chunk_is_noticed(size: int) -> None:
    (sealed,) = seal_stream(KEY, "b", [os.urandom(size)])
    assert len(sealed) == size + TAG_BYTES
    for damaged in (sealed[:-1], sealed + b"\0", b"", sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(StoreUnavailable, match="damaged"):
            open_chunk(KEY, "b", size, 0, damaged)
