"""Whatever octets come, the CMS reader returns a structure or refuses; seeds are the CMS objects of others."""

import random
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import CmsObject, Compressed, Enveloped, KeyTransport, OtherContent, Signed
from tests.ber_forms import other_form
from tests.cms_objects import built_by_hand, in_vectors
from tests.vectors import vectors_folder

SMALL = 6_000
"""Octets of a seed that is changed in many ways."""
LIES = (b"\x00", b"\x7f", b"\x80", b"\x81", b"\x82\xff\xff", b"\x84\xff\xff\xff\xff", b"\x88" + b"\xff" * 8, b"\xff")
SHAPES = (
    *(
        b"\x00\x00",
        b"\x30\x80",
        b"\x24\x80",
        b"\xa0\x80",
        b"\x04\x00",
        b"\x31\x00",
        b"\x30\x00",
        b"\x05\x00",
        b"\xa1\x00",
    ),
    *(b"\x80\x00", b"\x06\x01\x2a", b"\x02\x01\x00", b"\x1f\xff\x01", b"\xbf\x81\x00", b"\x23\x03\x03\x01\x07"),
)


@cache
def seeds() -> dict[str, bytes]:
    """Those of the conformance data where it is, and those built by hand."""
    folder = vectors_folder()
    return built_by_hand() | (dict(in_vectors(folder)) if folder.is_dir() else {})


@cache
def small_seeds() -> tuple[bytes, ...]:
    """One seed for each kind of object, size and maker, so that all are changed about equally often."""
    chosen = {
        (name.split("/")[0], type(read_cms(data)).__name__, len(data) // 500): data
        for name, data in seeds().items()
        if len(data) <= SMALL
    }
    return tuple(chosen.values())


def joined(found: CmsObject) -> CmsObject:
    """The same with its content in one segment, to compare with another form."""
    match found:
        case Enveloped():
            return replace(found, ciphertext=(memoryview(b"".join(found.ciphertext)),))
        case Signed(content=content) if content is not None:
            return replace(found, content=(memoryview(b"".join(content)),))
        case Compressed():
            return replace(found, content=(memoryview(b"".join(found.content)),))
        case _:
            return found


def verbatim(found: CmsObject) -> set[bytes]:
    """What is kept octet for octet, and so never written in another form: certificates, names, unsigned values."""
    if isinstance(found, Signed):
        names = [signer.issuer_and_serial for signer in found.signers]
        unsigned = (value for signer in found.signers for one in signer.unsigned_attributes for value in one.values)
        return {*found.certificates, *(name.issuer for name in names if name), *unsigned}
    if isinstance(found, Enveloped):
        keys = [
            key
            for one in found.recipients
            for key in ((one,) if isinstance(one, KeyTransport) else getattr(one, "keys", ()))
        ]
        return {key.issuer_and_serial.issuer for key in keys if key.issuer_and_serial}
    return set()


def survives(data: bytes) -> CmsObject | None:
    """The structure, or None for a refusal; anything else fails the test."""
    try:
        return read_cms(data)
    except UnreadableCms as refused:
        assert refused.evidence
        return None


def test_all_seeds_are_read() -> None:
    kinds = {name: type(read_cms(data)) for name, data in seeds().items()}
    assert {Enveloped, Signed, Compressed, OtherContent} == set(kinds.values())
    if vectors_folder().is_dir():
        assert len(kinds) > 140


@pytest.mark.parametrize("seed", range(6))
def test_other_forms_of_the_same_object_are_the_same_object(seed: int) -> None:
    choice = random.Random(seed)
    compared = 0
    for name, data in seeds().items():
        if data[1] == 0x80 or len(data) > 20_000:
            continue  # BER already, or long
        found = read_cms(data)
        form = other_form(data, choice.randrange, verbatim(found))
        assert joined(read_cms(form)) == joined(found), name
        compared += form != data
    assert compared >= len(built_by_hand())


def test_no_beginning_of_an_object_is_an_object() -> None:
    for data in small_seeds():
        for size in range(0, len(data), 1 + len(data) // 200):
            assert survives(data[:size]) is None


def test_every_octet_may_be_anything() -> None:
    for number, data in enumerate(small_seeds()):
        for at in range(number % 7, min(len(data), 900), 7):
            for octet in (0x00, 0x80, 0xFF, data[at] ^ 0x20, data[at] ^ 0x01, data[at] + 1 & 0xFF):
                survives(data[:at] + bytes((octet,)) + data[at + 1 :])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A seed after a few changes: flips, cuts, lies about lengths, shapes put in, pieces doubled or of another seed."""
    data = draw(st.sampled_from(small_seeds()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        end = min(len(data), at + draw(st.sampled_from((0, 1, 2, 5, 20, 200))))
        match draw(st.integers(0, 6)):
            case 0:
                data = data[:at] + draw(st.binary(min_size=1, max_size=3)) + data[end:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[: at + 1] + draw(st.sampled_from(LIES)) + data[end:]
            case 3:
                data = data[:at] + draw(st.sampled_from(SHAPES)) * draw(st.sampled_from((1, 2, 40))) + data[at:]
            case 4:
                data = data[:end] + data[at:end] + data[end:]
            case 5:
                other = draw(st.sampled_from(small_seeds()))
                data = data[:at] + other[draw(st.integers(0, len(other) - 1)) :]
            case _:
                data = data[:at]
    return data


@settings(max_examples=600)
@given(damaged())
def test_damage_is_read_or_refused(data: bytes) -> None:
    found = survives(data)
    if found is not None:
        # A form that was accepted says one thing only: its own content, and the same when it is read again.
        assert read_cms(bytearray(data)) == found


@settings(max_examples=300)
@given(st.lists(st.sampled_from((*SHAPES, *LIES, *(data[:40] for data in built_by_hand().values()))), max_size=40))
def test_shapes_in_any_order_are_read_or_refused(parts: list[bytes]) -> None:
    survives(b"".join(parts))
