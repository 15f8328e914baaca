"""May this certificate protect mail now? One verdict with its evidence, for every certificate (P4).

The order of the questions is part of the contract, since the first "no" is the reason that people
see: denied by the trust list, unfit or weak, out of its time, allowed by the trust list, on a path to
a root. Revocation comes with its own issue. The verdict says how long it holds, so that callers keep
it; within one generation of the site's data only time can change it.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault, timestamp
from ime_gateway.certs.fitness import fitness_fault, time_fault
from ime_gateway.certs.path import TrustedPath, find_path
from ime_gateway.certs.trust import Anchors, TrustLine

__all__ = ["Anchors", "Kind", "TrustLine", "Verdict", "judge"]

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


def judge(certificate: Certificate, anchors: Anchors, moment: float, kind: Kind) -> Verdict:
    """Judge a certificate at `moment` (seconds since 1970 UTC) as personal or as domain certificate."""
    if fault := anchors.denial(certificate) or fitness_fault(certificate):
        return _against(certificate, fault, math.inf)
    allowed = anchors.allows(certificate)
    fault, until = time_fault(certificate, moment)
    if fault and not (allowed and allowed.allow_expired and fault.reason is Reason.CERTIFICATE_EXPIRED):
        return _against(certificate, fault, until)
    if allowed:
        note = f": {allowed.note}" if allowed.note else ""
        late = " although expired" if fault else ""
        return _for(
            certificate, f"allowed by the trust list{late}{note}", math.inf if allowed.allow_expired else until, kind
        )
    path = find_path(certificate, anchors, moment)
    if isinstance(path, TrustedPath):
        return _for(certificate, f"trusted by root {path.root}", path.not_after, kind)
    return _against(certificate, path, _next_change(certificate, anchors, moment))


def _for(certificate: Certificate, why: str, until: float, kind: Kind) -> Verdict:
    reason = Reason.PERSONAL_CERTIFICATE if kind == "personal" else Reason.DOMAIN_CERTIFICATE
    ends = timestamp(certificate.not_after)
    return Verdict(True, reason, f"{_name(certificate)}, valid to {ends}, {why}", until)


def _against(certificate: Certificate, fault: Fault, until: float) -> Verdict:
    return Verdict(False, fault.reason, f"{_name(certificate)}: {fault.detail}", until)


def _name(certificate: Certificate) -> str:
    return f"{certificate.subject or 'certificate without a name'} ({certificate.thumbprint[:19]})"


def _next_change(certificate: Certificate, anchors: Anchors, moment: float) -> float:
    """An untrusted certificate may become trusted when a CA above it becomes valid."""
    starts = [link.not_before for link in (*anchors.roots, *anchors.intermediates) if link.not_before > moment]
    return min([certificate.not_after, *starts])
