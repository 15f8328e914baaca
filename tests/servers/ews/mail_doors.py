"""SMTP in and out of the EWS double, so that a gateway can stand beside it as it stands beside Exchange (RFC 5321).

with SmtpDoor(ews) as door:                       # what comes to 127.0.0.1:door.port goes into the Inboxes
    ews.transport.on_send = relay(ews, "127.0.0.1", gateway.port)
"""

import smtplib
import socket
from collections.abc import Callable
from types import TracebackType

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers.ews.server import EwsServer
from tests.servers.ews.transport import NotDelivered, SentMail


class SmtpDoor:
    """A receive connector without sign-in; knows the addresses that have a mailbox or are a group."""

    def __init__(self, ews: EwsServer) -> None:
        self._ews = ews
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = int(free.getsockname()[1])
        self._controller = Controller(self, hostname="127.0.0.1", port=self._port)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._port

    def __enter__(self) -> "SmtpDoor":
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuse whom nobody here knows."""
        entry = self._ews.directory.entries.get(address.lower())
        if address.lower() not in self._ews.world.mailboxes and (entry is None or entry.kind != "PublicDL"):
            return "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Deliver."""
        content = envelope.content
        assert isinstance(content, bytes)
        self._ews.deliver(content, envelope.rcpt_tos)
        return "250 2.6.0 Queued mail for delivery"


def relay(ews: EwsServer, host: str, port: int, *, everything: bool = False) -> Callable[[SentMail], None]:
    """A send connector to that host: for addresses without a mailbox here, or for `everything`.

    What it calls raises `NotDelivered` for refused recipients and for a host that does not answer.
    """

    def send(sent: SentMail) -> None:
        known = () if everything else ews.world.mailboxes
        here = [address for address in sent.recipients if address.lower() in known]
        elsewhere = [address for address in sent.recipients if address not in here]
        if here:
            ews.deliver(sent.mime, here)
        if elsewhere:
            _hand_over(SentMail(sent.sender, tuple(elsewhere), sent.mime), host, port)

    return send


def _hand_over(sent: SentMail, host: str, port: int) -> None:
    try:
        with smtplib.SMTP(host, port, timeout=60) as client:
            refused = client.sendmail(sent.sender, sent.recipients, sent.mime)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        raise NotDelivered(sent.recipients, f"{error.smtp_code} {_text(error.smtp_error)}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(sent.recipients, f"421 4.4.1 {error}") from None
    if refused:
        code, text = next(iter(refused.values()))
        raise NotDelivered(tuple(refused), f"{code} {_text(text)}")


def _text(reply: bytes | str) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
