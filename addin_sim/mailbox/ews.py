"""The mailbox over Exchange Web Services (MS-OXWSCORE, MS-OXWSMSG): what Outlook's add-in does at an Exchange server.

A copy is moved, not stored anew: Exchange may write a mail's MIME anew each time it is asked for it, so a copy that
was stored a second time could not be compared. The marks come before the move and the header goes after it, so a
kill in between leaves a copy that the next pass files, or one filed copy with a header too many.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from exchangelib import Message
from exchangelib.errors import (
    ErrorInvalidRecipients,
    ErrorItemNotFound,
    ErrorMailRecipientNotFound,
    ErrorMessageSizeExceeded,
    ErrorMimeContentConversionFailed,
    ErrorMimeContentInvalid,
    ErrorSendAsDenied,
    EWSError,
)
from exchangelib.items import HARD_DELETE, SAVE_ONLY, SEND_ONLY, SEND_TO_NONE
from exchangelib.services import CreateItem

from addin_sim.mailbox import ews_items
from addin_sim.mailbox.ews_connections import Endpoint
from addin_sim.mailbox.ews_news import InboxNews
from addin_sim.mailbox.ews_session import EwsSession
from addin_sim.mailbox.interface import Folder, Item, MailboxError, StoredMail, Uid
from addin_sim.raw_mail import RawMail

_LOOK_FOR_STOP_SECONDS = 0.2
_HEADERS_AT_ONCE = 100
_MAILS_AT_ONCE = 10
"""Items in one GetItem: mails are large, and a server's answers are limited."""

_OF_THE_MAIL = (
    ErrorInvalidRecipients,
    ErrorMailRecipientNotFound,
    ErrorMessageSizeExceeded,
    ErrorMimeContentConversionFailed,
    ErrorMimeContentInvalid,
    ErrorSendAsDenied,
)
"""Refusals that the same mail gets again tomorrow."""


class MailRefusedError(MailboxError):
    """Exchange refused this mail itself; `code` is its own word for why (MS-OXWSCDATA section 2.2.5.24)."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class EwsMailbox:
    """An open mailbox; not for use by two threads."""

    def __init__(self, endpoint: Endpoint, address: str, stopped: threading.Event | None = None) -> None:
        self._endpoint = endpoint
        self._address = address
        self._session = EwsSession(endpoint, address, stopped)
        self._headers: dict[Uid, RawMail] = {}
        """Of messages that were looked at; they never change while a message has that id."""
        self._news: InboxNews | None = None
        self._waited = True
        try:
            self._folders = self._session.ask(self._find_folders)
        except MailboxError:
            self._session.close()
            raise

    @property
    def sent_name(self) -> str:
        """The folder of sent mail as the server calls it."""
        return str(self._folders[Folder.SENT].name)

    def with_header(self, folder: Folder, name: str, value: str) -> list[Item]:
        """See `MailboxBackend.with_header`.

        In the Inbox also by reading the headers of what came lately: Exchange may not have noted the field.
        """
        self._about_to_look(folder)
        noted = ews_items.with_header(name, value)
        recent = ews_items.received_lately(time.time()) if folder is Folder.INBOX else None
        questions = [question for question in (noted, recent) if question is not None]
        if not questions:
            raise MailboxError(f"The folder {self.sent_name} cannot be searched for {name}.")
        either = questions[0] if len(questions) == 1 else questions[0] | questions[1]
        items = self._items(folder, either)
        wanted = value.lower()
        return [item for item in items if any(wanted in field.value.lower() for field in item.header.all(name))]

    def with_keyword(self, folder: Folder, keyword: str) -> list[Item]:
        """See `MailboxBackend.with_keyword`."""
        self._about_to_look(folder)
        return self._items(folder, ews_items.marked(keyword))

    def read(self, folder: Folder, uid: Uid) -> StoredMail | None:
        """See `MailboxBackend.read`."""
        for found in self._fetch(folder, [uid], ("mime_content", "datetime_received"), 1):
            received = found.datetime_received
            return StoredMail(found.mime_content, received.isoformat() if received else "")
        return None

    def append_to_sent(self, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        """See `MailboxBackend.append_to_sent`."""
        message = ews_items.new_message(data, flags, arrived)
        (created,) = _done([self._create(message, self._folders[Folder.SENT], SAVE_ONLY)])
        return Uid(created.id)

    def send(self, data: bytes) -> None:
        """Send a mail as it is, to the recipients in its header, and save nothing.

        Raises `MailRefusedError`, and `MailboxError` when the server could not be asked or gave no answer.
        """
        answer = self._create(ews_items.MimeMessage(mime_content=data), None, SEND_ONLY)
        if isinstance(answer, EWSError):
            code = type(answer).__name__
            raise MailRefusedError(code, f"Exchange refused the mail ({code}): {answer}")

    def mark_seen(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.mark_seen`."""
        self._update([ews_items.seen(uid) for uid in uids])

    def delete(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.delete`."""
        account = self._session.account
        ids = [(uid, None) for uid in uids]
        _done(self._session.ask(lambda: account.bulk_delete(ids, delete_type=HARD_DELETE)))

    def file_copy(self, uid: Uid, header: str, keyword: str) -> bool:
        """See `MailboxBackend.file_copy`."""
        account = self._session.account
        if not self._update([ews_items.filing(uid, keyword)]):
            return False
        moved = _done(self._session.ask(lambda: account.bulk_move([(uid, None)], self._folders[Folder.SENT])))
        if not moved:
            return False
        new_id, _ = moved[0]
        change = ews_items.without_header(Uid(new_id), header)
        if change is not None:
            self._update([change])
        return True

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """See `MailboxBackend.wait`."""
        until = time.monotonic() + seconds
        self._waited = True
        if self._news is None:
            self._news = InboxNews(self._endpoint, self._address)
        while (left := until - time.monotonic()) > 0 and not stop():
            if self._news.within(min(_LOOK_FOR_STOP_SECONDS, left)):
                return

    def close(self) -> None:
        """See `MailboxBackend.close`."""
        if self._news is not None:
            self._news.close()
        self._session.close()

    # -- how it is said ------------------------------------------------------------------------------------------

    def _find_folders(self) -> dict[Folder, Any]:
        account = self._session.account
        return {Folder.INBOX: account.inbox, Folder.SENT: account.sent}

    def _about_to_look(self, folder: Folder) -> None:
        """What comes from the first look at the Inbox on is news for the next waiting."""
        if folder is Folder.INBOX and self._waited:
            self._waited = False
            if self._news is not None:
                self._news.forget()

    def _items(self, folder: Folder, question: Any) -> list[Item]:
        place = self._folders[folder]
        found = self._session.ask(lambda: list(place.filter(question).only(*ews_items.SUMMARY)))
        found = ews_items.in_common_order(_done(found))
        if folder is Folder.SENT:
            self._update(ews_items.unfinished(found))
        self._learn_headers(folder, [Uid(one.id) for one in found])
        return [ews_items.as_item(one, self._headers[Uid(one.id)]) for one in found if Uid(one.id) in self._headers]

    def _learn_headers(self, folder: Folder, uids: Iterable[Uid]) -> None:
        """Those that are not known yet; a message that is gone meanwhile stays unknown."""
        unknown = [uid for uid in uids if uid not in self._headers]
        half_told = []
        for found in self._fetch(folder, unknown, ("headers",), _HEADERS_AT_ONCE):
            header = ews_items.told_header(found.headers)
            if header is None:
                half_told.append(Uid(found.id))
            else:
                self._headers[Uid(found.id)] = header
        for found in self._fetch(folder, half_told, ("mime_content",), _MAILS_AT_ONCE):
            self._headers[Uid(found.id)] = ews_items.header_of(found.mime_content or b"")

    def _fetch(self, folder: Folder, uids: Sequence[Uid], fields: Sequence[str], at_once: int) -> list[Any]:
        if not uids:
            return []
        account, place = self._session.account, self._folders[folder]
        ids = [(uid, None) for uid in uids]
        return _done(
            self._session.ask(lambda: list(account.fetch(ids, place, only_fields=list(fields), chunk_size=at_once)))
        )

    def _create(self, message: Any, folder: Any, disposition: str) -> Any:
        """The created message, or Exchange's refusal of it."""

        def question() -> Any:
            try:
                return CreateItem(account=self._session.account).get(
                    items=[message],
                    folder=folder,
                    message_disposition=disposition,
                    send_meeting_invitations=SEND_TO_NONE,
                )
            except _OF_THE_MAIL as error:
                return error

        return self._session.ask(question)

    def _update(self, changes: list[tuple[Message, list[str]]]) -> list[Any]:
        account = self._session.account
        return _done(self._session.ask(lambda: account.bulk_update(changes, conflict_resolution="AlwaysOverwrite")))


def _done(answers: Iterable[Any]) -> list[Any]:
    """What was answered; what is gone is left out, any other refusal of a single message is raised."""
    done = []
    for answer in answers:
        if isinstance(answer, ErrorItemNotFound):
            continue
        if isinstance(answer, Exception):
            raise MailboxError(f"The Exchange server refused a message: {type(answer).__name__}: {answer}")
        done.append(answer)
    return done
