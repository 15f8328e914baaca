"""Was a certificate revoked? What one answer says, and what the answers about a whole path amount to.

A path that holds says that an issuer once believed in a key; a revocation says that it no longer does (RFC 5280
section 6.1.3 (a)(3)). Where the answers come from (a CRL, an OCSP responder, our own CA's table) is for others to
know: here a `RevocationBook` has what was learnt, and a path is good when each link below its root is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import PARSE_ERRORS, Certificate
from ime_gateway.certs.fault import Fault

RevocationMode = Literal["soft-fail", "hard-fail", "off"]
CLOCK_SKEW_SECONDS: Final = 300.0
"""So far may an answer come from the future: clocks of responders are never quite ours."""
_MOST_URLS = 4
_LONGEST_URL = 2048


@dataclass(frozen=True, slots=True)
class Link:
    """A certificate of a path and the one above it, which issued it."""

    certificate: Certificate
    issuer: Certificate


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known about one link."""

    state: Literal["good", "revoked", "unknown", "unasked"]
    """`unknown`: nobody can be asked, or nobody gave a usable answer; `unasked`: somebody could still be asked."""
    detail: str
    """The evidence in one line: which list, of which day."""
    until: float
    """It holds for moments before this one, seconds since 1970 UTC."""


class RevocationBook(Protocol):
    """What was learnt so far about revocations, and what not knowing means."""

    @property
    def mode(self) -> RevocationMode:
        """`soft-fail`: not knowing is no fault; `hard-fail`: it is one; `off`: do not even look."""
        ...

    def finding(self, link: Link, moment: float) -> Finding:
        """What is known about a link at `moment` (seconds since 1970 UTC); asks nobody."""
        ...


@dataclass(frozen=True, slots=True)
class NothingAsked:
    """The book of those who look at paths only."""

    mode: RevocationMode = "off"

    def finding(self, link: Link, moment: float) -> Finding:
        """Unknown, for ever."""
        return Finding("unknown", "not looked at", math.inf)


@dataclass(frozen=True, slots=True)
class PathRevocation:
    """What the findings about all links of a path amount to."""

    fault: Fault | None
    """The first link that is revoked, or (hard-fail) about which nothing is known; None: the path stands."""
    until: float
    """How long this holds, seconds since 1970 UTC."""
    evidence: tuple[str, ...]
    """One line for each link, for people."""
    unasked: tuple[Link, ...]
    """Links about which somebody could still be asked, as long as none is known to be revoked."""


def path_revocation(chain: Sequence[Certificate], book: RevocationBook, moment: float) -> PathRevocation:
    """Judge every link of a path from its leaf to its root at `moment` (seconds since 1970 UTC).

    The root itself is not asked about: nobody above it could revoke it, and the trust list can deny it.
    """
    if book.mode == "off":
        return PathRevocation(None, math.inf, ("revocation: not looked at",), ())
    links = [Link(below, above) for below, above in pairwise(chain)]
    findings = [(link, book.finding(link, moment)) for link in links]
    evidence = tuple(f"revocation of {_name(link.certificate)}: {one.state}: {one.detail}" for link, one in findings)
    until = min((one.until for _, one in findings), default=math.inf)
    for link, one in findings:
        if one.state == "revoked":
            fault = Fault(Reason.CERTIFICATE_REVOKED, _about(link, chain, f"revoked: {one.detail}"))
            return PathRevocation(fault, one.until, evidence, ())
    unasked = tuple(link for link, one in findings if one.state == "unasked")
    if book.mode == "hard-fail":
        for link, one in findings:
            if one.state != "good":
                fault = Fault(Reason.REVOCATION_UNKNOWN, _about(link, chain, one.detail))
                return PathRevocation(fault, until, evidence, unasked)
    return PathRevocation(None, until, evidence, unasked)


def combined(findings: Sequence[Finding]) -> Finding:
    """One finding out of those of several sources: a revocation beats all, then knowledge beats ignorance."""
    for state in ("revoked", "good", "unasked"):
        for one in findings:
            if one.state == state:
                return one
    words = "; ".join(dict.fromkeys(one.detail for one in findings))
    return Finding("unknown", words, min((one.until for one in findings), default=math.inf))


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a certificate says that it can be asked about."""

    crls: tuple[str, ...] = ()
    """URLs of CRLs, delta CRLs last: http, https, ldap, ldaps (RFC 5280 sections 4.2.1.13 and 4.2.1.15)."""
    responders: tuple[str, ...] = ()
    """URLs of OCSP responders: http, https (RFC 5280 section 4.2.2.1)."""


def sources(certificate: Certificate) -> Sources:
    """The places named in a certificate that we know how to ask; at most four of each kind."""
    return certificate.keep("revocation_sources", lambda: _sources(certificate))


def _sources(certificate: Certificate) -> Sources:
    crls: dict[str, None] = {}
    responders: dict[str, None] = {}
    for point in (*distribution_points(certificate), *_points(certificate, x509.FreshestCRL)):
        for name in point.full_name or ():
            if isinstance(name, x509.UniformResourceIdentifier) and _askable(name.value, ("http", "https", "ldap")):
                crls[name.value] = None
    try:
        access = certificate.x509.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, *PARSE_ERRORS):
        access = x509.AuthorityInformationAccess([])
    for described in access:
        place = described.access_location
        if described.access_method != AuthorityInformationAccessOID.OCSP:
            continue
        if isinstance(place, x509.UniformResourceIdentifier) and _askable(place.value, ("http", "https")):
            responders[place.value] = None
    return Sources(tuple(crls)[:_MOST_URLS], tuple(responders)[:_MOST_URLS])


def host_of(url: str) -> str:
    """The server that a place of `sources` names, for people: without credentials, which a URL may carry."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def distribution_points(certificate: Certificate) -> list[x509.DistributionPoint]:
    """The CRL distribution points of a certificate, as it says them; none for one that cannot be read."""
    return _points(certificate, x509.CRLDistributionPoints)


def _points(
    certificate: Certificate, kind: type[x509.CRLDistributionPoints] | type[x509.FreshestCRL]
) -> list[x509.DistributionPoint]:
    try:
        return list(certificate.x509.extensions.get_extension_for_class(kind).value)
    except (x509.ExtensionNotFound, *PARSE_ERRORS):
        return []


def _askable(url: str, schemes: tuple[str, ...]) -> bool:
    """Whether a URL names a host that we have a way to ask; Active Directory writes `ldap:///…`, which names none."""
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.scheme.lower() in (*schemes, *(f"{one}s" for one in schemes))
    except ValueError:
        return False


def _about(link: Link, chain: Sequence[Certificate], words: str) -> str:
    """Whose it is, unless it is the leaf's, which the verdict names anyway."""
    return words if link.certificate is chain[0] else f"issuer {_name(link.certificate)}: {words}"


def _name(certificate: Certificate) -> str:
    return certificate.subject or f"serial {certificate.serial:x}"
