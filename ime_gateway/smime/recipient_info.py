"""Hand the content key to one recipient: KeyTransRecipientInfo (RFC 5652 section 6.2.1).

RSA with PKCS#1 v1.5 padding is what every mail program opens (RFC 8551 section 2.3: MUST-),
RSAES-OAEP with SHA-256 is the better one (SHOULD+, RFC 3560 and RFC 4055) for those known to read it.
A recipient whose key is of another kind is not served by this version; `certs.fitness` says so first.
"""

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate

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


def key_transport(certificate: Certificate, content_key: bytes, *, oaep: bool, use_ski: bool) -> bytes:
    """The RecipientInfo that lets the owner of `certificate` read the content.

    use_ski: name the key by its subjectKeyIdentifier where the certificate has one, else (and by
    default) by issuer and serial number, which every reader understands.
    Raises UnreadableCertificate when the key cannot encrypt.
    """
    version, identifier = _VERSION_ISSUER_AND_SERIAL, b""
    if use_ski and (key_identifier := certificate.subject_key_identifier):
        version, identifier = _VERSION_KEY_IDENTIFIER, der.tlv(_KEY_IDENTIFIER, key_identifier)
    return der.sequence(
        version,
        identifier or certificate.issuer_and_serial,
        _RSAES_OAEP if oaep else _RSA_ENCRYPTION,
        der.octet_string(_encrypt(certificate, content_key, oaep)),
    )


def names_key_identifier(certificate: Certificate, use_ski: bool) -> bool:
    """Whether `key_transport` will name the key by its identifier; it rules the envelope's version."""
    return use_ski and bool(certificate.subject_key_identifier)


def _encrypt(certificate: Certificate, content_key: bytes, oaep: bool) -> bytes:
    key = certificate.public_key if certificate.key_kind == "rsa" else None
    if not isinstance(key, RSAPublicKey):
        raise UnreadableCertificate(f"a key of type {certificate.key_kind} is not supported by this version")
    try:
        return key.encrypt(content_key, _OAEP_PADDING if oaep else _PKCS1_PADDING)
    except ValueError as error:
        raise UnreadableCertificate("the key of the certificate is damaged: it cannot encrypt", str(error)) from error
