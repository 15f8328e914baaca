"""Collect what the decision needs to know: domains, certificates, the verdict on each, and what their owners can read.

Certificates come from the directory's cache; the verdict on one is kept until time or an
administrator's change could turn it, so that the hot path judges nothing twice and a denied
certificate is dead with the next generation (issue part 7). What signatures told of a person's programs (RFC 8551
section 2.7.1.1) comes from `taught`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from ime_gateway.certs.capabilities import NOTHING_SAID, read_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.usable import Verdict, judge
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.prepared import Prepared, PreparedRecipient
from ime_gateway.pipeline.taught import Taught, Teachings
from ime_gateway.policy.candidates import candidates
from ime_gateway.policy.decide import demand
from ime_gateway.policy.facts import Candidate, Facts, MessageFacts, PolicyFacts, RecipientFacts
from ime_gateway.ports.containers import Learnt
from ime_gateway.ports.directory import Directory, SiteView
from ime_gateway.settings.site import PartnerDomain

_MAX_VERDICTS = 50_000


class FactGatherer:
    """Turns prepared messages into facts; keeps verdicts for one generation of live data."""

    def __init__(self, directory: Directory, teachings: Teachings) -> None:
        self._directory = directory
        self._taught = Taught(teachings)
        self._generation = -1
        self._anchors = Anchors((), (), {})
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    async def gather(self, prepared: Prepared, view: SiteView, moment: float) -> tuple[Facts, dict[str, Certificate]]:
        """The facts of one message, and the certificates they speak of by thumbprint.

        moment: seconds since 1970 UTC. Raises StoreUnavailable when the directory cannot be asked.
        """
        message, policy = _message_facts(prepared), _policy_facts(view)
        bare = [_without_candidates(entry, view) for entry in prepared.recipients]
        wanted = [one.address.key for one in bare if demand(one, message, policy) != "plain"]
        personal = await self._directory.certificates(view, wanted) if wanted else {}
        learnt = await self._taught.about([key for key in wanted if personal.get(key)], moment)
        known: dict[str, Certificate] = {}
        recipients = []
        for one in bare:
            own = personal.get(one.address.key, ())
            shared = domain_certificates(view, one.address.domain)
            known.update((certificate.thumbprint, certificate) for certificate in (*own, *shared))
            recipients.append(
                replace(
                    one,
                    personal=self._personal(own, learnt.get(one.address.key), view, moment),
                    domain=candidates(self._judged(shared, "domain", view, moment)),
                )
            )
        return Facts(message, policy, tuple(recipients)), known

    def _personal(
        self, certificates: Sequence[Certificate], learnt: Learnt | None, view: SiteView, moment: float
    ) -> tuple[Candidate, ...]:
        judged = self._judged(certificates, "personal", view, moment)
        # Nothing learnt adds a certificate: it only orders and describes those that the directory gives.
        told = read_capabilities(learnt.capabilities) if learnt else NOTHING_SAID
        return candidates(judged, told, learnt.preferred if learnt else "")

    def _judged(
        self, certificates: Sequence[Certificate], kind: Literal["personal", "domain"], view: SiteView, moment: float
    ) -> list[tuple[Certificate, Verdict]]:
        return [(certificate, self._judge(certificate, kind, view, moment)) for certificate in certificates]

    def _judge(
        self, certificate: Certificate, kind: Literal["personal", "domain"], view: SiteView, moment: float
    ) -> Verdict:
        if view.generation != self._generation or len(self._verdicts) > _MAX_VERDICTS:
            self._generation = view.generation
            self._anchors = Anchors(view.roots, view.intermediates, view.trust)
            self._verdicts.clear()
        key = (certificate.thumbprint, kind)
        verdict = self._verdicts.get(key)
        if verdict is None or moment >= verdict.valid_until:
            verdict = judge(certificate, self._anchors, moment, kind)
            self._verdicts[key] = verdict
        return verdict


def partner_of(view: SiteView, domain: str) -> PartnerDomain | None:
    """The partner settings of a domain: its own, else those of the closest `*.x` above it."""
    for name in _names_above(domain):
        partner = view.partners.get(name)
        if partner is not None:
            return partner
    return None


def domain_certificates(view: SiteView, domain: str) -> tuple[Certificate, ...]:
    """Certificates of a partner domain, or the shared ones of a managed domain."""
    if not view.domain_certificates:
        return ()
    if domain in view.managed:
        return view.domain_certificates.get(domain, ())
    partner = partner_of(view, domain)
    return view.domain_certificates.get(partner.name, ()) if partner is not None else ()


def _names_above(domain: str) -> Iterable[str]:
    yield domain
    rest = domain
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"


def _mode(view: SiteView, address: Address) -> Literal["mandatory", "on-request", "opportunistic", "never"] | None:
    if address.domain in view.managed:
        return None
    partner = partner_of(view, address.domain)
    return partner.encryption if partner is not None else None


def _without_candidates(entry: PreparedRecipient, view: SiteView) -> RecipientFacts:
    return RecipientFacts(
        address=entry.address,
        copy=entry.copy,
        blind=entry.blind,
        managed=entry.address.domain in view.managed,
        partner_encryption=_mode(view, entry.address),
    )


def _message_facts(prepared: Prepared) -> MessageFacts:
    return MessageFacts(
        direction=prepared.direction,
        ime=prepared.ime,
        wants_encryption=prepared.wants_encryption,
        wants_plain=prepared.wants_plain,
        calendar=prepared.calendar,
        unavailable=prepared.unavailable,
    )


def _policy_facts(view: SiteView) -> PolicyFacts:
    policy = view.policy
    return PolicyFacts(
        hierarchy=policy.hierarchy,
        on_unprotectable=policy.on_unprotectable,
        sent_copy_without_key=policy.sent_copy_without_key,
        calendar=policy.calendar,
        content_cipher=policy.content_cipher,
    )
