"""Carries out what a container amounts to when there is nothing to deliver: questions, answers, duplicates, refusals.

A question is a mail of ours: committed together with the challenge it belongs to, before the peer hears 451, so that
no challenge is open that nobody was told of. What is refused here leaves a trace in tracking and its evidence in the
log, and tells its sender nothing about what decryption found that they could ask for twice.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import structlog

from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ime import challenge as questions
from ime_gateway.ime.container import ToldOnce, closed
from ime_gateway.pipeline.container_in import replayed
from ime_gateway.pipeline.container_verdicts import (
    Answer,
    AnsweredBefore,
    ContainerVerdict,
    Duplicate,
    Question,
    RefusedContainer,
)
from ime_gateway.pipeline.parcel import refused_events
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.containers import Challenge, ContainerRecord, Containers
from ime_gateway.ports.queue import Envelope, Event, EventName, Parcel, Queue, Row, Spool
from ime_gateway.ports.reception import Submission

log = structlog.get_logger("containers")


@dataclass(frozen=True, slots=True)
class ContainerReplies:
    """What the receiver does with a `ContainerVerdict`."""

    containers: Containers
    queue: Queue
    spool: Spool
    hostname: str
    randomness: Callable[[int], bytes]
    clock: Clock
    even_seconds: float = 0.1
    """What opening found is told at the next such step after the mail came in, so that the time of the reply tells no
    more about it than the reply does."""

    async def carry_out(self, verdict: ContainerVerdict, submission: Submission, message_id: str) -> Outcome:
        """The outcome, after its traces and its question are durable. Raises StoreUnavailable."""
        match verdict:
            case RefusedContainer():
                return await self._refuse(verdict, submission, message_id)
            case Question():
                return await self._ask(verdict, submission, message_id)
            case Answer():
                return await self._confirm(verdict, submission, message_id)
            case AnsweredBefore():
                detail = "answer to a question that is answered; nothing was sent"
                await self.queue.record(_events(submission, message_id, "duplicate", detail))
                return Accepted(message_id)
            case Duplicate():
                return await self.duplicate(verdict.message, submission)
            case _:
                assert_never(verdict)

    async def duplicate(self, message: str, submission: Submission) -> Accepted:
        """The same container from the same sender again: told under the id that it was accepted with."""
        detail = "the same container came again from its sender; nothing was sent again"
        await self.queue.record(_events(submission, message, "duplicate", detail))
        return Accepted(message)

    async def seen_meanwhile(self, record: ContainerRecord, submission: Submission, message_id: str) -> Outcome:
        """Another worker took the same container while this one was being protected."""
        seen = await self.containers.seen(record.replay_key)
        if seen is not None and seen.sender == record.sender:
            return await self.duplicate(seen.message, submission)
        refusal = replace(replayed(), temporary=seen is None, message_id=message_id)
        await self.queue.record(refused_events(submission, refusal, None, message_id))
        return refusal

    async def _refuse(self, verdict: RefusedContainer, submission: Submission, message_id: str) -> Refused:
        """Tell why; what only a reader of the ciphertext could know is told once for each encrypted key."""
        refusal, evidence = verdict.refusal, verdict.evidence
        if verdict.told_once is not None and not await self._may_tell(verdict.told_once):
            evidence = f"asked again with another ciphertext: {refusal.reason.value}: {refusal.detail} {evidence}"
            fault = closed(evidence)
            refusal = replace(refusal, reason=fault.reason, detail=fault.detail)
        refusal = replace(refusal, message_id=message_id)
        if self.even_seconds:
            await asyncio.sleep(-(self.clock.now() - submission.received_at) % self.even_seconds)
        log.warning("container refused", id=message_id, reason=refusal.reason.value, evidence=evidence[:500])
        await self.queue.record(refused_events(submission, refusal, None, message_id))
        return refusal

    async def _may_tell(self, told: ToldOnce) -> bool:
        """Is this the first ciphertext under its key that was asked about, or that one again?

        The counters of a day only go up and every question moves them, so the first ciphertext is known by a
        counter of its own that keeps step with its questions; that of any other stays one behind.
        """
        asked = await self._count("pair", told.key, told.ciphertext)
        if asked == 1 and await self._count("key", told.key) > 1:
            return False
        return await self._count("first", told.key, told.ciphertext) == asked

    async def _count(self, *names: str) -> int:
        digest = hashlib.sha256("\0".join(("container", *names)).encode("ascii")).hexdigest()
        return await self.queue.count_failure(digest)

    async def _confirm(self, answer: Answer, submission: Submission, message_id: str) -> Outcome:
        thumbprint = answer.pin.certificate.thumbprint
        detail = f"signer {thumbprint} confirmed by its mailbox"
        events = _events(submission, message_id, "accepted", detail)
        if await self.containers.confirm(answer.token_hash, answer.pin, events):
            log.info("signer confirmed", id=message_id, address=answer.pin.address, certificate=thumbprint)
            return Accepted(message_id)
        detail = "the question was answered or withdrawn meanwhile"
        refusal = Refused(Reason.IME_SIGNER_UNKNOWN, detail, address=answer.pin.address, message_id=message_id)
        await self.queue.record(refused_events(submission, refusal, None, message_id))
        return refusal

    async def _ask(self, question: Question, submission: Submission, message_id: str) -> Refused:
        """Send the question, unless one is open; the container waits at the mail server either way."""
        detail = f"answer the question that was mailed to {question.person}, signed; this mail then goes by itself"
        refusal = Refused(
            Reason.IME_SIGNER_UNKNOWN, detail, temporary=True, address=str(question.person), message_id=message_id
        )
        traces = refused_events(submission, refusal, None, message_id)
        moment = submission.received_at
        token = questions.new_token(self.randomness)
        asked = Challenge(
            questions.token_hash(token),
            question.person.key,
            question.signer,
            moment,
            moment + questions.LASTS_SECONDS,
        )
        mail = await self._mail(question, asked, token)
        events = [*traces, *_sent(mail)]
        try:
            sent = await self.containers.challenge(asked, mail, events, questions.MOST_OPEN)
        except BaseException:
            self._discard(mail)
            raise
        if not sent:
            self._discard(mail)
            await self.queue.record(traces)
        log.info("signer unknown", id=message_id, address=question.person.key, asked=sent)
        return refusal

    async def _mail(self, question: Question, asked: Challenge, token: str) -> Parcel:
        """The question as a parcel of its own: an empty reverse-path (RFC 3834 section 3.3), so that a mailbox that
        is away stays silent; it returns as mail from inside does."""
        moment = asked.sent_at
        parcel_id, envelope_id, row_id, unique = (new_id(moment, self.randomness(RANDOM_BYTES)) for _ in range(4))
        headers, body = questions.question_mail(
            questions.Question(
                token=token,
                mailbox=question.person,
                ime_address=question.ime_address,
                thumbprint=question.signer.thumbprint,
                subject=question.signer.subject,
                asked_at=moment,
                expires_at=asked.expires_at,
            ),
            self.hostname,
            unique,
        )
        head = headers.to_bytes() + b"\r\n"
        sealed = await asyncio.to_thread(self.spool.write, [body], len(body))
        row = Row(
            id=row_id,
            envelope_id=envelope_id,
            recipient=str(question.person),
            copy="recipient",
            protection="none",
            reason=Reason.NOT_REQUIRED.value,
            detail="question about an unknown signer of containers",
            notify="NEVER",
        )
        return Parcel(
            id=parcel_id,
            sender="",
            message_id=f"<{unique}@{self.hostname}>",
            origin="internal",
            received_at=moment,
            bodies=(sealed,),
            envelopes=(Envelope(envelope_id, sealed.id, head, wire_size=len(head) + len(body)),),
            rows=(row,),
            smtputf8=question.person.smtputf8,
        )

    def _discard(self, mail: Parcel) -> None:
        for body in mail.bodies:
            self.spool.discard(body)


def _events(submission: Submission, message_id: str, event: EventName, detail: str) -> list[Event]:
    """One line for each recipient of the envelope; what is inside a container is nobody's business here."""
    reason = Reason.IME_REPLAY if event == "duplicate" else Reason.NOT_REQUIRED
    return [
        Event(
            id=message_id,
            message_id="",
            sender=str(submission.sender or ""),
            recipient=str(entry.address),
            copy="recipient",
            event=event,
            reason=reason.value,
            detail=detail,
            at=submission.received_at,
        )
        for entry in submission.recipients
    ]


def _sent(mail: Parcel) -> list[Event]:
    return [
        Event(
            id=mail.id,
            message_id=mail.message_id,
            sender="",
            recipient=row.recipient,
            copy="recipient",
            event="accepted",
            reason=row.reason,
            detail=row.detail,
            at=mail.received_at,
            row=row.id,
        )
        for row in mail.rows
    ]
