"""Key agreement in its parts: secret, shared info, derivation; OpenSSL's own KDFs judge the last."""

import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ime_gateway.certs import der
from ime_gateway.smime.key_agreement import agree, agree_with_originator, read_method
from ime_gateway.smime.structures import AlgorithmIdentifier

AES_128, AES_192, AES_256 = (der.sequence(der.oid(f"2.16.840.1.101.3.4.1.{last}")) for last in (5, 25, 45))
TRIPLE_DES = der.sequence(der.oid("1.2.840.113549.1.9.16.3.6"), der.NULL)
EC = der.oid("1.2.840.10045.2.1")
P256, P384 = der.oid("1.2.840.10045.3.1.7"), der.oid("1.3.132.0.34")
SHARED = bytes(range(32))
STANDARD = {
    "sha1": "1.3.133.16.840.63.0.2",
    "sha224": "1.3.132.1.11.0",
    "sha256": "1.3.132.1.11.1",
    "sha384": "1.3.132.1.11.2",
    "sha512": "1.3.132.1.11.3",
}
COFACTOR = {
    "sha1": "1.3.133.16.840.63.0.3",
    "sha224": "1.3.132.1.14.0",
    "sha256": "1.3.132.1.14.1",
    "sha384": "1.3.132.1.14.2",
    "sha512": "1.3.132.1.14.3",
}
HKDF = {f"sha{size}": f"1.2.840.113549.1.9.16.3.{last}" for size, last in ((256, 19), (384, 20), (512, 21))}
# ECC-CMS-SharedInfo, written by hand from RFC 5753 section 7.2: keyInfo, entityUInfo (the ukm 0a0b), suppPubInfo.
SHARED_INFO = {
    (AES_128, False): "3015 300b060960864801650304 0105 a206040400000080",
    (AES_192, False): "3015 300b060960864801650304 0119 a2060404000000c0",
    (AES_256, False): "3015 300b060960864801650304 012d a206040400000100",
    (AES_256, True): "301b 300b060960864801650304 012d a00404020a0b a206040400000100",
    (TRIPLE_DES, True): "301f 300f060b2a864886f70d010910030605 00 a00404020a0b a2060404000000c0",
}


def derived_by_openssl(kdf: str, digest: str, info: str, size: int, salt: bytes = b"") -> bytes:
    options = [f"digest:{digest}", f"hexkey:{SHARED.hex()}", "hexinfo:" + info.replace(" ", "")]
    options += [f"hexsalt:{salt.hex()}"] if salt else []
    words = [word for option in options for word in ("-kdfopt", option)]
    command = ["openssl", "kdf", "-binary", "-keylen", str(size), *words, kdf]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(("wrap", "with_ukm"), SHARED_INFO)
def test_the_key_is_what_openssl_derives(wrap: bytes, with_ukm: bool) -> None:
    ukm = b"\x0a\x0b" if with_ukm else None
    info = SHARED_INFO[wrap, with_ukm]
    for table, kdf in ((STANDARD, "X963KDF"), (COFACTOR, "X963KDF"), (HKDF, "HKDF")):
        for digest, scheme in table.items():
            method = read_method(AlgorithmIdentifier(scheme, wrap))
            assert method is not None
            # RFC 8418 section 2.2: with HKDF the ukm is the salt as well.
            salt = ukm or b"" if kdf == "HKDF" else b""
            expected = derived_by_openssl(kdf, digest.upper(), info, method.wrap.key_bytes, salt)
            assert method.key_encryption_key(SHARED, ukm) == expected, (kdf, digest)


@pytest.mark.parametrize(
    "algorithm",
    [
        AlgorithmIdentifier("1.3.132.1.15.1", AES_256),  # mqvSinglePass
        AlgorithmIdentifier("1.3.132.1.11.1", None),
        AlgorithmIdentifier("1.3.132.1.11.1", der.NULL),
        AlgorithmIdentifier("1.3.132.1.11.1", der.sequence()),
        AlgorithmIdentifier("1.3.132.1.11.1", der.sequence(der.oid("1.2.3"))),
        AlgorithmIdentifier("1.3.132.1.11.1", AES_256[:-1]),
        AlgorithmIdentifier("1.3.132.1.11.1", b""),
    ],
)
def test_methods_that_we_do_not_know(algorithm: AlgorithmIdentifier) -> None:
    assert read_method(algorithm) is None


def key_info(algorithm: bytes, point: bytes, unused: bytes = b"\0") -> bytes:
    return der.sequence(der.sequence(algorithm), der.tlv(0x03, unused + point))


def point_of(key: ec.EllipticCurvePrivateKey, form: PublicFormat = PublicFormat.UncompressedPoint) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, form)


def test_the_curve_may_be_left_out_but_must_not_be_another() -> None:
    mine, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    expected = mine.exchange(ec.ECDH(), theirs.public_key())
    for algorithm in (EC, EC + der.NULL, EC + P256):
        assert agree_with_originator(mine, key_info(algorithm, point_of(theirs))) == expected
    compressed = point_of(theirs, PublicFormat.CompressedPoint)
    assert agree_with_originator(mine, key_info(EC, compressed)) == expected
    for algorithm in (EC + P384, EC + der.sequence(), EC + P256 + der.NULL, der.oid("1.2.3"), der.oid("1.3.101.110")):
        assert agree_with_originator(mine, key_info(algorithm, point_of(theirs))) is None


def test_points_off_the_curve_are_refused() -> None:
    mine, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    point = point_of(ec.generate_private_key(ec.SECP256R1()))
    for wrong in (
        point[:-1] + bytes((point[-1] ^ 1,)),
        point[:-1],
        point + b"\0",
        b"",
        b"\0",
        b"\x04" + bytes(64),
        point_of(theirs),
    ):
        assert agree_with_originator(mine, key_info(EC, wrong)) is None
    assert agree_with_originator(mine, key_info(EC, point, unused=b"\x01")) is None


@pytest.mark.parametrize("damaged", [b"", b"\x30\x00", b"\x30\x80", der.sequence(der.sequence(EC)), b"\x04\x01A"])
def test_what_is_no_key_at_all(damaged: bytes) -> None:
    assert agree_with_originator(ec.generate_private_key(ec.SECP256R1()), damaged) is None
    assert agree_with_originator(x25519.X25519PrivateKey.generate(), damaged) is None


def test_x25519_refuses_a_zero_secret_and_other_sizes() -> None:
    mine, theirs = (x25519.X25519PrivateKey.generate() for _ in range(2))
    algorithm = der.oid("1.3.101.110")
    point = theirs.public_key().public_bytes_raw()
    assert agree_with_originator(mine, key_info(algorithm, point)) == theirs.exchange(mine.public_key())
    low_order = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
    for wrong in (bytes(32), b"\x01" + bytes(31), bytes.fromhex(low_order), point[:-1], point + b"\0"):
        assert agree_with_originator(mine, key_info(algorithm, wrong)) is None
    assert agree_with_originator(mine, key_info(EC + P256, point)) is None


def test_keys_of_two_curves_do_not_agree() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="curve"):
        agree(curve, x25519.X25519PrivateKey.generate().public_key())
    with pytest.raises(ValueError):
        agree(curve, ec.generate_private_key(ec.SECP384R1()).public_key())
