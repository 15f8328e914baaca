"""DATA in, reply out: a message is decided, protected and durable before its peer hears 250 (P2).

This is the gateway behind the SMTP door. Every way out is a returned outcome; an unexpected error is
answered with a temporary refusal by the session, and counted here, so that a message that fails
three times is set aside with its evidence instead of failing for ever (design 6.5, fact 10).
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import structlog

from ime_gateway.base.errors import AlreadySeen, OpenedForOthers, OtherSignerFirst, StoreUnavailable, UnreadableMail
from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.mail.delivery_report import ReportedMessage, ReportedRecipient
from ime_gateway.mail.message import parse_message
from ime_gateway.pipeline.call_ahead import CallAhead
from ime_gateway.pipeline.ciphertext_memory import alert_of_reuse
from ime_gateway.pipeline.container.replies import ContainerReplies
from ime_gateway.pipeline.exchange.reader import ExchangeMail
from ime_gateway.pipeline.exchange.replies import ExchangeReplies
from ime_gateway.pipeline.ime_addresses import relay_facts
from ime_gateway.pipeline.left_out import left_out_events, left_out_recipients
from ime_gateway.pipeline.next_hop_size import oversize
from ime_gateway.pipeline.older_keys import warn_of_older_keys
from ime_gateway.pipeline.outer_headers import transit_fields
from ime_gateway.pipeline.parcel import accepted_events, build_parcel, refused_events, submission_events
from ime_gateway.pipeline.planning import Planned, Planner, refusal_of
from ime_gateway.pipeline.protect import Protected, Protector
from ime_gateway.pipeline.report_back import report_parcel
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import Directory
from ime_gateway.ports.queue import Event, HeldEvidence, LeasedRow, Parcel, Queue
from ime_gateway.ports.reception import RelayFacts, SessionInfo, Submission
from ime_gateway.ports.relay import Relay

_FAILURES_UNTIL_HELD = 3

log = structlog.get_logger("reception")


class Handover(Protocol):
    """Who delivers what this worker has just accepted."""

    @property
    def has_room(self) -> bool:
        """False: rows are better left to whoever is free."""
        ...

    def submit(self, rows: Sequence[LeasedRow]) -> None:
        """Deliver rows that are leased to our owner; never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class Receiver:
    """Implements `ports.reception.Reception`."""

    planner: Planner
    protector: Protector
    directory: Directory
    queue: Queue
    relay: Relay
    clock: Clock
    randomness: Callable[[int], bytes]
    owner: str
    """Name of this worker, under which it leases what it has just accepted."""
    handover: Handover
    """Takes freshly accepted rows for delivery at once."""
    containers: ContainerReplies
    exchange: ExchangeReplies
    call_ahead: CallAhead | None = None
    """Asks about recipients of mail from outside; None: all are taken."""

    async def may_mail(self, session: SessionInfo, sender: Address | None) -> RelayFacts | Refused:
        """Live data as of now: a change by an administrator holds from the next MAIL on."""
        view = await self.directory.view()
        facts = relay_facts(view, self.planner.pseudo_recipient)
        if session.role == "internet" and self.call_ahead is not None:
            return replace(facts, unknown=partial(self.call_ahead.refusal, view))
        return facts

    async def turned_away(
        self, session: SessionInfo, sender: Address | None, recipient: Address | None, refused: Refused
    ) -> None:
        """Tracking keeps what insiders were refused; outsiders must not be able to fill our disk."""
        if session.role != "internal":
            return
        moment = self.clock.now()
        event = Event(
            id=new_id(moment, self.randomness(RANDOM_BYTES)),
            message_id="",
            sender=str(sender or ""),
            recipient=str(recipient or ""),
            copy="recipient",
            event="refused",
            reason=refused.reason.value,
            detail=refused.detail,
            at=moment,
        )
        with suppress(StoreUnavailable):  # the refusal stands without its trace
            await self.queue.record([event])

    async def receive(self, submission: Submission) -> Outcome:
        """Take the message, or say why not. `Accepted` means: protected, committed, ours to deliver."""
        message_id = new_id(submission.received_at, self.randomness(RANDOM_BYTES))
        try:
            outcome = await self._receive(submission, message_id)
        except StoreUnavailable as error:
            log.error("not accepted: store", id=message_id, cause=error.evidence or str(error))
            return Refused(Reason.STORE_UNAVAILABLE, str(error), temporary=True, message_id=message_id)
        return outcome

    async def _receive(self, submission: Submission, message_id: str) -> Outcome:
        view = await self.directory.view()  # a certificate denied since MAIL is dead for this message too
        planned = await self.planner.plan(submission, view)
        if isinstance(planned, Refused):
            return await self._refuse(submission, planned, message_id, None)
        if isinstance(planned, ExchangeMail):
            return await self.exchange.carry_out(planned, submission, message_id)
        if not isinstance(planned, Planned):
            return await self.containers.carry_out(planned, submission, message_id)
        refusal = refusal_of(planned)
        if refusal is not None:
            return await self._refuse(submission, refusal, message_id, planned)
        transit = transit_fields(submission, self.protector.hostname, message_id, self.planner.trace_key)
        protected = await self.protector.protect(
            planned.plan, planned.prepared, planned.known, view, transit, submission.received_at, planned.signers
        )
        default_route = self.planner.settings.delivery.default_route
        too_large = oversize(
            planned.plan.recipients, protected, planned.prepared.origin, view, default_route, self.relay
        )
        if too_large is not None:
            self.protector.discard(protected)
            return await self._refuse(submission, too_large, message_id, planned)
        container = planned.prepared.container
        try:
            await self._enqueue(submission, planned, protected, message_id)
        except AlreadySeen:
            assert container is not None
            return await self.containers.seen_meanwhile(container, submission, message_id)
        except OtherSignerFirst:
            assert container is not None
            return await self.containers.other_signer_first(container, submission, message_id)
        except OpenedForOthers:
            detail = "its content key was opened for other recipients a moment ago; the next attempt passes it sealed"
            refusal = Refused(Reason.CIPHERTEXT_REUSED, detail, temporary=True)
            log.error("ciphertext-reused: two messages with one content key came at once", alert=True, id=message_id)
            return await self._refuse(submission, refusal, message_id, planned)
        alert_of_reuse(planned.plan, message_id)
        if planned.prepared.older_keys:
            partner = submission.sender.domain if submission.sender is not None else ""
            warn_of_older_keys(planned.prepared.older_keys, partner, message_id)
        return Accepted(message_id)

    async def _enqueue(self, submission: Submission, planned: Planned, protected: Protected, message_id: str) -> None:
        parcel = build_parcel(submission, planned, protected, message_id, self.protector.new_id)
        events = accepted_events(parcel)
        owner = self.owner if self.handover.has_room else None
        prepared = planned.prepared
        reports: list[Parcel] = []
        try:
            told = left_out_recipients(planned)
            if told:
                reports.append(await self._report(told, submission, parcel))
            events += left_out_events(planned, parcel, {each.address for each in told})
            leased = await self.queue.enqueue(parcel, events, owner, reports, prepared.container, prepared.incoming)
        except BaseException:
            self.protector.discard(protected)
            for report in reports:
                for body in report.bodies:
                    self.protector.spool.discard(body)
            raise
        self.handover.submit(leased)

    async def _report(self, told: list[ReportedRecipient], submission: Submission, parcel: Parcel) -> Parcel:
        """The DSN about recipients who are left out under `on_unprotectable = "report"`."""
        original = ReportedMessage(
            id=parcel.id,
            sender=parcel.sender,
            message_id=parcel.message_id,
            envid=parcel.envid,
            received_at=parcel.received_at,
            headers=parcel.return_headers,
        )
        return await report_parcel(
            original,
            told,
            spool=self.protector.spool,
            hostname=self.protector.hostname,
            moment=submission.received_at,
            randomness=self.randomness,
        )

    async def _refuse(
        self, submission: Submission, refusal: Refused, message_id: str, planned: Planned | None
    ) -> Refused:
        """Leave a trace of the refusal; a store that cannot write it does not turn it into a yes."""
        refusal = replace(refusal, message_id=message_id)
        await self.queue.record(refused_events(submission, refusal, planned, message_id))
        return refusal

    async def failed(self, submission: Submission, cause: str) -> Refused:
        """An unexpected error happened with this message; `cause` is for the evidence, not for the peer.

        The first times the peer may try again. After three failures of the same bytes the message
        is refused for good and its header block kept for a person; never a body.
        """
        message_id = new_id(submission.received_at, self.randomness(RANDOM_BYTES))
        temporary = Refused(
            Reason.STORE_UNAVAILABLE,
            "an internal error; the cause is in the log",
            temporary=True,
            message_id=message_id,
        )
        digest = hashlib.sha256(submission.data).hexdigest()
        try:
            if await self.queue.count_failure(digest) < _FAILURES_UNTIL_HELD:
                return temporary
            await self.queue.hold_evidence(_evidence(submission, digest, cause, message_id))
            evidence = "failed again and again; headers are kept as evidence"
            await self.queue.record(submission_events(submission, message_id, "held", Reason.MALFORMED, evidence))
        except StoreUnavailable:
            return temporary
        detail = f"the message failed {_FAILURES_UNTIL_HELD} times here and is held for the administrator"
        return Refused(Reason.MALFORMED, detail, message_id=message_id)


def _evidence(submission: Submission, digest: str, cause: str, message_id: str) -> HeldEvidence:
    try:
        headers = parse_message(submission.data).headers.to_bytes()
    except UnreadableMail:
        headers = b""
    return HeldEvidence(
        id=message_id,
        digest=digest,
        sender=str(submission.sender or ""),
        recipients=tuple(str(entry.address) for entry in submission.recipients),
        headers=headers,
        cause=cause,
        at=submission.received_at,
    )
