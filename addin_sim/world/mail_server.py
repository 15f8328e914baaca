"""A small mail server that plays Exchange and, on a second port, the partner's server outside.

It takes mail from Outlook, delivers what is local into folders, and hands everything else (above all
the pseudo domain of internal encryption, which exists nowhere) to the gateway while Outlook waits, so
that a demo sees the end of each mail at once; the real one queues. A permanent refusal becomes a
non-delivery report in the sender's Inbox, a temporary one is tried again if wanted. Not for real mail:
it trusts everybody who can connect.
"""

import asyncio
import json
import smtplib
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from addin_sim.raw_mail import parse
from addin_sim.world.non_delivery import non_delivery_report
from addin_sim.world.retries import Retries

_GATEWAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the next server said about one recipient."""

    code: int
    text: str

    @property
    def line(self) -> str:
        """The reply as one line."""
        return f"{self.code} {self.text}"


@dataclass(slots=True)
class Journal:
    """What happened in the world, one JSON object for each line of a file."""

    path: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, event: str, **facts: object) -> None:
        """Add an entry; it is on its way to the disk when this returns."""
        entry = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
        with self._lock, self.path.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def entries(self) -> list[dict[str, object]]:
        """Everything so far, oldest first."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


class Mailboxes:
    """One folder for each address, one file for each mail, as it was delivered."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = threading.Lock()

    def deliver(self, address: str, sender: str, data: bytes) -> Path:
        """Store the mail, with its envelope sender in Return-Path (RFC 5321 section 4.4)."""
        folder = self._folder_of(address)
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            given = sum(file.suffix in (".eml", ".gone") for file in folder.iterdir())  # gone: numbers stay unique
            path = folder / f"{given + 1:04}.eml"
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(f"Return-Path: <{sender}>\r\n".encode() + data)
            unfinished.rename(path)
        return path

    def of(self, address: str) -> list[Path]:
        """The mails of that address, oldest first."""
        return sorted(self._folder_of(address).glob("*.eml"))

    def _folder_of(self, address: str) -> Path:
        return self.folder / address.lower().replace("/", "_")


class MailServer:
    """Both servers on free ports of 127.0.0.1, with their mailboxes under one folder.

    `exchange` takes mail for `local_domains` and sends everything else to the gateway; `outside` keeps
    whatever it gets. `route_to` says where the gateway listens. What the gateway does not take for the moment is
    tried again after `retry_seconds`; None: Outlook hears 451 and keeps its mail.
    """

    host_name = "exchange.acme.example"

    def __init__(
        self,
        folder: Path,
        local_domains: Iterable[str],
        *,
        port: int = 0,
        outside_port: int = 0,
        retry_seconds: float | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(folder / "journal.jsonl")
        self.mailboxes = Mailboxes(folder / "mailboxes")
        self._local = frozenset(domain.lower() for domain in local_domains)
        self._delivered: set[tuple[str, str]] = set()
        self._delivered_lock = threading.Lock()
        self._started = False
        self._retries = Retries(retry_seconds) if retry_seconds is not None else None
        self._gateway: tuple[str, int] | None = None
        self._spool: Path | None = None
        self._exchange = _Listener(_Exchange(self), self.host_name, port)
        self._outside = _Listener(_Outside(self), "mail.partner.example", outside_port)

    @property
    def port(self) -> int:
        """Where Exchange listens."""
        return self._exchange.bound_port

    @property
    def outside_port(self) -> int:
        """Where the partner's server listens."""
        return self._outside.bound_port

    def route_to(self, host: str, port: int) -> None:
        """The gateway's internal listener."""
        self._gateway = (host, port)

    def keep_what_passes(self, folder: Path) -> None:
        """From now on write every mail that goes to the gateway into this folder, as a curious administrator would."""
        folder.mkdir(parents=True, exist_ok=True)
        self._spool = folder

    def start(self) -> None:
        """Listen."""
        self._exchange.start()
        self._outside.start()
        self._started = True

    def stop(self) -> None:
        """Stop listening; does nothing when it never began."""
        if self._retries is not None:
            self._retries.stop()
        if self._started:
            self._exchange.stop()
            self._outside.stop()
            self._started = False

    def handle(self, sender: str, recipients: list[str], data: bytes) -> str:
        """Take one mail: everything is delivered, reported or queued, or else nothing was taken (451)."""
        local = [address for address in recipients if self._is_local(address)]
        remote = [address for address in recipients if not self._is_local(address)]
        if remote and self._spool is not None:
            (self._spool / f"{uuid.uuid4().hex}.eml").write_bytes(data)
        if remote and (later := self._hand_on(sender, remote, data)) is not None:
            if self._retries is None:
                return f"451 4.4.1 {later.line}"
            self._retries.add(lambda: self._hand_on(sender, remote, data) is None)
        self.deliver(sender, local, data)
        return "250 2.6.0 Queued mail for delivery"

    def _hand_on(self, sender: str, remote: list[str], data: bytes) -> Reply | None:
        """To the gateway; None when that is the end of it, else what it said: nobody was served, try again."""
        replies = self._hand_over(sender, remote, data)
        self.journal.note(
            "handed-over", sender=sender, replies={address: reply.line for address, reply in replies.items()}
        )
        refusals = {address: reply for address, reply in replies.items() if reply.code // 100 != 2}
        if len(refusals) == len(remote) and any(reply.code // 100 == 4 for reply in refusals.values()):
            return next(iter(refusals.values()))
        self._report(sender, {address: reply.line for address, reply in refusals.items()}, data)
        return None

    def deliver(self, sender: str, recipients: list[str], data: bytes) -> None:
        """Store the mail for these recipients, once in each mailbox.

        Exchange drops a second delivery with the same Message-ID without a word; so does this world.
        """
        message_id = parse(data).value("Message-ID")
        for address in recipients:
            if message_id and self._seen_before(address.lower(), message_id):
                self.journal.note("duplicate-dropped", sender=sender, recipient=address, message_id=message_id)
                continue
            path = self.mailboxes.deliver(address, sender, data)
            self.journal.note("delivered", sender=sender, recipient=address, file=str(path))

    def _seen_before(self, address: str, message_id: str) -> bool:
        with self._delivered_lock:
            seen = (address, message_id) in self._delivered
            self._delivered.add((address, message_id))
            return seen

    def _is_local(self, address: str) -> bool:
        return address.rpartition("@")[2].lower() in self._local

    def _hand_over(self, sender: str, recipients: list[str], data: bytes) -> dict[str, Reply]:
        if self._gateway is None:
            return dict.fromkeys(recipients, Reply(450, "4.4.1 the gateway is not there yet"))
        try:
            with smtplib.SMTP(*self._gateway, local_hostname=self.host_name, timeout=_GATEWAY_SECONDS) as gateway:
                return _relay(gateway, sender, recipients, data)
        except (OSError, smtplib.SMTPException) as error:
            return dict.fromkeys(recipients, Reply(450, f"4.4.1 the gateway cannot be used: {error}"))

    def _report(self, sender: str, refusals: dict[str, str], data: bytes) -> None:
        """Never to the null sender: a report about a report would never end (RFC 5321 section 6.1)."""
        if not refusals or not sender:
            return
        report = non_delivery_report(self.host_name, sender, refusals, data, time.time())
        path = self.mailboxes.deliver(sender, "", report)
        self.journal.note("reported", sender=sender, refusals=refusals, file=str(path))


def _relay(gateway: smtplib.SMTP, sender: str, recipients: list[str], data: bytes) -> dict[str, Reply]:
    gateway.ehlo_or_helo_if_needed()
    refusal = _unless_taken(*gateway.mail(sender, ["BODY=8BITMIME"] if gateway.has_extn("8bitmime") else []))
    if refusal:
        return dict.fromkeys(recipients, refusal)
    replies: dict[str, Reply] = {}
    for recipient in recipients:
        if refused := _unless_taken(*gateway.rcpt(recipient)):
            replies[recipient] = refused
    taken = [recipient for recipient in recipients if recipient not in replies]
    if taken:
        code, text = gateway.data(data)
        replies.update(dict.fromkeys(taken, Reply(code, _words(text))))
    return replies


def _unless_taken(code: int, text: bytes) -> Reply | None:
    return None if code // 100 == 2 else Reply(code, _words(text))


def _words(text: bytes) -> str:
    return " ".join(text.decode("utf-8", "replace").split())


class _Exchange:
    """What aiosmtpd calls: mail from Outlook and mail back from the gateway."""

    def __init__(self, world: MailServer) -> None:
        self._world = world

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Receive one mail; the work is done in a thread because the gateway delivers back meanwhile."""
        data = _received(session, MailServer.host_name) + bytes(envelope.original_content or b"")
        sender, recipients = _sender(envelope), list(envelope.rcpt_tos)
        return await _in_thread(lambda: self._world.handle(sender, recipients, data))


class _Outside:
    """The partner's server: keeps what it gets."""

    def __init__(self, world: MailServer) -> None:
        self._world = world

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Receive one mail."""
        data = _received(session, "mail.partner.example") + bytes(envelope.original_content or b"")
        self._world.deliver(_sender(envelope), list(envelope.rcpt_tos), data)
        return "250 2.0.0 Ok"


class _Listener(Controller):
    """aiosmtpd in a thread; port 0 takes a free one."""

    def __init__(self, handler: object, host_name: str, port: int) -> None:
        super().__init__(
            handler, hostname="127.0.0.1", port=port, server_hostname=host_name, data_size_limit=0, ready_timeout=10.0
        )

    @property
    def bound_port(self) -> int:
        """The port, once started."""
        assert isinstance(self.server, asyncio.Server)
        return int(self.server.sockets[0].getsockname()[1])

    def _trigger_server(self) -> None:
        """The base class connects to `port` to see that the server answers; it must be the bound one."""
        self.port = self.bound_port
        super()._trigger_server()  # type: ignore[no-untyped-call]


def _sender(envelope: Envelope) -> str:
    """aiosmtpd spells the null sender `<>`, an address without brackets."""
    return "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)


def _received(session: Session, host: str) -> bytes:
    peer = session.peer[0] if session.peer else "unknown"
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return f"Received: from {session.host_name or 'unknown'} ({peer}) by {host};\r\n\t{date}\r\n".encode()


async def _in_thread(work: Callable[[], str]) -> str:
    return await asyncio.get_running_loop().run_in_executor(None, work)
