"""Carries out what a container amounts to when there is nothing to deliver: questions, answers, duplicates, refusals.

What is refused here leaves a trace in tracking and its evidence in the log, and is told at an even time. Questions are
asked by `container.question`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import structlog

from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.pipeline.container.outcomes import (
    Answer,
    AnsweredBefore,
    ContainerVerdict,
    Duplicate,
    Question,
    RefusedContainer,
)
from ime_gateway.pipeline.container.question import ContainerQuestions
from ime_gateway.pipeline.container.reader import replayed
from ime_gateway.pipeline.parcel import refused_events, submission_events
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.containers import ContainerRecord, Containers
from ime_gateway.ports.queue import Queue, Spool
from ime_gateway.ports.reception import Submission

_STEP_BYTES = 4 << 20
"""So much more mail makes the steps of even time longer by one: opening takes longer too."""

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
    more about it than the reply does. The step is longer for large mail."""

    async def carry_out(self, verdict: ContainerVerdict, submission: Submission, message_id: str) -> Outcome:
        """The outcome, after its traces and its question are durable. Raises StoreUnavailable."""
        match verdict:
            case RefusedContainer():
                return await self._refuse(verdict, submission, message_id)
            case Question():
                asker = ContainerQuestions(self.containers, self.queue, self.spool, self.hostname, self.randomness)
                return await asker.ask(verdict, submission, message_id)
            case Answer():
                return await self._confirm(verdict, submission, message_id)
            case AnsweredBefore():
                detail = "answer to a question that is answered; nothing was sent"
                await self._record_duplicate(submission, message_id, detail)
                return Accepted(message_id, duplicate=True)
            case Duplicate():
                return await self.duplicate(verdict.message, submission)
            case _:
                assert_never(verdict)

    async def duplicate(self, message: str, submission: Submission) -> Accepted:
        """The same container from the same sender again: told under the id that it was accepted with."""
        detail = "the same container came again from its sender; nothing was sent again"
        await self._record_duplicate(submission, message, detail)
        return Accepted(message, duplicate=True)

    async def _record_duplicate(self, submission: Submission, message: str, detail: str) -> None:
        await self.queue.record(submission_events(submission, message, "duplicate", Reason.IME_REPLAY, detail))

    async def seen_meanwhile(self, record: ContainerRecord, submission: Submission, message_id: str) -> Outcome:
        """Another worker took the same container while this one was being protected."""
        seen = await self.containers.seen(record.replay_key)
        if seen is not None and seen.sender == record.sender:
            return await self.duplicate(seen.message, submission)
        refusal = replace(replayed(), temporary=seen is None, message_id=message_id)
        await self.queue.record(refused_events(submission, refusal, None, message_id))
        return refusal

    async def other_signer_first(self, record: ContainerRecord, submission: Submission, message_id: str) -> Refused:
        """Of several first signers of one person another one was taken: the next attempt asks about this one."""
        detail = "another certificate became known for its sender meanwhile; the next attempt asks about this one"
        person = next((pin.address for pin in record.pins), record.sender)
        refusal = Refused(Reason.IME_SIGNER_UNKNOWN, detail, temporary=True, address=person, message_id=message_id)
        log.info("signer not the first", id=message_id, address=person, certificate=record.signer)
        await self.queue.record(refused_events(submission, refusal, None, message_id))
        return refusal

    async def _refuse(self, verdict: RefusedContainer, submission: Submission, message_id: str) -> Refused:
        """Tell why, at an even time, whatever it was: wrong padding, noise, or a second ciphertext under one key."""
        refusal = replace(verdict.refusal, message_id=message_id)
        if self.even_seconds:
            step = self.even_seconds * (1 + len(submission.data) // _STEP_BYTES)
            await asyncio.sleep(-(self.clock.now() - submission.received_at) % step)
        log.warning(
            "container refused",
            id=message_id,
            sender=str(submission.sender or ""),
            reason=refusal.reason.value,
            evidence=verdict.evidence[:500],
        )
        await self.queue.record(refused_events(submission, refusal, None, message_id))
        return refusal

    async def _confirm(self, answer: Answer, submission: Submission, message_id: str) -> Outcome:
        thumbprint = answer.pin.certificate.thumbprint
        detail = f"signer {thumbprint} confirmed by its mailbox"
        events = submission_events(submission, message_id, "accepted", Reason.NOT_REQUIRED, detail)
        if await self.containers.confirm(answer.token_hash, answer.pin, events):
            log.info("signer confirmed", id=message_id, address=answer.pin.address, certificate=thumbprint)
            return Accepted(message_id)
        detail = "the question was answered or withdrawn meanwhile"
        refusal = Refused(Reason.IME_SIGNER_UNKNOWN, detail, address=answer.pin.address, message_id=message_id)
        await self.queue.record(refused_events(submission, refusal, None, message_id))
        return refusal
