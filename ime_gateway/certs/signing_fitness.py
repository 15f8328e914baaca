"""Is a certificate made for signing mail, and strong enough? The counterpart of `fitness`, which asks for encrypting.

RFC 8550 section 4.4.2: a signature MUST NOT be believed when keyUsage is there and has neither digitalSignature
nor nonRepudiation; section 4.4.4 for the purpose; RFC 8551 section 4.2 for the strength of keys.
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault
from ime_gateway.certs.fitness import MINIMUM_RSA_BITS, critical_fault, extended_key_usage_fault, signature_fault

SIGNING_CURVES: Final = frozenset(
    {"secp256r1", "secp384r1", "secp521r1", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"}
)
"""Curves of at least 128 bits of strength that certificates for mail have."""
_KINDS: Final = ("rsa", "rsa-pss", "ec", "ed25519", "ed448")


def signing_fault(certificate: Certificate) -> Fault | None:
    """What speaks against believing signatures of this certificate, whoever trusts it; None: nothing.

    Does not depend on time, so the answer may be kept with the certificate.
    """
    return certificate.keep("signing_fitness", lambda: _first_fault(certificate))


def _first_fault(certificate: Certificate) -> Fault | None:
    extensions = certificate.x509.extensions
    return (
        _key_fault(certificate)
        or signature_fault(certificate)
        or critical_fault(extensions)
        or _key_usage_fault(extensions)
        or extended_key_usage_fault(extensions)
    )


def _key_fault(certificate: Certificate) -> Fault | None:
    if certificate.key_kind not in _KINDS:
        return Fault(Reason.CERTIFICATE_UNFIT, f"keys of type {certificate.key_kind} do not sign mail")
    try:
        key = certificate.public_key
    except (UnsupportedAlgorithm, ValueError):
        return Fault(Reason.CERTIFICATE_UNFIT, "the key is damaged")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MINIMUM_RSA_BITS:
        detail = f"RSA key of {key.key_size} bits, at least {MINIMUM_RSA_BITS} are needed"
        return Fault(Reason.CERTIFICATE_WEAK, detail)
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in SIGNING_CURVES:
        return Fault(Reason.CERTIFICATE_UNFIT, f"the curve {key.curve.name} is not supported")
    return None


def _key_usage_fault(extensions: x509.Extensions) -> Fault | None:
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None  # RFC 8550 section 4.4.2: absent means both are set
    if usage.digital_signature or usage.content_commitment:
        return None
    return Fault(Reason.CERTIFICATE_UNFIT, "key usage includes neither digitalSignature nor nonRepudiation")
