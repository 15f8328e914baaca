"""Carries out what a mail to an exchange address amounts to; nothing of it is ever delivered to anybody.

The peer hears 250 whatever was found inside, because a different reply for mail that opens would make an oracle of us;
what was done stands in tracking and in the log.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import structlog

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.exchange_note import Announcement, SelfTestAnswer, SelfTestRequest
from ime_gateway.keys.signer import judge_signer
from ime_gateway.keys.usable import Verdict, judge
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.exchange.candidates import AnchorsOf, keep_certificates, take_announcement
from ime_gateway.pipeline.exchange.reader import ExchangeMail
from ime_gateway.pipeline.exchange.self_tests import Answering, answer_mail, take_answer, take_request
from ime_gateway.pipeline.older_keys import warn_of_older_keys
from ime_gateway.pipeline.parcel import submission_events
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.ports.directory import Directory
from ime_gateway.ports.exchange import Outbox
from ime_gateway.ports.keyring import Keyring
from ime_gateway.ports.queue import Queue
from ime_gateway.ports.reception import Submission
from ime_gateway.ports.registry import Registry

log = structlog.get_logger("exchange")


@dataclass(frozen=True, slots=True)
class ExchangeReplies:
    """What the receiver does with an `ExchangeMail`."""

    directory: Directory
    registry: Registry
    keyring: Keyring
    queue: Queue
    outbox: Outbox
    revocations: Revocations
    hostname: str
    randomness: Callable[[int], bytes]
    seconds: float
    """The longest that may be spent on finding out about revocations."""

    async def carry_out(self, mail: ExchangeMail, submission: Submission, message_id: str) -> Outcome:
        """Take what it brings, answer what asks for it, and write down what was done. Raises StoreUnavailable: the
        peer comes again."""
        moment = submission.received_at
        try:
            async with asyncio.timeout(self.seconds):
                anchors_of = await self._learn(mail, moment)
        except TimeoutError:
            urls = list(self.revocations.open_fetches())
            log.warning("revocation not learnt in time", id=message_id, author=mail.author.key, urls=urls)
            detail = "whether a certificate was revoked could not be found out in time"
            return Refused(Reason.LOOKUP_TIMEOUT, detail, temporary=True, message_id=message_id)
        done = await asyncio.to_thread(self._take, mail, submission.sender, anchors_of, moment)
        if isinstance(done, Answering):
            done = await self._answer(done, mail, anchors_of)
        if mail.opened_with is not None and mail.opened_with.state == "older":
            older = (mail.domain, mail.opened_with.certificate.thumbprint)
            warn_of_older_keys([older], mail.author.domain, message_id)
        log.info("exchange mail", id=message_id, domain=mail.domain, author=mail.author.key, done=done)
        events = submission_events(submission, message_id, "accepted", Reason.KEY_EXCHANGE, done)
        await self.queue.record(events)
        return Accepted(message_id)

    async def _learn(self, mail: ExchangeMail, moment: float) -> AnchorsOf:
        """What trust rests on, with all that can be learnt about the certificates that matter here."""
        view = await self.directory.view()
        await self.revocations.anchors(view)
        signer = mail.signer
        if signer is not None:
            carried = mail.carried
            await self.revocations.judged(view, moment, lambda known: judge_signer(signer, known, moment, carried))
        # From is anybody's word: what counts are the certificates of the domain of which the mail speaks.
        note = mail.contents.note
        domains = {mail.author.domain} if note is None else {mail.author.domain, note.domain}
        theirs = [one for domain in sorted(domains) for one in view.domain_certificates.get(domain, ())]
        for one in (*theirs, *mail.contents.certificates):
            await self.revocations.judged(view, moment, partial(_as_domain, one, moment))
        # The transaction may find a newer generation: its trust list and policy, and what was learnt.
        return self.revocations.known

    def _take(
        self, mail: ExchangeMail, sender: Address | None, anchors_of: AnchorsOf, moment: float
    ) -> Answering | str:
        """One transaction for all that one mail changes."""
        note = mail.contents.note
        if mail.signer is None and not mail.tokens:
            return f"nothing was taken: {mail.fault}"
        with self.registry.transaction(write=True) as live:
            match note:
                case Announcement():
                    return take_announcement(live, mail, note, sender, anchors_of, moment)
                case SelfTestRequest():
                    return take_request(live, mail, note, sender, anchors_of, moment)
                case SelfTestAnswer():
                    return take_answer(live, mail, note, note.token, anchors_of, moment)
                case None:
                    if mail.tokens:
                        return take_answer(live, mail, None, mail.tokens[0], anchors_of, moment)
                    if sender is None:
                        return "a report or an automatic answer; nothing was taken"
                    return keep_certificates(live, mail, sender, anchors_of, moment)
                case _:
                    assert_never(note)

    async def _answer(self, answering: Answering, mail: ExchangeMail, anchors_of: AnchorsOf) -> str:
        moment, partner = answering.answer.at, answering.answer.partner
        kept = (await self.keyring.of_domains([mail.domain])).get(mail.domain, ())
        key = next((one for one in kept if one.state == "current"), None)
        unique = new_id(moment, self.randomness(RANDOM_BYTES))
        try:
            own = answer_mail(answering, mail, key, anchors_of, self.hostname, unique, self.randomness)
        except UnreadableCertificate as error:
            return f"self-test of {partner} cannot be answered: {error}"
        if isinstance(own, str):
            return own
        await self.outbox.send(own, moment)
        return f"self-test of {partner} answered by {own.id}"


def _as_domain(certificate: Certificate, moment: float, anchors: Anchors) -> Verdict:
    return judge(certificate, anchors, moment, "domain")
