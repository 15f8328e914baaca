"""SMIMECapabilities: the bytes of the RFCs, and lists of any shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.certs import der
from ime_gateway.certs.capabilities import NOTHING_SAID, own_capabilities, read_capabilities

AES_128 = bytes.fromhex("300b0609608648016503040102")
"""RFC 3565 section 4.1."""
AES_256 = bytes.fromhex("300b060960864801650304012a")
X25519_AES_256 = bytes.fromhex("301a060b2a864886f70d0109100313300b060960864801650304012d")
"""RFC 8418 section 8, as the next two."""
X25519_AES_128 = bytes.fromhex("301a060b2a864886f70d0109100313300b0609608648016503040105")
ECDH_SHA256_AES_256 = bytes.fromhex("301506062b8104010b01300b060960864801650304012d")
OAEP_DEFAULT = bytes.fromhex("300d06092a864886f70d0101073000")
"""RFC 4055 section 4.1 with all parameters at their defaults, which are SHA-1."""
RC2 = bytes.fromhex("300d06082a864886f70d030202013a")


def listed(*entries: bytes) -> bytes:
    return der.sequence(*entries)


def test_ours_has_the_octets_of_the_standards() -> None:
    for octets in (AES_128, AES_256, X25519_AES_256, X25519_AES_128, ECDH_SHA256_AES_256):
        assert octets in own_capabilities()
    assert OAEP_DEFAULT not in own_capabilities() and RC2 not in own_capabilities()


def test_ours_reads_as_meant() -> None:
    read = read_capabilities(own_capabilities())
    assert read.gcm and read.oaep
    assert read.ciphers == (
        "aes-256-gcm",
        "aes-128-gcm",
        "aes-256-cbc",
        "aes-192-cbc",
        "aes-128-cbc",
        "chacha20-poly1305",
    )
    assert read.key_agreement == ("ecdh-sha256", "ecdh-sha384", "ecdh-sha512", "ecdh-hkdf-sha256")


def test_the_order_is_the_owners() -> None:
    assert read_capabilities(listed(AES_128, AES_256, AES_128)).ciphers == ("aes-128-cbc", "aes-256-cbc")


def test_gcm_of_128_bits_is_not_what_we_write() -> None:
    assert not read_capabilities(listed(der.sequence(der.oid("2.16.840.1.101.3.4.1.6")))).gcm


def test_oaep_with_sha1_is_not_what_we_write() -> None:
    assert not read_capabilities(listed(OAEP_DEFAULT)).oaep
    assert not read_capabilities(listed(bytes.fromhex("300b06092a864886f70d010107"))).oaep


def test_hash_parameters_may_be_absent() -> None:
    sha256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
    mask = der.sequence(der.oid("1.2.840.113549.1.1.8"), sha256)
    parameters = der.sequence(der.tlv(0xA0, sha256), der.tlv(0xA1, mask))
    assert read_capabilities(listed(der.sequence(der.oid("1.2.840.113549.1.1.7"), parameters))).oaep


def test_outlook_of_old() -> None:
    read = read_capabilities(listed(AES_256, RC2, der.sequence(der.oid("1.2.840.113549.3.7"))))
    assert read.ciphers == ("aes-256-cbc", "des-ede3-cbc") and not read.gcm and read.says_something


@pytest.mark.parametrize(
    "octets",
    [b"", b"\x30", b"\x30\x80\x00\x00", b"\x30\x05\x30\x84\xff\xff\xff", b"\x31\x00", b"\x30\x02\x05\x00", bytes(99)],
)
def test_damaged_lists_say_nothing(octets: bytes) -> None:
    assert read_capabilities(octets) == NOTHING_SAID
    assert not NOTHING_SAID.says_something


def test_endless_lists_say_nothing() -> None:
    assert read_capabilities(listed(*([AES_256] * 5_000))) == NOTHING_SAID
    assert read_capabilities(listed(*([RC2] * 200), AES_256)) == NOTHING_SAID


@given(st.binary(max_size=200))
def test_anything_may_come(octets: bytes) -> None:
    read_capabilities(octets)
    read_capabilities(listed(octets))
    read_capabilities(listed(der.sequence(octets)))
