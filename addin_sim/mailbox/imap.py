"""The mailbox over IMAP4rev1 (RFC 3501), with UIDPLUS (RFC 4315), IDLE (RFC 2177) and SPECIAL-USE (RFC 6154).

Each extension has a fallback: without UIDPLUS other programs' deleted messages are spared by hand,
without IDLE the server is asked at intervals, without SPECIAL-USE the folder's name must be configured.
Private keywords are the one thing without a fallback: they carry the add-in's markers.
"""

import contextlib
import imaplib
import re
import select
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from addin_sim.mailbox import folder_names
from addin_sim.mailbox.filing import append_look_delete
from addin_sim.mailbox.header_fields import LOOKED_AT
from addin_sim.mailbox.interface import (
    DELETED,
    SEEN,
    Folder,
    Item,
    LoginRefusedError,
    MailboxError,
    StoredMail,
    Uid,
)
from addin_sim.outlook_settings import MailboxSettings
from addin_sim.raw_mail import canonical_newlines, parse

_UIDS_AT_ONCE = 500
_LOOK_FOR_STOP_SECONDS = 0.2
_ASK_SECONDS = 5.0
_NONSENSE = (ValueError, LookupError, ArithmeticError, AttributeError, TypeError)
"""What imaplib, and the reading of its answers here, let through when a server answers nonsense."""


class _LoginError(imaplib.IMAP4.error):
    """The server refused user or password."""


class ImapMailbox:
    """An open, logged-in connection; not for use by two threads."""

    def __init__(self, settings: MailboxSettings) -> None:
        self._settings = settings
        self._selected: Folder | None = None
        self._is_lost = False
        with self._failures():
            self._connection = _connect(settings)
            self._capabilities = self._read_capabilities()
            self._folders = {Folder.INBOX: folder_names.encode(settings.inbox), Folder.SENT: self._sent_folder()}
            self._require_keywords()
        self._looked_at = 0
        """UIDNEXT of the Inbox when it was last searched: a higher one means news."""

    @property
    def sent_name(self) -> str:
        """The folder of sent mail as the server calls it."""
        return self._folders[Folder.SENT].strip('"')

    def with_header(self, folder: Folder, name: str, value: str) -> list[Item]:
        """See `MailboxBackend.with_header`."""
        return self._search(folder, "HEADER", folder_names.quote(name), folder_names.quote(value))

    def with_keyword(self, folder: Folder, keyword: str) -> list[Item]:
        """See `MailboxBackend.with_keyword`."""
        return self._search(folder, "KEYWORD", keyword)

    def read(self, folder: Folder, uid: Uid) -> StoredMail | None:
        """See `MailboxBackend.read`."""
        with self._failures():
            stored = self._fetch(uid) if self._selected is folder else None
            if stored is None:  # perhaps it came after the folder was opened
                self._select(folder)
                stored = self._fetch(uid)
            return stored

    def append_to_sent(self, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        """See `MailboxBackend.append_to_sent`."""
        with self._failures():
            status, answer = self._connection.append(
                self._folders[Folder.SENT], f"({' '.join(flags)})", arrived or None, data
            )
            _demand(status, answer, "APPEND")
            told = re.search(rb"APPENDUID \d+ (\d+)", bytes(answer[0] or b""))
            return Uid(told[1].decode("ascii")) if told else self._find_appended(data)

    def mark_seen(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.mark_seen`."""
        if not uids:
            return
        with self._failures():
            self._select(folder)
            self._ask("STORE", ",".join(uids), "+FLAGS.SILENT", f"({SEEN})")

    def delete(self, folder: Folder, uids: Sequence[Uid]) -> None:
        """See `MailboxBackend.delete`."""
        if not uids:
            return
        chosen = ",".join(uids)
        with self._failures():
            self._select(folder)
            if "UIDPLUS" in self._capabilities:
                self._ask("STORE", chosen, "+FLAGS.SILENT", f"({DELETED})")
                self._ask("EXPUNGE", chosen)
            else:
                self._delete_without_uidplus(chosen, set(uids))

    def file_copy(self, uid: Uid, header: str, keyword: str) -> bool:
        """See `MailboxBackend.file_copy`; a stored message never changes here (RFC 3501 section 2.3.1.1)."""
        return append_look_delete(self, uid, header, keyword)

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        """See `MailboxBackend.wait`."""
        until = time.monotonic() + seconds
        with self._failures():
            if self._select(Folder.INBOX) != self._looked_at:
                return
            if "IDLE" in self._capabilities:
                self._idle(until, stop)
            else:
                self._ask_at_intervals(until, stop)

    def close(self) -> None:
        """See `MailboxBackend.close`."""
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            if self._is_lost:  # a goodbye would wait for an answer that does not come
                self._connection.shutdown()
            else:
                self._connection.logout()

    # -- how it is said ------------------------------------------------------------------------------------------

    def _search(self, folder: Folder, *criteria: str) -> list[Item]:
        items: list[Item] = []
        with self._failures():
            next_uid = self._select(folder)
            if folder is Folder.INBOX:
                self._looked_at = next_uid
            found = self._ask("SEARCH", *criteria)
            uids = [uid for line in found if isinstance(line, bytes) for uid in line.decode("ascii").split()]
            for start in range(0, len(uids), _UIDS_AT_ONCE):
                answer = self._ask(
                    "FETCH",
                    ",".join(uids[start : start + _UIDS_AT_ONCE]),
                    f"(UID FLAGS INTERNALDATE BODY.PEEK[HEADER.FIELDS ({' '.join(LOOKED_AT)})])",
                )
                items.extend(_items(answer))
        return sorted(items, key=lambda item: int(item.uid))  # they only grow (RFC 3501 section 2.3.1.1)

    def _select(self, folder: Folder) -> int:
        """Open the folder anew, which also shows what other programs did in it; the next unique id."""
        self._selected = None
        _demand(*self._connection.select(self._folders[folder]), "SELECT")
        self._selected = folder
        _, told = self._connection.response("UIDNEXT")
        return int(told[0]) if told and isinstance(told[0], bytes) else 0

    def _fetch(self, uid: Uid) -> StoredMail | None:
        """From the folder as it was opened; a message that another program removed meanwhile may be refused."""
        status, answer = self._connection.uid("FETCH", uid, "(UID INTERNALDATE BODY.PEEK[])")
        for words, literal in _with_literals([part for part in answer if part is not None] if status == "OK" else []):
            if _uid_of(words) == uid:
                arrived = re.search(rb'INTERNALDATE ("[^"]*")', words)
                return StoredMail(literal, arrived[1].decode("ascii") if arrived else "")
        return None

    def _ask(self, command: str, *arguments: str) -> list[object]:
        return _demand(*self._connection.uid(command, *arguments), command)

    def _read_capabilities(self) -> frozenset[str]:
        answer = _demand(*self._connection.capability(), "CAPABILITY")
        line = answer[0]
        return frozenset(line.decode("ascii", "replace").upper().split() if isinstance(line, bytes) else ())

    def _sent_folder(self) -> str:
        if self._settings.sent:
            return folder_names.encode(self._settings.sent)
        extended = "SPECIAL-USE" in self._capabilities and "LIST-EXTENDED" in self._capabilities
        pattern = '"*" RETURN (SPECIAL-USE)' if extended else '"*"'
        answers = _demand(*self._connection.list('""', pattern), "LIST")
        if (name := folder_names.marked_as("\\Sent", answers)) is None:
            raise MailboxError("The mail server marks no folder as \\Sent; name it as mailbox.sent in the settings.")
        return name

    def _require_keywords(self) -> None:
        self._select(Folder.SENT)
        _, lines = self._connection.response("PERMANENTFLAGS")
        flags = b" ".join(line for line in lines or () if isinstance(line, bytes))
        if b"\\*" not in flags:
            raise MailboxError(f"The folder {self.sent_name} takes no private keywords; the markers need them.")

    def _find_appended(self, data: bytes) -> Uid:
        """The newest message with this Message-ID, for servers that do not tell (no UIDPLUS)."""
        message_id = parse(canonical_newlines(data)).value("Message-ID")
        found = self._search(Folder.SENT, "HEADER", "Message-ID", folder_names.quote(message_id))
        if not message_id or not found:
            raise MailboxError("The mail server took a message for the folder of sent mail but does not show it.")
        return found[-1].uid

    def _delete_without_uidplus(self, chosen: str, uids: set[Uid]) -> None:
        """EXPUNGE removes everything that is marked: spare what other programs marked meanwhile."""
        self._ask("STORE", chosen, "+FLAGS.SILENT", f"({DELETED})")
        marked = self._ask("SEARCH", "DELETED")
        found = [uid for line in marked if isinstance(line, bytes) for uid in line.decode("ascii").split()]
        spared = ",".join(uid for uid in found if uid not in uids)
        if spared:
            self._ask("STORE", spared, "-FLAGS.SILENT", f"({DELETED})")
        _demand(*self._connection.expunge(), "EXPUNGE")
        if spared:
            self._ask("STORE", spared, "+FLAGS.SILENT", f"({DELETED})")

    def _idle(self, until: float, stop: Callable[[], bool]) -> None:
        """Any line of the server ends the waiting; the caller looks anyway (RFC 2177 section 3)."""
        tag = b"IDLE1"
        connection = self._connection
        connection.send(tag + b" IDLE\r\n")
        news = False
        while not (line := connection.readline()).startswith(b"+"):
            if not line.startswith(b"*"):
                raise MailboxError("The mail server refused to report news (IDLE).")
            news = True
        while not news and time.monotonic() < until and not stop():
            news = self._readable(min(_LOOK_FOR_STOP_SECONDS, max(0.0, until - time.monotonic())))
        connection.send(b"DONE\r\n")
        while not (line := connection.readline()).startswith(tag):
            if not line:
                raise MailboxError("The mail server closed the connection.")

    def _readable(self, seconds: float) -> bool:
        """Is there something to read: in imaplib's buffer, in the TLS layer or on the wire?"""
        connected = self._connection.sock
        # imaplib calls its buffer `file`, and `_file` from Python 3.14 on.
        buffer: Any = vars(self._connection).get("_file") or self._connection.file
        connected.settimeout(0)
        try:
            with contextlib.suppress(ssl.SSLWantReadError):
                if buffer.peek(1):
                    return True
        finally:
            connected.settimeout(self._settings.timeout_seconds)
        return bool(select.select([connected], [], [], seconds)[0])

    def _ask_at_intervals(self, until: float, stop: Callable[[], bool]) -> None:
        ask_at = time.monotonic() + _ASK_SECONDS
        while time.monotonic() < until and not stop():
            time.sleep(min(_LOOK_FOR_STOP_SECONDS, max(0.0, until - time.monotonic())))
            if time.monotonic() >= ask_at:
                if self._select(Folder.INBOX) != self._looked_at:
                    return
                ask_at = time.monotonic() + _ASK_SECONDS

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Every failure of the connection as one sentence."""
        try:
            yield
        except (OSError, imaplib.IMAP4.error) as error:
            self._is_lost = isinstance(error, (OSError, imaplib.IMAP4.abort))
            kind = LoginRefusedError if isinstance(error, _LoginError) else MailboxError
            raise self._unusable(kind, str(error)) from error
        except _NONSENSE as error:
            self._is_lost = True
            reason = f"its answer makes no sense ({type(error).__name__}: {error})"
            raise self._unusable(MailboxError, reason) from error

    def _unusable(self, kind: type[MailboxError], reason: str) -> MailboxError:
        server = f"{self._settings.host}:{self._settings.port}"
        return kind(f"The mailbox of {self._settings.user} at {server} cannot be used: {reason}")


def _connect(settings: MailboxSettings) -> imaplib.IMAP4:
    context = ssl.create_default_context(cafile=settings.ca_file)
    connection: imaplib.IMAP4
    if settings.tls == "implicit":
        connection = imaplib.IMAP4_SSL(
            settings.host, settings.port, ssl_context=context, timeout=settings.timeout_seconds
        )
    else:
        connection = imaplib.IMAP4(settings.host, settings.port, timeout=settings.timeout_seconds)
    try:
        if settings.tls == "starttls":
            connection.starttls(context)
        _login(connection, settings.user, settings.secret)
    except (OSError, imaplib.IMAP4.error):
        with contextlib.suppress(OSError):
            connection.shutdown()
        raise
    return connection


def _login(connection: imaplib.IMAP4, user: str, secret: str) -> None:
    """LOGIN, which takes ASCII only (RFC 3501 section 6.2.3); else AUTHENTICATE PLAIN, in UTF-8 (RFC 4616)."""
    try:
        if user.isascii() and secret.isascii():
            connection.login(user, secret)
        else:
            connection.authenticate("PLAIN", lambda _: f"\0{user}\0{secret}".encode())
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        said = error.args[0] if error.args else ""
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        if "[UNAVAILABLE]" in words:  # RFC 5530 section 3
            raise imaplib.IMAP4.error(f"the server refuses logins now: {words}") from error
        raise _LoginError(f"the server refused the login ({words.rstrip('.')}); correct user and password") from error


def _demand(status: str, answer: object, command: str) -> list[object]:
    lines = list(answer) if isinstance(answer, list) else []
    if status != "OK":
        said = lines[0].decode("utf-8", "replace") if lines and isinstance(lines[0], bytes) else status
        raise MailboxError(f"The mail server refused {command}: {said}")
    return [line for line in lines if line is not None]


def _items(answer: list[object]) -> Iterator[Item]:
    for words, literal in _with_literals(answer):
        uid = _uid_of(words)
        flags = re.search(rb"FLAGS \(([^)]*)\)", words)
        if uid is not None:
            words_of = flags[1].decode("ascii", "replace").split() if flags else ()
            yield Item(uid, parse(literal), frozenset(words_of), _arrival(words))


def _with_literals(answer: list[object]) -> Iterator[tuple[bytes, bytes]]:
    """Each FETCH answer as its words and its literal; what is no answer to our question is left out.

    The server may put words after the literal, and may report changes by other programs in between.
    """
    for index, element in enumerate(answer):
        if not (isinstance(element, tuple) and isinstance(element[0], bytes) and isinstance(element[1], bytes)):
            continue
        rest = answer[index + 1] if index + 1 < len(answer) else b""
        after = rest if isinstance(rest, bytes) and not rest[:1].isdigit() else b""
        yield element[0] + after, element[1]


def _arrival(words: bytes) -> float:
    """INTERNALDATE, in seconds since 1970 UTC; a copy keeps that of its delivery when it is filed."""
    told = imaplib.Internaldate2tuple(words)
    return time.mktime(told) if told else 0.0


def _uid_of(words: bytes) -> Uid | None:
    found = re.search(rb"\bUID (\d+)", words)
    return Uid(found[1].decode("ascii")) if found else None
