"""Parameters of RSAES-OAEP in all their variants, and the two key wraps against their RFCs."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from ime_gateway.certs import der
from ime_gateway.smime.key_unwrap import KEY_WRAPS, TransportMethod, read_transport, unwrap
from ime_gateway.smime.structures import AlgorithmIdentifier
from tests.pki import rsa_key

OAEP = "1.2.840.113549.1.1.7"
MGF1 = der.oid("1.2.840.113549.1.1.8")
P_SPECIFIED = der.oid("1.2.840.113549.1.1.9")
SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.NULL)
SHA384_WITHOUT_NULL = der.sequence(der.oid("2.16.840.1.101.3.4.2.2"))
MD5 = der.sequence(der.oid("1.2.840.113549.2.5"), der.NULL)
SECRET = bytes(range(32))


def oaep(*fields: bytes) -> TransportMethod | None:
    return read_transport(AlgorithmIdentifier(OAEP, der.sequence(*fields)))


def digest(algorithm: bytes) -> bytes:
    return der.tlv(0xA0, algorithm)


def mask(algorithm: bytes) -> bytes:
    return der.tlv(0xA1, der.sequence(MGF1, algorithm))


def label(value: bytes) -> bytes:
    return der.tlv(0xA2, der.sequence(P_SPECIFIED, der.octet_string(value)))


@pytest.mark.parametrize(
    ("fields", "name", "scheme"),
    [
        ((), "rsa-oaep-sha1", (hashes.SHA1(), hashes.SHA1(), None)),
        ((digest(SHA256),), "rsa-oaep-sha256-mgf-sha1", (hashes.SHA1(), hashes.SHA256(), None)),
        ((mask(SHA256),), "rsa-oaep-sha1-mgf-sha256", (hashes.SHA256(), hashes.SHA1(), None)),
        (
            (digest(SHA256), mask(SHA384_WITHOUT_NULL), label(b"P")),
            "rsa-oaep-sha256-mgf-sha384",
            (hashes.SHA384(), hashes.SHA256(), b"P"),
        ),
        ((label(b""),), "rsa-oaep-sha1", (hashes.SHA1(), hashes.SHA1(), None)),
    ],
)
def test_what_is_left_out_has_its_default(
    fields: tuple[bytes, ...], name: str, scheme: tuple[hashes.HashAlgorithm, hashes.HashAlgorithm, bytes | None]
) -> None:
    method = oaep(*fields)
    assert method is not None and method.name == name
    key = rsa_key(0)
    encrypted = key.public_key().encrypt(SECRET, padding.OAEP(padding.MGF1(scheme[0]), scheme[1], scheme[2]))
    assert method.unwrap(key, encrypted) == SECRET


def test_parameters_may_be_absent() -> None:
    method = read_transport(AlgorithmIdentifier(OAEP, None))
    assert method is not None and method.name == "rsa-oaep-sha1"


@pytest.mark.parametrize(
    "parameters",
    [
        der.NULL,
        b"\x30\x05\xa0",
        der.sequence() + b"\0",
        der.sequence(digest(MD5)),
        der.sequence(mask(MD5)),
        der.sequence(mask(SHA256), digest(SHA256)),
        der.sequence(digest(SHA256), digest(SHA256)),
        der.sequence(digest(SHA256), der.tlv(0xA3, b"")),
        der.sequence(digest(SHA256 + b"\0")),
        der.sequence(digest(der.sequence())),
        der.sequence(digest(der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.integer(1)))),
        der.sequence(der.tlv(0xA1, der.sequence(der.oid("1.2.3"), SHA256))),
        der.sequence(der.tlv(0xA1, der.sequence(MGF1))),
        der.sequence(der.tlv(0xA2, der.sequence(P_SPECIFIED, der.integer(1)))),
        der.sequence(der.tlv(0xA2, der.sequence(der.oid("1.2.3"), der.octet_string(b"P")))),
        der.sequence(der.tlv(0xA2, b"")),
    ],
)
def test_parameters_that_mean_nothing_to_us(parameters: bytes) -> None:
    assert read_transport(AlgorithmIdentifier(OAEP, parameters)) is None


def test_other_transports() -> None:
    assert read_transport(AlgorithmIdentifier("1.2.840.113549.1.1.10", None)) is None
    method = read_transport(AlgorithmIdentifier("1.2.840.113549.1.1.1", der.NULL))
    assert method is not None and method.name == "rsa-v1.5"


def test_failures_say_nothing() -> None:
    key, method = rsa_key(0), oaep(digest(SHA256))
    assert method is not None
    for encrypted in (b"", bytes(255), bytes(256), bytes(257), b"\xff" * 256):
        assert method.unwrap(key, encrypted) is None
    v1_5 = read_transport(AlgorithmIdentifier("1.2.840.113549.1.1.1", der.NULL))
    assert v1_5 is not None and v1_5.unwrap(key, b"short") is None


def test_wrong_v1_5_paddings_give_a_value_that_depends_on_the_message_only() -> None:
    # Implicit rejection inside the library's OpenSSL. Were it gone, this would be None, and an oracle.
    key, v1_5 = rsa_key(0), read_transport(AlgorithmIdentifier("1.2.840.113549.1.1.1", der.NULL))
    assert v1_5 is not None
    modulus = key.public_key().public_numbers().n
    for number in range(2, 50):
        encrypted = pow(number, 65537, modulus).to_bytes(256, "big")
        first = v1_5.unwrap(key, encrypted)
        assert first is not None and first == v1_5.unwrap(key, encrypted)


def wrap(name: str):  # type: ignore[no-untyped-def]
    return next(one for one in KEY_WRAPS.values() if one.name == name)


def test_aes_key_wrap_of_rfc_3394() -> None:
    # RFC 3394 section 4.6: 256 bits of key data under a 256-bit key.
    key = bytes(range(32))
    data = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
    wrapped = bytes.fromhex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")
    assert unwrap(wrap("aes-256-wrap"), key, wrapped) == data
    for damaged in (wrapped[:-1], wrapped[:-8], wrapped + bytes(8), b"", bytes(40), wrapped[:-1] + b"\0"):
        assert unwrap(wrap("aes-256-wrap"), key, damaged) is None


def test_triple_des_key_wrap_of_rfc_3217() -> None:
    # RFC 3217 section 5.1.
    key = bytes.fromhex("255e0d1c07b646dfb3134cc843ba8aa71f025b7c0838251f")
    data = bytes.fromhex("2923bf85e06dd6ae529149f1f1bae9eab3a7da3d860d3e98")
    wrapped = bytes.fromhex("690107618ef092b3b48ca1796b234ae9fa33ebb4159604037db5d6a84eb3aac2768c632775a467d4")
    assert unwrap(wrap("3des-wrap"), key, wrapped) == data
    for damaged in (wrapped[:-1], wrapped[:32], wrapped + bytes(8), b"", wrapped[:-1] + b"\0", bytes(40)):
        assert unwrap(wrap("3des-wrap"), key, damaged) is None
