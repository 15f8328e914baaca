"""The add-in's second half: Sent Items end with one encrypted copy and without the clear original.

The gateway sends the sender an encrypted copy into the Inbox. It is filed in Sent Items without its
marker header, and the clear original, which Outlook saved there with the marker `$IME`, is removed.
Copy and original come in either order, several clients work on one mailbox, and each may be killed
between any two steps. So nothing is remembered here: each pass looks at the mailbox, `plan_inbox`
and `plan_sent` decide, and every order of the steps leads to the same end:

- a copy leaves the Inbox only when Sent Items show an identical one;
- an original leaves Sent Items only when its encrypted copy is there (nobody loses what they wrote);
- of several filed copies of one mail the first stays. All clients agree on that one, because a mailbox shows
  everybody the same order (`MailboxBackend`).

IME 2.0 saves no original in Sent Items; what this mailbox has sent is known from the outbox instead
(`awaited`), and a mail leaves the outbox by the same rule: only when its encrypted copy is filed, and
only by a copy that came after it was sent.
"""

import email.message
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from addin_sim.ime1 import MARKER
from addin_sim.mailbox.interface import DELETED, ChangedCopyError, Folder, Item, MailboxBackend, Uid
from addin_sim.raw_mail import RawMail, UnusableMailError, mailboxes_in

COPY_HEADER = "X-ESWmail-InternalEncrypt-sentcopy"
"""Set by the gateway on the sender's own copy; removed when the copy is filed."""

FILED = "$IMESentCopy"
"""The keyword of a copy that a client of ours filed."""


_CLOCKS_DIFFER_BY = 300.0
"""Seconds by which the mail server's clock may be behind ours: as far as Kerberos lets them drift apart."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A mail of the outbox (IME 2.0), whose encrypted copy is to come."""

    id: str
    header: RawMail
    """Its Message-ID and Date."""
    since: float
    """When it was sent first; in seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class InboxPlan:
    """What to do with the marked messages of the Inbox, by unique id."""

    file: tuple[Uid, ...] = ()
    """Goes to Sent Items."""
    drop: tuple[Uid, ...] = ()
    """Is in Sent Items already."""
    wait: tuple[Uid, ...] = ()
    """Stays: its original has not been seen here yet (or never was: somebody else's, or forged)."""


@dataclass(frozen=True, slots=True)
class SentPlan:
    """What to remove from Sent Items, by unique id."""

    originals: tuple[Uid, ...] = ()
    duplicates: tuple[Uid, ...] = ()


@dataclass(slots=True)
class SyncReport:
    """What one pass did; counts of messages."""

    filed: int = 0
    originals_removed: int = 0
    duplicates_removed: int = 0
    waiting: int = 0
    """Copies in the Inbox that belong to no mail of Sent Items (yet)."""
    returned: list[str] = field(default_factory=list)
    """Ids of awaited mails whose encrypted copies are in Sent Items now."""
    confirmed: list[str] = field(default_factory=list)
    """Message-IDs of the mails that left the outbox, because their encrypted copies are in Sent Items now."""
    challenges_answered: int = 0
    """Questions of the gateway (IME 2.0), answered because this user's own mail caused them."""
    resubmitted: int = 0
    """Mails of the outbox that a mail server has taken in this pass."""
    unsent: int = 0
    """Mails of the outbox that no mail server has taken yet."""
    awaiting_copy: int = 0
    """Mails of the outbox that a mail server has taken; their encrypted copies have not come back."""
    oldest_awaiting: float | None = None
    """Since when the oldest of these waits, in seconds since 1970 UTC."""
    refused: int = 0
    """Mails of the outbox that were refused for good; they stay there until their author drops them."""
    remarks: list[str] = field(default_factory=list)
    """Sentences that the user should read once; nothing failed."""
    problems: list[str] = field(default_factory=list)
    """Sentences about messages that could not be handled; the next pass tries again."""

    @property
    def changed(self) -> bool:
        """Did this pass change anything in mailbox or outbox?"""
        moved = self.filed or self.originals_removed or self.duplicates_removed
        return bool(moved or self.confirmed or self.challenges_answered or self.resubmitted)


def plan_inbox(
    own_address: str,
    copies: Sequence[Item],
    originals: Sequence[Item],
    filed: Sequence[Item],
    awaited: Sequence[Awaited] = (),
) -> InboxPlan:
    """Decide about each marked message of the Inbox.

    Only an encrypted mail from the mailbox's own address is a copy, and only evidence that this
    mailbox sent it (its clear original, or the outbox) files it: a marker alone moves nothing.
    """
    there = {_message_id(item) for item in filed if DELETED not in item.flags}
    to_file: dict[str, Uid] = {}
    drop: list[Uid] = []
    wait: list[Uid] = []
    for copy in copies:
        message_id = _message_id(copy)
        if not (message_id and _is_from(copy.header, own_address) and is_encrypted(copy.header)):
            wait.append(copy.uid)
        elif message_id in there:
            drop.append(copy.uid)
        elif any(_belongs(copy.header, original.header) for original in originals) or any(
            _answers(copy, sent) for sent in awaited
        ):
            to_file[message_id] = copy.uid  # of equal ones one; the others are dropped in the next pass
        else:
            wait.append(copy.uid)
    return InboxPlan(tuple(to_file.values()), tuple(drop), tuple(wait))


def plan_sent(originals: Sequence[Item], filed: Sequence[Item]) -> SentPlan:
    """Decide what leaves Sent Items: originals whose copy is filed, and all but the first of equal copies.

    Both are in the common order of all programs.
    """
    standing = [item for item in filed if _message_id(item) and DELETED not in item.flags]
    kept = {_message_id(item): item for item in reversed(standing)}
    # With the flag: a client was killed between marking a duplicate and removing it.
    duplicates = [item.uid for item in filed if kept.get(_message_id(item), item) is not item]
    done = [original.uid for original in originals if _is_filed(original, kept.values())]
    return SentPlan(tuple(done), tuple(duplicates))


def sync(mailbox: MailboxBackend, own_address: str, awaited: Sequence[Awaited] = ()) -> SyncReport:
    """One pass over the mailbox: file, remove duplicates, remove originals. Raises `MailboxError`."""
    report = SyncReport()
    copies = mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    copies = [copy for copy in copies if copy.header.value(COPY_HEADER).lower() == "yes"]
    originals, filed = _sent_items(mailbox)
    plan = plan_inbox(own_address, copies, originals, filed, awaited)
    report.waiting = len(plan.wait)
    mailbox.delete(Folder.INBOX, plan.drop)
    report.duplicates_removed += len(plan.drop)
    for uid in plan.file:
        try:
            report.filed += mailbox.file_copy(uid, COPY_HEADER, FILED)
        except ChangedCopyError as error:
            report.problems.append(str(error))
    if plan.file or originals or filed or awaited:
        originals, filed = _sent_items(mailbox)
        tidy = plan_sent(originals, filed)
        mailbox.delete(Folder.SENT, tidy.duplicates)
        mailbox.delete(Folder.SENT, tidy.originals)
        report.duplicates_removed += len(tidy.duplicates)
        report.originals_removed += len(tidy.originals)
        staying = [copy for copy in filed if copy.uid not in tidy.duplicates and _is_standing(copy)]
        report.returned = [sent.id for sent in awaited if any(_answers(copy, sent) for copy in staying)]
    return report


def _sent_items(mailbox: MailboxBackend) -> tuple[list[Item], list[Item]]:
    originals = mailbox.with_keyword(Folder.SENT, MARKER)
    return originals, mailbox.with_keyword(Folder.SENT, FILED)


_ENVELOPES = ("enveloped-data", "authenveloped-data")


def is_encrypted(header: RawMail) -> bool:
    """Does the media type say that nobody reads this without a key (RFC 8551 section 3.2, RFC 3156)?"""
    content = email.message.Message()
    content["Content-Type"] = header.value("Content-Type") or "text/plain"
    if content.get_content_type() in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        given = {name.lower(): value for name, value in content.get_params() or ()}
        in_pieces = any(name.startswith("smime-type*") for name in given)  # RFC 2231; nobody writes this one so
        return not in_pieces and given.get("smime-type", "enveloped-data").lower() in _ENVELOPES
    return content.get_content_type() == "multipart/encrypted"


def _is_filed(original: Item, filed: Iterable[Item]) -> bool:
    """Is its encrypted copy among these, and about to stay?"""
    return any(_is_standing(copy) and _belongs(copy.header, original.header) for copy in filed)


def _is_standing(copy: Item) -> bool:
    return DELETED not in copy.flags and is_encrypted(copy.header)


def _answers(copy: Item, sent: Awaited) -> bool:
    """Is this the copy of that mail, and not an older one of another mail with the same Message-ID?"""
    return copy.arrived >= sent.since - _CLOCKS_DIFFER_BY and _belongs(copy.header, sent.header)


def _belongs(copy: RawMail, original: RawMail) -> bool:
    """Is this the copy of that original?

    It has the original's Message-ID; or, when the sender is a recipient too, a new one and the
    original's in References (Exchange drops a second delivery with one Message-ID). A reply has its
    predecessor in References as well, so then the Date must be the same.
    """
    sent = original.value("Message-ID")
    if not sent:
        return False
    if copy.value("Message-ID") == sent:
        return True
    return sent in copy.value("References").split() and copy.value("Date") == original.value("Date")


def _message_id(item: Item) -> str:
    return item.header.value("Message-ID")


def _is_from(header: RawMail, own_address: str) -> bool:
    try:
        return [address.lower() for _, address in mailboxes_in(header.all("From"))] == [own_address.lower()]
    except UnusableMailError:
        return False
