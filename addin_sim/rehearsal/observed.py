"""A mailbox that tells of each sent copy it shows, before the add-in files it.

The add-in tidies up what comes twice (`sent_items.sync`), as it must; a rehearsal wants to know that it came twice.
"""

from collections.abc import Callable, Sequence

from addin_sim.mailbox.interface import Folder, Item, MailboxBackend, StoredMail, Uid
from addin_sim.sent_items import COPY_HEADER


class ObservedMailbox:
    """Another mailbox, unchanged; `notice` hears of the marked messages of the Inbox whenever these are asked for."""

    def __init__(self, mailbox: MailboxBackend, notice: Callable[[Item], None]) -> None:
        self._mailbox = mailbox
        self._notice = notice

    @property
    def sent_name(self) -> str:
        """See `MailboxBackend.sent_name`."""
        return self._mailbox.sent_name

    def with_header(self, folder: Folder, name: str, value: str) -> list[Item]:
        """See `MailboxBackend.with_header`."""
        found = self._mailbox.with_header(folder, name, value)
        if folder is Folder.INBOX and name == COPY_HEADER:
            for item in found:
                self._notice(item)
        return found

    def with_keyword(self, folder: Folder, keyword: str) -> list[Item]:
        """See `MailboxBackend.with_keyword`."""
        return self._mailbox.with_keyword(folder, keyword)

    def read(self, folder: Folder, uid: Uid) -> StoredMail | None:
        """See `MailboxBackend.read`."""
        return self._mailbox.read(folder, uid)

    def append_to_sent(self, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        """See `MailboxBackend.append_to_sent`."""
        return self._mailbox.append_to_sent(data, flags, arrived)

    def mark_seen(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.mark_seen`."""
        self._mailbox.mark_seen(folder, uids)

    def delete(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.delete`."""
        self._mailbox.delete(folder, uids)

    def file_copy(self, uid: Uid, header: str, keyword: str) -> bool:
        """See `MailboxBackend.file_copy`."""
        return self._mailbox.file_copy(uid, header, keyword)

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """See `MailboxBackend.wait`."""
        self._mailbox.wait(seconds, stop)

    def close(self) -> None:
        """See `MailboxBackend.close`."""
        self._mailbox.close()
