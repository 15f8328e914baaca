"""The key pair that stands for a whole managed domain: what fits, what is put where, and what should be done about it.

Partners encrypt everybody's mail to this certificate and believe our signatures by it, so it is changed with an
overlap: the next one is announced and opens mail before it is used (RFC 3183 names the authorities of domains).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from ime_gateway.admin.key_pairs import DAY_SECONDS, KeyPair
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.certs.issue import new_key, private_key_der, self_signed
from ime_gateway.certs.profile import ENCRYPTION_NAME, SIGNING_NAME
from ime_gateway.keys.usable import Anchors, judge
from ime_gateway.ports.clock import Randomness
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.domain_keys import DomainKeyEntry
from ime_gateway.ports.keyring import DomainKeyState
from ime_gateway.settings.site import Policy

_WITHDRAWN: Final = (Reason.CERTIFICATE_REVOKED, Reason.CERTIFICATE_DENIED)


def authority_address(domain: str) -> str:
    """The mail address in the certificate of a domain's key."""
    return f"{ENCRYPTION_NAME}@{domain}"


def make_domain_pair(domain: str, moment: float, days: int, randomness: Randomness) -> KeyPair:
    """A fresh RSA-3072 pair with a self-signed certificate that has both names of RFC 3183: who encrypts for the
    domain, and who signs for it. Takes a good part of a second: never call it while a transaction is open."""
    key = new_key()
    also = (f"{SIGNING_NAME}@{domain}",)
    address = authority_address(domain)
    certificate = self_signed(address, "", key, moment=moment, days=days, randomness=randomness, also=also)
    return KeyPair(certificate, private_key_der(key))


def require_fit_for_domain(certificate: Certificate, domain: str) -> None:
    """Raises UserError when partners could never use this certificate for `domain`. Who signed it and its time are
    said elsewhere."""
    owners = sorted(certificate.addresses)
    if owners and not any(owner.rpartition("@")[2] == domain for owner in owners):
        raise UserError(f"the certificate is for {', '.join(owners)}, not for {domain}; partners would refuse it")
    if certificate.is_ca:
        raise UserError("the certificate is that of a CA; a CA issues certificates and opens no mail (P8)")
    fault = fitness_fault(certificate)
    if fault is not None:
        raise UserError(f"the certificate cannot be used: {fault.detail}")


def require_not_denied(certificate: Certificate, trust: Mapping[str, TrustEntry]) -> None:
    """Raises UserError for a certificate that the trust list denies, such as that of a key that was retired."""
    line = trust.get(certificate.thumbprint)
    if line is not None and line.verdict == "deny":
        because = f" ({line.note})" if line.note else ""
        raise UserError(f"the certificate {certificate.thumbprint} is denied by the trust list{because}; use a new key")


def current_domain_key(keys: Iterable[DomainKeyEntry]) -> DomainKeyEntry | None:
    """The key that partners should use."""
    return next((key for key in keys if key.state == "current"), None)


def next_domain_key(keys: Iterable[DomainKeyEntry]) -> DomainKeyEntry | None:
    """The key that will be the current one."""
    return next((key for key in keys if key.state == "next"), None)


def state_of_new(keys: Iterable[DomainKeyEntry]) -> DomainKeyState:
    """Where a new key of a domain belongs: in force at once only where there is none, else it is the next."""
    return "current" if current_domain_key(keys) is None else "next"


def due_at(key: DomainKeyEntry, current: DomainKeyEntry | None, overlap_days: int) -> float:
    """When a next key becomes the current one, seconds since 1970 UTC: `overlap_days` after partners were told of it
    (where nobody was: after it was made), but not before it is valid, and not after the current one has ended."""
    told = key.since if key.announced_at is None else key.announced_at
    due = told + overlap_days * DAY_SECONDS
    if current is not None:
        due = min(due, current.certificate.not_after)
    return max(due, key.certificate.not_before)


def domain_key_notes(domain: str, keys: Iterable[DomainKeyEntry], policy: Policy, moment: float) -> list[str]:
    """What should be done or known about the keys of one managed domain, one sentence each; `moment` is now."""
    listed = [key for key in keys if key.domain == domain]
    troubles = domain_key_troubles(domain, listed, policy, moment)
    takeover, _ = domain_key_takeover(listed, policy, moment)
    return [*troubles, takeover] if takeover else troubles


def takes_over(due: float, moment: float) -> str:
    """When a next key takes over that is due then, as it is at `moment`; housekeeping looks every hour."""
    return f"takes over at {rfc3339(due)}" if due > moment else "takes over within the hour"


def domain_key_takeover(keys: Iterable[DomainKeyEntry], policy: Policy, moment: float) -> tuple[str, bool]:
    """When the next key of a domain, whose keys these are, takes over, and whether partners were told of it. Empty:
    there is no next one. `moment` is now."""
    listed = list(keys)
    coming = next_domain_key(listed)
    if coming is None:
        return "", False
    told = "" if coming.announced_at else f" and was not announced yet: ime-gateway domain announce {coming.domain}"
    due = due_at(coming, current_domain_key(listed), policy.overlap_days)
    return f"the next domain key {takes_over(due, moment)}{told}", bool(coming.announced_at)


def domain_key_troubles(domain: str, keys: Iterable[DomainKeyEntry], policy: Policy, moment: float) -> list[str]:
    """What must be done about the keys of one managed domain, one sentence each; `moment` is now."""
    listed = [key for key in keys if key.domain == domain]
    current, coming = current_domain_key(listed), next_domain_key(listed)
    notes = []
    advice = f"run: ime-gateway domain key rollover {domain}"
    if listed and current is None:
        notes.append(f"there is no current domain key, so nothing is signed for the domain; {advice} --now")
    if current is not None and coming is None:
        left = current.certificate.not_after - moment
        if left < 0:
            ended = f"the domain certificate expired at {rfc3339(current.certificate.not_after)}"
            notes.append(
                f"{ended}; {advice} --now, then give partners the new one: ime-gateway domain key export {domain}"
            )
        elif left < max(policy.warning_days, policy.overlap_days) * DAY_SECONDS:
            notes.append(f"the domain certificate expires at {rfc3339(current.certificate.not_after)}; {advice}")
    return notes


def withdrawn_key_notes(domain: str, keys: Iterable[DomainKeyEntry], anchors: Anchors, moment: float) -> list[str]:
    """One sentence for each certificate of a managed domain that is in use or comes next and was revoked or denied:
    partners refuse to encrypt to it, while mail here seems to flow. May raise StoreUnavailable."""
    notes = []
    for key in keys:
        if key.domain != domain or key.state == "older":
            continue
        verdict = judge(key.certificate, anchors, moment, "domain")
        if verdict.reason not in _WITHDRAWN:
            continue
        mend = f"ime-gateway domain key rollover {domain} --now"
        if key.state == "next":
            mend = f"ime-gateway domain key retire {domain} {key.certificate.thumbprint[:19]}, then: {mend[:-6]}"
        notes.append(
            f"the {key.state} domain certificate is not to be used any more: {verdict.reason}: {verdict.detail};"
            f" run: {mend}, and give partners the new one"
        )
    return notes
