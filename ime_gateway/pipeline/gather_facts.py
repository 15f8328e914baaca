"""Collect what the decision needs to know: domains, certificates, the verdict on each, and what their owners can read.

Certificates come from the directory's cache; the verdict on one is kept until time or an
administrator's change could turn it, so that the hot path judges nothing twice and a denied
certificate is dead with the next generation (issue part 7). What signatures told of a person's programs (RFC 8551
section 2.7.1.1) comes from `taught`.
"""

from collections.abc import Sequence
from dataclasses import replace

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.capabilities import NOTHING_SAID, read_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Kind, Verdict
from ime_gateway.pipeline.found_certificates import NOTHING_FOUND, Found
from ime_gateway.pipeline.late_answers import Awaited
from ime_gateway.pipeline.prepared import Prepared, PreparedRecipient
from ime_gateway.pipeline.protected_answers import ProtectedAnswers
from ime_gateway.pipeline.selection import Selected, chosen_by_hand, select
from ime_gateway.pipeline.taught import Taught, Teachings
from ime_gateway.pipeline.verdicts import Judging, Verdicts
from ime_gateway.policy.candidates import candidates, not_here
from ime_gateway.policy.decide import demand
from ime_gateway.policy.facts import Candidate, Facts, MessageFacts, PolicyFacts, RecipientFacts
from ime_gateway.ports.containers import Learnt
from ime_gateway.ports.directory import Directory, SiteView
from ime_gateway.settings.inheritance import RecipientSettings, recipient_settings


class FactGatherer:
    """Turns prepared messages into facts; keeps verdicts for one generation of live data."""

    def __init__(
        self, directory: Directory, teachings: Teachings, answers: ProtectedAnswers, verdicts: Verdicts
    ) -> None:
        self._directory = directory
        self._answers = answers
        self._taught = Taught(teachings)
        self._verdicts = verdicts

    async def gather(
        self,
        prepared: Prepared,
        view: SiteView,
        moment: float,
        found: Found = NOTHING_FOUND,
        awaited: list[Awaited] | None = None,
    ) -> tuple[Facts, dict[str, Certificate]]:
        """The facts of one message, and the certificates they speak of by thumbprint.

        moment: seconds since 1970 UTC. found: what directories gave beside our own data. awaited: gets what is asked
        about, before anybody waits for it. Raises StoreUnavailable when the directory cannot be asked.
        """
        message, policy = _message_facts(prepared), _policy_facts(view)
        keys = [entry.address.key for entry in prepared.recipients]
        settings = [recipient_settings(view.policy, view.partners, view.addresses, key) for key in keys]
        bare = [_without_candidates(*pair, view) for pair in zip(prepared.recipients, settings, strict=True)]
        bare = _with_versions(bare, prepared)
        message = await self._with_answers(message, prepared, bare, policy, view)
        wanted = [key for key, one in zip(keys, bare, strict=True) if demand(one, message, policy) != "plain"]
        personal = await self._directory.certificates(view, wanted) if wanted else {}
        learnt = await self._taught.about([key for key in wanted if personal.get(key)], moment)
        by_hand = chosen_by_hand(settings) if wanted else []
        named = await self._directory.named(view, by_hand) if by_hand else {}
        known = {one.thumbprint: one for one in view.additional_certificates}
        selections = [
            found.added_to(select(one.address, setting, view, personal.get(key, ()), named), one.address)
            for key, one, setting in zip(keys, bare, settings, strict=True)
        ]
        asked = _asked(bare, selections, view.additional_certificates if wanted else ())
        judging = await self.judging(asked, view, moment, awaited)
        recipients = []
        for key, one, selected in zip(keys, bare, selections, strict=True):
            known.update((each.thumbprint, each) for each in (*selected.personal, *selected.domain))
            recipients.append(self._with_candidates(one, selected, learnt.get(key), judging, moment))
        additional = _judged(view.additional_certificates, "domain", judging, moment) if wanted else []
        return Facts(message, policy, tuple(recipients), additional=candidates(additional)), known

    async def judging(
        self, asked: Sequence[Awaited], view: SiteView, moment: float, awaited: list[Awaited] | None = None
    ) -> Judging:
        """Verdicts on all of these, asked for at once and kept. `awaited`, and what it raises, as `gather` has them."""
        if awaited is not None:
            awaited.extend(asked)
        return await self._verdicts.prepare([(one.certificate, one.kind) for one in asked], view, moment)

    def _with_candidates(
        self, one: RecipientFacts, selected: Selected, learnt: Learnt | None, judging: Judging, moment: float
    ) -> RecipientFacts:
        personal = _personal(selected, learnt, judging, moment)
        if selected.missing:
            personal += tuple(map(not_here, selected.missing))
        if not selected.domain:
            return replace(one, personal=personal)
        shared = _judged(selected.domain, "domain", judging, moment)
        return replace(one, personal=personal, domain=candidates(shared, selected_by=selected.domain_selected_by))

    async def _with_answers(
        self,
        message: MessageFacts,
        prepared: Prepared,
        recipients: Sequence[RecipientFacts],
        policy: PolicyFacts,
        view: SiteView,
    ) -> MessageFacts:
        """Asked only where the answer could change anything: mail to somebody outside that may leave in clear."""
        if view.policy.reply_to_encrypted != "must" or message.direction == "incoming" or message.sealed_already:
            return message
        if all(one.managed or demand(one, message, policy) == "must" for one in recipients):
            return message
        recognised_by = await self._answers.concern(prepared)
        return replace(message, answers_protected=bool(recognised_by), recognised_by=recognised_by)


def _asked(
    recipients: Sequence[RecipientFacts], selections: Sequence[Selected], additional: Sequence[Certificate]
) -> list[Awaited]:
    asked = []
    for one, selected in zip(recipients, selections, strict=True):
        asked += [Awaited(str(one.address), each, "personal") for each in selected.personal]
        asked += [Awaited(str(one.address), each, "domain") for each in selected.domain]
    return asked + [Awaited("", one, "domain") for one in additional]


def _personal(selected: Selected, learnt: Learnt | None, judging: Judging, moment: float) -> tuple[Candidate, ...]:
    judged = _judged(selected.personal, "personal", judging, moment)
    # Nothing learnt adds a certificate: it only orders and describes those that the directory gives.
    told = read_capabilities(learnt.capabilities) if learnt else NOTHING_SAID
    return candidates(judged, told, learnt.preferred if learnt else "", selected.selected_by)


def _judged(
    certificates: Sequence[Certificate], kind: Kind, judging: Judging, moment: float
) -> list[tuple[Certificate, Verdict]]:
    return [(one, judging.verdict(one, kind, moment)) for one in certificates]


def _without_candidates(entry: PreparedRecipient, settings: RecipientSettings, view: SiteView) -> RecipientFacts:
    managed = entry.address.domain in view.managed
    return RecipientFacts(
        address=entry.address,
        copy=entry.copy,
        blind=entry.blind,
        managed=managed,
        partner_encryption=None if managed else settings.encryption.value,
        mode_origin="" if managed else settings.encryption.origin,
        bound=not managed and settings.bound_recipients.value,
    )


def _with_versions(recipients: list[RecipientFacts], prepared: Prepared) -> list[RecipientFacts]:
    """Which content each recipient of incoming mail gets, and why."""
    if prepared.direction != "incoming":
        return recipients
    default = (Reason.NOT_REQUIRED, prepared.detail) if prepared.detail else None
    numbers = {id(version): number for number, version in enumerate(prepared.versions.values(), 1)}
    found = []
    for one in recipients:
        version = prepared.versions.get(one.address.key)
        if version is None:
            found.append(replace(one, arrived=default))
        else:
            found.append(replace(one, version=numbers[id(version)], arrived=(version.reason, version.detail)))
    return found


def _message_facts(prepared: Prepared) -> MessageFacts:
    return MessageFacts(
        direction=prepared.direction,
        ime=prepared.ime,
        wants_encryption=prepared.wants_encryption,
        wants_plain=prepared.wants_plain,
        calendar=prepared.calendar,
        unavailable=prepared.unavailable,
        sealed_already=prepared.desktop in ("smime-encrypted", "pgp-encrypted"),
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
