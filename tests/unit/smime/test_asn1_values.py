"""The small values of CMS, and BER turned into DER; openssl judges the DER."""

import random
import subprocess

import pytest

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.asn1_values import (
    read_algorithm,
    read_as_it_stands,
    read_attributes,
    read_bit_string,
    read_integer,
    read_oid,
    read_small_octets,
    read_version,
)
from ime_gateway.smime.ber import Walker
from ime_gateway.smime.ber_to_der import read_der
from ime_gateway.smime.structures import AlgorithmIdentifier, Attribute, CmsLimits
from tests.ber_forms import integer, oid, other_form, streamed, tlv


def walker(data: bytes, **limits: int) -> Walker:
    return Walker(data, CmsLimits(**limits))


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 2**159, 2**1000])
def test_integers(value: int) -> None:
    assert read_integer(walker(integer(value))) == value


def test_negative_serial_numbers_exist() -> None:
    assert read_integer(walker(b"\x02\x01\xff")) == -1


@pytest.mark.parametrize("data", [b"\x02\x00", tlv(0x02, bytes(129)), tlv(0x22, integer(1)), tlv(0x04, b"\1")])
def test_integers_that_are_none(data: bytes) -> None:
    with pytest.raises(UnreadableCms):
        read_integer(walker(data))


def test_versions() -> None:
    assert read_version(walker(integer(3)), range(1, 4)) == 3
    for wrong in (integer(0), integer(4), b"\x02\x01\xff", integer(2**64)):
        with pytest.raises(UnreadableCms):
            read_version(walker(wrong), range(1, 4))


@pytest.mark.parametrize(
    "dotted", ["0.9.2342", "1.2.840.113549.1.7.3", "2.16.840.1.101.3.4.1.46", "2.999.1", "2.5.4.3"]
)
def test_object_identifiers(dotted: str) -> None:
    element = oid(dotted)
    assert read_oid(walker(element)) == dotted
    printed = subprocess.run(["openssl", "asn1parse", "-inform", "DER"], input=element, capture_output=True, check=True)
    assert b"OBJECT" in printed.stdout


def test_object_identifiers_as_openssl_writes_them() -> None:
    for dotted in ("0.39", "1.0", "1.39.1", "2.48.5", "2.100.3.1234567890123"):
        command = ["openssl", "asn1parse", "-genstr", f"OID:{dotted}", "-noout", "-out", "/dev/stdout"]
        written = subprocess.run(command, capture_output=True, check=True).stdout
        assert read_oid(walker(written)) == dotted


@pytest.mark.parametrize("content", [b"", b"\x80\x01", b"\x2a\x80\x01", b"\x2a\x86", b"\x2a" * 65])
def test_object_identifiers_that_are_none(content: bytes) -> None:
    with pytest.raises(UnreadableCms):
        read_oid(walker(tlv(0x06, content)))


def test_short_strings_are_joined() -> None:
    assert read_small_octets(walker(streamed(0x24, tlv(0x04, b"ab"), tlv(0x04, b"c")))) == b"abc"
    assert read_small_octets(walker(tlv(0xA0, tlv(0x04, b"ab"))), 0x80) == b"ab"
    with pytest.raises(UnreadableCms):
        read_small_octets(walker(tlv(0x04, bytes(11)), small_bytes=10))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (streamed(0x30, integer(1), streamed(0x30)), tlv(0x30, integer(1), tlv(0x30))),
        (tlv(0x30, tlv(0x02, b"\1", length_octets=4), length_octets=8), tlv(0x30, integer(1))),
        (streamed(0x24, tlv(0x04, b"ab"), tlv(0x24, tlv(0x04, b"c"))), tlv(0x04, b"abc")),
        (streamed(0x2C, tlv(0x04, b"ab"), tlv(0x0C, b"c")), tlv(0x0C, b"abc")),
        (tlv(0x37, tlv(0x04, b"2611"), tlv(0x04, b"22Z")), tlv(0x17, b"261122Z")),
        (streamed(0x23, tlv(0x03, b"\0ab"), tlv(0x03, b"\4\xf0")), tlv(0x03, b"\4ab\xf0")),
        (streamed(0x23), tlv(0x03, b"\0")),
        (streamed(0x24), tlv(0x04)),
        (tlv(0x01, b"\1"), tlv(0x01, b"\xff")),
        (tlv(0x01, b"\0"), tlv(0x01, b"\0")),
        (streamed(0xA0, streamed(0xA1, tlv(0x80, b"x"))), tlv(0xA0, tlv(0xA1, tlv(0x80, b"x")))),
        (streamed(0x31, integer(2), integer(1)), tlv(0x31, integer(2), integer(1))),
        (
            streamed(0x30, streamed(0x24, tlv(0x04, bytes(200))), integer(1)),
            tlv(0x30, tlv(0x04, bytes(200)), integer(1)),
        ),
        (b"\x05\x81\x00", b"\x05\x00"),
    ],
)
def test_ber_becomes_der(data: bytes, expected: bytes) -> None:
    at = walker(data + integer(7))
    assert read_der(at) == expected
    assert read_integer(at) == 7


@pytest.mark.parametrize(
    "data",
    [
        tlv(0x24, tlv(0x0C, b"x")),
        tlv(0x2C, tlv(0x30, tlv(0x04, b"x"))),
        tlv(0x2C, tlv(0x13, b"x")),
        tlv(0x23, tlv(0x04, b"\0x")),
        tlv(0x23, tlv(0x23, tlv(0x03, b"\0x"))),
        tlv(0x23, tlv(0x03, b"\4\xf0"), tlv(0x03, b"\0a")),
        tlv(0x03),
        tlv(0x03, b"\x08x"),
        tlv(0x03, b"\x01"),
        b"\x00\x00",
        b"\x30\x80\x02\x01\x01",
        tlv(0x30, b"\x9f\x07\x01a"),
        tlv(0x30, b"\xbf\x07\x00"),
        b"\x30\x80" * 100_000 + bytes(200_000),
    ],
)
def test_what_no_der_can_be_made_of(data: bytes) -> None:
    with pytest.raises(UnreadableCms):
        read_der(walker(data))


@pytest.mark.parametrize("seed", range(20))
def test_every_form_becomes_the_same_der(seed: int) -> None:
    choice = random.Random(seed)
    strings = tlv(0x30, tlv(0x0C, b"Gr\xc3\xbc\xc3\x9fe" * 40), tlv(0x13, b"abc"), tlv(0x03, b"\3" + bytes(50)))
    der = tlv(0x30, tlv(0x31, integer(3), tlv(0x01, b"\xff")), strings, tlv(0xA3, tlv(0x04, bytes(300))), b"\x05\x00")
    for _ in range(20):
        form = other_form(der, choice.randrange)
        assert read_der(walker(form)) == der


def test_der_counts_what_it_copies() -> None:
    many = tlv(0x30, tlv(0x04, bytes(6)) * 2)
    assert read_der(walker(many, small_bytes=18)) == many
    with pytest.raises(UnreadableCms):
        read_der(walker(many, small_bytes=17))
    with pytest.raises(UnreadableCms):
        read_der(walker(tlv(0x04, bytes(18)), small_bytes=17))


def test_what_stands_stays_unless_it_is_streamed() -> None:
    odd = tlv(0x30, tlv(0x01, b"\1", length_octets=2))
    assert read_as_it_stands(walker(odd)) == odd
    with pytest.raises(UnreadableCms):
        read_as_it_stands(walker(odd, small_bytes=4))
    assert read_as_it_stands(walker(streamed(0x30, tlv(0x01, b"\1")))) == tlv(0x30, tlv(0x01, b"\xff"))


def test_bit_strings() -> None:
    assert read_bit_string(walker(tlv(0x03, b"\0a"))) == tlv(0x03, b"\0a")
    with pytest.raises(UnreadableCms):
        read_bit_string(walker(tlv(0x04, b"\0a")))


@pytest.mark.parametrize(
    ("data", "parameters"),
    [
        (tlv(0x30, oid("1.2.3")), None),
        (tlv(0x30, oid("1.2.3"), b"\x05\x00"), b"\x05\x00"),
        (streamed(0x30, oid("1.2.3"), streamed(0x30, tlv(0x24, tlv(0x04, b"iv")))), tlv(0x30, tlv(0x04, b"iv"))),
    ],
)
def test_algorithms(data: bytes, parameters: bytes | None) -> None:
    assert read_algorithm(walker(data)) == AlgorithmIdentifier("1.2.3", parameters)


@pytest.mark.parametrize(
    "data", [tlv(0x30), tlv(0x30, oid("1.2.3"), b"\5\0\5\0"), tlv(0x30, b"\5\0"), tlv(0x31, oid("1.2"))]
)
def test_algorithms_that_are_none(data: bytes) -> None:
    with pytest.raises(UnreadableCms):
        read_algorithm(walker(data))


def test_attributes_keep_their_order_and_are_sorted_for_signing() -> None:
    late, early = tlv(0x30, oid("1.2.4"), tlv(0x31, integer(9))), tlv(0x30, oid("1.2.3"), tlv(0x31, integer(1)))
    several = tlv(0x30, oid("1.2.3.4"), tlv(0x31, integer(8), integer(2)))
    attributes, der = read_attributes(walker(streamed(0xA0, late, several, early)), 0xA0)
    assert attributes == (
        Attribute("1.2.4", (integer(9),)),
        Attribute("1.2.3.4", (integer(8), integer(2))),
        Attribute("1.2.3", (integer(1),)),
    )
    assert der == tlv(0x31, early, late, tlv(0x30, oid("1.2.3.4"), tlv(0x31, integer(2), integer(8))))


def test_attributes_are_limited() -> None:
    one = tlv(0x30, oid("1.2.3"), tlv(0x31, integer(1)))
    assert len(read_attributes(walker(tlv(0xA0, one * 3), attributes=3), 0xA0)[0]) == 3
    with pytest.raises(UnreadableCms):
        read_attributes(walker(tlv(0xA0, one * 4), attributes=3), 0xA0)
    for wrong in (tlv(0x30, oid("1.2.3"), tlv(0x31)), tlv(0x30, oid("1.2.3")), tlv(0x30, oid("1.2.3"), tlv(0x30, one))):
        with pytest.raises(UnreadableCms):
            read_attributes(walker(tlv(0xA0, wrong)), 0xA0)
