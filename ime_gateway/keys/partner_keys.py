"""Which of a partner's certificates to use, and whether one may name its successor.

Partners keep two in an overlap. Mail is encrypted to the best usable one (`keys/choose`), signatures of each are
believed; but only the newest may appoint an heir without a person: else who stole last year's key could name his own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.keys.choose import order
from ime_gateway.keys.domain_names import names_outside
from ime_gateway.keys.signer import judge_signer
from ime_gateway.keys.usable import Anchors, Verdict, judge


@dataclass(frozen=True, slots=True)
class Choice:
    """The certificate to encrypt to, or why there is none."""

    certificate: Certificate | None
    detail: str
    """The verdict on it, or on the one that comes next to being usable."""
    reason: Reason | None = None
    """Of that verdict; None: there is no certificate."""


def encryption_choice(certificates: Sequence[Certificate], anchors: Anchors, moment: float) -> Choice:
    """The best of a domain's certificates at `moment` (seconds since 1970 UTC)."""
    judged = order((one, judge(one, anchors, moment, "domain")) for one in certificates)
    if not judged:
        return Choice(None, "no certificate is set for this domain")
    best, verdict = judged[0]
    return Choice(best if verdict.usable else None, verdict.detail, verdict.reason)


def may_appoint(
    signer: Certificate, certificates: Sequence[Certificate], anchors: Anchors, moment: float
) -> Verdict | None:
    """The verdict on a signer who may name the next certificate of its domain without a person; None: it may not.

    It is one of the domain's certificates, trusted, in its time whatever the trust list says of expired ones, and none
    of the domain that is newer is usable, or would be if its CA could be asked: who holds an older key must not come
    into power by silencing a server. moment: seconds since 1970 UTC.
    """
    if signer not in certificates or not signer.not_before <= moment <= signer.not_after:
        return None
    verdict = judge_signer(signer, anchors, moment)
    if not verdict.usable:
        return None
    newer = [judge(one, anchors, moment, "domain") for one in certificates if one.not_before > signer.not_before]
    return None if any(one.usable or one.reason is Reason.REVOCATION_UNKNOWN for one in newer) else verdict


def may_follow(following: Certificate, current: Certificate, domain: str, moment: float) -> str:
    """Why a certificate may not come after `current` by itself; empty: it may.

    Its fitness, its time and its names are looked at: every one of them must be of that domain, else a partner could
    have people of other companies believed.
    moment: seconds since 1970 UTC.
    """
    if fault := fitness_fault(following):
        return fault.detail
    if following.is_ca:
        return "it is a CA certificate"
    if following.not_after <= moment:
        return "it has expired"
    if following.key_digest == current.key_digest:
        return "it has the key of the current one"
    if not following.addresses:
        return f"it does not stand for {domain}"
    strangers = names_outside(following, domain)
    return f"it does not stand for {domain} alone: it names {strangers[0]}" if strangers else ""
