"""From a submission to its plan, without doing anything yet: what `receive` carries out and `explain` prints.

One way for both, so that an explanation can never differ from the decision. What only a live connection or a next
hop knows (TLS, line ends, SIZE) is not part of it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.revocation import sources
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.admission import Admitted, admit, admit_inner
from ime_gateway.pipeline.container.outcomes import ContainerVerdict
from ime_gateway.pipeline.container.reader import ContainerReader
from ime_gateway.pipeline.directory_candidates import DirectoryCandidates
from ime_gateway.pipeline.exchange.reader import ExchangeMail, ExchangeReader, is_for_exchange
from ime_gateway.pipeline.gather_facts import FactGatherer
from ime_gateway.pipeline.ime_addresses import container_recipients
from ime_gateway.pipeline.incoming import prepare_incoming
from ime_gateway.pipeline.late_answers import Awaited, late_for_recipients, late_for_signers, not_in_time
from ime_gateway.pipeline.open_up import Opener
from ime_gateway.pipeline.outgoing import prepare_outgoing
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.pipeline.protected_answers import without_returned_mail
from ime_gateway.pipeline.revocation import AnswersLate
from ime_gateway.pipeline.sign_outgoing import Signer
from ime_gateway.pipeline.signing_keys import SigningKeys
from ime_gateway.policy.decide import decide
from ime_gateway.policy.plan import Plan
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.reception import Submission
from ime_gateway.settings.model import Listener, Settings

_THREAD_BYTES = 131_072
"""Larger messages are read in a thread: whatever hides in them, other sessions go on."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A message with its plan, and the certificates the plan names by thumbprint."""

    prepared: Prepared
    plan: Plan
    known: Mapping[str, Certificate]
    signers: Mapping[str, Signer] = field(default_factory=dict, repr=False)
    """Keys of ours that the plan names by thumbprint."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans; holds what does not change from message to message."""

    settings: Settings
    pseudo_recipient: Address
    """The IME 1.0 address."""
    facts: FactGatherer
    trace_key: bytes
    containers: ContainerReader
    exchange: ExchangeReader
    signing: SigningKeys
    opener: Opener
    lookups: DirectoryCandidates | None = None
    """What directories know of recipients; None where none is set up."""

    async def plan(self, submission: Submission, view: SiteView) -> Planned | Refused | ContainerVerdict | ExchangeMail:
        """Read, prepare, gather and decide; something else than `Planned` when it does not come as far as a plan.

        Raises StoreUnavailable when live data cannot be read.
        """
        listener = self.settings.listener_named(submission.session.listener)
        if listener is None:
            return Refused(Reason.RELAY_DENIED, "unknown listener")
        awaited: list[Awaited] = []
        try:
            prepared = await self._prepared(submission, listener, view)
            if not isinstance(prepared, Prepared):
                return prepared
            async with asyncio.timeout(self.settings.smtp.decide_seconds):
                facts, known = await self.facts.gather(prepared, view, submission.received_at, awaited=awaited)
                if self.lookups is not None and prepared.direction != "incoming":
                    prepared, facts, known = await self.lookups.complete(
                        prepared, facts, known, view, submission.received_at, awaited
                    )
                signing, signers = await self.signing.gather(prepared, facts.recipients, view, submission.received_at)
        except TimeoutError as error:
            return self._too_late(error, awaited, submission, view)
        facts = replace(facts, signing=signing)
        plan = decide(facts)
        if plan.decision == "refuse":
            cut = without_returned_mail(prepared, facts)
            if cut is not None:
                return Planned(cut[0], cut[1], known, signers)
        return Planned(prepared, plan, known, signers)

    def _too_late(self, error: TimeoutError, awaited: list[Awaited], submission: Submission, view: SiteView) -> Refused:
        """Whichever of the two times is up first, that of the message or that of a fetch, it names what was slow."""
        revocations = self.opener.revocations
        if not awaited and isinstance(error, AnswersLate):
            outsider = submission.session.role == "internet"
            return late_for_signers(error, revocations, str(submission.sender or ""), outsider=outsider)
        return late_for_recipients(awaited, revocations, view, submission.received_at) or not_in_time()

    async def _prepared(
        self, submission: Submission, listener: Listener, view: SiteView
    ) -> Prepared | Refused | ContainerVerdict | ExchangeMail:
        if is_for_exchange(submission, view):
            admitted = self._admit(submission, listener)
            return admitted if isinstance(admitted, Refused) else await self.exchange.read(submission, admitted, view)
        if container_recipients(submission, view):
            admitted = self._admit(submission, listener)
            if isinstance(admitted, Refused):
                return admitted
            read = await self.containers.read(submission, admitted.message, admitted.author, view)
            if not isinstance(read, Prepared):
                return read
            return admit_inner(read, self.settings.smtp.hostname, self.trace_key, submission.received_at)
        if len(submission.data) < _THREAD_BYTES:
            prepared = self._prepare(submission, listener, view)
        else:
            prepared = await asyncio.to_thread(self._prepare, submission, listener, view)
        if isinstance(prepared, Refused) or prepared.direction != "incoming":
            return prepared
        return await self.opener.open(prepared, view, submission.received_at)

    def _admit(self, submission: Submission, listener: Listener) -> Admitted | Refused:
        return admit(
            submission.data,
            listener,
            self.settings.smtp.hostname,
            self.trace_key,
            null_sender=submission.sender is None and submission.session.role == "internal",
        )

    def _prepare(self, submission: Submission, listener: Listener, view: SiteView) -> Prepared | Refused:
        """All that needs the message and live data only; pure, so that a thread may do it."""
        admitted = self._admit(submission, listener)
        if isinstance(admitted, Refused):
            return admitted
        if submission.session.role == "internal":
            return prepare_outgoing(submission, admitted, view, self.pseudo_recipient)
        return prepare_incoming(submission, admitted)


def refusal_of(planned: Planned) -> Refused | None:
    """The refusal that a plan amounts to, naming the recipient who stands in the way; None to deliver."""
    plan = planned.plan
    late = next((one for one in plan.recipients if not one.protection and one.reason is Reason.LOOKUP_TIMEOUT), None)
    if late is not None:  # also where such recipients would be left out: to be asked again is no reason to bounce
        return Refused(Reason.LOOKUP_TIMEOUT, late.detail, temporary=True, address=str(late.address))
    if plan.decision == "deliver":
        return None
    reason = plan.refusal_reason or Reason.METHOD_NOT_AVAILABLE
    address = str(plan.refusal.address) if plan.refusal is not None else ""
    detail = plan.refusal_detail
    if plan.refusal is not None and plan.refusal.copy == "sent":
        detail = f"the sender's own copy cannot be encrypted: {detail}"
    return Refused(reason, detail, temporary=_may_be_known_later(planned), address=address)


def _may_be_known_later(planned: Planned) -> bool:
    """The refusal is for not knowing about a revocation that somebody can be asked about: a server that is down is a
    trouble of today, so the mail server keeps the mail. Where no certificate says whom to ask, no retry helps."""
    refusal = planned.plan.refusal
    if refusal is None or refusal.reason is not Reason.REVOCATION_UNKNOWN:
        return False
    unknown = [one.candidate for one in refusal.considered if one.candidate.reason is Reason.REVOCATION_UNKNOWN]
    certificates = [planned.known[one.thumbprint] for one in unknown if one.thumbprint in planned.known]
    return any(asked.crls or asked.responders for asked in map(sources, certificates))
