"""Gives a mail a Message-ID that no other mail of this user has, as Outlook does (RFC 5322 section 3.6.4).

With IME 2.0 an encrypted copy is known to belong to a mail of the outbox by its Message-ID. A mail sent again with
the id of an earlier one (the same file, corrected) would be taken for that one: the earlier one's copy would remove
it from the outbox, and Exchange would drop it as a second delivery.
"""

from addin_sim.mailbox.interface import Folder, MailboxBackend, MailboxError
from addin_sim.mailbox.opening import open_mailbox
from addin_sim.outbox import Outbox
from addin_sim.outlook_settings import OutlookSettings
from addin_sim.raw_mail import RawMail, make_field


def with_free_message_id(mail: RawMail, outlook: OutlookSettings, outbox: Outbox, unique: str) -> RawMail:
    """The mail, with a Message-ID made of `unique` when its own is used in outbox or mailbox.

    So it is when the mailbox cannot be looked at: sending needs no mailbox, and a new id is never wrong.
    """
    message_id = mail.value("Message-ID")
    used = any(kept.message_id == message_id for kept in outbox.items())
    if not used and not _is_used_in_mailbox(message_id, outlook):
        return mail
    return mail.put(make_field("Message-ID", f"<{unique}@{outlook.account.address.rpartition('@')[2]}>"))


def _is_used_in_mailbox(message_id: str, outlook: OutlookSettings) -> bool:
    if not (message_id.isascii() and message_id.isprintable()):
        return True  # no search finds it
    try:
        mailbox = open_mailbox(outlook)
        if mailbox is None:
            return False
        try:
            return is_used(message_id, mailbox)
        finally:
            mailbox.close()
    except MailboxError:
        return True


def is_used(message_id: str, mailbox: MailboxBackend) -> bool:
    """Does a mail in Inbox or Sent Items have this id, or name it as a renamed copy does? Raises `MailboxError`."""
    return any(
        message_id in item.header.value(name).split()
        for folder in Folder
        for name in ("Message-ID", "References")
        for item in mailbox.with_header(folder, name, message_id)
    )
