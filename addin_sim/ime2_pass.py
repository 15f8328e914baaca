"""One pass of the add-in with IME 2.0: reports, copies, challenges, and what no mail server has taken yet.

In this order: a refused mail has no copy, whatever else lies there; what has come back needs no second submission;
and an answered challenge lets the second submission pass. Each step looks anew at mailbox and outbox, so a kill
between any two steps costs at most a repetition, which the gateway recognises.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from addin_sim.challenges import CHALLENGE_HEADER, answer, may_answer, read_challenge
from addin_sim.mailbox.interface import SEEN, Folder, Item, MailboxBackend
from addin_sim.outbox import Kept, Outbox, State
from addin_sim.outlook_settings import OutlookSettings
from addin_sim.own_keys import OwnKeys
from addin_sim.refusals import read_report
from addin_sim.sent_items import Awaited, SyncReport, sync
from addin_sim.submission import Accepted, Refused, ended

Submit = Callable[[str, bytes], Accepted | Refused]
"""Hands a mail (recipient, bytes) to the mail server."""


_LEFT_OVER = (
    "A question about your certificate is left over; no mail of yours waits for it. "
    "If you sent none, tell your administrator."
)
_FOREIGN = (
    "The Inbox holds a question about an encrypted message that was not sent from here; "
    "answer it only if you sent one from another machine."
)


@dataclass(frozen=True, slots=True)
class Ime2Addin:
    """The add-in of one user, for as many passes as wanted."""

    outlook: OutlookSettings
    keys: OwnKeys
    outbox: Outbox
    submit: Submit
    clock: Callable[[], float]
    """Seconds since 1970 UTC."""
    unique: Callable[[], str]
    """Another word each time."""

    def one_pass(self, mailbox: MailboxBackend, own_address: str) -> SyncReport:
        """Look once. Raises `MailboxError`, `ProfileError`."""
        problems = self._read_reports(mailbox)
        kept = self.outbox.items()
        report = sync(mailbox, own_address, [Awaited(item.id, item.header, item.since) for item in kept])
        report.problems[:0] = problems
        self._drop_returned(kept, report)
        self._answer_challenges(mailbox, report)
        self._submit_again(report)
        left = self.outbox.items()
        report.unsent = sum(item.state is State.WAITING for item in left)
        report.refused = sum(item.state is State.REFUSED for item in left)
        waiting_since = [item.since for item in left if item.state is State.SENT]
        report.awaiting_copy, report.oldest_awaiting = len(waiting_since), min(waiting_since, default=None)
        return report

    def _drop_returned(self, kept: list[Kept], report: SyncReport) -> None:
        """Only what surely came back: no refused mail, and none of two with one Message-ID (whose copy is it?)."""
        sent = [item for item in kept if item.state is not State.REFUSED]
        named = Counter(item.message_id for item in sent)
        for item in sent:
            if item.id in report.returned and named[item.message_id] == 1:
                self.outbox.drop(item)
                report.confirmed.append(item.message_id)

    def _read_reports(self, mailbox: MailboxBackend) -> list[str]:
        """The report itself stays in the Inbox: its reader is the user."""
        awaited = {item.carrier_id: item for item in self.outbox.items() if item.state is not State.REFUSED}
        problems: list[str] = []
        if not awaited:
            return problems
        for item in mailbox.with_header(Folder.INBOX, "Content-Type", "delivery-status"):
            stored = mailbox.read(Folder.INBOX, item.uid)
            told = read_report(stored.data, awaited) if stored else None
            if told is not None and (refused := awaited.pop(told.carrier_id, None)) is not None:
                problems.append(self._refuse(refused, told.reply))
        return problems

    def _answer_challenges(self, mailbox: MailboxBackend, report: SyncReport) -> None:
        for item in mailbox.with_header(Folder.INBOX, CHALLENGE_HEADER, ""):
            if item.header.all(CHALLENGE_HEADER):
                self._answer(mailbox, item, report)

    def _answer(self, mailbox: MailboxBackend, item: Item, report: SyncReport) -> None:
        stored = mailbox.read(Folder.INBOX, item.uid)
        challenge = read_challenge(stored.data) if stored else None
        if challenge is None:
            return
        recipient = self.outlook.registry.InternalRecipient
        ours = may_answer(challenge, recipient, self.keys)
        waits = any(kept.state is not State.REFUSED for kept in self.outbox.items())
        if not (ours and waits):
            if SEEN not in item.flags:
                mailbox.mark_seen(Folder.INBOX, (item.uid,))
                report.remarks.append(_LEFT_OVER if ours else _FOREIGN)
            return
        data = answer(challenge, self.outlook.account, recipient, self.keys, moment=self.clock(), unique=self.unique())
        match self.submit(recipient, data):
            case Accepted():
                report.challenges_answered += 1
                mailbox.delete(Folder.INBOX, (item.uid,))
            case Refused(sentence=sentence, for_good=for_good):
                report.problems.append(f"The gateway's question could not be answered. {sentence}")
                if for_good:  # used up, or run out: asking again is the gateway's turn
                    mailbox.delete(Folder.INBOX, (item.uid,))

    def _submit_again(self, report: SyncReport) -> None:
        for item in self.outbox.items():
            data = self.outbox.carrier(item)
            if item.state is not State.WAITING or data is None:
                continue
            self.outbox.mark(item, State.WAITING, item.reply)  # what cannot be noted would be submitted in each pass
            match self.submit(item.recipient, data):
                case Accepted(reply=reply):
                    self.outbox.mark(item, State.SENT, reply)
                    report.resubmitted += 1
                case Refused(reply=reply, sentence=sentence, for_good=True):
                    report.problems.append(self._refuse(item, reply or sentence))
                case Refused(reply=reply, sentence=sentence):
                    self.outbox.mark(item, State.WAITING, reply or sentence)

    def _refuse(self, item: Kept, reply: str) -> str:
        self.outbox.mark(item, State.REFUSED, reply)
        return (
            f"{ended(f'The mail of {item.date} was refused: {reply}')} Nothing is lost: read it with "
            f"`addin-sim outbox show {item.id}`, remove it with `addin-sim outbox drop {item.id}`."
        )
