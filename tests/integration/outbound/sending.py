"""A relay with short times and mail to send, for tests against real sockets."""

import os
from collections.abc import AsyncGenerator, Sequence

from ime_gateway.ports.exchangers import Exchangers, LookupFailed, TakesNoMail
from ime_gateway.ports.relay import Content, OutboundMail, OutboundRecipient
from ime_gateway.settings.model import Delivery
from ime_gateway.smtp.outbound.send import OutboundRelay

MESSAGE = b"Subject: test\r\n\r\nHello.\r\n"


class FixedLookup:
    """Answers from a dictionary."""

    def __init__(self, answers: dict[str, Exchangers | TakesNoMail | LookupFailed] | None = None) -> None:
        self.answers = answers or {}

    async def exchangers(self, domain: str) -> Exchangers | TakesNoMail | LookupFailed:
        return self.answers[domain]


def make_relay(
    lookup: FixedLookup | None = None, *, mx_port: int = 25, reply: float = 5.0, **settings: float
) -> OutboundRelay:
    delivery = Delivery(reply_seconds=reply, connect_seconds=5.0, **settings)  # type: ignore[arg-type]
    return OutboundRelay("gw.acme.example", delivery, lookup or FixedLookup(), os.urandom, mx_port=mx_port)


def make_mail(
    recipients: Sequence[str | OutboundRecipient] = ("bob@partner.example",), size: int = len(MESSAGE), **more: object
) -> OutboundMail:
    made = [OutboundRecipient(each) if isinstance(each, str) else each for each in recipients]
    values: dict[str, object] = {"eight_bit": False, "smtputf8": False, **more}
    return OutboundMail("alice@acme.example", made, size, **values)  # type: ignore[arg-type]


def content_of(*pieces: bytes) -> Content:
    async def content() -> AsyncGenerator[bytes, None]:
        for piece in pieces or (MESSAGE,):
            yield piece

    return content
