"""May this certificate protect mail now? One verdict with its evidence, for every certificate (P4).

The order of the questions is part of the contract, since the first "no" is the reason that people
see: denied by the trust list, unfit or weak, out of its time, allowed by the trust list (which skips the rest), on a
path to a root, a link of that path revoked. The verdict says how long it holds, so that callers keep it; within one
generation of the site's data only time, and what is learnt about revocations, can change it.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault, timestamp
from ime_gateway.certs.fitness import fitness_fault, time_fault
from ime_gateway.certs.path import TrustedPath, find_path
from ime_gateway.certs.revocation import Link, path_revocation
from ime_gateway.certs.trust import Anchors, TrustLine

__all__ = ["Anchors", "Kind", "TrustLine", "Verdict", "judge", "path_evidence"]

Kind = Literal["personal", "domain"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a certificate may be used, why, and how long the answer holds."""

    usable: bool
    reason: Reason
    """When usable the reason for taking it, else the reason against."""
    detail: str
    """The evidence in one line: subject, dates, which root or which fault."""
    valid_until: float
    """The verdict holds for moments before this one (seconds since 1970 UTC; infinity: for ever)."""
    evidence: tuple[str, ...] = ()
    """What was looked at, one line each, in the order of the questions; the last line decided."""
    unasked: tuple[Link, ...] = ()
    """Links of its path about which the network could tell whether they are revoked, and was not asked yet."""


def judge(certificate: Certificate, anchors: Anchors, moment: float, kind: Kind) -> Verdict:
    """Judge a certificate at `moment` (seconds since 1970 UTC) as personal or as domain certificate.

    Asks nobody: revocations are those that `anchors.revocation` knows.
    """
    if fault := anchors.denial(certificate) or fitness_fault(certificate):
        return _against(certificate, fault, math.inf)
    allowed = anchors.allows(certificate)
    fault, until = time_fault(certificate, moment)
    if fault and not (allowed and allowed.allow_expired and fault.reason is Reason.CERTIFICATE_EXPIRED):
        return _against(certificate, fault, until, (_FIT,))
    seen: tuple[str, ...] = (_FIT, f"time: {fault.detail if fault else f'valid to {timestamp(certificate.not_after)}'}")
    if allowed:
        note = f": {allowed.note}" if allowed.note else ""
        late = " although expired" if fault else ""
        until = math.inf if allowed.allow_expired else until
        return _for(certificate, f"allowed by the trust list{late}{note}", until, kind, seen)
    path = find_path(certificate, anchors, moment)
    if not isinstance(path, TrustedPath):
        return _against(certificate, path, _next_change(certificate, anchors, moment), seen)
    revocation = path_revocation(path.chain, anchors.revocation, moment)
    until = min(path.not_after, revocation.until)
    seen = (*seen, path_evidence(path), *revocation.evidence)
    if revocation.fault:
        verdict = _against(certificate, revocation.fault, until, seen)
    else:
        verdict = _for(certificate, f"trusted by root {path.root}", until, kind, seen)
    return replace(verdict, unasked=revocation.unasked)


_FIT = "fitness: not denied by the trust list, made for encrypting mail, strong enough"


def path_evidence(path: TrustedPath) -> str:
    """A path in one line, from the certificate to its root."""
    names = " < ".join(link.subject or f"serial {link.serial:x}" for link in path.chain)
    return f"path: {names} (root), to {timestamp(path.not_after)}"


def _for(certificate: Certificate, why: str, until: float, kind: Kind, seen: tuple[str, ...]) -> Verdict:
    reason = Reason.PERSONAL_CERTIFICATE if kind == "personal" else Reason.DOMAIN_CERTIFICATE
    ends = timestamp(certificate.not_after)
    detail = f"{_name(certificate)}, valid to {ends}, {why}"
    return Verdict(True, reason, detail, until, (*seen, f"{reason}: {why}"))


def _against(certificate: Certificate, fault: Fault, until: float, seen: tuple[str, ...] = ()) -> Verdict:
    detail = f"{_name(certificate)}: {fault.detail}"
    return Verdict(False, fault.reason, detail, until, (*seen, f"{fault.reason}: {fault.detail}"))


def _name(certificate: Certificate) -> str:
    return f"{certificate.subject or 'certificate without a name'} ({certificate.thumbprint[:19]})"


def _next_change(certificate: Certificate, anchors: Anchors, moment: float) -> float:
    """An untrusted certificate may become trusted when a CA above it becomes valid."""
    starts = [link.not_before for link in (*anchors.roots, *anchors.intermediates) if link.not_before > moment]
    return min([certificate.not_after, *starts])
