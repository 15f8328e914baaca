"""The built-in certification authority: a root, an issuing CA below it, their certificates and revocation lists.

Companies without a CA of their own give domains and people certificates from here, and partners trust all of
them by one root. The root's key does nothing from day to day, so that it can lie in a safe. Both CAs may certify
the managed domains and nothing else: who trusts the root need not fear for other addresses
(RFC 5280 sections 4.2 and 5, S/MIME baseline requirements of the CA/Browser Forum sections 7.1 and 7.2).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.key_kinds import MailPublicKey, SigningPrivateKey, digest_for
from ime_gateway.certs.profile import (
    BACKDATED_SECONDS,
    Extension,
    instant,
    mail_extensions,
    mailbox_subject,
    new_serial,
)
from ime_gateway.mail.address import parse_path

MAILBOX_VALIDATED: Final = x509.ObjectIdentifier("2.23.140.1.5.1.2")
"""Mailbox-validated, multipurpose generation (S/MIME baseline requirements section 7.1.6.1)."""
LONGEST_LEAF_DAYS: Final = 820
"""825 days at most (S/MIME baseline requirements section 6.3.2), the backdated one and some slack among them."""

_DAY_SECONDS = 86_400.0
_LATE_CLOCKS_SECONDS = 300.0
"""A list must not come from the future for whoever reads it at once."""
_CRL_ENTRY_REASONS = {flag.value: flag for flag in x509.ReasonFlags if flag is not x509.ReasonFlags.unspecified}

REVOCATION_REASONS: Final = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)
"""The words of RFC 5280 section 5.3.1 for certificates of people and domains; none of them can be taken back."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A CA that can sign now."""

    certificate: Certificate
    private_key: SigningPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the world finds what belongs to a CA (RFC 5280 sections 4.2.1.13 and 4.2.2.1): http addresses."""

    crl: str
    certificate: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """One line of a revocation list."""

    serial: int
    at: float
    """Seconds since 1970 UTC."""
    reason: str
    """A word of RFC 5280 section 5.3.1."""


def authority_name(organization: str, country: str, role: str) -> x509.Name:
    """The name of a CA, which no other of the organization may have; `country`: two letters, or empty. Raises
    ValueError for what cannot stand in a name."""
    attributes = [x509.NameAttribute(NameOID.COUNTRY_NAME, country.upper())] if country else []
    attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, f"{organization[:40]} {role}"))
    return x509.Name(attributes)


def make_root(
    name: x509.Name,
    private_key: SigningPrivateKey,
    domains: Sequence[str],
    *,
    moment: float,
    days: int,
    randomness: Callable[[int], bytes],
) -> Certificate:
    """A self-signed root that may certify addresses in `domains` and below them; no domains: any address.

    Valid from the day before `moment` (seconds since 1970 UTC), for `days` from then on. randomness: n bytes.
    """
    public_key = private_key.public_key()
    extensions: list[Extension] = [
        (x509.BasicConstraints(ca=True, path_length=1), True),
        (_ca_usage(), True),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        *_name_constraints(domains),
    ]
    until = moment + days * _DAY_SECONDS
    builder = _builder(name, name, public_key, moment, until, randomness)
    return _signed(builder, extensions, private_key)


def make_issuing(
    root: Signer,
    name: x509.Name,
    public_key: MailPublicKey,
    domains: Sequence[str],
    places: Places,
    *,
    moment: float,
    days: int,
    randomness: Callable[[int], bytes],
) -> Certificate:
    """The certificate of an issuing CA for addresses in `domains` and below them, for mail only; `places`: of the
    root. It ends with the root at the latest."""
    extensions: list[Extension] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_ca_usage(), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
        *_name_constraints(domains),
        *_from(root, places),
    ]
    until = min(moment + days * _DAY_SECONDS, root.certificate.not_after)
    builder = _builder(name, root.certificate.x509.subject, public_key, moment, until, randomness)
    return _signed(builder, extensions, root.private_key)


def issue(
    issuer: Signer,
    addresses: Sequence[str],
    public_key: MailPublicKey,
    places: Places,
    *,
    moment: float,
    days: int,
    randomness: Callable[[int], bytes],
    opened_here: bool,
) -> Certificate:
    """A certificate for mailboxes, the first of which names it; `places`: of the issuer. It ends with its issuer.

    opened_here: a gateway opens what is encrypted to it. Raises UnreadableMail for what is no address, ValueError
    for a period that is too short or too long.
    """
    if not 1 <= days <= LONGEST_LEAF_DAYS:
        raise ValueError(f"a certificate for mail is valid for 1 to {LONGEST_LEAF_DAYS} days")
    mailboxes = [parse_path(address) for address in addresses]
    subject = mailbox_subject(mailboxes[0])
    extensions = [
        *mail_extensions(mailboxes, subject, public_key, opened_here=opened_here),
        *_from(issuer, places),
    ]
    until = min(moment + days * _DAY_SECONDS, issuer.certificate.not_after)
    builder = _builder(subject, issuer.certificate.x509.subject, public_key, moment, until, randomness)
    return _signed(builder, extensions, issuer.private_key)


def make_crl(issuer: Signer, number: int, revoked: Iterable[Revoked], *, moment: float, next_update: float) -> bytes:
    """A complete version 2 list in DER (RFC 5280 section 5), `number` greater than that of any list before."""
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key())
    # All lines at once: added one by one, the library copies its list each time.
    this_update = max(moment - _LATE_CLOCKS_SECONDS, issuer.certificate.not_before)
    lines = [_revoked_line(line, this_update) for line in revoked]
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=lines)
        .issuer_name(issuer.certificate.x509.subject)
        .last_update(instant(this_update))
        .next_update(instant(next_update))
        .add_extension(authority, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    made = builder.sign(issuer.private_key, digest_for(issuer.private_key))
    return made.public_bytes(Encoding.DER)


def permits(certificate: Certificate, domain: str) -> bool:
    """Whether the name constraints of a CA let it certify addresses of `domain` (A-label, lower case)."""
    try:
        limits = certificate.x509.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    allowed = [name.value for name in limits.permitted_subtrees or () if isinstance(name, x509.RFC822Name)]
    return any(domain.endswith(limit) if limit.startswith(".") else domain == limit for limit in allowed)


def _revoked_line(line: Revoked, latest: float) -> x509.RevokedCertificate:
    """No line is younger than its list."""
    builder = x509.RevokedCertificateBuilder().serial_number(line.serial).revocation_date(instant(min(line.at, latest)))
    if flag := _CRL_ENTRY_REASONS.get(line.reason):
        # RFC 5280 section 5.3.1: `unspecified` is said by saying nothing.
        builder = builder.add_extension(x509.CRLReason(flag), critical=False)
    return builder.build()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: MailPublicKey,
    moment: float,
    until: float,
    randomness: Callable[[int], bytes],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(new_serial(randomness))
        .not_valid_before(instant(moment - BACKDATED_SECONDS))
        .not_valid_after(instant(until))
    )


def _signed(
    builder: x509.CertificateBuilder, extensions: Iterable[Extension], private_key: SigningPrivateKey
) -> Certificate:
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Certificate.from_der(builder.sign(private_key, digest_for(private_key)).public_bytes(Encoding.DER))


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _name_constraints(domains: Sequence[str]) -> list[Extension]:
    """Critical, as RFC 5280 section 4.2.1.10 demands: the mailboxes of each domain, and of all hosts below it."""
    if not domains:
        return []
    permitted = [x509.RFC822Name(form) for domain in domains for form in (domain, f".{domain}")]
    return [(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), True)]


def _from(issuer: Signer, places: Places) -> list[Extension]:
    """What a certificate says of who signed it, and where to ask whether it was revoked."""
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(places.crl)], None, None, None)
    access = x509.AccessDescription(
        AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(places.certificate)
    )
    return [
        (x509.CertificatePolicies([x509.PolicyInformation(MAILBOX_VALIDATED, None)]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private_key.public_key()), False),
        (x509.CRLDistributionPoints([point]), False),
        (x509.AuthorityInformationAccess([access]), False),
    ]
