"""Compression undone, and what makes it stop; zlib compresses."""

import zlib
from pathlib import Path

import pytest

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.compressed import CompressionLimits, decompress
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import AlgorithmIdentifier, Compressed

ZLIB = AlgorithmIdentifier("1.2.840.113549.1.9.16.3.8", None)
DATA = "1.2.840.113549.1.7.1"


def compressed(octets: bytes, piece: int = 1_000_000) -> Compressed:
    view = memoryview(octets)
    pieces = tuple(view[at : at + piece] for at in range(0, len(view), piece))
    return Compressed(ZLIB, DATA, pieces)


@pytest.mark.parametrize("piece", [1, 7, 16_384, 1_000_000])
@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_content_comes_back(piece: int, size: int) -> None:
    octets = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert bytes(decompress(compressed(zlib.compress(octets), piece))) == octets


@pytest.mark.parametrize("name", ["cms-compressed.der", "meca2_compressed.der"])
def test_what_others_compressed(name: str, vectors: Path) -> None:
    cms = read_cms((vectors / "asn1crypto-cms" / name).read_bytes())
    assert isinstance(cms, Compressed)
    octets = bytes(decompress(cms))
    assert zlib.decompress(b"".join(cms.content)) == octets and octets


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"x",
        zlib.compress(b"abc")[:-1],
        zlib.compress(b"abc") + b"x",
        zlib.compress(b"abc" * 50_000)[:-4] + b"0000",
    ],
)
@pytest.mark.parametrize("piece", [1, 1_000])
def test_damage_is_no_content(octets: bytes, piece: int) -> None:
    with pytest.raises(UnreadableCms):
        decompress(compressed(octets, piece))


def test_another_algorithm() -> None:
    with pytest.raises(UnreadableCms):
        decompress(Compressed(AlgorithmIdentifier("1.2.3", None), DATA, (memoryview(zlib.compress(b"x")),)))


def test_the_ratio_counts_beyond_the_free_bytes() -> None:
    limits = CompressionLimits(most_bytes=10_000_000, ratio=20, free_bytes=100_000)
    assert len(decompress(compressed(zlib.compress(bytes(100_000))), limits)) == 100_000
    with pytest.raises(UnreadableCms):
        decompress(compressed(zlib.compress(bytes(100_001))), limits)
    with pytest.raises(UnreadableCms):
        decompress(compressed(zlib.compress(bytes(1_000))), CompressionLimits(999, 10_000, 10_000))
