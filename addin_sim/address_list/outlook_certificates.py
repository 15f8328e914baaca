"""Which certificate of a contact Outlook takes: `userSMIMECertificate` before `userCertificate`, the first fit one.

A value that is left from before a rollover beats a renewed certificate in the other attribute, so the order is
part of what a rehearsal must show. Order: KB 2840546, [MS-OXLDAP] section 2.2.5.2. Forms of userSMIMECertificate:
[MS-OXOABK] section 2.2.4.36, a CMS SignedData (first byte 0x30) or a run of tags with lengths. What fit means:
RFC 8550 sections 3 and 4.4; a key usage without keyEncipherment is told but is no obstacle, because certificates of
real confidentiality authorities are like that. The directory is believed: a CMS value's signature is not checked.
"""

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from addin_sim.own_keys import mail_addresses, thumbprint

SMIME, PLAIN = "userSMIMECertificate", "userCertificate"
_KEY_EXCHANGE, _SIGNING = 3, 8
"""Tags of [MS-OXOABK]: the certificate to encrypt to, and the one to sign with, both DER."""

UNREADABLE = (
    *(ValueError, TypeError, OverflowError, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
)
"""What `cryptography` raises for a certificate that it cannot make sense of, when it is loaded or looked into."""

_SMALLEST_RSA = 2048
_T = TypeVar("_T", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One certificate of the entry, or a value that holds none."""

    source: str
    """`userSMIMECertificate` or `userCertificate`."""
    certificate: x509.Certificate | None
    problems: tuple[str, ...] = ()
    """Why it cannot be used, each to follow "it"."""
    remarks: tuple[str, ...] = ()
    """What is odd about it, but no obstacle."""

    @property
    def usable(self) -> bool:
        """May a container be encrypted to it?"""
        return self.certificate is not None and not self.problems

    @property
    def thumbprint(self) -> str:
        """As `own_keys.thumbprint` spells it; empty without a certificate."""
        return thumbprint(self.certificate) if self.certificate else ""

    @property
    def sentence(self) -> str:
        """Which it is, and why it cannot be used."""
        if self.certificate is None:
            return f"a value of {self.source} {self.problems[0]}"
        why = " and ".join(self.problems) or "can be used"
        return f"the certificate {self.thumbprint[:23]}… of {self.source} {why}"


def candidates(
    smime: tuple[bytes, ...], plain: tuple[bytes, ...], address: str, moment: float
) -> tuple[Candidate, ...]:
    """All certificates of an entry in Outlook's order, judged for `address` at `moment` (seconds since 1970 UTC)."""
    now = datetime.fromtimestamp(moment, UTC)
    domain = address.lower().rpartition("@")[2]
    found: list[Candidate] = []
    for source, values in ((SMIME, smime), (PLAIN, plain)):
        for value in values:
            held = certificates_in(value) if source == SMIME else tuple(_plain(value))
            if not held:
                found.append(Candidate(source, None, ("holds no certificate that can be read",)))
            found += [_judged(source, certificate, domain, now) for certificate in held]
    return tuple(found)


def chosen(of: tuple[Candidate, ...]) -> Candidate | None:
    """The one that Outlook encrypts to: in the first attribute with a fit one, the first that is made to encrypt."""
    for source in (SMIME, PLAIN):
        fit = [candidate for candidate in of if candidate.usable and candidate.source == source]
        if fit:
            return next((candidate for candidate in fit if not candidate.remarks), fit[0])
    return None


def time_problem(value: bytes, source: str, moment: float) -> str:
    """Why a raw value holds no certificate that is valid at `moment` (seconds since 1970 UTC); empty when it does."""
    now = datetime.fromtimestamp(moment, UTC)
    held = certificates_in(value) if source == SMIME else tuple(_plain(value))
    if any(not _out_of_time(one, now) for one in held):
        return ""
    return f"its certificate {_out_of_time(held[0], now)}" if held else "it holds no certificate that can be read"


def certificates_in(value: bytes) -> tuple[x509.Certificate, ...]:
    """Those of a value of `userSMIMECertificate` in any of its forms, or a plain certificate; none if it is neither."""
    if value[:1] != b"\x30":
        return tuple(_in_tags(value))
    bare = tuple(_plain(value))  # seen in the field, though no specification has it
    return bare or tuple(_in_cms(value))


def _judged(source: str, certificate: x509.Certificate, domain: str, now: datetime) -> Candidate:
    try:
        problems = tuple(_problems(certificate, domain, now))
        remarks = tuple(_remarks(certificate))
    except UNREADABLE:
        return Candidate(source, certificate, ("has extensions or a key that cannot be read",))
    return Candidate(source, certificate, problems, remarks)


def _problems(certificate: x509.Certificate, domain: str, now: datetime) -> Iterator[str]:
    if problem := _out_of_time(certificate, now):
        yield problem
    owners = sorted(mail_addresses(certificate))
    if not any(owner.rpartition("@")[2] == domain for owner in owners):
        yield f"belongs to {', '.join(owners) or 'nobody'}, not to {domain}"
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        yield "has no RSA key"
    elif key.key_size < _SMALLEST_RSA:
        yield f"has an RSA key of {key.key_size} bits, fewer than {_SMALLEST_RSA}"
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        yield "is a certification authority's own"
    purposes = _extension(certificate, x509.ExtendedKeyUsage)
    mail = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if purposes is not None and not mail & set(purposes):
        yield "is not made for e-mail (extended key usage)"
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not (usage.key_encipherment or usage.digital_signature or usage.content_commitment):
        yield "is made neither to encrypt nor to sign (key usage)"


def _out_of_time(certificate: x509.Certificate, now: datetime) -> str:
    if now < certificate.not_valid_before_utc:
        return f"is valid from {certificate.not_valid_before_utc:%Y-%m-%d} only"
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    return ""


def _remarks(certificate: x509.Certificate) -> Iterator[str]:
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_encipherment:
        yield "The key usage of the certificate lacks keyEncipherment; Outlook itself may pass it over."


def _extension(certificate: x509.Certificate, kind: type[_T]) -> _T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _plain(value: bytes) -> Iterator[x509.Certificate]:
    try:
        found = x509.load_der_x509_certificate(value)
        _look_into(found)
    except UNREADABLE:
        return
    yield found


def _in_cms(value: bytes) -> Iterator[x509.Certificate]:
    try:
        with warnings.catch_warnings():  # BER is read as well, and told as a warning
            warnings.simplefilter("ignore")
            found = pkcs7.load_der_pkcs7_certificates(value)
        for certificate in found:
            _look_into(certificate)
    except UNREADABLE:
        return
    yield from found


def _look_into(certificate: x509.Certificate) -> None:
    """`cryptography` reads names and dates when it is asked for them, and whoever shows a certificate asks."""
    _ = certificate.subject, certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _in_tags(value: bytes) -> Iterator[x509.Certificate]:
    """TAG (2 bytes), LENGTH (2 bytes, of all three), DATA, little-endian; the certificate to encrypt to comes first."""
    parts: dict[int, list[bytes]] = {}
    place = 0
    while place + 4 <= len(value):
        tag, length = struct.unpack_from("<HH", value, place)
        if length < 4 or place + length > len(value):
            return
        parts.setdefault(tag, []).append(value[place + 4 : place + length])
        place += length
    for tag in (_KEY_EXCHANGE, _SIGNING):
        for part in parts.get(tag, ()):
            yield from _plain(part)
