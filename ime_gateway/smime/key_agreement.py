"""Agree on the key that wraps a content key: ephemeral-static Diffie-Hellman (RFC 5753, RFC 8418).

Both directions need the same three steps: shared secret, key derivation over ECC-CMS-SharedInfo, key wrap
(`key_unwrap`). On P-256, P-384 and P-521 the cofactor is 1, so the standard and the cofactor schemes give the
same secret.
"""

import hmac
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.smime.key_unwrap import KEY_WRAPS, KeyWrap
from ime_gateway.smime.structures import AlgorithmIdentifier

AgreementPrivateKey = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey
AgreementPublicKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey

CURVES = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}
"""Curves that mail uses (RFC 8551 section 2.3, CA/B S/MIME BR 6.1.5), by the library's name."""
EC_PUBLIC_KEY = der.oid("1.2.840.10045.2.1")
X25519 = der.oid("1.3.101.110")
_CURVE_OIDS = {
    "secp256r1": der.oid("1.2.840.10045.3.1.7"),
    "secp384r1": der.oid("1.3.132.0.34"),
    "secp521r1": der.oid("1.3.132.0.35"),
}
_X25519_BYTES = 32
_SHA1 = hashes.SHA1()  # noqa: S303 - deriving a key does not need what SHA-1 has lost (RFC 5753 section 8)
_EXPLICIT_0 = 0xA0
_EXPLICIT_2 = 0xA2
_BIT_STRING = 0x03


@dataclass(frozen=True, slots=True)
class Derivation:
    """How the key-encryption key comes from the shared secret."""

    name: str
    """`sha256` or `hkdf-sha256`."""
    digest: hashes.HashAlgorithm
    hkdf: bool
    """HKDF (RFC 8418 section 2.2) instead of the KDF of ANSI X9.63 (RFC 5753 section 7.2)."""


_DERIVATIONS = {
    # dhSinglePass-stdDH-*kdf-scheme and dhSinglePass-cofactorDH-*kdf-scheme, RFC 5753 section 7.1.4
    "1.3.133.16.840.63.0.2": Derivation("sha1", _SHA1, False),
    "1.3.132.1.11.0": Derivation("sha224", hashes.SHA224(), False),
    "1.3.132.1.11.1": Derivation("sha256", hashes.SHA256(), False),
    "1.3.132.1.11.2": Derivation("sha384", hashes.SHA384(), False),
    "1.3.132.1.11.3": Derivation("sha512", hashes.SHA512(), False),
    "1.3.133.16.840.63.0.3": Derivation("sha1", _SHA1, False),
    "1.3.132.1.14.0": Derivation("sha224", hashes.SHA224(), False),
    "1.3.132.1.14.1": Derivation("sha256", hashes.SHA256(), False),
    "1.3.132.1.14.2": Derivation("sha384", hashes.SHA384(), False),
    "1.3.132.1.14.3": Derivation("sha512", hashes.SHA512(), False),
    # dhSinglePass-stdDH-hkdf-*-scheme, RFC 8418 section 7
    "1.2.840.113549.1.9.16.3.19": Derivation("hkdf-sha256", hashes.SHA256(), True),
    "1.2.840.113549.1.9.16.3.20": Derivation("hkdf-sha384", hashes.SHA384(), True),
    "1.2.840.113549.1.9.16.3.21": Derivation("hkdf-sha512", hashes.SHA512(), True),
}


@dataclass(frozen=True, slots=True)
class AgreementMethod:
    """A keyEncryptionAlgorithm of KeyAgreeRecipientInfo, read."""

    derivation: Derivation
    wrap: KeyWrap
    wrap_algorithm: bytes
    """The AlgorithmIdentifier of the wrap in DER, as it goes into ECC-CMS-SharedInfo."""

    def key_encryption_key(self, shared: bytes, ukm: bytes | None) -> bytes:
        """The key that wraps the content key (RFC 5753 section 7.2, RFC 8418 section 2)."""
        info = _shared_info(self.wrap_algorithm, self.wrap.key_bytes, ukm)
        if self.derivation.hkdf:
            return HKDF(self.derivation.digest, self.wrap.key_bytes, ukm or None, info).derive(shared)
        return X963KDF(self.derivation.digest, self.wrap.key_bytes, info).derive(shared)


def read_method(algorithm: AlgorithmIdentifier) -> AgreementMethod | None:
    """The method that an algorithm names; None when this version does not know it."""
    derivation = _DERIVATIONS.get(algorithm.oid)
    encoded = algorithm.parameters
    if derivation is None or encoded is None:
        return None
    try:
        outer = der.read_element(encoded, 0, len(encoded))
        parts = der.children(encoded, outer) if outer.tag == der.SEQUENCE else []
    except UnreadableCertificate:
        return None
    wrap = KEY_WRAPS.get(encoded[parts[0].start : parts[0].end]) if parts else None
    return None if wrap is None else AgreementMethod(derivation, wrap, encoded)


def agree(private_key: AgreementPrivateKey, public_key: AgreementPublicKey) -> bytes:
    """The shared secret. Raises ValueError for keys of two curves, and for an all-zero secret (RFC 8418 section 2)."""
    if isinstance(private_key, x25519.X25519PrivateKey) and isinstance(public_key, x25519.X25519PublicKey):
        shared = private_key.exchange(public_key)
        if hmac.compare_digest(shared, bytes(len(shared))):
            raise ValueError("the shared secret is zero")
        return shared
    if isinstance(private_key, ec.EllipticCurvePrivateKey) and isinstance(public_key, ec.EllipticCurvePublicKey):
        return private_key.exchange(ec.ECDH(), public_key)
    raise ValueError("the keys do not belong to one curve")


def agree_with_originator(private_key: AgreementPrivateKey, originator_key: bytes) -> bytes | None:
    """The shared secret with a sender's ephemeral key, a SubjectPublicKeyInfo in DER; None when it is no key of ours.

    The curve is that of `private_key`: the sender may leave it out (RFC 5753 section 3.1.1), but must not name
    another. Points that do not lie on it are refused (invalid curve attack).
    """
    try:
        algorithm, curve, point = _read_public_key(originator_key)
        if isinstance(private_key, x25519.X25519PrivateKey):
            if algorithm != X25519 or len(point) != _X25519_BYTES:
                return None
            return agree(private_key, x25519.X25519PublicKey.from_public_bytes(point))
        if algorithm != EC_PUBLIC_KEY or curve not in (b"", der.NULL, _CURVE_OIDS.get(private_key.curve.name)):
            return None
        return agree(private_key, ec.EllipticCurvePublicKey.from_encoded_point(private_key.curve, point))
    except (UnreadableCertificate, ValueError, UnsupportedAlgorithm):
        return None


def _read_public_key(encoded: bytes) -> tuple[bytes, bytes, bytes]:
    """Algorithm, its parameters and the key of a SubjectPublicKeyInfo. Raises UnreadableCertificate, ValueError."""
    outer = der.read_element(encoded, 0, len(encoded))
    algorithm, key = der.children(encoded, outer)
    oid, *parameters = (encoded[part.start : part.end] for part in der.children(encoded, algorithm))
    if outer.end != len(encoded) or key.tag != _BIT_STRING or encoded[key.content : key.content + 1] != b"\0":
        raise ValueError("this is no public key")
    return oid, b"".join(parameters), encoded[key.content + 1 : key.end]


def _shared_info(wrap_algorithm: bytes, key_bytes: int, ukm: bytes | None) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753 section 7.2): the wrap, the sender's own material, the size of the key in bits."""
    return der.sequence(
        wrap_algorithm,
        b"" if ukm is None else der.tlv(_EXPLICIT_0, der.octet_string(ukm)),
        der.tlv(_EXPLICIT_2, der.octet_string((key_bytes * 8).to_bytes(4, "big"))),
    )
