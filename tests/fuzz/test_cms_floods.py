"""Floods against the CMS reader: its work is counted in lines that run, its memory in bytes, never by the clock."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.read import CmsLimits, read_cms
from ime_gateway.smime.structures import Enveloped, Signed
from tests import cms_objects as cms
from tests.ber_forms import integer, oid, streamed, tlv

MANY = 1_000_000
UNLIMITED = CmsLimits(*[10**9] * 9)
DATA_HEAD = b"\x30\x80" + oid(cms.DATA) + b"\xa0\x80"
SIGNED_HEAD = b"\x30\x80" + oid(cms.SIGNED_DATA) + b"\xa0\x80\x30\x80" + integer(1) + tlv(0x31)
AGREED = tlv(0x30, cms.ISSUER_AND_SERIAL, tlv(0x04, b"key"))
DIGEST = cms.attribute(cms.MESSAGE_DIGEST, tlv(0x04, bytes(32)))

Flood = Callable[[int], bytes]


def encrypted(content: bytes) -> bytes:
    return cms.enveloped(cms.key_transport(), content=cms.encrypted_content(content))


def with_parameters(parameters: bytes) -> bytes:
    content = tlv(0x30, oid(cms.DATA), cms.algorithm(cms.AES_256_CBC, parameters), tlv(0x80, b"x"))
    return cms.enveloped(cms.key_transport(), content=content)


def with_attributes(attributes: bytes) -> bytes:
    return cms.signed(cms.signer_info(tlv(0xA0, attributes)))


FLOODS: dict[str, Flood] = {
    "tiny segments": lambda n: encrypted(streamed(0xA0, tlv(0x04, b"x") * n)),
    "empty segments": lambda n: encrypted(streamed(0xA0, tlv(0x04) * n)),
    "empty strings of segments": lambda n: encrypted(tlv(0xA0, streamed(0x24) * n)),
    "segments in segments": lambda n: encrypted(b"\xa0\x80" + b"\x24\x80" * n + bytes(2 * n + 2)),
    "segments never closed": lambda n: SIGNED_HEAD + b"\x30\x80" + oid(cms.DATA) + b"\xa0\x80" + b"\x24\x80" * n,
    "honest segments": lambda n: encrypted(streamed(0xA0, tlv(0x04, bytes(1_000)) * n)),
    "tiny segments passed over": lambda n: cms.content_info(cms.DATA, streamed(0x24, tlv(0x04, b"x") * n)),
    "depth passed over": lambda n: DATA_HEAD + b"\x30\x80" * n + bytes(2 * n + 4),
    "depth passed over and never closed": lambda n: DATA_HEAD + b"\x30\x80" * n,
    "ends of contents": lambda n: DATA_HEAD + bytes(2 * n),
    "recipients": lambda n: cms.enveloped(*[cms.key_transport(key=b"")] * n),
    "streamed recipients": lambda n: cms.enveloped(*[streamed(0x30, cms.key_transport()[4:])] * n),
    "unknown recipients": lambda n: cms.enveloped(*[b"\xa9\x00"] * n),
    "unknown streamed recipients": lambda n: cms.enveloped(streamed(0xA9, b"\x30\x80\x00\x00" * n)),
    "keys of one agreement": lambda n: cms.enveloped(cms.key_agreement(cms.ISSUER_AND_SERIAL, *[AGREED] * n)),
    "parameters": lambda n: with_parameters(tlv(0x30, b"\x05\x00" * n)),
    "deep parameters": lambda n: with_parameters(b"\x30\x80" * n + bytes(2 * n)),
    "parameters of segments": lambda n: with_parameters(streamed(0x24, tlv(0x04, b"x") * n)),
    "deep parameters of segments": lambda n: with_parameters(b"\x24\x80" * n + bytes(2 * n)),
    "bits in segments": lambda n: with_parameters(streamed(0x23, tlv(0x03, b"\0x") * n)),
    "long identifiers": lambda n: with_attributes(cms.attribute("1.2" + ".268435455" * 14, integer(1)) * n),
    "attributes": lambda n: with_attributes(DIGEST * n),
    "values": lambda n: with_attributes(cms.attribute("1.2.3", b"\x05\x00" * n)),
    "certificates": lambda n: cms.signed(certificates=tlv(0xA0, tlv(0x30, integer(1)) * n)),
    "streamed certificates": lambda n: cms.signed(certificates=tlv(0xA0, streamed(0x30, integer(1)) * n)),
    "other certificates": lambda n: cms.signed(certificates=tlv(0xA0, b"\xa3\x00" * n)),
    "revocation lists": lambda n: cms.signed(certificates=streamed(0xA1, b"\x30\x80\x00\x00" * n)),
    "signers": lambda n: cms.signed(*[cms.signer_info(tlv(0xA0, DIGEST))] * n),
    "digest algorithms": lambda n: cms.content_info(
        cms.SIGNED_DATA,
        tlv(0x30, integer(1), tlv(0x31, cms.algorithm(cms.SHA_256) * n), tlv(0x30, oid(cms.DATA)), tlv(0x31)),
    ),
    "giant parameter": lambda n: with_parameters(tlv(0x04, bytes(60 * n))),
    "giant certificate": lambda n: cms.signed(certificates=tlv(0xA0, tlv(0x30, bytes(60 * n)))),
    "giant key": lambda n: cms.enveloped(cms.key_transport(key=bytes(60 * n))),
    "issuer of octets": lambda n: cms.enveloped(cms.key_transport(tlv(0x30, tlv(0x30, bytes(n)), integer(1)))),
    "length octets": lambda n: b"\x30\x82" + b"\xff" * n,
    "padding": lambda n: cms.compressed() + bytes(n),
}


def work(data: bytes, limits: CmsLimits) -> int:
    """Lines of Python that run while `data` is read."""
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        read_cms(data, limits)
    except UnreadableCms:
        pass
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("name", FLOODS)
def test_work_is_linear_even_without_limits(name: str) -> None:
    small, large = (work(FLOODS[name](count), UNLIMITED) for count in (700, 1_400))
    assert large <= 2.05 * small + 300


@pytest.mark.parametrize("name", FLOODS)
def test_work_has_an_end(name: str) -> None:
    data = FLOODS[name](
        MANY // 50 if name.startswith(("honest", "long", "recipients", "streamed", "signers")) else MANY
    )
    limits = CmsLimits(elements=6_000, segments=4_000)
    steps = limits.elements + max(limits.segments, len(data) // 512)
    assert work(data, limits) <= 40 * steps + 2_000


@pytest.mark.parametrize("name", FLOODS)
def test_memory_has_an_end(name: str) -> None:
    data = FLOODS[name](
        MANY // 50 if name.startswith(("honest", "long", "recipients", "streamed", "signers")) else MANY
    )
    tracemalloc.start()
    try:
        read_cms(data)
    except UnreadableCms:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= 24 * 2**20 + len(data) // 2


def test_content_is_never_copied() -> None:
    for content in (streamed(0xA0, tlv(0x04, bytes(2**20)) * 20), tlv(0x80, bytes(20 * 2**20))):
        data = encrypted(content)
        tracemalloc.start()
        found = read_cms(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(found, Enveloped) and sum(len(piece) for piece in found.ciphertext) == 20 * 2**20
        assert peak < 100_000


def test_claims_of_giant_lengths_cost_nothing() -> None:
    for count in range(1, 9):
        for head in (b"\x30", b"\x30\x80" + oid(cms.SIGNED_DATA) + b"\xa0", SIGNED_HEAD + b"\x30", DATA_HEAD + b"\x04"):
            assert work(head + bytes((0x80 | count,)) + b"\x7f" * count + b"x", CmsLimits()) < 500


def test_large_honest_objects_are_read() -> None:
    data = encrypted(streamed(0xA0, tlv(0x04, bytes(1_000)) * 100_000))
    found = read_cms(data)
    assert isinstance(found, Enveloped) and len(found.ciphertext) == 100_000
    many = [cms.signer_info(tlv(0xA0, DIGEST * 20))] * 32
    whole = read_cms(cms.signed(*many, certificates=tlv(0xA0, tlv(0x30, bytes(2_000)) * 256)))
    assert isinstance(whole, Signed) and len(whole.signers) == 32 and len(whole.certificates) == 256
