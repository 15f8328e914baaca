"""What a signed mail to an exchange address brings: certificates that wait for a person, and announced successors.

A new certificate is put in force without a person in one case only: its partner agreed to automatic rollover, and the
mail is signed with the partner's current certificate, trusted and in its time. A stolen key of last year,
a mail that only claims to come from the partner, or a certificate for another domain all end as a pending line.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.domain_names import domain_of_authority
from ime_gateway.keys.exchange_note import Announcement
from ime_gateway.keys.partner_keys import may_appoint, may_follow
from ime_gateway.keys.signer import judge_signer
from ime_gateway.keys.usable import judge
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.exchange.reader import ExchangeMail
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.incoming import Candidate, CandidateKind, CandidateOrigin
from ime_gateway.ports.registry import RegistryTransaction
from ime_gateway.settings.inheritance import recipient_settings

log = structlog.get_logger("exchange")

AnchorsOf = Callable[[SiteView], Anchors]
_STALE_SECONDS: Final = 30 * 86_400.0
_MOST_IN_TIME: Final = 10
"""Certificates of one partner that are in force and not over; the next one is for a person to judge."""
_ACTOR = "mail"


def keep_certificates(
    live: RegistryTransaction, mail: ExchangeMail, sender: Address | None, anchors_of: AnchorsOf, moment: float
) -> str:
    """Keep what the mail brings as pending candidates; one line for tracking. moment: seconds since 1970 UTC."""
    signer = mail.signer
    if signer is None:
        return f"nothing was taken: {mail.fault}"
    view = live.view()
    owner = exchange_owner(signer, mail.author, view)
    if owner is None:
        return f"nothing was taken: {signer.thumbprint} is for {_names(signer)}, the mail from {mail.author}"
    if owner[0].rpartition("@")[2] in view.managed:
        return f"nothing was taken: {owner[0]} is ours"
    verdict = judge_signer(signer, anchors_of(view), moment, mail.carried)
    if verdict.reason in (Reason.CERTIFICATE_DENIED, Reason.CERTIFICATE_REVOKED):
        return f"nothing was taken: {verdict.detail}"
    first = Candidate(
        *(*owner, signer, "exchange", (sender or mail.author).key, mail.message_id),
        f"signed the mail itself; {verdict.detail}",
        moment,
    )
    brought = [first]
    for other in dict.fromkeys((mail.preferred, *mail.contents.certificates)):
        if other is None or other == signer or other.is_ca or exchange_owner(other, mail.author, view) != owner:
            continue
        evidence = f"in a mail signed with {signer.thumbprint}; {verdict.detail}"
        brought.append(replace(first, certificate=other, evidence=evidence))
    kept = [one.certificate.thumbprint for one in brought if live.candidates.bring(one)]
    if not kept:
        return f"nothing new: {signer.thumbprint} of {owner[0]} is known, or its sender brought too many"
    return f"kept for approval, of {owner[0]}: {', '.join(kept)}"


def exchange_owner(certificate: Certificate, author: Address, view: SiteView) -> tuple[str, CandidateKind] | None:
    """Whose a certificate in a mail to an exchange address may be: it must belong to the domain of the mail's From."""
    domain = author.domain
    if domain_of_authority(certificate) == domain:
        return domain, "domain"
    names = set(certificate.addresses)
    settings = recipient_settings(view.policy, view.partners, view.addresses, domain)
    if settings.exchange_address.value in names:
        return domain, "domain"
    if author.key in names:
        return author.key, "person"
    if names and {name.rpartition("@")[2] for name in names} == {domain}:
        return domain, "domain"
    return None


def take_announcement(
    live: RegistryTransaction,
    mail: ExchangeMail,
    note: Announcement,
    sender: Address | None,
    anchors_of: AnchorsOf,
    moment: float,
) -> str:
    """Keep the announced certificate of a partner, or put it in force beside the current one; one line for tracking."""
    signer, view = mail.signer, live.view()
    following = next((one for one in mail.contents.certificates if one.thumbprint == note.following), None)
    if signer is None or following is None:
        return f"announcement of nothing: {mail.fault or 'the announced certificate is not attached'}"
    if note.domain not in view.partners or note.domain in view.managed:
        return f"announcement of {note.domain}, which is no partner"
    if abs(moment - note.at) > _STALE_SECONDS:
        return f"announcement of {note.domain} is out of date"
    certificates = view.domain_certificates.get(note.domain, ())
    if following in certificates:
        return f"announced certificate of {note.domain} is in force already"
    if signer not in certificates:
        kept = keep_certificates(live, mail, sender, anchors_of, moment)
        return f"announcement of {note.domain} is not signed with one of its certificates; {kept}"
    anchors = anchors_of(view)
    against = _against_automatic(mail, note, following, view, anchors, moment)
    evidence = f"announced by {note.domain}, signed with {signer.thumbprint}"
    evidence += f"; not automatic: {against}" if against else "; taken by itself"
    # A stolen and denied key of the partner's has no more room than anybody.
    vouched = judge_signer(signer, anchors, moment, mail.carried).usable
    origin: CandidateOrigin = "announcement" if vouched else "exchange"
    candidate = Candidate(
        *(note.domain, "domain", following, origin, (sender or mail.author).key, mail.message_id, evidence),
        moment,
        "pending" if against else "approved",
        vouched=vouched,
    )
    if not live.candidates.bring(candidate) and (against or not _waited(live, candidate)):
        return _again(live, candidate)
    if against:
        return f"announced certificate of {note.domain} kept for approval: {following.thumbprint}: {against}"
    _put_in_force(live, candidate, view, anchors, moment)
    return f"announced certificate of {note.domain} is in force: {following.thumbprint}"


def _against_automatic(
    mail: ExchangeMail,
    note: Announcement,
    following: Certificate,
    view: SiteView,
    anchors: Anchors,
    moment: float,
) -> str:
    """Why a person must decide; empty: nobody need to."""
    signer, certificates = mail.signer, view.domain_certificates.get(note.domain, ())
    rollover = recipient_settings(view.policy, view.partners, view.addresses, note.domain).rollover
    if signer is None or rollover.value != "automatic":
        return f'rollover = "approve" ({rollover.origin})'
    if note.current != signer.thumbprint or may_appoint(signer, certificates, anchors, moment) is None:
        return "it is not signed with the partner's current certificate, trusted and in its time"
    if sum(one.not_after > moment for one in certificates) >= _MOST_IN_TIME:
        return f"{note.domain} has {_MOST_IN_TIME} certificates in force already"
    if why := may_follow(following, signer, note.domain, moment):
        return why
    verdict = judge(following, anchors, max(moment, following.not_before), "domain")
    if not verdict.usable and verdict.reason is not Reason.CERTIFICATE_UNTRUSTED:
        return verdict.detail
    return ""


def _put_in_force(
    live: RegistryTransaction, candidate: Candidate, view: SiteView, anchors: Anchors, moment: float
) -> None:
    """Both are accepted from now on. Without a path to a root the trust list says so, with the reason."""
    domain, following = candidate.owner, candidate.certificate
    live.put_partner_domain(view.partners[domain], (following, *view.domain_certificates.get(domain, ())))
    verdict = judge(following, anchors, max(moment, following.not_before), "domain")
    if not verdict.usable:
        live.put_trust(TrustEntry(following.thumbprint, "allow", note=candidate.evidence))
    live.audit(_ACTOR, "partner-rollover", f"{domain} {following.thumbprint}: {candidate.evidence}")


def _waited(live: RegistryTransaction, candidate: Candidate) -> bool:
    """Whether it lay among the pending ones, and does no more. Anybody may have put it there before, from whom the
    partner's own word must not wait; what an administrator decided about stays as it is."""
    owner, thumbprint = candidate.owner, candidate.certificate.thumbprint
    if any(one.state != "pending" for one in live.candidates.rows(owner=owner, thumbprint=thumbprint)):
        return False
    return live.candidates.set_state(owner, thumbprint, "approved")


def _again(live: RegistryTransaction, candidate: Candidate) -> str:
    known = live.candidates.rows(owner=candidate.owner, thumbprint=candidate.certificate.thumbprint)
    if not known:
        log.error(
            "announcement of a partner dropped: too many candidates wait; decide about them with cert candidates, and"
            " have it announced again",
            partner=candidate.owner,
            thumbprint=candidate.certificate.thumbprint,
        )
    state = known[0].state if known else "not taken: too many wait"
    return f"announced certificate of {candidate.owner} came again ({state}): {candidate.certificate.thumbprint}"


def _names(certificate: Certificate) -> str:
    return ", ".join(certificate.addresses[:3]) or "nobody"
