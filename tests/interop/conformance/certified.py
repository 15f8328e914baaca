"""Certificates around public keys that others made, for tests that have nothing but the key."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

from ime_gateway.certs.certificate import Certificate

_ISSUER = ed25519.Ed25519PrivateKey.generate()


@cache
def certified(public_key: bytes) -> Certificate:
    """A certificate for a SubjectPublicKeyInfo in DER, by an issuer whom nobody trusts."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a key of others")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(load_der_public_key(public_key))  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(_ISSUER, None)
    )
    return Certificate.from_der(made.public_bytes(Encoding.DER))
