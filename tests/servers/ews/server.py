"""The double of an Exchange server that speaks EWS: see README.md in this folder for what it is and is not."""

import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from tests.servers.ews.certificates import write_certificates
from tests.servers.ews.directory import Directory, Entry
from tests.servers.ews.dispatch import Dialogue
from tests.servers.ews.http_front import PATH, TOKEN_PATH, Front
from tests.servers.ews.item_view import whole_mime
from tests.servers.ews.operations.call import Call
from tests.servers.ews.quirks import Quirks
from tests.servers.ews.refusals import EwsFault
from tests.servers.ews.schema_check import folder_of_schema, violations
from tests.servers.ews.sign_in import SignIn
from tests.servers.ews.store import StoredFolder, StoredItem, World
from tests.servers.ews.subscriptions import Subscriptions
from tests.servers.ews.transport import SentMail, Transport

PASSWORD = "secret"
"""Of every user, unless the test says otherwise."""


class EwsServer:
    """One server with these mailboxes; every one of them is in the address list as well."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        on_send: Callable[[SentMail], None] | None = None,
        tls: bool = True,
        directory: Directory | None = None,
    ) -> None:
        self.quirks = Quirks()
        self.world = World()
        self.directory = directory or Directory()
        self.sign_in = SignIn(self.quirks)
        self.dialogues: list[Dialogue] = []
        """Every request with its answer, in the order of the answers; one entry per envelope of a stream."""
        self.blamed: list[Exception] = []
        """Mistakes of the double itself; a test that cares asserts that it is empty (leaving `with` does)."""
        self.grants: set[tuple[str, str]] = set()
        """(user, mailbox): full access and the right to send as that mailbox."""
        self.impersonators: set[str] = set()
        """Users with the role ApplicationImpersonation; programs with a token of their own have it always."""
        self.transport = Transport(self.world, self.directory, self.quirks, on_send)
        self._subscriptions = Subscriptions(self.world)
        self._folder = Path(tempfile.mkdtemp(prefix="ews-"))
        self._closing = 0
        self._lock = threading.Lock()
        self.ca_file = self._folder / "ca.pem"
        """The authority to trust (not there without `tls`)."""
        self._tls = self._certificate() if tls else None
        self._front: Front | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        for address in addresses:
            self.add_mailbox(address)

    def _certificate(self) -> ssl.SSLContext:
        _, certificate, key = write_certificates(self._folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    # -- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; when this returns, clients can connect."""
        self.transport.start()
        self._front = Front(self, self._tls)
        self._port = int(self._front.server_address[1])
        self._thread = threading.Thread(
            target=self._front.serve_forever, kwargs={"poll_interval": 0.02}, name="ews", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End streams, deliver what was sent, and close the port; never raises."""
        self.close_streams()
        if self._front is not None and self._thread is not None:
            self._front.shutdown()
            self._thread.join(10)
            self._front.hang_up()
            self._front.server_close()
            self._front = None
        self.transport.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "EwsServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            assert not self.blamed, self.blamed
            folder = folder_of_schema()
            assert folder is None or not (wrong := list(violations(self.dialogues, folder))), wrong
            assert not self.transport.faults, self.transport.faults

    # -- where it is ---------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._port

    @property
    def url(self) -> str:
        """The EWS endpoint."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}{PATH}"

    @property
    def token_url(self) -> str:
        """The OAuth 2.0 token endpoint (RFC 6749 section 3.2)."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}{TOKEN_PATH}"

    # -- people and mail -----------------------------------------------------------------------------

    def add_mailbox(self, address: str, name: str = "", password: str = PASSWORD) -> None:
        """A mailbox for somebody, and his entry in the address list."""
        with self.world.lock:
            self.world.add_mailbox(address)
        self.sign_in.passwords[address.lower()] = password
        self.directory.add(Entry(address, name or address.partition("@")[0].replace(".", " ").title()))

    def deliver(self, mime: bytes, recipients: Sequence[str]) -> list[StoredItem]:
        """Put a mail into Inboxes, as Exchange does with what comes by SMTP; raises `NotDelivered`."""
        return self.transport.deliver(mime, recipients)

    def settle(self) -> None:
        """Return when every mail that a mailbox has sent is delivered, refused or handed to `on_send`."""
        self.transport.settle()

    @property
    def outgoing(self) -> list[SentMail]:
        """Mail to people elsewhere, when there is no `on_send`."""
        return self.transport.outgoing

    def folder(self, address: str, name: str) -> StoredFolder:
        """A folder by its well-known name (`inbox`, `sentitems`, `drafts`, `contacts`) or its display name."""
        with self.world.lock:
            mailbox = self.world.mailboxes[address.lower()]
            found = [one for one in mailbox.folders.values() if name.lower() in (one.well_known, one.name.lower())]
            return found[0]

    def items(self, address: str, name: str) -> list[StoredItem]:
        """What is in a folder, oldest first."""
        with self.world.lock:
            return list(self.folder(address, name).items.values())

    def mails(self, address: str, name: str) -> list[bytes]:
        """The same as MIME."""
        with self.world.lock:
            return [whole_mime(item) for item in self.items(address, name) if item.kind == "Message"]

    # -- moods ---------------------------------------------------------------------------------------

    def close_streams(self) -> None:
        """End all streams now; they say `Closed` (or break off, with the quirk `stream_cut`)."""
        with self.world.lock:
            self._closing += 1
            self.world.happened.notify_all()

    def forget_subscriptions(self) -> None:
        """All subscriptions are gone, as after a restart of Exchange or a failover."""
        with self.world.lock:
            self._subscriptions.forget_all()
        self.close_streams()

    def operations(self) -> list[str]:
        """The names of the operations asked for so far."""
        return [dialogue.operation for dialogue in list(self.dialogues)]

    # -- for the HTTPS side --------------------------------------------------------------------------

    def call_of(self, user: str, spoken_for: str) -> Call:
        """A call in the user's own name, or in another's when the user may."""
        speaker = user
        if not (user or spoken_for):
            raise EwsFault(
                "ErrorImpersonationFailed",
                "ExchangeImpersonation SOAP header must be present for this type of OAuth token.",
            )
        if spoken_for:
            if user and user not in self.impersonators:
                raise EwsFault(
                    "ErrorImpersonateUserDenied",
                    "The account does not have permission to impersonate the requested user.",
                )
            if spoken_for not in self.world.mailboxes:
                raise EwsFault("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
            speaker = spoken_for
        return Call(
            self.world, self.directory, self.transport, self._subscriptions, self.quirks, speaker,
            frozenset(_lower(self.grants)),
        )  # fmt: skip

    def record(self, dialogue: Dialogue) -> None:
        """Remember what was said."""
        with self._lock:
            self.dialogues.append(dialogue)

    def closing(self) -> int:
        """Changes when all streams shall end."""
        return self._closing

    def blame(self, error: Exception) -> None:
        """Remember a mistake of the double."""
        self.blamed.append(error)


def _lower(grants: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return ((user.lower(), mailbox.lower()) for user, mailbox in grants)
