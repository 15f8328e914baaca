"""Sends one mail in the way that InternalRecipient stands for, and sees to it that nothing written is lost.

IME 1.0: submitted, then saved in Sent Items with its marker, as Outlook does. IME 2.0: kept sealed in the
outbox first, then submitted; nothing clear is saved anywhere.
"""

import time
import uuid
from dataclasses import dataclass, replace

from addin_sim.groups.expand import Expanded
from addin_sim.groups.opening import without_groups
from addin_sim.handing_in import hand_in
from addin_sim.ime1 import MARKER, Outgoing, for_ime1
from addin_sim.ime2 import for_ime2
from addin_sim.ime_certificate import ime_certificate
from addin_sim.mailbox.interface import SEEN, MailboxBackend, MailboxError
from addin_sim.mailbox.opening import open_mailbox
from addin_sim.message_ids import with_free_message_id
from addin_sim.outbox import Kept, Outbox, State
from addin_sim.outlook_settings import OutlookSettings
from addin_sim.own_keys import ProfileError, own_keys
from addin_sim.raw_mail import RawMail
from addin_sim.submission import Accepted, Refused


@dataclass(frozen=True, slots=True)
class Sent:
    """How a sending ended."""

    answer: Accepted | Refused
    recipient: str
    message_id: str
    """Of the mail as it was sent; IME 2.0 gives a new one where the mail's own was used before."""
    saved_in: str | None = None
    """The folder with the marked original; None when nothing was saved."""
    outbox_id: str | None = None
    """How the outbox calls it (IME 2.0)."""
    remark: str = ""
    """What else the sender should know."""
    expanded: Expanded | None = None
    """The mail with people in place of distribution groups, as it was sent."""


def send_mail(outlook: OutlookSettings, mail: RawMail) -> Sent:
    """Send a composed mail, to the members of groups where the settings name a directory that knows them.

    Raises `SettingsError`, `UnusableMailError`, `MailboxError`, `ProfileError`, `AddressListError`.
    """
    expanded = without_groups(outlook, mail)
    send = _send_ime1 if outlook.registry.ime_version == 1 else _send_ime2
    return replace(send(outlook, expanded.mail), expanded=expanded)


def _send_ime1(outlook: OutlookSettings, mail: RawMail) -> Sent:
    outgoing = for_ime1(mail, outlook.registry.InternalRecipient)
    mailbox = open_mailbox(outlook)
    try:
        answer = hand_in(outlook, [outgoing.recipient], outgoing.data)
        if mailbox is None or isinstance(answer, Refused):
            return Sent(answer, outgoing.recipient, mail.value("Message-ID"))
        return _save(mailbox, outgoing, Sent(answer, outgoing.recipient, mail.value("Message-ID")))
    finally:
        if mailbox:
            mailbox.close()


def _save(mailbox: MailboxBackend, outgoing: Outgoing, sent: Sent) -> Sent:
    """Outlook saves what it sent; the mail is on its way already, so a failure is only told."""
    try:
        mailbox.append_to_sent(outgoing.data, (SEEN, MARKER))
    except MailboxError as error:
        return replace(sent, remark=f"The mail was sent, but not saved in Sent Items: {error}")
    return replace(sent, saved_in=mailbox.sent_name)


def _send_ime2(outlook: OutlookSettings, mail: RawMail) -> Sent:
    moment = time.time()
    recipient = outlook.registry.InternalRecipient
    certificate = ime_certificate(outlook, moment)
    keys = own_keys(outlook.profile, outlook.account, moment)
    outbox = Outbox(outlook.profile)
    mail = with_free_message_id(mail, outlook, outbox, uuid.uuid4().hex)
    carrier = for_ime2(mail, recipient, certificate, keys, outlook.container, uuid.uuid4().hex)
    kept = outbox.keep(mail, carrier, moment)
    answer = hand_in(outlook, [recipient], carrier.data)
    try:
        remark = _note(outbox, kept, answer)
    except ProfileError as error:  # what was sent is sent
        remark = f"It is kept as {kept.id}, but not noted how it ended, so it is submitted again. {error}"
    return Sent(answer, recipient, kept.message_id, outbox_id=kept.id, remark=remark)


def _note(outbox: Outbox, kept: Kept, answer: Accepted | Refused) -> str:
    """How the outbox goes on with it, for its sender."""
    match answer:
        case Accepted(reply=reply):
            outbox.mark(kept, State.SENT, reply)
            return f"It is kept in the outbox as {kept.id} until the encrypted copy is back (`addin-sim sync`)."
        case Refused(reply=reply, sentence=sentence, for_good=True):
            outbox.mark(kept, State.REFUSED, reply or sentence)
            return f"It is kept in the outbox as {kept.id}: `addin-sim outbox show {kept.id}` prints what you wrote."
        case Refused(reply=reply, sentence=sentence):
            outbox.mark(kept, State.WAITING, reply or sentence)
            return f"It waits in the outbox as {kept.id}: `addin-sim sync` and `watch` submit it again."
