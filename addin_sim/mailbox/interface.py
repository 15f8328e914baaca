"""What the add-in asks of a mailbox, whichever protocol reaches it.

Several programs may use one mailbox at once: a message that is gone by the time it is asked for is
no error here, and a unique id never names another message (RFC 3501 section 2.3.1.1; MS-OXWSCORE ItemId).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, Protocol

from addin_sim.raw_mail import RawMail

Uid = NewType("Uid", str)
"""The name of a message in its folder. Nothing can be read from it: an IMAP number, or an item id of Exchange."""

SEEN = "\\Seen"
"""The flag of a message that was read (RFC 3501 section 2.3.2)."""

DELETED = "\\Deleted"
"""The flag of a message that some program is about to remove (RFC 3501 section 2.3.2)."""


class Folder(StrEnum):
    """The two folders that the add-in watches."""

    INBOX = "inbox"
    SENT = "sent"


class MailboxError(Exception):
    """The mailbox cannot be used, or refused something; the text is one sentence."""


class LoginRefusedError(MailboxError):
    """The server knows no such user with this password; each further try brings the account nearer to its lock."""


class ChangedCopyError(MailboxError):
    """The server stores mail otherwise than it was given; the mail stays where it was."""


@dataclass(frozen=True, slots=True)
class Item:
    """A message in a folder as far as the add-in looks at it."""

    uid: Uid
    header: RawMail
    """Some of its header fields (`header_fields.LOOKED_AT`), without a body."""
    flags: frozenset[str]
    """Flags and keywords, as the server spells them."""
    arrived: float = 0.0
    """When it came into the mailbox (a filed copy: into the Inbox), in seconds since 1970 UTC; 0: nobody knows."""


@dataclass(frozen=True, slots=True)
class StoredMail:
    """A whole message."""

    data: bytes
    arrived: str
    """When it came, in the server's own notation (RFC 3501 `date-time`, with quotes; ISO 8601 of Exchange)."""


class MailboxBackend(Protocol):
    """One open mailbox; every method may raise `MailboxError`.

    Lists are in the order of arrival as far as the server knows it, and in the same order for every program that
    asks: of several copies all agree on the first.
    """

    @property
    def sent_name(self) -> str:
        """What the server calls the folder of sent mail."""
        ...

    def with_header(self, folder: Folder, name: str, value: str) -> list[Item]:
        """The messages of which that header field contains the value, whatever its capitals, in the common order
        (as SEARCH HEADER, RFC 3501 section 6.4.4)."""
        ...

    def with_keyword(self, folder: Folder, keyword: str) -> list[Item]:
        """The messages that carry the keyword, in the common order."""
        ...

    def read(self, folder: Folder, uid: Uid) -> StoredMail | None:
        """The whole message, or None when it is gone."""
        ...

    def append_to_sent(self, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        """Store a message in the folder of sent mail and return its unique id; durable on return."""
        ...

    def mark_seen(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """Put the flag `\\Seen` on these messages; those that are gone already are no error."""
        ...

    def delete(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """Remove these messages for good, and no other; those that are gone already are no error."""
        ...

    def file_copy(self, uid: Uid, header: str, keyword: str) -> bool:
        """Bring a message of the Inbox into the folder of sent mail, read, with the keyword and without that header.

        It leaves the Inbox only when it is there. False: it is gone, another program was faster. Raises also
        `ChangedCopyError`.
        """
        ...

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Return when the Inbox has news since it was last searched, after `seconds`, or soon after `stop()`."""
        ...

    def close(self) -> None:
        """Say goodbye; never raises."""
        ...
