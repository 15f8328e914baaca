"""The kinds of key pairs that we make: for whom each is good, and how one comes into being.

RSA is what every mail program reads; P-256 and P-384 are shorter and read by most (RFC 8551 section 2.3); Ed25519
signs and X25519 encrypts and neither does the other (RFC 8410 section 5), so a person needs both.
"""

from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

KeyKind = Literal["rsa-3072", "rsa-4096", "p-256", "p-384", "ed25519", "x25519"]

SigningPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
MailPrivateKey = SigningPrivateKey | x25519.X25519PrivateKey
MailPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | x25519.X25519PublicKey


def make_key(kind: KeyKind) -> MailPrivateKey:
    """A fresh key, from the randomness of the cryptographic library, which lets no other be given. RSA takes long:
    never while a transaction is open."""
    match kind:
        case "rsa-3072":
            return rsa.generate_private_key(65_537, 3072)
        case "rsa-4096":
            return rsa.generate_private_key(65_537, 4096)
        case "p-256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p-384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "x25519":
            return x25519.X25519PrivateKey.generate()


def to_pkcs8(key: MailPrivateKey) -> bytes:
    """PKCS#8 in DER, not encrypted: seal it before it rests anywhere."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def signing_key(pkcs8: bytes) -> SigningPrivateKey:
    """A stored key that signs certificates, CRLs or requests; raises ValueError for one that cannot."""
    key = load_der_private_key(pkcs8, None)
    if not isinstance(key, SigningPrivateKey):
        raise ValueError("this kind of key does not sign")
    return key


def digest_for(key: SigningPrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """What is signed with this key: a SHA-256, for P-384 a SHA-384, and for Ed25519 the whole (RFC 8410 section 3)."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384()
    return hashes.SHA256()


def kind_of(public_key: object) -> KeyKind | None:
    """The kind by which a key like this one is made anew; None: we make none like it."""
    match public_key:
        case rsa.RSAPublicKey():
            return "rsa-4096" if public_key.key_size > 3072 else "rsa-3072"
        case ec.EllipticCurvePublicKey():
            return {"secp256r1": "p-256", "secp384r1": "p-384"}.get(public_key.curve.name)  # type: ignore[return-value]
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case x25519.X25519PublicKey():
            return "x25519"
        case _:
            return None
