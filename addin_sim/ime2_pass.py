"""One pass of the add-in with IME 2.0: copies, reports, challenges, and what no mail server has taken yet.

In this order: what has come back needs no second submission, and an answered challenge lets the second
submission pass. Each step looks anew at mailbox and outbox, so a kill between any two steps costs at most
a repetition, which the gateway recognises.
"""

from collections.abc import Callable
from dataclasses import dataclass

from addin_sim.challenges import CHALLENGE_HEADER, answer, may_answer, read_challenge
from addin_sim.mailbox.interface import Folder, Item, MailboxBackend
from addin_sim.outbox import Kept, Outbox, State
from addin_sim.outlook_settings import OutlookSettings
from addin_sim.own_keys import OwnKeys
from addin_sim.refusals import read_report
from addin_sim.sent_items import SyncReport, sync
from addin_sim.submission import Accepted, Refused

Submit = Callable[[str, bytes], Accepted | Refused]
"""Hands a mail (recipient, bytes) to the mail server."""


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
        kept = self.outbox.items()
        report = sync(mailbox, own_address, [item.header for item in kept])
        for item in kept:
            if item.message_id in report.confirmed:
                self.outbox.drop(item)
        self._read_reports(mailbox, report)
        self._answer_challenges(mailbox, report)
        self._submit_again(report)
        left = self.outbox.items()
        report.unsent = sum(item.state is State.WAITING for item in left)
        report.refused = sum(item.state is State.REFUSED for item in left)
        return report

    def _read_reports(self, mailbox: MailboxBackend, report: SyncReport) -> None:
        """The report itself stays in the Inbox: its reader is the user."""
        awaited = {item.carrier_id: item for item in self.outbox.items() if item.state is not State.REFUSED}
        if not awaited:
            return
        for item in mailbox.with_header(Folder.INBOX, "Content-Type", "delivery-status"):
            stored = mailbox.read(Folder.INBOX, item.uid)
            told = read_report(stored.data, awaited) if stored else None
            if told is not None and (refused := awaited.pop(told.carrier_id, None)) is not None:
                self._refuse(refused, told.reply, report)

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
        if not (ours and self.outbox.items()):
            if "\\Seen" not in item.flags:
                report.problems.append(
                    "The Inbox holds a question about an encrypted message that was not sent from here; "
                    "answer it only if you sent one from another machine."
                )
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
            match self.submit(item.recipient, data):
                case Accepted(reply=reply):
                    self.outbox.mark(item, State.SENT, reply)
                    report.resubmitted += 1
                case Refused(reply=reply, sentence=sentence, for_good=True):
                    self._refuse(item, reply or sentence, report)
                case Refused(reply=reply, sentence=sentence):
                    self.outbox.mark(item, State.WAITING, reply or sentence)

    def _refuse(self, item: Kept, reply: str, report: SyncReport) -> None:
        self.outbox.mark(item, State.REFUSED, reply)
        report.problems.append(
            f"The mail of {item.date} was refused: {reply}. Nothing is lost: read it with "
            f"`addin-sim outbox show {item.id}`, remove it with `addin-sim outbox drop {item.id}`."
        )
