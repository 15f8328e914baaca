"""Make the key pair and self-signed certificate of an IME address, a domain or a person.

Self-signed, because it is brought to those who use it by hand: a contact in the address list brings the IME
address to the clients, partners compare a domain's thumbprint over the telephone. It has what Outlook looks for:
the address as common name and in the subjectAltName, keyEncipherment and digitalSignature, emailProtection, and
the list of what we open (RFC 5280, RFC 8550 section 4.4, RFC 4262).
"""

from collections.abc import Callable, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.key_kinds import MailPrivateKey, SigningPrivateKey, digest_for, to_pkcs8
from ime_gateway.certs.profile import (
    BACKDATED_SECONDS,
    LONGEST_COMMON_NAME,
    LONGEST_EMAIL_ATTRIBUTE,
    instant,
    mail_extensions,
    new_serial,
)
from ime_gateway.mail.address import Address, parse_path

RSA_BITS: Final = 3072


def new_key(bits: int = RSA_BITS) -> rsa.RSAPrivateKey:
    """A fresh RSA key, from the randomness of the cryptographic library, which lets no other be given. Takes long."""
    return rsa.generate_private_key(65_537, bits)


def private_key_der(key: MailPrivateKey) -> bytes:
    """PKCS#8 in DER, not encrypted: seal it before it rests anywhere."""
    return to_pkcs8(key)


def self_signed(
    address: str,
    common_name: str,
    private_key: SigningPrivateKey,
    *,
    moment: float,
    days: int,
    randomness: Callable[[int], bytes],
    also: Sequence[str] = (),
    opened_here: bool = True,
) -> Certificate:
    """A self-signed certificate for `address`, valid from the day before `moment` (seconds since 1970 UTC).

    common_name: empty takes the address; the local part where that is too long for one, as RFC 3183 section 2.3
    names the authorities of domains. days: from `moment` on. randomness: n bytes, for the serial number.
    also: more addresses of the same owner. opened_here: a gateway opens what is encrypted to it.
    Raises UnreadableMail for what is no address, ValueError for a period of no days.
    """
    if days < 1:
        raise ValueError("a certificate is valid for one day at least")
    mailbox = parse_path(address)
    subject = _subject(mailbox, common_name)
    public_key = private_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public_key)
        .serial_number(new_serial(randomness))
        .not_valid_before(instant(moment - BACKDATED_SECONDS))
        .not_valid_after(instant(moment + days * 86_400.0))
    )
    mailboxes = (mailbox, *(parse_path(other) for other in also))
    for extension, critical in mail_extensions(mailboxes, subject, public_key, opened_here=opened_here):
        builder = builder.add_extension(extension, critical=critical)
    made = builder.sign(private_key, digest_for(private_key))
    return Certificate.from_der(made.public_bytes(Encoding.DER))


def _subject(mailbox: Address, common_name: str) -> x509.Name:
    whole = str(mailbox)
    name = common_name or (whole if len(whole) <= LONGEST_COMMON_NAME else mailbox.local)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name[:LONGEST_COMMON_NAME])]
    if name != whole and whole.isascii() and len(whole) <= LONGEST_EMAIL_ATTRIBUTE:
        # Old clients look here when the common name is another; RFC 5280 section 4.1.2.6 lets it stand.
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, whole))
    return x509.Name(attributes)
