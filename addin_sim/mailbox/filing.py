"""Files a copy in a mailbox whose stored messages never change: append it anew, look at it, then delete.

IMAP can move a message (RFC 6851), but not without a header field of it (RFC 3501 section 2.3.1.1: a message
never changes). So the copy is stored a second time; a kill in between leaves one copy too many, never one too few.
"""

from addin_sim.mailbox.interface import SEEN, ChangedCopyError, Folder, MailboxBackend, MailboxError, Uid
from addin_sim.raw_mail import RawMail, parse


def append_look_delete(mailbox: MailboxBackend, uid: Uid, header: str, keyword: str) -> bool:
    """`MailboxBackend.file_copy` by its other methods."""
    stored = mailbox.read(Folder.INBOX, uid)
    if stored is None:  # another client was faster
        return False
    unmarked = parse(stored.data).without(header).to_bytes()
    new = mailbox.append_to_sent(unmarked, (SEEN, keyword), stored.arrived)
    shown = mailbox.read(Folder.SENT, new)
    if shown is not None and shown.data != unmarked:
        mailbox.delete(Folder.SENT, (new,))
        raise ChangedCopyError(f"Message {uid} stays in the Inbox: the server stored a changed copy of it.")
    if shown is None and not _filed_by_another(mailbox, parse(unmarked), keyword):
        raise MailboxError(f"Message {uid} stays in the Inbox: its copy vanished from the folder of sent mail.")
    mailbox.delete(Folder.INBOX, (uid,))
    return True


def _filed_by_another(mailbox: MailboxBackend, copy: RawMail, keyword: str) -> bool:
    """Another client may have removed our copy as the younger duplicate of its own."""
    others = mailbox.with_keyword(Folder.SENT, keyword)
    return any(item.header.value("Message-ID") == copy.value("Message-ID") for item in others)
