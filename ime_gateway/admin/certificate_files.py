"""Certificates and keys as files: PEM to read (RFC 7468), PKCS#12 sealed to a passphrase for keys (RFC 7292)."""

import base64
import re

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import PrivateFormat, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    serialize_key_and_certificates,
)

from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate

_KDF_ROUNDS = 600_000
"""OWASP's figure for PBKDF2 with SHA-256; an export may lie about for years."""


def pem(certificate: Certificate) -> bytes:
    """A certificate in RFC 7468 form, with its subject above for people."""
    lines = base64.encodebytes(certificate.der).replace(b"\n", b"")
    body = b"\n".join(lines[start : start + 64] for start in range(0, len(lines), 64))
    subject = re.sub(r"[^ -~]", "?", certificate.subject).encode()
    return b"# " + subject + b"\n-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"


def sealed_pair(certificate: Certificate, private_key: bytes, passphrase: str) -> bytes:
    """A PKCS#12 file with one certificate and its PKCS#8 key, sealed with AES-256 to a passphrase."""
    key = load_der_private_key(private_key, None)
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey):
        raise UserError(f"the private key of {certificate.thumbprint} is of a kind that PKCS#12 files cannot carry")
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_KDF_ROUNDS)
        .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(passphrase.encode())
    )
    return serialize_key_and_certificates(None, key, certificate.x509, None, protection)
