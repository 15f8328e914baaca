"""Certificate revocation lists: read once, indexed, and asked about one certificate (RFC 5280 sections 5 and 6.3).

Lists come from anywhere (plain HTTP, a cache, another node), so nothing in one counts before its signature was checked
with the key of the very CA that issued the certificate. Lists of other issuers (indirect) are refused; a delta list may
revoke and never clears; lists for some reasons or some certificates count for just these. A list may name a million
certificates: it is indexed once, in eight octets each.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtensionOID

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.certificate import PARSE_ERRORS, Certificate, quiet
from ime_gateway.certs.fault import timestamp
from ime_gateway.certs.fitness import WEAK_SIGNATURES
from ime_gateway.certs.revocation import CLOCK_SKEW_SECONDS, Finding, Link, distribution_points

E = TypeVar("E", bound=x509.ExtensionType)

_ALL_REASONS: Final = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}
_SIGNING_KEYS: Final = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)
_LOW_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_UNDERSTOOD: Final = frozenset(
    {
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.DELTA_CRL_INDICATOR,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Crl:
    """One list. Make them with `read`."""

    this_update: float
    """Seconds since 1970 UTC."""
    next_update: float
    """Seconds since 1970 UTC; when a newer list will be there at the latest."""
    fault: str
    """Why it says nothing to anybody, in words; empty when it does."""
    size: int
    """Octets, for those who keep several."""
    number: int
    """The CRL number (RFC 5280 section 5.2.3); 0 when it has none."""
    is_delta: bool
    """It names changes only (RFC 5280 section 5.2.4): whom it does not name may stand in the list before."""
    _parsed: x509.CertificateRevocationList = field(repr=False)
    _scope: x509.IssuingDistributionPoint | None = field(repr=False)
    _index: "array[int]" = field(repr=False)
    _signed: dict[str, bool] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, encoded: bytes) -> Self:
        """Read a list in DER (RFC 2585 section 3) or PEM. Raises UnreadableCertificate."""
        try:
            with quiet():
                return cls._read(encoded)
        except PARSE_ERRORS as error:
            raise UnreadableCertificate("the CRL cannot be read", f"{type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, encoded: bytes) -> Self:
        load = x509.load_pem_x509_crl if encoded.startswith(b"-----BEGIN") else x509.load_der_x509_crl
        parsed = load(encoded)
        extensions = parsed.extensions
        scope = _of(extensions, x509.IssuingDistributionPoint)
        number = _of(extensions, x509.CRLNumber)
        ends = parsed.next_update_utc
        return cls(
            this_update=parsed.last_update_utc.timestamp(),
            next_update=ends.timestamp() if ends is not None else 0.0,
            fault=_fault(parsed, extensions, scope),
            size=len(encoded),
            number=number.crl_number if number is not None else 0,
            is_delta=_of(extensions, x509.DeltaCRLIndicator) is not None,
            _parsed=parsed,
            _scope=scope,
            _index=array("Q", sorted(entry.serial_number & _LOW_BITS for entry in parsed)),
        )

    def signed_by(self, issuer: Certificate) -> bool:
        """Whether this certificate's key signed the list, bears its issuer's name, and may sign lists (RFC 5280
        section 6.3.3 (f) and (g)). Checked once for each certificate."""
        if issuer.thumbprint not in self._signed:
            self._signed[issuer.thumbprint] = self._matches(issuer)
        return self._signed[issuer.thumbprint]

    def _matches(self, issuer: Certificate) -> bool:
        if self._parsed.issuer != issuer.x509.subject:
            return False
        usage = _of(issuer.x509.extensions, x509.KeyUsage)
        if usage is not None and not usage.crl_sign:
            return False
        try:
            key = issuer.public_key
            return isinstance(key, _SIGNING_KEYS) and self._parsed.is_signature_valid(key)
        except (InvalidSignature, *PARSE_ERRORS):
            return False

    def lists(self, serial: int) -> x509.RevokedCertificate | None:
        """The entry of a serial number."""
        low = serial & _LOW_BITS
        place = bisect_left(self._index, low)
        if place == len(self._index) or self._index[place] != low:
            return None
        return self._parsed.get_revoked_certificate_by_serial_number(serial)

    def reasons_for(self, certificate: Certificate) -> frozenset[x509.ReasonFlags]:
        """Which reasons for a revocation of this certificate the list would tell of (RFC 5280 section 6.3.3 (b), (d));
        none: it is not about such certificates, or about this part of them."""
        scope, told = self._scope, _ALL_REASONS
        named: set[x509.GeneralName] = set()
        if scope is not None:
            if scope.only_contains_ca_certs if not certificate.is_ca else scope.only_contains_user_certs:
                return frozenset()
            told = scope.only_some_reasons or _ALL_REASONS
            named = _names(scope.full_name, scope.relative_name, self._parsed.issuer)
        found: frozenset[x509.ReasonFlags] = frozenset()
        for point in _points(certificate):
            if point.crl_issuer and x509.DirectoryName(self._parsed.issuer) not in point.crl_issuer:
                continue
            here = _names(point.full_name, point.relative_name, certificate.x509.issuer) or set(point.crl_issuer or ())
            if not named or named & here:
                found |= told & (point.reasons or _ALL_REASONS)
        return found


def replacement_fault(new: Crl, known: Crl, certificate: Certificate | None, moment: float) -> str:
    """Why a list of the same CA must not take the place of the known one at `moment` (seconds since 1970 UTC); empty:
    it may. certificate: the one that is asked about, if there is one.

    CAs publish several lists (of CAs, of parts, of changes), all signed and public: on the way from a server somebody
    can put one in the place of another, whereupon what the other one revoked would be forgotten.
    """
    if (new.is_delta, new._scope) == (known.is_delta, known._scope):
        return "the CRL is older than the one that is known" if new.this_update < known.this_update else ""
    told, before = _told(new, certificate), _told(known, certificate)
    if not (told and told >= before) or (before and moment < known.next_update):
        return "the CRL is for other certificates, or other reasons, than the one that is known"
    return ""


def _told(one: Crl, certificate: Certificate | None) -> frozenset[x509.ReasonFlags]:
    return frozenset() if one.is_delta or certificate is None else one.reasons_for(certificate)


def crl_finding(
    link: Link, lists: Sequence[Crl], moment: float, stale_seconds: float, signers: Sequence[Certificate] = ()
) -> Finding:
    """What these lists together say about a link at `moment` (seconds since 1970 UTC).

    stale_seconds: how long after its next update a list still counts. A list that is older clears nobody, but whom it
    revoked stays so until a newer one says otherwise: else whoever silences the server brings a stolen key back to
    life. signers: other certificates of the same issuer that were found trustworthy and may have signed the lists.
    """
    covered: frozenset[x509.ReasonFlags] = frozenset()
    until, told, faults = float("inf"), "", []
    late: list[tuple[Crl, x509.RevokedCertificate]] = []
    clearing: list[Crl] = []
    for one in lists:
        fault = _unusable(one, link, moment, (link.issuer, *signers))
        if fault:
            faults.append(fault)
            continue
        reasons = one.reasons_for(link.certificate)
        entry = one.lists(link.certificate.serial) if reasons else None
        if moment >= one.next_update + stale_seconds:
            faults.append(f"the CRL is stale: a newer one was due {timestamp(one.next_update)}")
            if entry is not None and not _may_be_over(entry):
                late.append((one, entry))
            continue
        if one.is_delta and (entry is None or _is_lifted(entry)):
            faults.append("it is a delta CRL, which clears nobody")
            continue
        if entry is not None:
            return Finding("revoked", _revoked_words(entry, one), one.next_update + stale_seconds)
        covered |= reasons
        clearing.append(one)
        until = min(until, one.next_update + stale_seconds)
        told = f"not in the CRL of {timestamp(one.this_update)}, next {timestamp(one.next_update)}"
    for one, entry in late:
        if not any(_clears(newer, one, link.certificate) for newer in clearing):
            return Finding("revoked", f"{_revoked_words(entry, one)}, the last that came", float("inf"))
    if covered >= _ALL_REASONS:
        return Finding("good", told, until)
    if lists and not faults:
        faults.append("the CRL is for other certificates, or for some reasons only")
    return Finding("unknown", "; ".join(dict.fromkeys(faults)) or "no CRL", moment)


def _clears(newer: Crl, older: Crl, certificate: Certificate) -> bool:
    """Whether a list in time that does not name a certificate says that an older one's entry for it is gone."""
    told = newer.reasons_for(certificate) >= older.reasons_for(certificate)
    return told and newer.this_update > older.this_update


def _unusable(one: Crl, link: Link, moment: float, signers: Sequence[Certificate]) -> str:
    """Why a list says nothing about this link, whatever its age; empty: it may."""
    if one.fault:
        return one.fault
    if not any(one.signed_by(signer) for signer in signers):
        return "the CRL is not signed by the issuer of the certificate"
    if one.this_update > moment + CLOCK_SKEW_SECONDS:
        return f"the CRL is of {timestamp(one.this_update)}, in the future"
    return ""


def _is_lifted(entry: x509.RevokedCertificate) -> bool:
    """removeFromCRL: a hold that is over (RFC 5280 section 5.3.1)."""
    return _reason(entry) is x509.ReasonFlags.remove_from_crl


def _may_be_over(entry: x509.RevokedCertificate) -> bool:
    """certificateHold is the one revocation that can end (RFC 5280 section 5.3.1)."""
    return _reason(entry) in (x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl)


def _reason(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        found = _of(entry.extensions, x509.CRLReason)
    except PARSE_ERRORS:
        return None
    return found.reason if found is not None else None


def _revoked_words(entry: x509.RevokedCertificate, one: Crl) -> str:
    day = timestamp(entry.revocation_date_utc.timestamp())
    reason = _reason(entry)
    why = f", {reason.value}" if reason is not None else ""
    return f"listed since {day}{why} in the CRL of {timestamp(one.this_update)}"


def _fault(
    parsed: x509.CertificateRevocationList, extensions: x509.Extensions, scope: x509.IssuingDistributionPoint | None
) -> str:
    for extension in extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            return f"the CRL has the critical extension {extension.oid.dotted_string}, which is not understood"
    if scope is not None and scope.indirect_crl:
        return "it is an indirect CRL, which is not supported"
    if scope is not None and scope.only_contains_attribute_certs:
        return "the CRL is for attribute certificates"
    if parsed.next_update_utc is None:
        return "the CRL does not say when the next one comes (RFC 5280 section 5.1.2.5)"
    weak = WEAK_SIGNATURES.get(parsed.signature_algorithm_oid.dotted_string)
    return f"the CRL is signed with {weak}, which can be forged" if weak else ""


def _points(certificate: Certificate) -> list[x509.DistributionPoint]:
    """Those of the certificate, else the implied one: its issuer's (RFC 5280 section 6.3.3, last paragraph)."""
    implied = x509.DistributionPoint([x509.DirectoryName(certificate.x509.issuer)], None, None, None)
    return distribution_points(certificate) or [implied]


def _names(
    full: list[x509.GeneralName] | None, relative: x509.RelativeDistinguishedName | None, base: x509.Name
) -> set[x509.GeneralName]:
    if relative is not None:
        return {x509.DirectoryName(x509.Name([*base.rdns, relative]))}
    return set(full or ())


def _of(extensions: x509.Extensions, kind: type[E]) -> E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
