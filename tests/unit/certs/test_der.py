"""DER by the examples of X.690, and by reading back what was written."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (256, "02020100"),
        (-1, "0201ff"),
        (-128, "020180"),
        (-129, "0202ff7f"),
    ],
)
def test_integers_take_the_fewest_octets(value: int, encoded: str) -> None:
    assert der.integer(value).hex() == encoded


@pytest.mark.parametrize(
    ("dotted", "encoded"), [("2.999.3", "0603883703"), ("1.2.840.113549.1.7.3", "06092a864886f70d010703")]
)
def test_object_identifiers(dotted: str, encoded: str) -> None:
    assert der.oid(dotted).hex() == encoded


@pytest.mark.parametrize(("length", "encoded"), [(0, "3000"), (127, "307f"), (128, "308180"), (70000, "3083011170")])
def test_lengths_are_in_the_shortest_form(length: int, encoded: str) -> None:
    assert der.header(der.SEQUENCE, length).hex() == encoded


def test_a_set_is_ordered_by_its_encodings() -> None:
    assert der.set_of([der.integer(300), der.integer(5), der.octet_string(b"")]).hex() == "310902010502020" + "12c0400"


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_what_is_written_is_read_back(contents: list[bytes]) -> None:
    encoded = der.sequence(*map(der.octet_string, contents))
    outer = der.read_element(encoded, 0, len(encoded))
    assert outer.end == len(encoded)
    assert [encoded[one.content : one.end] for one in der.children(encoded, outer)] == contents


@pytest.mark.parametrize("bad", ["", "30", "3005", "30800000", "3085000000000100", "3f810100", "308201"])
def test_what_is_not_der_is_refused(bad: str) -> None:
    data = bytes.fromhex(bad)
    with pytest.raises(UnreadableCertificate):
        der.read_element(data, 0, len(data))


def test_the_library_reads_our_object_identifiers() -> None:
    name = x509.Name([x509.NameAttribute(x509.ObjectIdentifier("2.5.4.3"), "a")])
    assert der.oid("2.5.4.3") in name.public_bytes()
