"""A kit made by a running gateway, and the doors of an Exchange behind it: return_to and deliver_to, each a port."""

import queue
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.pki import Entity, make_ca, make_user
from tests.servers.gateway import Gateway, free_port

DOMAIN = "acme.example"
IME_ADDRESS = f"domain-confidentiality-authority@ime.{DOMAIN}"
PSEUDO = "ime@imepseudodomain.local"
FIRST, SECOND = f"ime-test-1@{DOMAIN}", f"ime-test-2@{DOMAIN}"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Arrived:
    """One delivery at a door."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    def names(self, beginning: str) -> set[str]:
        """Header fields whose names begin so, in lower case."""
        head = self.content.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
        return {line.partition(":")[0] for line in head.split("\r\n") if line.startswith(beginning)}


@dataclass
class ExchangeDoor:
    """A receive connector: takes everything and remembers it."""

    port: int = field(default_factory=free_port)
    mails: "queue.Queue[Arrived]" = field(default_factory=queue.Queue)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.put(Arrived(envelope.mail_from or "", tuple(envelope.rcpt_tos), content))
        return "250 2.0.0 Ok"

    def next(self) -> Arrived:
        """The next mail; waits for it."""
        return self.mails.get(timeout=_PATIENCE)

    def take(self, count: int) -> dict[tuple[str, ...], Arrived]:
        """So many mails, by their recipients."""
        return {one.recipients: one for one in (self.next() for _ in range(count))}

    @contextmanager
    def running(self) -> Iterator["ExchangeDoor"]:
        controller = Controller(self, hostname="127.0.0.1", port=self.port)
        controller.start()
        try:
            yield self
        finally:
            controller.stop()


@dataclass
class KitWorld:
    """Everything that runs, and the kit."""

    gateway: Gateway
    inside: ExchangeDoor
    """return_to: the trusted connector."""
    outside: ExchangeDoor
    """deliver_to: the ordinary one."""
    internet: ExchangeDoor
    """Everything that leaves."""
    first: Entity
    second: Entity
    kit: Path

    def mail(self, word: str) -> bytes:
        """The test mail whose file name contains the word."""
        (path,) = (self.kit / "test-mails").glob(f"*{word}*.eml")
        return path.read_bytes()

    def checklist(self, word: str) -> str:
        """What README.txt says of that mail, in one line."""
        text = (self.kit / "README.txt").read_text(encoding="utf-8")
        (found,) = [one for one in text.split("\n\n") if one.startswith("[ ] ") and word in one.partition(".eml")[0]]
        return " ".join(found.split())

    def submit(self, content: bytes, sender: str, recipient: str, *, internet: bool = False) -> tuple[int, str]:
        """The gateway's last word at the internal listener, or at the Internet one."""
        port = self.gateway.internet_port if internet else self.gateway.port
        with smtplib.SMTP("127.0.0.1", port, timeout=_PATIENCE) as client:
            client.ehlo("exchange.acme.example")
            for code, text in (client.mail(sender), client.rcpt(recipient)):
                if code >= 400:
                    return code, text.decode()
            code, text = client.data(content)
        return code, text.decode()


@contextmanager
def kit_world(folder: Path) -> Iterator[KitWorld]:
    """Gateway healthy, doors open, kit written."""
    root = make_ca("Kit Root")
    first, second = make_user(FIRST, root), make_user(SECOND, root)
    for name, entity in (("root", root), ("first", first), ("second", second)):
        (folder / f"{name}.pem").write_bytes(entity.pem)
    gateway = Gateway(folder)
    with ExchangeDoor().running() as inside, ExchangeDoor().running() as outside, ExchangeDoor().running() as internet:
        gateway.configure(next_hop=internet.port, workers=1)
        gateway.apply(
            f'[[managed_domain]]\nname = "{DOMAIN}"\ndeliver_to = "smtp://127.0.0.1:{outside.port}"\n'
            f'return_to = "smtp://127.0.0.1:{inside.port}"\nime_address = "{IME_ADDRESS}"\nime_key = "generate"\n'
            f'ime_signers = "first-use"\n[[root]]\nfile = "root.pem"\n[[certificate]]\nfile = "first.pem"\n'
            f'[[certificate]]\nfile = "second.pem"\n'
        )
        gateway.command("exchange-kit", "--out", str(folder / "kit"), "--gateway-address", "10.20.0.5")
        try:
            gateway.start()
            yield KitWorld(gateway, inside, outside, internet, first, second, folder / "kit")
        finally:
            gateway.stop()
