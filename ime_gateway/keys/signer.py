"""May this signature be believed, and whose is it? Three verdicts that are never mixed into one.

*Path*: the certificate is made for signing mail, in its time, and the signatures above it hold, to whatever end.
*Trust*: that end, or the certificate itself, is one that the administrators trust. *Identity*: the certificate
names the address that the mail shows (RFC 8550 sections 3, 4.4 and 5). A good path to nobody we know, and a
trusted certificate of somebody else, are both common in attacks; each has its own word here.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault
from ime_gateway.certs.fitness import is_self_signed, time_fault
from ime_gateway.certs.path import TrustedPath, find_path
from ime_gateway.certs.revocation import path_revocation
from ime_gateway.certs.signing_fitness import signing_fault
from ime_gateway.keys.usable import Anchors, Verdict, path_evidence
from ime_gateway.mail.address import parse_path

_MOST_LINKS = 16
"""CA certificates of a message that are looked at; real chains have three."""


@dataclass(frozen=True, slots=True)
class PathVerdict:
    """Whether a certificate is valid by itself and by those above it, whoever trusts them."""

    valid: bool
    detail: str
    """Which end the path has, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class IdentityVerdict:
    """Whether a certificate speaks for addresses."""

    matches: bool
    detail: str
    """Which address is not in it; empty when all are."""


def judge_signer(
    certificate: Certificate, anchors: Anchors, moment: float, carried: Sequence[Certificate] = ()
) -> Verdict:
    """Trust: may signatures of this certificate be believed at `moment` (seconds since 1970 UTC)?

    carried: certificates that came along, from which links of the path may be taken, never anchors.
    The order of the questions is that of `keys/usable.judge`: denied, unfit, out of time, allowed, on a path to a
    root, revoked. With `carried` the answer holds for this message only: its `valid_until` is `moment`.
    """
    known = _with_links(anchors, _links(carried, anchors, moment))
    denial = known.denial(certificate)
    if fault := denial or signing_fault(certificate):
        return _against(certificate, fault, math.inf)
    allowed = anchors.allows(certificate)
    late, until = time_fault(certificate, moment)
    if late and not (allowed and allowed.allow_expired and late.reason is Reason.CERTIFICATE_EXPIRED):
        return _against(certificate, late, until)
    if allowed:
        return _for(certificate, "allowed by the trust list", math.inf if allowed.allow_expired else until)
    path = find_path(certificate, known, moment)
    if not isinstance(path, TrustedPath):
        return _against(certificate, path, moment)
    revocation = path_revocation(path.chain, anchors.revocation, moment)
    until = moment if known is not anchors else min(certificate.not_after, path.not_after, revocation.until)
    seen = (path_evidence(path), *revocation.evidence)
    if revocation.fault:
        verdict = _against(certificate, revocation.fault, until, seen)
    else:
        verdict = _for(certificate, f"trusted by root {path.root}", until, seen)
    return replace(verdict, unasked=revocation.unasked)


def leads_to_root(
    certificate: Certificate, anchors: Anchors, moment: float, carried: Sequence[Certificate] = ()
) -> bool:
    """Whether a believed certificate (`judge_signer`) would be so without a word of the trust list: a CA of ours, or
    one that we trust, checked its names at `moment` (seconds since 1970 UTC). An allow says nothing of names."""
    path = find_path(certificate, _with_links(anchors, _links(carried, anchors, moment)), moment)
    return isinstance(path, TrustedPath) and path_revocation(path.chain, anchors.revocation, moment).fault is None


def path_verdict(
    certificate: Certificate, anchors: Anchors, moment: float, carried: Sequence[Certificate] = ()
) -> PathVerdict:
    """Path: is the certificate fit for signing, in its time at `moment` (seconds since 1970 UTC), and does a chain of
    signatures lead from it to a self-signed end, known to us or carried along? Says nothing of trust."""
    fault = signing_fault(certificate) or time_fault(certificate, moment)[0]
    if fault:
        return PathVerdict(False, fault.detail)
    if is_self_signed(certificate):
        return PathVerdict(True, "self-signed")
    links = _links(carried, anchors, moment)
    ends = (*anchors.roots, *(one for one in (*anchors.intermediates, *links) if is_self_signed(one)))
    path = find_path(certificate, Anchors(ends, (*anchors.intermediates, *links)), moment)
    if isinstance(path, TrustedPath):
        return PathVerdict(True, f"up to {path.root}")
    return PathVerdict(False, path.detail)


def address_match(certificate: Certificate, addresses: Collection[str]) -> IdentityVerdict:
    """Identity: does the certificate name every one of these addresses? None given: it does not.

    addresses: as text or as `Address.key`; who must be named (Sender, else From; all of several) is the caller's
    to say. A certificate that names no address matches nobody (RFC 8550 section 3 leaves such a match to others).
    """
    if not addresses:
        return IdentityVerdict(False, "no address is given")
    if not certificate.addresses:
        return IdentityVerdict(False, "the certificate names no address")
    for address in addresses:
        try:
            key = parse_path(address).key
        except UnreadableMail:
            return IdentityVerdict(False, "an address cannot be read")
        if key not in certificate.addresses:
            return IdentityVerdict(False, f"the certificate is for {certificate.addresses[0]}, not for {key}")
    return IdentityVerdict(True, "")


def _links(carried: Sequence[Certificate], anchors: Anchors, moment: float) -> tuple[Certificate, ...]:
    """The carried CA certificates that may stand in a path, at most one for each name.

    One for each name, because a path through many equally named ones can be chosen in as many ways as an attacker
    likes, and each way costs signatures. The one that leads to a root of ours comes first, then the newest in time.
    """
    roots = {root.subject for root in anchors.roots}
    best: dict[str, Certificate] = {}
    for one in [one for one in carried if one.is_ca][:_MOST_LINKS]:
        other = best.get(one.subject)
        if other is None or _link_rank(one, roots, moment) > _link_rank(other, roots, moment):
            best[one.subject] = one
    return tuple(best.values())


def _link_rank(certificate: Certificate, roots: set[str], moment: float) -> tuple[bool, bool, float, str]:
    in_time = certificate.not_before <= moment <= certificate.not_after
    return in_time, certificate.issuer in roots, certificate.not_after, certificate.thumbprint


def _with_links(anchors: Anchors, links: tuple[Certificate, ...]) -> Anchors:
    known = {*anchors.roots, *anchors.intermediates}
    fresh = tuple(one for one in links if one not in known)
    return replace(anchors, intermediates=(*anchors.intermediates, *fresh)) if fresh else anchors


def _for(certificate: Certificate, why: str, until: float, seen: tuple[str, ...] = ()) -> Verdict:
    evidence = (*seen, f"believed: {why}")
    return Verdict(True, Reason.PERSONAL_CERTIFICATE, f"{_name(certificate)}, {why}", until, evidence)


def _against(certificate: Certificate, fault: Fault, until: float, seen: tuple[str, ...] = ()) -> Verdict:
    evidence = (*seen, f"{fault.reason}: {fault.detail}")
    return Verdict(False, fault.reason, f"{_name(certificate)}: {fault.detail}", until, evidence)


def _name(certificate: Certificate) -> str:
    return f"{certificate.subject or 'certificate without a name'} ({certificate.thumbprint[:19]})"
