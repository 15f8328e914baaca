"""Hand the content key to one recipient: by key transport or by key agreement (RFC 5652 section 6.2).

RSA with PKCS#1 v1.5 padding is what every mail program opens (RFC 8551 section 2.3: MUST-), RSAES-OAEP with SHA-256
is the better one (SHOULD+, RFC 3560 and RFC 4055) for those known to read it. Elliptic curve keys get ephemeral-static
Diffie-Hellman: RFC 5753 for P-256, P-384 and P-521, RFC 8418 for X25519. Keys of other kinds are not served;
`certs.fitness` says so first.

Ephemeral keys, like the padding of RSA, come from the random generator of the library, not from the `randomness`
that content keys are drawn from: the library takes no other for making keys.
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, x25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate
from ime_gateway.smime.key_agreement import CURVES, EC_PUBLIC_KEY, X25519, AgreementMethod, agree, read_method
from ime_gateway.smime.structures import AlgorithmIdentifier

_VERSION_ISSUER_AND_SERIAL = der.integer(0)
_VERSION_KEY_IDENTIFIER = der.integer(2)
_KEY_IDENTIFIER = 0x80

_SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.NULL)
_MGF1_SHA256 = der.sequence(der.oid("1.2.840.113549.1.1.8"), _SHA256)
_RSA_ENCRYPTION = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
_RSAES_OAEP = der.sequence(
    # Both parameters stand explicit: their defaults are SHA-1 (RFC 4055 section 4.1).
    der.oid("1.2.840.113549.1.1.7"),
    der.sequence(der.tlv(0xA0, _SHA256), der.tlv(0xA1, _MGF1_SHA256)),
)
_PKCS1_PADDING = padding.PKCS1v15()
_OAEP_PADDING = padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)

_KEY_AGREEMENT: Final = 0xA1
"""RecipientInfo ::= CHOICE { ..., kari [1], ... }"""
_VERSION_KEY_AGREEMENT = der.integer(3)
_ORIGINATOR: Final = 0xA0
_ORIGINATOR_KEY: Final = 0xA1
_BIT_STRING: Final = 0x03
_RECIPIENT_KEY_IDENTIFIER: Final = 0xA0
_SCHEMES: Final = {
    # dhSinglePass-stdDH-sha*kdf-scheme with the digest that is as strong as the curve (RFC 5753 section 8), and
    # dhSinglePass-stdDH-hkdf-sha256-scheme (RFC 8551 section 2.3 for X25519)
    "secp256r1": "1.3.132.1.11.1",
    "secp384r1": "1.3.132.1.11.2",
    "secp521r1": "1.3.132.1.11.3",
    "x25519": "1.2.840.113549.1.9.16.3.19",
}
_WRAPS: Final = {16: "2.16.840.1.101.3.4.1.5", 24: "2.16.840.1.101.3.4.1.25", 32: "2.16.840.1.101.3.4.1.45"}
"""AES key wrap of the same size as the content key, as RFC 8551 section 2.3 wants it."""


def recipient_info(certificate: Certificate, content_key: bytes, *, oaep: bool, use_ski: bool) -> bytes:
    """The RecipientInfo that lets the owner of `certificate` read the content.

    oaep: RSAES-OAEP for an RSA key; others do not mind. use_ski: name the key by its subjectKeyIdentifier where the
    certificate has one, else (and by default) by issuer and serial number, which every reader understands.
    Raises UnreadableCertificate when the key cannot encrypt.
    """
    if certificate.key_kind == "rsa":
        return _key_transport(certificate, content_key, oaep, use_ski)
    return _key_agreement(certificate, content_key, use_ski)


def needs_version_2(certificate: Certificate, use_ski: bool) -> bool:
    """Whether the certificate's RecipientInfo lifts the version of EnvelopedData from 0 to 2 (RFC 5652 section 6.1).

    It does unless it is of version 0 itself: key transport, named by issuer and serial number.
    """
    return certificate.key_kind != "rsa" or (use_ski and bool(certificate.subject_key_identifier))


def _key_transport(certificate: Certificate, content_key: bytes, oaep: bool, use_ski: bool) -> bytes:
    """KeyTransRecipientInfo (RFC 5652 section 6.2.1)."""
    version, identifier = _VERSION_ISSUER_AND_SERIAL, b""
    if use_ski and (key_identifier := certificate.subject_key_identifier):
        version, identifier = _VERSION_KEY_IDENTIFIER, der.tlv(_KEY_IDENTIFIER, key_identifier)
    return der.sequence(
        version,
        identifier or certificate.issuer_and_serial,
        _RSAES_OAEP if oaep else _RSA_ENCRYPTION,
        der.octet_string(_encrypt(certificate, content_key, oaep)),
    )


def _encrypt(certificate: Certificate, content_key: bytes, oaep: bool) -> bytes:
    key = certificate.public_key
    if not isinstance(key, RSAPublicKey):
        raise _unsupported(certificate)
    try:
        return key.encrypt(content_key, _OAEP_PADDING if oaep else _PKCS1_PADDING)
    except ValueError as error:
        raise UnreadableCertificate("the key of the certificate is damaged: it cannot encrypt", str(error)) from error


def _key_agreement(certificate: Certificate, content_key: bytes, use_ski: bool) -> bytes:
    """KeyAgreeRecipientInfo (RFC 5652 section 6.2.2) with an ephemeral key for this recipient alone."""
    scheme, algorithm, point, shared = _agree(certificate)
    wrap = der.sequence(der.oid(_WRAPS[len(content_key)]))
    method = read_method(AlgorithmIdentifier(scheme, wrap))
    if not isinstance(method, AgreementMethod):
        raise _unsupported(certificate)
    wrapped = aes_key_wrap(method.key_encryption_key(shared, None), content_key)
    identifier = certificate.issuer_and_serial
    if use_ski and (key_identifier := certificate.subject_key_identifier):
        identifier = der.tlv(_RECIPIENT_KEY_IDENTIFIER, der.octet_string(key_identifier))
    # The curve stays unsaid, as OpenSSL does it: it is that of the recipient's key (RFC 5753 section 3.1.1).
    originator = der.tlv(_ORIGINATOR_KEY, der.sequence(algorithm) + der.tlv(_BIT_STRING, b"\0" + point))
    return der.tlv(
        _KEY_AGREEMENT,
        _VERSION_KEY_AGREEMENT
        + der.tlv(_ORIGINATOR, originator)
        + der.sequence(der.oid(scheme), wrap)
        + der.sequence(der.sequence(identifier, der.octet_string(wrapped))),
    )


def _agree(certificate: Certificate) -> tuple[str, bytes, bytes, bytes]:
    """Scheme, algorithm of the ephemeral key, its public point, and the shared secret. The private part ends here."""
    try:
        theirs = certificate.public_key
        if isinstance(theirs, x25519.X25519PublicKey):
            ours = x25519.X25519PrivateKey.generate()
            point = ours.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return _SCHEMES["x25519"], X25519, point, agree(ours, theirs)
        if isinstance(theirs, ec.EllipticCurvePublicKey) and theirs.curve.name in CURVES:
            mine = ec.generate_private_key(theirs.curve)
            point = mine.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            return _SCHEMES[theirs.curve.name], EC_PUBLIC_KEY, point, agree(mine, theirs)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UnreadableCertificate("the key of the certificate is damaged: it cannot encrypt", str(error)) from error
    raise _unsupported(certificate)


def _unsupported(certificate: Certificate) -> UnreadableCertificate:
    return UnreadableCertificate(f"a key of type {certificate.key_kind} is not supported by this version")
