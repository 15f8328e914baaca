"""The mailbox of somebody in the small mail world: one file for each mail in a folder, no protocol at all.

It lets `addin-sim sync` and `watch` run in the demo without an IMAP server. The Inbox is the folder that
the world's mail server delivers into; mails of Sent Items lie in a folder `sent` in it. Flags lie beside their
mails, and a file's time is when the mail arrived. A removed mail leaves an empty `.gone` file, so that its number
never names another mail.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from addin_sim.mailbox.filing import append_look_delete
from addin_sim.mailbox.interface import SEEN, Folder, Item, MailboxError, StoredMail, Uid
from addin_sim.raw_mail import RawMail, parse

_LOOK_SECONDS = 0.1


class WorldFolderMailbox:
    """`folder` holds the mailboxes of everybody; nothing is held open between two calls."""

    sent_name = "sent"

    def __init__(self, folder: Path, address: str) -> None:
        inbox = folder / address.lower().replace("/", "_")
        self._folders = {Folder.INBOX: inbox, Folder.SENT: inbox / self.sent_name}
        with _failures():
            _require_mailboxes(folder)
            for path in self._folders.values():
                path.mkdir(parents=True, exist_ok=True)
        self._looked_at = 0

    def with_header(self, folder: Folder, name: str, value: str) -> list[Item]:
        """See `MailboxBackend.with_header`."""
        wanted = value.lower()
        return [
            item
            for item in self._items(folder)
            if any(wanted in field.value.lower() for field in item.header.all(name))
        ]

    def with_keyword(self, folder: Folder, keyword: str) -> list[Item]:
        """See `MailboxBackend.with_keyword`."""
        return [item for item in self._items(folder) if keyword in item.flags]

    def read(self, folder: Folder, uid: Uid) -> StoredMail | None:
        """See `MailboxBackend.read`."""
        with _failures():
            try:
                file = self._file(folder, uid)
                return StoredMail(file.read_bytes(), str(file.stat().st_mtime))
            except FileNotFoundError:
                return None

    def append_to_sent(self, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        """See `MailboxBackend.append_to_sent`."""
        with _failures():
            number = len(_numbers(self._folders[Folder.SENT])) + 1
            while True:
                uid = _named(number)
                try:  # the flags first: a mail without them would be nobody's
                    with self._flags_file(Folder.SENT, uid).open("x") as file:
                        file.write(" ".join(flags))
                    break
                except FileExistsError:  # another program was faster
                    number += 1
            unfinished = self._file(Folder.SENT, uid).with_suffix(".part")
            unfinished.write_bytes(data)
            if arrived:
                os.utime(unfinished, (float(arrived), float(arrived)))
            unfinished.replace(self._file(Folder.SENT, uid))
            return uid

    def mark_seen(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.mark_seen`."""
        with _failures():
            for uid in uids:
                flags = self._flags(folder, uid) | {SEEN}
                self._flags_file(folder, uid).write_text(" ".join(sorted(flags)))

    def delete(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.delete`."""
        with _failures():
            for uid in uids:
                file = self._file(folder, uid)
                if file.exists():
                    file.with_suffix(".gone").touch()
                    file.unlink(missing_ok=True)

    def file_copy(self, uid: Uid, header: str, keyword: str) -> bool:
        """See `MailboxBackend.file_copy`."""
        return append_look_delete(self, uid, header, keyword)

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """See `MailboxBackend.wait`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stop():
            if len(_numbers(self._folders[Folder.INBOX])) != self._looked_at:
                return
            time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """See `MailboxBackend.close`."""

    def _items(self, folder: Folder) -> list[Item]:
        with _failures():
            numbers = _numbers(self._folders[folder])
            if folder is Folder.INBOX:
                self._looked_at = len(numbers)
            items = []
            for uid in map(_named, numbers):
                stored = self.read(folder, uid)
                if stored is not None:
                    header = RawMail(parse(stored.data).fields, b"")
                    items.append(Item(uid, header, self._flags(folder, uid), float(stored.arrived)))
            return items

    def _file(self, folder: Folder, uid: Uid) -> Path:
        return self._folders[folder] / f"{uid}.eml"

    def _flags(self, folder: Folder, uid: Uid) -> frozenset[str]:
        file = self._flags_file(folder, uid)
        return frozenset(file.read_text().split() if file.exists() else ())

    def _flags_file(self, folder: Folder, uid: Uid) -> Path:
        return self._folders[folder] / f"{uid}.flags"


def _require_mailboxes(folder: Path) -> None:
    """Another folder would be an empty mailbox for ever: nothing is delivered there, and nobody is told."""
    inside = folder / "mailboxes"
    if inside.is_dir():
        raise MailboxError(f"{folder} holds no mailboxes; did you mean {inside}?")
    if not folder.is_dir() or (any(folder.iterdir()) and not any(folder.glob("*@*"))):
        raise MailboxError(f"{folder} holds no mailboxes; give the folder that `addin-sim world serve` printed.")


def _named(number: int) -> Uid:
    return Uid(f"{number:04}")


def _numbers(folder: Path) -> list[int]:
    """Every number that was ever given, also of mails that are gone."""
    return sorted({int(file.stem) for file in folder.iterdir() if file.suffix in (".eml", ".gone")})


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Every failure as one sentence."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""  # a full disk names no file
        raise MailboxError(f"The mailbox folder{where} cannot be used: {error.strerror}") from error
