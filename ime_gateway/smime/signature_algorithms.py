"""The digest and signature algorithms of CMS: their names, their parameters, and one check for all of them.

RSA PKCS#1 v1.5 and DSA (RFC 3370, RFC 5754), RSASSA-PSS (RFC 4056), ECDSA (RFC 5753), Ed25519 and Ed448
(RFC 8419, RFC 8702 for its digest). What can be forged (MD5, SHA-1) and keys of DSA are checked all the same,
so that old mail reads "outdated" and not "changed".
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.base.octets import Buffer
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.signing_fitness import SIGNING_CURVES
from ime_gateway.smime.signature_report import SignatureFault
from ime_gateway.smime.structures import AlgorithmIdentifier

Family = Literal["rsa", "pss", "dsa", "ecdsa", "ed25519", "ed448"]

MINIMUM_RSA_BITS: Final = 2048
"""RFC 8551 section 4.2: shorter keys belong to historic mail."""
MAXIMUM_RSA_BITS: Final = 8192
"""RFC 8551 section 4.2 asks for 4096 and allows more."""
_MAXIMUM_EXPONENT_BITS: Final = 64
_MAXIMUM_DSA_BITS: Final = 3072
MINIMUM_RSA_EXPONENT: Final = 65_537
"""Smaller ones are what forgeries of signatures with RSA live on; FIPS 186-5 section A.1.1 forbids them."""

DIGESTS: Final = {
    "1.2.840.113549.2.5": "md5",
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.12": "shake256",
    "2.16.840.1.101.3.4.2.18": "shake256",
}
WEAK_DIGESTS: Final = frozenset({"md5", "sha1"})
_SHAKE256_BYTES: Final = 64
_MGF1 = "1.2.840.113549.1.1.8"
_PSS = "1.2.840.113549.1.1.10"
_SCHEMES: Final[dict[str, tuple[Family, str]]] = {
    # The digest that the name fixes; empty where it is the digest algorithm of the signer.
    "1.2.840.113549.1.1.1": ("rsa", ""),
    "1.2.840.113549.1.1.4": ("rsa", "md5"),
    "1.2.840.113549.1.1.5": ("rsa", "sha1"),
    "1.3.14.3.2.29": ("rsa", "sha1"),
    "1.2.840.113549.1.1.14": ("rsa", "sha224"),
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.2.840.10040.4.1": ("dsa", ""),
    "1.2.840.10040.4.3": ("dsa", "sha1"),
    "2.16.840.1.101.3.4.3.1": ("dsa", "sha224"),
    "2.16.840.1.101.3.4.3.2": ("dsa", "sha256"),
    "1.2.840.10045.4.1": ("ecdsa", "sha1"),
    "1.2.840.10045.4.3.1": ("ecdsa", "sha224"),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
    "1.3.101.112": ("ed25519", "sha512"),
    "1.3.101.113": ("ed448", "shake256"),
}
_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "md5": hashes.MD5,
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


class Signable(Protocol):
    """The octets that a signature covers: the signed attributes, or the content itself."""

    def digest(self, name: str) -> bytes:
        """Their digest."""
        ...

    def whole(self) -> bytes | None:
        """All of them in one piece, for EdDSA; None when that would cost too much."""
        ...


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a signature was made."""

    family: Family
    digest: str
    mask: str = ""
    """PSS: the hash of MGF1."""
    salt: int = 0
    """PSS: octets of salt."""


def digest_name(algorithm: AlgorithmIdentifier) -> str | SignatureFault:
    """`sha256`, ...; parameters absent or NULL (RFC 5754 section 2), or 512 for SHAKE256 (RFC 8702)."""
    name = DIGESTS.get(algorithm.oid)
    if name is None:
        return SignatureFault.UNKNOWN_DIGEST
    allowed = (None, der.NULL, der.integer(512)) if name == "shake256" else (None, der.NULL)
    return name if algorithm.parameters in allowed else SignatureFault.BAD_PARAMETERS


def digest(name: str, chunks: Iterable[Buffer]) -> bytes:
    """The digest of the concatenated chunks, by a name that `digest_name` gave."""
    if name == "shake256":
        extendable = hashlib.shake_256()
        for chunk in chunks:
            extendable.update(chunk)
        return extendable.digest(_SHAKE256_BYTES)
    running = hashlib.new(name, usedforsecurity=False)
    for chunk in chunks:
        running.update(chunk)
    return running.digest()


def read_scheme(
    algorithm: AlgorithmIdentifier, signer_digest: str, *, with_attributes: bool
) -> Scheme | SignatureFault:
    """The scheme that a signer names, or why it cannot be: RFC 8551 section 2.2 and what the RFCs above demand.

    signer_digest: the name of its digest algorithm, which must be that of the signature algorithm.
    """
    scheme: Scheme | SignatureFault
    if algorithm.oid == _PSS:
        scheme = _read_pss(algorithm.parameters)
    else:
        named = _SCHEMES.get(algorithm.oid)
        if named is None:
            return SignatureFault.UNKNOWN_SIGNATURE
        family, fixed = named
        # ECDSA and EdDSA want them absent; a NULL there means the same and cannot be misread.
        if family != "dsa" and algorithm.parameters not in (None, der.NULL):
            return SignatureFault.BAD_PARAMETERS
        scheme = Scheme(family, fixed or signer_digest)
    if isinstance(scheme, SignatureFault):
        return scheme
    # RFC 8419 section 3.2: without signed attributes EdDSA covers the content itself, the digest means nothing.
    unused = scheme.family in ("ed25519", "ed448") and not with_attributes
    if scheme.digest != signer_digest and not unused:
        return SignatureFault.ALGORITHMS_DISAGREE
    if scheme.digest == "shake256" and scheme.family != "ed448":
        return SignatureFault.ALGORITHMS_DISAGREE
    return scheme


def _read_pss(parameters: bytes | None) -> Scheme | SignatureFault:
    """RSASSA-PSS-params (RFC 4055 section 3.1), whose defaults are SHA-1."""
    if parameters is None:
        return SignatureFault.BAD_PARAMETERS
    scheme, trailer, last = Scheme("pss", "sha1", "sha1", 20), 1, 0
    try:
        for field in der.children(parameters, _whole(parameters, 0, len(parameters))):
            inner = der.read_element(parameters, field.content, field.end)
            if field.tag <= last or inner.end != field.end:
                return SignatureFault.BAD_PARAMETERS
            last = field.tag
            match field.tag:
                case 0xA0:
                    scheme = replace(scheme, digest=_hash_in(parameters, inner))
                case 0xA1:
                    scheme = replace(scheme, mask=_mask_in(parameters, inner))
                case 0xA2:
                    scheme = replace(scheme, salt=_small_integer(parameters, inner))
                case 0xA3:
                    trailer = _small_integer(parameters, inner)
                case _:
                    return SignatureFault.BAD_PARAMETERS
    except (UnreadableCertificate, ValueError):
        return SignatureFault.BAD_PARAMETERS
    return scheme if trailer == 1 else SignatureFault.BAD_PARAMETERS


def _whole(data: bytes, start: int, end: int) -> der.Element:
    element = der.read_element(data, start, end)
    if element.tag != der.SEQUENCE or element.end != end:
        raise ValueError("no such structure")
    return element


def _mask_in(data: bytes, algorithm: der.Element) -> str:
    """The hash of MGF1, the only mask generation function there is. Raises ValueError."""
    name, hash_algorithm = der.children(data, _whole(data, algorithm.start, algorithm.end))
    if data[name.start : name.end] != der.oid(_MGF1):
        raise ValueError("unknown mask")
    return _hash_in(data, hash_algorithm)


def _hash_in(data: bytes, algorithm: der.Element) -> str:
    """The name of a hash in an AlgorithmIdentifier. Raises ValueError for what PSS cannot use."""
    name, *parameters = der.children(data, _whole(data, algorithm.start, algorithm.end))
    by_der = {der.oid(dotted): text for dotted, text in DIGESTS.items() if text in _HASHES}
    if [data[one.start : one.end] for one in parameters] not in ([], [der.NULL]):
        raise ValueError("parameters of a hash")
    found = by_der.get(data[name.start : name.end])
    if found is None:
        raise ValueError("unknown hash")
    return found


def _small_integer(data: bytes, element: der.Element) -> int:
    value = int.from_bytes(data[element.content : min(element.end, element.content + 4)], "big", signed=True)
    if element.tag != der.INTEGER or element.end - element.content > 4 or value < 0:
        raise ValueError("no small number")
    return value


def key_fault(certificate: Certificate, scheme: Scheme) -> SignatureFault:
    """Whether the key of the certificate can have made such a signature; its strength is `weakness`."""
    try:
        key = certificate.public_key
    except (ValueError, UnsupportedAlgorithm):
        return SignatureFault.UNKNOWN_KEY
    kinds = {
        "rsa": (rsa.RSAPublicKey, ("rsa",)),
        # RFC 4055 section 1.2: a key of id-RSASSA-PSS makes PSS signatures only, one of rsaEncryption makes both.
        "pss": (rsa.RSAPublicKey, ("rsa", "rsa-pss")),
        "dsa": (dsa.DSAPublicKey, ("dsa",)),
        "ecdsa": (ec.EllipticCurvePublicKey, ("ec",)),
        "ed25519": (ed25519.Ed25519PublicKey, ("ed25519",)),
        "ed448": (ed448.Ed448PublicKey, ("ed448",)),
    }
    kind, names = kinds[scheme.family]
    if not isinstance(key, kind) or certificate.key_kind not in names:
        return SignatureFault.NOT_THIS_KEY
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in SIGNING_CURVES:
        return SignatureFault.UNKNOWN_KEY
    return SignatureFault.UNKNOWN_KEY if _is_costly(key) else SignatureFault.NONE


def _is_costly(key: object) -> bool:
    """A key that somebody made to keep us busy: checks would take as long as making signatures, or longer."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size > MAXIMUM_RSA_BITS or key.public_numbers().e.bit_length() > _MAXIMUM_EXPONENT_BITS
    return isinstance(key, dsa.DSAPublicKey) and key.key_size > _MAXIMUM_DSA_BITS


def weakness(certificate: Certificate, scheme: Scheme, signer_digest: str) -> SignatureFault:
    """What makes a signature worthless although it matches."""
    if scheme.digest in WEAK_DIGESTS or signer_digest in WEAK_DIGESTS:
        return SignatureFault.WEAK_DIGEST
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey):
        small = key.key_size < MINIMUM_RSA_BITS or key.public_numbers().e < MINIMUM_RSA_EXPONENT
        return SignatureFault.WEAK_KEY if small else SignatureFault.NONE
    if isinstance(key, dsa.DSAPublicKey) and key.key_size < MINIMUM_RSA_BITS:
        return SignatureFault.WEAK_KEY
    return SignatureFault.NONE


def check(certificate: Certificate, scheme: Scheme, signature: bytes, signable: Signable) -> SignatureFault:
    """Does the signature match? `NONE`, `WRONG_SIGNATURE`, or `TOO_MANY` when finding out costs too much."""
    key = certificate.public_key
    try:
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            whole = signable.whole()
            if whole is None:
                return SignatureFault.TOO_MANY
            key.verify(signature, whole)
            return SignatureFault.NONE
        hashed, value = Prehashed(_HASHES[scheme.digest]()), signable.digest(scheme.digest)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, value, _padding(scheme), hashed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, value, ec.ECDSA(hashed))
        elif isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, value, hashed)
        else:
            return SignatureFault.UNKNOWN_KEY
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return SignatureFault.WRONG_SIGNATURE
    return SignatureFault.NONE


def _padding(scheme: Scheme) -> padding.PKCS1v15 | padding.PSS:
    if scheme.family == "rsa":
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(_HASHES[scheme.mask]()), scheme.salt)
