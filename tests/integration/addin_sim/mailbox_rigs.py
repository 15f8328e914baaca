"""One mailbox behind two protocols: what a scenario needs of Dovecot and of the EWS server, said in the same words.

Contents are read past the add-in's own code: from Dovecot by imaplib, from the EWS server out of its memory.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from addin_sim.ime1 import MARKER
from addin_sim.mailbox.ews import EwsMailbox
from addin_sim.mailbox.imap import ImapMailbox
from addin_sim.mailbox.interface import SEEN, MailboxBackend
from addin_sim.outlook_settings import MailboxSettings
from addin_sim.sent_items import COPY_HEADER, FILED
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.ews.server import EwsServer
from tests.servers.ews.store import StoredItem

ALICE = "alice@acme.example"
INBOX, SENT = "INBOX", "Sent Items"
DATE = "Sun, 22 Nov 2026 10:00:00 +0000"


def original(number: int = 1) -> bytes:
    return (
        f"From: {ALICE}\r\nTo: ime@imepseudodomain.local\r\nDate: {DATE}\r\n"
        f"Message-ID: <m{number}@acme.example>\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain\r\n\r\nthe clear text {number}\r\n"
    ).encode()


def encrypted_copy(
    number: int = 1,
    *,
    sender: str = ALICE,
    message_id: str = "",
    references: str = "",
    media_type: str = "application/pkcs7-mime; smime-type=enveloped-data",
) -> bytes:
    more = f"References: {references}\r\n" if references else ""
    return (
        f"From: {sender}\r\nTo: bob@acme.example\r\nDate: {DATE}\r\n"
        f"Message-ID: {message_id or f'<m{number}@acme.example>'}\r\n{more}{COPY_HEADER}: yes\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: {media_type}\r\n\r\nMIIB{number}\r\n"
    ).encode()


class KilledError(Exception):
    """The program ends here."""


class Rig(Protocol):
    """Alice's mailbox on a server."""

    name: str
    settings: MailboxSettings

    @classmethod
    def running(cls) -> contextlib.AbstractContextManager["Rig"]: ...

    @property
    def table(self) -> str:
        """The `[mailbox]` table of her settings."""

    def connect(self) -> MailboxBackend: ...

    def deliver(self, mail: bytes) -> None:
        """As if it came by SMTP."""

    def mails(self, folder: str) -> list[bytes]: ...

    def markers(self, folder: str) -> list[set[str]]:
        """Of each mail: which of `$IME`, `$IMESentCopy` and `\\Seen` it carries."""

    def empty(self) -> None: ...

    def before_each_request(self, mailbox: MailboxBackend, act: Callable[[], None]) -> None:
        """Call `act` before each request to the server that this open mailbox makes from now on."""


class DovecotRig:
    name = "imap"

    def __init__(self, dovecot: Dovecot) -> None:
        self.dovecot = dovecot
        self.settings = MailboxSettings(host="127.0.0.1", port=dovecot.imap_port, user=ALICE, password=PASSWORD)

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator["DovecotRig"]:
        with Dovecot([ALICE]) as dovecot:
            yield cls(dovecot)

    @property
    def table(self) -> str:
        port = self.dovecot.imap_port
        return f'[mailbox]\nhost = "127.0.0.1"\nport = {port}\nuser = "{ALICE}"\npassword = "{PASSWORD}"\n'

    def connect(self) -> ImapMailbox:
        return ImapMailbox(self.settings)

    def deliver(self, mail: bytes) -> None:
        self.dovecot.deliver(ALICE, mail)

    def mails(self, folder: str) -> list[bytes]:
        return self.dovecot.mails(ALICE, folder)

    def markers(self, folder: str) -> list[set[str]]:
        return [set(flags) & {MARKER, FILED, SEEN} for flags in self.dovecot.keywords(ALICE, folder)]

    def empty(self) -> None:
        self.dovecot.empty(ALICE)

    def before_each_request(self, mailbox: MailboxBackend, act: Callable[[], None]) -> None:
        assert isinstance(mailbox, ImapMailbox)
        connection = mailbox._connection
        command = connection._command

        def acting(name: str, *arguments: object) -> object:
            if name not in ("LOGOUT", "SELECT"):
                act()
            return command(name, *arguments)

        connection._command = acting  # type: ignore[attr-defined]


class EwsRig:
    name = "ews"

    def __init__(self, server: EwsServer) -> None:
        self.server = server
        self.settings = MailboxSettings(
            protocol="ews", url=server.url, ca_file=server.ca_file, user=ALICE, password=PASSWORD
        )

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator["EwsRig"]:
        with EwsServer([ALICE, "bob@acme.example"]) as server:
            yield cls(server)

    @property
    def table(self) -> str:
        return (
            f'[mailbox]\nprotocol = "ews"\nurl = "{self.server.url}"\nca_file = "{self.server.ca_file}"\n'
            f'user = "{ALICE}"\npassword = "{PASSWORD}"\n'
        )

    def connect(self) -> EwsMailbox:
        return EwsMailbox(self.settings, ALICE)

    def deliver(self, mail: bytes) -> None:
        self.server.deliver(mail, [ALICE])

    def mails(self, folder: str) -> list[bytes]:
        return [item.mime or b"" for item in self._items(folder)]

    def markers(self, folder: str) -> list[set[str]]:
        return [_marks_of(item) for item in self._items(folder)]

    def empty(self) -> None:
        world = self.server.world
        with world.lock:
            mailbox = world.mailboxes[ALICE]
            for place in mailbox.folders.values():
                for item in list(place.items.values()):
                    world.remove(mailbox, item)

    def _items(self, folder: str) -> list[StoredItem]:
        world = self.server.world
        with world.lock:
            place = world.mailboxes[ALICE].well_known({INBOX: "inbox", SENT: "sentitems"}[folder])
            return list(place.items.values())

    def before_each_request(self, mailbox: MailboxBackend, act: Callable[[], None]) -> None:
        assert isinstance(mailbox, EwsMailbox)
        session = mailbox._session
        ask = session.ask

        def acting(question: Callable[[], object]) -> object:
            act()
            return ask(question)

        session.ask = acting  # type: ignore[method-assign]


def _marks_of(item: StoredItem) -> set[str]:
    names = {name for (_, name, _), values in item.extended.items() if values == ("yes",)}
    marks = {"internal encryption": MARKER, "internal encryption sent copy": FILED}
    is_read = item.fields["IsRead"].text in ("true", "1")
    return {mark for name, mark in marks.items() if name in names} | ({SEEN} if is_read else set())
