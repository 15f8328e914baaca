"""Unwrap a content key that a sender wrapped for us: RSA (RFC 3370, RFC 3560) and key wraps (RFC 3565, RFC 3217).

None of these functions says why it failed: a wrong padding, a wrong key and a damaged message must look the
same from outside (RFC 3218, RFC 8551 section 6). They return None, and `decrypt` goes on with a random key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from hmac import compare_digest

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.smime.structures import AlgorithmIdentifier

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSA_1_5 = "rsa-v1.5"
"""Name of the method that needs implicit rejection: everybody else's wrong key is known to be wrong."""
RSAES_OAEP = "1.2.840.113549.1.1.7"
_MGF1 = der.oid("1.2.840.113549.1.1.8")
_P_SPECIFIED = der.oid("1.2.840.113549.1.1.9")
_SHA1 = hashes.SHA1()  # noqa: S303 - the default of RSAES-OAEP, which does not need what SHA-1 has lost
_HASHES: dict[bytes, hashes.HashAlgorithm] = {
    der.oid("1.3.14.3.2.26"): _SHA1,
    der.oid("2.16.840.1.101.3.4.2.4"): hashes.SHA224(),
    der.oid("2.16.840.1.101.3.4.2.1"): hashes.SHA256(),
    der.oid("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    der.oid("2.16.840.1.101.3.4.2.3"): hashes.SHA512(),
    der.oid("2.16.840.1.101.3.4.2.5"): hashes.SHA512_224(),
    der.oid("2.16.840.1.101.3.4.2.6"): hashes.SHA512_256(),
}
_PKCS1_PADDING = padding.PKCS1v15()
_3DES_WRAP_IV = bytes.fromhex("4adda22c79e82105")
"""RFC 3217 section 3.1, step 6."""


@dataclass(frozen=True, slots=True)
class KeyWrap:
    """A key wrap algorithm."""

    name: str
    key_bytes: int
    """Size of the key-encryption key."""
    triple_des: bool = False


KEY_WRAPS = {
    der.oid("2.16.840.1.101.3.4.1.5"): KeyWrap("aes-128-wrap", 16),
    der.oid("2.16.840.1.101.3.4.1.25"): KeyWrap("aes-192-wrap", 24),
    der.oid("2.16.840.1.101.3.4.1.45"): KeyWrap("aes-256-wrap", 32),
    der.oid("1.2.840.113549.1.9.16.3.6"): KeyWrap("3des-wrap", 24, triple_des=True),
}
"""By the DER of the object identifier (RFC 3565 section 2.3.2, RFC 3370 section 4.3.1)."""


@dataclass(frozen=True, slots=True)
class TransportMethod:
    """A keyEncryptionAlgorithm of KeyTransRecipientInfo, read."""

    name: str
    """`rsa-v1.5`, `rsa-oaep-sha256`, `rsa-oaep-sha256-mgf-sha1` ..."""
    padding: padding.AsymmetricPadding

    def unwrap(self, private_key: rsa.RSAPrivateKey, encrypted_key: bytes) -> bytes | None:
        """The content key, or None.

        With v1.5 a wrong padding usually gives a random key of random size and no error: the library's OpenSSL
        rejects implicitly (since 3.2), and `decrypt` does the rest.
        """
        try:
            return private_key.decrypt(encrypted_key, self.padding)
        except ValueError:
            return None


def read_transport(algorithm: AlgorithmIdentifier) -> TransportMethod | None:
    """The method that an algorithm names; None when this version does not know it, or its parameters."""
    if algorithm.oid == RSA_ENCRYPTION:
        return TransportMethod(RSA_1_5, _PKCS1_PADDING)
    if algorithm.oid != RSAES_OAEP:
        return None
    try:
        return _read_oaep(algorithm.parameters or der.sequence())
    except UnreadableCertificate:
        return None


def _read_oaep(parameters: bytes) -> TransportMethod | None:
    """RSAES-OAEP-params (RFC 4055 section 4.1); each of the three may be left out, and then is SHA-1, SHA-1, empty."""
    outer, fields = _sequence(parameters)
    if not outer:
        return None
    digest: hashes.HashAlgorithm | None = _SHA1
    mask: hashes.HashAlgorithm | None = _SHA1
    label: bytes | None = b""
    last = 0
    for tag, inside in fields:
        if tag <= last:
            return None
        last = tag
        match tag:
            case 0xA0:
                digest = _read_hash(inside)
            case 0xA1:
                mask = _read_mask(inside)
            case 0xA2:
                label = _read_label(inside)
            case _:
                return None
    if digest is None or mask is None or label is None:
        return None
    name = f"rsa-oaep-{digest.name}" + (f"-mgf-{mask.name}" if mask.name != digest.name else "")
    return TransportMethod(name, padding.OAEP(padding.MGF1(mask), digest, label or None))


def _sequence(encoded: bytes) -> tuple[bool, Sequence[tuple[int, bytes]]]:
    """Whether this is exactly one SEQUENCE, and tag and content of what is in it. Raises UnreadableCertificate."""
    outer = der.read_element(encoded, 0, len(encoded))
    if outer.tag != der.SEQUENCE or outer.end != len(encoded):
        return False, ()
    return True, [(part.tag, encoded[part.content : part.end]) for part in der.children(encoded, outer)]


def _read_hash(encoded: bytes) -> hashes.HashAlgorithm | None:
    """A digest's AlgorithmIdentifier; parameters NULL or absent (RFC 4055 section 2.1)."""
    _, parts = _sequence(encoded)
    if not parts or len(parts) > 2 or parts[0][0] != der.OBJECT_IDENTIFIER or parts[1:] not in ([], [(5, b"")]):
        return None
    return _HASHES.get(der.tlv(*parts[0]))


def _read_mask(encoded: bytes) -> hashes.HashAlgorithm | None:
    """MGF1 and its digest (RFC 4055 section 2.2)."""
    _, parts = _sequence(encoded)
    if len(parts) != 2 or der.tlv(*parts[0]) != _MGF1:
        return None
    return _read_hash(der.tlv(*parts[1]))


def _read_label(encoded: bytes) -> bytes | None:
    """The label, called P in id-pSpecified (RFC 4055 section 4.1)."""
    _, parts = _sequence(encoded)
    if len(parts) != 2 or der.tlv(*parts[0]) != _P_SPECIFIED or parts[1][0] != der.OCTET_STRING:
        return None
    return parts[1][1]


def unwrap(wrap: KeyWrap, key_encryption_key: bytes, encrypted_key: bytes) -> bytes | None:
    """The content key out of a key wrap, or None when its check value is wrong."""
    if wrap.triple_des:
        return _unwrap_triple_des(key_encryption_key, encrypted_key)
    try:
        return aes_key_unwrap(key_encryption_key, encrypted_key)
    except (InvalidUnwrap, ValueError):
        return None


def _unwrap_triple_des(key_encryption_key: bytes, encrypted_key: bytes) -> bytes | None:
    """CMS Triple-DES key wrap (RFC 3217 section 3.2): for three-key Triple-DES, always 40 octets."""
    if len(encrypted_key) != 40:
        return None
    outer = Cipher(TripleDES(key_encryption_key), CBC(_3DES_WRAP_IV)).decryptor()
    reversed_ = (outer.update(encrypted_key) + outer.finalize())[::-1]
    inner = Cipher(TripleDES(key_encryption_key), CBC(reversed_[:8])).decryptor()
    checked = inner.update(reversed_[8:]) + inner.finalize()
    key, check = checked[:24], checked[24:]
    return key if compare_digest(sha1(key, usedforsecurity=False).digest()[:8], check) else None
