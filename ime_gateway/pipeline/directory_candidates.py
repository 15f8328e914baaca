"""Certificates and groups that only a directory knows, for recipients whose mail may or must be encrypted.

Asked last, and only about those for whom nothing usable was imported: what administrators imported is never replaced
by what a directory says, and most mail waits for nobody. A found certificate is judged like any other, unless the
administrators take that directory's word: then it needs no root, and is refused all the same when it has one that
revoked it, or (hard-fail) whose word on that cannot be had. No answer is no "no": such mail is deferred, also where it
might have left in clear, since a directory that is down must not decide that (P1).
"""

import asyncio
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.profile import ENCRYPTION_NAME
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.usable import Kind, Verdict, judge
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.found_certificates import Found
from ime_gateway.pipeline.gather_facts import FactGatherer
from ime_gateway.pipeline.group_expansion import expand_groups
from ime_gateway.pipeline.late_answers import Awaited
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.pipeline.verdicts import Judging
from ime_gateway.policy.candidates import candidates
from ime_gateway.policy.decide import demand
from ime_gateway.policy.facts import Candidate, Facts, RecipientFacts
from ime_gateway.ports.address_directory import (
    CertificateLookup,
    DirectoryAnswer,
    FoundCertificate,
    GroupLookup,
    NoDirectoryAnswer,
)
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.settings.inheritance import recipient_settings

_REMEMBERED = 5_000
_REVOCATION: Final = frozenset((Reason.CERTIFICATE_REVOKED, Reason.REVOCATION_UNKNOWN))

Answer = DirectoryAnswer | NoDirectoryAnswer
Gathered = tuple[Prepared, Facts, dict[str, Certificate]]


@dataclass(slots=True)
class DirectoryCandidates:
    """Completes facts by what directories know; one event loop uses it."""

    facts: FactGatherer
    certificates: CertificateLookup
    groups: GroupLookup
    most_recipients: int
    """Of one message, after groups were expanded."""
    _verdicts: dict[tuple[int, str, str], Verdict] = field(default_factory=dict)
    """On certificates taken on a directory's word: by generation, thumbprint and kind."""

    async def complete(
        self,
        prepared: Prepared,
        facts: Facts,
        known: dict[str, Certificate],
        view: SiteView,
        moment: float,
        awaited: list[Awaited] | None = None,
    ) -> Gathered:
        """The message with its groups expanded, and its facts with what was found. moment: seconds since 1970 UTC.

        `awaited` as in `FactGatherer.gather`. Raises StoreUnavailable as that does.
        """
        facts, known, groups = await self._look_up(prepared, facts, known, view, moment, awaited)
        if not groups:
            return prepared, facts, known
        expansion = await expand_groups(prepared, groups, view, self.groups, self.most_recipients)
        if expansion.prepared is not prepared:
            prepared = expansion.prepared
            facts, known = await self.facts.gather(prepared, view, moment, awaited=awaited)
            facts, known, _ = await self._look_up(prepared, facts, known, view, moment, awaited)
        told = {key: Candidate("", False, reason, detail) for key, (reason, detail) in expansion.left.items()}
        recipients = tuple(_told(one, told.get(one.address.key)) for one in facts.recipients)
        return prepared, replace(facts, recipients=recipients), known

    async def _look_up(
        self,
        prepared: Prepared,
        facts: Facts,
        known: dict[str, Certificate],
        view: SiteView,
        moment: float,
        awaited: list[Awaited] | None,
    ) -> tuple[Facts, dict[str, Certificate], tuple[str, ...]]:
        """With the keys of recipients who turned out to be groups, and cannot be encrypted to as such."""
        people, domains = self._wanted(facts, view)
        if not people and not domains:
            return facts, known, ()
        answers, of_domains = await asyncio.gather(
            self._ask_all(people.values(), view), self._ask_all(domains.values(), view)
        )
        by_domain = {name.rpartition("@")[2]: answer for name, answer in of_domains.items()}
        found = Found(
            {key: _proving(key, answer) for key, answer in answers.items()},
            {domain: _proving(domains[domain].key, answer) for domain, answer in by_domain.items()},
        )
        if found:
            facts, known = await self.facts.gather(prepared, view, moment, found, awaited)
        vouched = [*_vouched(answers, "personal", facts), *_vouched(by_domain, "domain", facts)]
        judging = await self.facts.judging(vouched, view, moment, awaited)
        marking = _Marking(self, view, moment, known, judging)
        recipients = tuple(
            marking.mark(one, answers.get(one.address.key), by_domain.get(one.address.domain))
            if one.address.key in people or one.address.domain in domains
            else one
            for one in facts.recipients
        )
        groups = tuple(
            one.address.key
            for one in recipients
            if one.copy == "recipient" and not _usable(one.personal) and _group_of(answers.get(one.address.key))
        )
        return replace(facts, recipients=recipients), known, groups

    def _wanted(self, facts: Facts, view: SiteView) -> tuple[dict[str, Address], dict[str, Address]]:
        """Whom to ask about, by key, and which domains' own entries, by domain."""
        people: dict[str, Address] = {}
        domains: dict[str, Address] = {}
        by_person, by_domain = (method in facts.policy.hierarchy for method in ("smime-personal", "smime-domain"))
        for one in facts.recipients:
            address = one.address
            if _usable(one.personal) or not self.certificates.covers(address.domain, managed=one.managed):
                continue
            if demand(one, facts.message, facts.policy) == "plain":
                continue
            chosen = recipient_settings(view.policy, view.partners, view.addresses, address.key).selection.value
            if by_person and chosen == "automatic":
                people[address.key] = address
            if by_domain and chosen != "manual" and not one.managed and not _usable(one.domain):
                domains[address.domain] = Address(ENCRYPTION_NAME, address.domain)
        return people, domains

    async def _ask_all(self, asked: Iterable[Address], view: SiteView) -> dict[str, Answer]:
        wanted = list(asked)
        found = await asyncio.gather(
            *(self.certificates.about(one, managed=one.domain in view.managed) for one in wanted)
        )
        return {one.key: answer for one, answer in zip(wanted, found, strict=True)}

    def trusted(self, found: FoundCertificate, kind: Kind, view: SiteView, moment: float, judging: Judging) -> Verdict:
        """The verdict on a certificate for which a trusted directory vouches: as if the trust list allowed it, so that
        a denial, its end and what it is made for still count, and so does what its CA says of revocations."""
        strict = judging.verdict(found.certificate, kind, moment)
        if strict.reason in _REVOCATION:
            return strict
        thumbprint = found.certificate.thumbprint
        key = (view.generation, thumbprint, kind)
        verdict = self._verdicts.get(key)
        if verdict is None or moment >= verdict.valid_until:
            entry = TrustEntry(thumbprint, "allow", note=f"directory {found.directory} vouches for it")
            trust = ChainMap(dict(view.trust), {thumbprint: entry})  # an administrator's own line comes first
            verdict = judge(found.certificate, Anchors(view.roots, view.intermediates, trust), moment, kind)
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            self._verdicts[key] = verdict
        return verdict


@dataclass(frozen=True, slots=True)
class _Marking:
    """Puts into the facts of recipients what directories said, in words for people."""

    lookups: DirectoryCandidates
    view: SiteView
    moment: float
    known: dict[str, Certificate]
    """Gets the certificates that are used on a directory's word."""
    judging: Judging
    """Of this generation, with all those certificates judged as if no directory vouched for them."""

    def mark(self, one: RecipientFacts, person: Answer | None, domain: Answer | None) -> RecipientFacts:
        """The recipient with all candidates; in front of them why there is none, where that is not known for sure."""
        one = replace(
            one,
            personal=self._with_answer(one.personal, person, "personal", one.address.key),
            domain=self._with_answer(one.domain, domain, "domain", f"{ENCRYPTION_NAME}@{one.address.domain}"),
        )
        failed = next((answer for answer in (person, domain) if isinstance(answer, NoDirectoryAnswer)), None)
        if _usable(one.personal) or _usable(one.domain):
            return one
        if failed is not None:
            return _told(one, Candidate("", False, Reason.LOOKUP_TIMEOUT, failed.detail))
        group = _group_of(person)
        detail = f"it is the distribution group {group}, and no directory expands groups of its domain"
        return _told(one, Candidate("", False, Reason.RECIPIENT_IS_GROUP, detail)) if group else one

    def _with_answer(
        self, before: Sequence[Candidate], answer: Answer | None, kind: Kind, key: str
    ) -> tuple[Candidate, ...]:
        if not isinstance(answer, DirectoryAnswer):
            return tuple(before)
        found = {one.certificate.thumbprint: one for one in answer.certificates}
        marked = [_from(found.get(one.thumbprint), one) for one in before]
        there = {one.thumbprint for one in before}
        vouched = [one for thumbprint, one in found.items() if one.trusted and thumbprint not in there]
        self.known.update((one.certificate.thumbprint, one.certificate) for one in vouched)
        judged = [
            (one.certificate, self.lookups.trusted(one, kind, self.view, self.moment, self.judging)) for one in vouched
        ]
        marked += [_from(found[one.thumbprint], one) for one in candidates(judged)]
        marked += [
            _of_somebody_else(one, key)
            for thumbprint, one in found.items()
            if not one.trusted and thumbprint not in there and key not in one.certificate.addresses
        ]
        return tuple(sorted(marked, key=lambda one: not one.usable))


def _proving(key: str, answer: Answer) -> tuple[Certificate, ...]:
    """The certificates that are judged like any other: those which name the address themselves."""
    match answer:
        case NoDirectoryAnswer():
            return ()
        case DirectoryAnswer():
            found = [one for one in answer.certificates if not one.trusted]
            return tuple(one.certificate for one in found if key in one.certificate.addresses)
        case _:
            assert_never(answer)


def _vouched(answers: Mapping[str, Answer], kind: Kind, facts: Facts) -> list[Awaited]:
    """The certificates for which a trusted directory vouches, each for the first recipient whom it would serve."""
    whom = {
        one.address.key if kind == "personal" else one.address.domain: str(one.address)
        for one in reversed(facts.recipients)
    }
    told = [(key, answer) for key, answer in answers.items() if isinstance(answer, DirectoryAnswer)]
    return [
        Awaited(whom[key], one.certificate, kind) for key, answer in told for one in answer.certificates if one.trusted
    ]


def _group_of(answer: Answer | None) -> str:
    return answer.group if isinstance(answer, DirectoryAnswer) else ""


def _usable(found: Sequence[Candidate]) -> bool:
    return any(one.usable for one in found)


def _told(one: RecipientFacts, candidate: Candidate | None) -> RecipientFacts:
    """With a line in front that is no certificate: the first unusable one carries the reason that people see. It
    replaces an earlier line of its kind."""
    if candidate is None:
        return one
    return replace(one, personal=(candidate, *(other for other in one.personal if other.thumbprint)))


def _from(found: FoundCertificate | None, candidate: Candidate) -> Candidate:
    if found is None:
        return candidate
    detail = f"{candidate.detail}, found in directory {found.directory}"
    return replace(candidate, detail=detail, selected_by="directory")


def _of_somebody_else(found: FoundCertificate, key: str) -> Candidate:
    certificate = found.certificate
    named = f"it is for {certificate.addresses[0]}" if certificate.addresses else "it names no address"
    detail = f"directory {found.directory} gives {certificate.subject or 'a certificate'} for {key}, but {named}"
    return Candidate(certificate.thumbprint, False, Reason.CERTIFICATE_UNTRUSTED, detail, selected_by="directory")
