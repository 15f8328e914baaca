"""Make the key pair and certificate of an IME address, to which Outlook encrypts containers.

Self-signed, because a contact in the address list brings it to the clients and no CA stands behind it. It has
what the client looks for: the address as common name and in the subjectAltName, keyEncipherment and
digitalSignature, emailProtection, and the list of what we open (RFC 5280, RFC 8550 section 4.4, RFC 4262).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ime_gateway.certs import der
from ime_gateway.certs.capabilities import SMIME_CAPABILITIES, own_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import Address, parse_path

RSA_BITS: Final = 3072
_LONGEST_COMMON_NAME = 64
"""Characters (RFC 5280 appendix A.1, ub-common-name)."""
_LONGEST_EMAIL_ATTRIBUTE = 255
_BACKDATED_SECONDS = 86_400.0
"""Clients whose clocks are late must find the certificate valid on its first day."""
_SERIAL_BYTES = 16
_SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
_UTF8_STRING = 0x0C


def new_key(bits: int = RSA_BITS) -> rsa.RSAPrivateKey:
    """A fresh RSA key, from the randomness of the cryptographic library, which lets no other be given. Takes long."""
    return rsa.generate_private_key(65_537, bits)


def private_key_der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 in DER, not encrypted: seal it before it rests anywhere."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def self_signed(
    address: str,
    common_name: str,
    private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    *,
    moment: float,
    days: int,
    randomness: Callable[[int], bytes],
) -> Certificate:
    """A self-signed certificate for `address`, valid from the day before `moment` (seconds since 1970 UTC).

    common_name: empty takes the address; the local part where that is too long for one, as RFC 3183 section 2.3
    names the authorities of domains. days: from `moment` on. randomness: n bytes, for the serial number.
    Raises UnreadableMail for what is no address, ValueError for a period of no days.
    """
    if days < 1:
        raise ValueError("a certificate is valid for one day at least")
    mailbox = parse_path(address)
    subject = _subject(mailbox, common_name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private_key.public_key())
        .serial_number(int.from_bytes(randomness(_SERIAL_BYTES), "big") >> 1 | 1 << (8 * _SERIAL_BYTES - 2))
        .not_valid_before(_instant(moment - _BACKDATED_SECONDS))
        .not_valid_after(_instant(moment + days * 86_400.0))
    )
    for extension, critical in _extensions(mailbox, private_key.public_key()):
        builder = builder.add_extension(extension, critical=critical)
    made = builder.sign(private_key, hashes.SHA256())
    return Certificate.from_der(made.public_bytes(Encoding.DER))


def _instant(moment: float) -> datetime:
    return datetime.fromtimestamp(int(moment), UTC)


def _subject(mailbox: Address, common_name: str) -> x509.Name:
    whole = str(mailbox)
    name = common_name or (whole if len(whole) <= _LONGEST_COMMON_NAME else mailbox.local)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name[:_LONGEST_COMMON_NAME])]
    if name != whole and whole.isascii() and len(whole) <= _LONGEST_EMAIL_ATTRIBUTE:
        # Old clients look here when the common name is another; RFC 5280 section 4.1.2.6 lets it stand.
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, whole))
    return x509.Name(attributes)


def _extensions(
    mailbox: Address, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    agrees = isinstance(key, ec.EllipticCurvePublicKey)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not agrees,
        data_encipherment=False,
        key_agreement=agrees,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    capabilities = x509.UnrecognizedExtension(x509.ObjectIdentifier(SMIME_CAPABILITIES), own_capabilities())
    return (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.SubjectAlternativeName([_alternative_name(mailbox)]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (capabilities, False),
    )


def _alternative_name(mailbox: Address) -> x509.GeneralName:
    """rfc822Name; SmtpUTF8Mailbox where the local part is not ASCII (RFC 9598 section 3)."""
    if mailbox.local.isascii():
        return x509.RFC822Name(str(mailbox))
    return x509.OtherName(_SMTP_UTF8_MAILBOX, der.tlv(_UTF8_STRING, str(mailbox).encode("utf-8")))
