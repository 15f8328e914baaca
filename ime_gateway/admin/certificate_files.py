"""Certificates and keys as files: PEM to read (RFC 7468), PKCS#12 sealed to a passphrase for keys (RFC 7292)."""

import base64
import re
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    serialize_key_and_certificates,
)

from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate

_KDF_ROUNDS = 600_000
"""OWASP's figure for PBKDF2 with SHA-256; an export may lie about for years."""
_OLD_ROUNDS = 2_000
"""What old programs bear (RFC 7292 appendix B.4 asks for 1024); the password has 100 bits."""


def pem(certificate: Certificate) -> bytes:
    """A certificate in RFC 7468 form, with its subject above for people."""
    lines = base64.encodebytes(certificate.der).replace(b"\n", b"")
    body = b"\n".join(lines[start : start + 64] for start in range(0, len(lines), 64))
    subject = re.sub(r"[^ -~]", "?", certificate.subject).encode()
    return b"# " + subject + b"\n-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"


def sealed_pair(
    certificate: Certificate,
    private_key: bytes,
    passphrase: str,
    *,
    chain: Sequence[Certificate] = (),
    name: str = "",
    compatible: bool = False,
) -> bytes:
    """A PKCS#12 file with one certificate and its PKCS#8 key, sealed with AES-256 to a passphrase. X25519 keys, which
    the library puts into no such file, as PEM with an encrypted key (RFC 7468 section 11) instead.

    chain: CA certificates that go along. name: what programs call the key. compatible: 3DES and SHA-1, for programs
    that cannot read AES (Windows before 10, older NSS, GnuPG 2.2). Raises UserError for a kind that no file carries.
    """
    key = load_der_private_key(private_key, None)
    if isinstance(key, X25519PrivateKey):
        sealing = BestAvailableEncryption(passphrase.encode())
        sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing)
        return b"".join((pem(certificate), *(pem(link) for link in chain), sealed))
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey):
        raise UserError(f"the private key of {certificate.thumbprint} is of a kind that PKCS#12 files cannot carry")
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_OLD_ROUNDS if compatible else _KDF_ROUNDS)
        .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC if compatible else PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA1() if compatible else SHA256())  # noqa: S303 - what old programs read
        .build(passphrase.encode())
    )
    links = [link.x509 for link in chain]
    return serialize_key_and_certificates(name.encode() or None, key, certificate.x509, links or None, protection)
