"""Asks a mailbox whether an unknown signer is its own, and tells the mail server to come again.

A question is a mail of ours: committed together with the challenge it belongs to, before the peer hears 451, so that
no challenge is open that nobody was told of. What the peer hears is what really happened: asked now, asked before, or
not asked because too many questions wait.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ime import challenge as questions
from ime_gateway.mail.received import date_time
from ime_gateway.pipeline.container.outcomes import Question
from ime_gateway.pipeline.parcel import accepted_events, refused_events
from ime_gateway.ports.containers import Asking, Challenge, Containers
from ime_gateway.ports.queue import Envelope, Event, Parcel, Queue, Row, Spool
from ime_gateway.ports.reception import Submission

log = structlog.get_logger("containers")


@dataclass(frozen=True, slots=True)
class ContainerQuestions:
    """Makes questions and commits them."""

    containers: Containers
    queue: Queue
    spool: Spool
    hostname: str
    randomness: Callable[[int], bytes]

    async def ask(self, question: Question, submission: Submission, message_id: str) -> Refused:
        """Send the question, unless one is open; the container waits at the mail server either way.

        Raises StoreUnavailable.
        """
        moment, person = submission.received_at, question.person
        token = questions.new_token(self.randomness)
        ends = moment + questions.LASTS_SECONDS
        asked = Challenge(questions.token_hash(token), person.key, question.signer, moment, ends)
        mail = await self._mail(question, asked, token)
        refusal = _refusal(Asking("asked"), question, message_id)
        events = [*_traces(refusal, "asked", question, submission), *accepted_events(mail)]
        renew_before = moment - questions.ASK_AGAIN_SECONDS
        try:
            asking = await self.containers.challenge(asked, mail, events, questions.MOST_OPEN, renew_before)
        except BaseException:
            self._discard(mail)
            raise
        if asking.why != "asked":
            self._discard(mail)
            refusal = _refusal(asking, question, message_id)
            await self.queue.record(_traces(refusal, asking.why, question, submission))
        thumbprint = question.signer.thumbprint
        log.info("signer unknown", id=message_id, address=person.key, certificate=thumbprint, why=asking.why)
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


def _refusal(asking: Asking, question: Question, message_id: str) -> Refused:
    """What the peer hears; the mail server comes again unless the signer was revoked a moment ago."""
    person = question.person
    match asking.why:
        case "asked":
            detail = f"answer the question that was mailed to {person}, signed; this mail then goes by itself"
        case "open":
            asked = date_time(asking.sent_at)
            detail = f"a question was mailed to {person} at {asked}; answer it, signed; this mail then goes by itself"
        case "full" if asking.pinned:
            detail = f"{asking.unanswered} questions to {person} are unanswered; the administrator can approve"
            detail += f" {question.signer.thumbprint} (ime signers approve)"
        case "full":
            detail = f"{asking.unanswered} questions to {person} are unanswered, and many more signers wait;"
            detail += " answer one, or tell the administrator"
        case "approved":
            detail = "this signer was confirmed a moment ago; this mail then goes by itself"
        case "revoked":
            detail = "this certificate was revoked as signer by an administrator"
    temporary = asking.why != "revoked"
    return Refused(Reason.IME_SIGNER_UNKNOWN, detail, temporary=temporary, address=str(person), message_id=message_id)


def _traces(refusal: Refused, why: str, question: Question, submission: Submission) -> list[Event]:
    """The refusal for the tracking page, with the signer that it is about."""
    detail = f"{why}: {refusal.detail}; signer {question.signer.thumbprint}"
    return refused_events(submission, replace(refusal, detail=detail), None, refusal.message_id)
