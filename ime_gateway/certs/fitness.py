"""Is a certificate made for encrypting mail, and strong enough? Asked before trust is asked.

The rules are those of RFC 8550 section 4.4 and RFC 8551 section 4, and of plain prudence. They hold
for personal and for domain certificates alike, and the trust list cannot lift them: an "allow" says
whose key it is, not that a key for signing may be used for something else. In the field there are
domain certificates without keyEncipherment (RSA) or keyAgreement (curves); they are `certificate-unfit`
here, and the reason is shown, so that the partner can be asked for a better one.
"""

import math
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID

from ime_gateway.base.reasons import Reason
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate, places
from ime_gateway.certs.fault import Fault, timestamp

MINIMUM_RSA_BITS: Final = 2048
"""RFC 8551 section 4.3: shorter keys SHOULD NOT be used."""

MAIL_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
"""P-256, P-384, P-521: RFC 8551 section 2.3 and CA/B S/MIME BR 6.1.5."""

WEAK_SIGNATURES: Final = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.3": "MD4",
    SignatureAlgorithmOID.RSA_WITH_MD5.dotted_string: "MD5",
    SignatureAlgorithmOID.RSA_WITH_SHA1.dotted_string: "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    SignatureAlgorithmOID.DSA_WITH_SHA1.dotted_string: "SHA-1",
    SignatureAlgorithmOID.ECDSA_WITH_SHA1.dotted_string: "SHA-1",
}
"""Signature algorithms whose digest can be forged: anybody could be the owner of the key."""

_PROCESSED_CRITICAL: Final = frozenset(
    {
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    }
)
"""Extensions that may be critical because they are understood (RFC 5280 section 4.2)."""


def fitness_fault(certificate: Certificate) -> Fault | None:
    """What speaks against encrypting mail with this certificate, whoever trusts it; None: nothing.

    Does not depend on time, so the answer may be kept with the certificate.
    """
    return certificate.keep("fitness", lambda: _first_fault(certificate))


def time_fault(certificate: Certificate, moment: float) -> tuple[Fault | None, float]:
    """What the dates say at `moment` (seconds since 1970 UTC), and until when they will say so."""
    if moment < certificate.not_before:
        detail = f"valid from {timestamp(certificate.not_before)}"
        return Fault(Reason.CERTIFICATE_NOT_YET_VALID, detail), certificate.not_before
    if moment > certificate.not_after:
        return Fault(Reason.CERTIFICATE_EXPIRED, f"expired {timestamp(certificate.not_after)}"), math.inf
    return None, certificate.not_after


def _first_fault(certificate: Certificate) -> Fault | None:
    return (
        _key_fault(certificate)
        or signature_fault(certificate)
        or critical_fault(certificate.x509.extensions)
        or _key_usage_fault(certificate.key_kind, certificate.x509.extensions)
        or extended_key_usage_fault(certificate.x509.extensions)
    )


def _key_fault(certificate: Certificate) -> Fault | None:
    match certificate.key_kind:
        case "rsa":
            return _rsa_fault(certificate)
        case "ec":
            return _curve_fault(certificate)
        case "x25519":
            return _x25519_fault(certificate)
        case other:
            return Fault(Reason.CERTIFICATE_UNFIT, f"key type {other} cannot encrypt mail, or not in this version")


def _rsa_fault(certificate: Certificate) -> Fault | None:
    if certificate.key_bits < MINIMUM_RSA_BITS:
        detail = f"RSA key of {certificate.key_bits} bits, at least {MINIMUM_RSA_BITS} are needed"
        return Fault(Reason.CERTIFICATE_WEAK, detail)
    try:
        # A damaged key shows only when it is used; better here than while mail waits.
        key = certificate.public_key
        if isinstance(key, rsa.RSAPublicKey) and key.public_numbers().n % 2:
            key.encrypt(bytes(32), padding.PKCS1v15())
            return None
    except (ValueError, UnsupportedAlgorithm):
        pass
    return Fault(Reason.CERTIFICATE_UNFIT, "the RSA key is damaged: it cannot encrypt")


def _curve_fault(certificate: Certificate) -> Fault | None:
    # That the point lies on the curve was checked when the key was read.
    key = certificate.public_key
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "unknown"
    if not _names_its_curve(certificate):
        return Fault(Reason.CERTIFICATE_UNFIT, "the elliptic curve is written out in numbers instead of named")
    if curve in MAIL_CURVES:
        return None
    return Fault(Reason.CERTIFICATE_UNFIT, f"the elliptic curve {curve} is none that mail programs share")


def _names_its_curve(certificate: Certificate) -> bool:
    """RFC 5480 section 2.1.1: namedCurve and nothing else. The library also reads curves that are spelled out."""
    encoded = certificate.der[places(certificate.der).key_info]
    algorithm = der.children(encoded, der.read_element(encoded, 0, len(encoded)))[0]
    return [part.tag for part in der.children(encoded, algorithm)] == [der.OBJECT_IDENTIFIER, der.OBJECT_IDENTIFIER]


def _x25519_fault(certificate: Certificate) -> Fault | None:
    try:
        # Any private key brings a public key of low order to light: the result is zero (RFC 7748 section 6.1).
        key = certificate.public_key
        if isinstance(key, x25519.X25519PublicKey):
            x25519.X25519PrivateKey.from_private_bytes(bytes(32)).exchange(key)
            return None
    except (ValueError, UnsupportedAlgorithm):
        pass
    return Fault(Reason.CERTIFICATE_UNFIT, "the X25519 key is damaged: it cannot encrypt")


def signature_fault(certificate: Certificate) -> Fault | None:
    """Who signed the certificate used a digest that can be forged; self-signed ones prove nothing anyway."""
    digest = WEAK_SIGNATURES.get(certificate.x509.signature_algorithm_oid.dotted_string)
    if digest is None or is_self_signed(certificate):
        return None
    return Fault(Reason.CERTIFICATE_WEAK, f"signed with {digest}, which can be forged")


def is_self_signed(certificate: Certificate) -> bool:
    """Whether the certificate's own key signed it: such a signature proves nothing, weak or strong."""
    if not certificate.self_issued:
        return False
    try:
        certificate.x509.verify_directly_issued_by(certificate.x509)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def critical_fault(extensions: x509.Extensions) -> Fault | None:
    """RFC 5280 section 4.2: what is critical and not understood makes a certificate unusable."""
    for extension in extensions:
        if extension.critical and extension.oid not in _PROCESSED_CRITICAL:
            detail = f"critical extension {extension.oid.dotted_string} is not understood"
            return Fault(Reason.CERTIFICATE_UNFIT, detail)
    return None


def _key_usage_fault(key_kind: str, extensions: x509.Extensions) -> Fault | None:
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None  # RFC 8550 section 4.4.2: absent means no restriction
    if key_kind == "rsa":
        return None if usage.key_encipherment else _unfit("key usage does not include keyEncipherment")
    if not usage.key_agreement:  # RFC 5753 section 5, RFC 8410 section 5
        return _unfit("key usage does not include keyAgreement")
    return _unfit("key usage allows key agreement for deciphering only") if usage.decipher_only else None


def _unfit(detail: str) -> Fault:
    return Fault(Reason.CERTIFICATE_UNFIT, detail)


def extended_key_usage_fault(extensions: x509.Extensions) -> Fault | None:
    """RFC 8550 section 4.4.4: emailProtection, any purpose, or nothing said."""
    try:
        purposes = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None  # RFC 8550 section 4.4.4
    if purposes & {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}:
        return None
    return Fault(Reason.CERTIFICATE_UNFIT, "extended key usage does not include emailProtection")
