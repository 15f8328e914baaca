"""What stands in a certificate for mailboxes, whoever signs it: names, key usage, purpose, what can be opened.

One place, so that self-signed certificates, those of the built-in CA and requests to other CAs say the same
(RFC 5280 section 4.2.1, RFC 8550 section 4.4, S/MIME baseline requirements of the CA/Browser Forum section 7.1).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ime_gateway.certs import der
from ime_gateway.certs.capabilities import SMIME_CAPABILITIES, own_capabilities
from ime_gateway.certs.key_kinds import MailPublicKey
from ime_gateway.mail.address import Address

ENCRYPTION_NAME: Final = "domain-confidentiality-authority"
"""Local part of the address whose certificate encrypts for a whole domain (RFC 3183 section 2.3)."""
SIGNING_NAME: Final = "domain-signing-authority"
"""Local part of the address that signs for a whole domain (RFC 3183 section 2.3)."""
BACKDATED_SECONDS: Final = 86_400.0
"""Clients whose clocks are late must find a certificate valid on its first day."""
LONGEST_COMMON_NAME: Final = 64
"""Characters (RFC 5280 appendix A.1, ub-common-name)."""
LONGEST_EMAIL_ATTRIBUTE: Final = 255

_SERIAL_BYTES = 16
_SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
_UTF8_STRING = 0x0C

Extension = tuple[x509.ExtensionType, bool]
"""The value, and whether it is critical."""


def instant(moment: float) -> datetime:
    """A moment (seconds since 1970 UTC) as certificates have it: whole seconds."""
    return datetime.fromtimestamp(int(moment), UTC)


def new_serial(randomness: Callable[[int], bytes]) -> int:
    """A serial number with 128 random bits, positive and of 17 octets (RFC 5280 section 4.1.2.2: at most 20)."""
    return int.from_bytes(b"\x01" + randomness(_SERIAL_BYTES), "big")


def mailbox_subject(mailbox: Address) -> x509.Name:
    """The subject of a certificate that a CA signs for a mailbox: its address and nothing that nobody checked
    (S/MIME baseline requirements section 7.1.4.2.3). Empty when no attribute has room for it."""
    whole = str(mailbox)
    if len(whole) <= LONGEST_COMMON_NAME:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, whole)])
    if whole.isascii() and len(whole) <= LONGEST_EMAIL_ATTRIBUTE:
        return x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, whole)])
    return x509.Name([])


def alternative_names(mailboxes: Sequence[Address], subject: x509.Name) -> Extension:
    """subjectAltName with every address; critical where the subject is empty (RFC 5280 section 4.2.1.6)."""
    return x509.SubjectAlternativeName([_alternative_name(mailbox) for mailbox in mailboxes]), not list(subject)


def key_usage(key: MailPublicKey) -> x509.KeyUsage:
    """All that a key of this kind can do for mail (RFC 8550 section 4.4.2, RFC 8410 section 5)."""
    agrees = isinstance(key, ec.EllipticCurvePublicKey | x25519.X25519PublicKey)
    return x509.KeyUsage(
        digital_signature=not isinstance(key, x25519.X25519PublicKey),
        content_commitment=False,
        key_encipherment=isinstance(key, rsa.RSAPublicKey),
        data_encipherment=False,
        key_agreement=agrees,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def mail_extensions(
    mailboxes: Sequence[Address], subject: x509.Name, key: MailPublicKey, *, opened_here: bool
) -> list[Extension]:
    """What is said of the owner and the key. opened_here: mail to this key is opened by a gateway, so the list of
    what we open stands in it (RFC 4262); people's programs say themselves what they can."""
    found: list[Extension] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(key), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        alternative_names(mailboxes, subject),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
    ]
    if opened_here and not isinstance(key, ed25519.Ed25519PublicKey):
        oid = x509.ObjectIdentifier(SMIME_CAPABILITIES)
        found.append((x509.UnrecognizedExtension(oid, own_capabilities()), False))
    return found


def _alternative_name(mailbox: Address) -> x509.GeneralName:
    """rfc822Name; SmtpUTF8Mailbox where the local part is not ASCII (RFC 9598 section 3)."""
    if mailbox.local.isascii():
        return x509.RFC822Name(str(mailbox))
    return x509.OtherName(_SMTP_UTF8_MAILBOX, der.tlv(_UTF8_STRING, str(mailbox).encode("utf-8")))
