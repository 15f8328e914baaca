"""Asks a mail server whether it knows a recipient: MAIL, RCPT, RSET, and never a message (RFC 5321 section 3.3).

The empty sender cannot bounce and is taken by every server that takes reports (RFC 5321 section 4.5.5). The sessions
are a few of their own, so that outsiders who try addresses never stand in the way of mail that is being delivered.
"""

import asyncio

from ime_gateway.mail.address import Address
from ime_gateway.ports.recipient_probe import Knowledge
from ime_gateway.ports.relay import OutboundMail, OutboundRecipient
from ime_gateway.settings.model import Delivery
from ime_gateway.smtp.outbound import commands
from ime_gateway.smtp.outbound.client import ConnectionBroken
from ime_gateway.smtp.outbound.connection_pool import ConnectionPool
from ime_gateway.smtp.outbound.reply_parser import Reply
from ime_gateway.smtp.outbound.route_lookup import NextHop, fixed_hop
from ime_gateway.smtp.outbound.session import Manners, Session
from ime_gateway.smtp.outbound.tls_outbound import opportunistic_context
from ime_gateway.smtp.replies import recipient_knowledge

_CONNECTIONS = 4
"""To one server; whoever comes when they are all busy waits, at most `seconds`."""


class SmtpRecipientProbe:
    """`ports/recipient_probe` over SMTP; made once per worker, inside its event loop."""

    def __init__(self, hostname: str, delivery: Delivery, seconds: float) -> None:
        """hostname: our name in EHLO. seconds: longest time for one answer; afterwards it is `unasked`."""
        self._seconds = seconds
        self._pool = ConnectionPool(
            Manners(hostname, min(delivery.connect_seconds, seconds), min(delivery.reply_seconds, seconds)),
            opportunistic_context(),
            connections_per_hop=min(_CONNECTIONS, delivery.connections_per_hop),
            idle_seconds=delivery.idle_seconds,
        )

    async def ask(self, route: str, recipient: Address, *, use_tls: bool) -> Knowledge:
        """As the port says."""
        hop = fixed_hop(route, use_tls)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._ask(hop, recipient)
        except (ConnectionBroken, TimeoutError):
            return "unasked"

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    async def _ask(self, hop: NextHop, recipient: Address) -> Knowledge:
        session = await self._pool.acquire(hop)
        reused = session.idle_since > 0
        try:
            return await self._dialogue(hop, session, recipient)
        except ConnectionBroken:
            if not reused:
                raise
        # An idle server may hang up at any time; that says nothing about the recipient.
        return await self._dialogue(hop, await self._pool.acquire(hop, fresh=True), recipient)

    async def _dialogue(self, hop: NextHop, session: Session, recipient: Address) -> Knowledge:
        session.transactions += 1
        try:
            return await _rcpt(session, recipient)
        except BaseException:
            session.connection.abort()  # where a dialogue stopped half-way nobody else may go on
            raise
        finally:
            self._pool.release(hop, session)


async def _rcpt(session: Session, recipient: Address) -> Knowledge:
    """The three commands, in one write where the server takes that (RFC 2920). Raises ConnectionBroken."""
    asked = OutboundRecipient(str(recipient))
    mail = OutboundMail("", [asked], size=0, eight_bit=False, smtputf8=recipient.smtputf8)
    if commands.refusal_of_mail(mail, session.capabilities) or commands.refusal_of_recipient(asked):
        return "unsure"
    words = (
        commands.mail_from(mail, session.capabilities),
        commands.rcpt_to(asked, mail, session.capabilities),
        commands.RSET,
    )
    if session.capabilities.pipelining:
        session.connection.write(b"".join(words))
    answers = [await _say(session, word) for word in words]
    if answers[2].kind != 2:
        session.connection.abort()
    if answers[0].kind != 2:
        return "unasked"
    return recipient_knowledge(answers[1].code, answers[1].text)


async def _say(session: Session, command: bytes) -> Reply:
    if not session.capabilities.pipelining:
        session.connection.write(command)
    return await session.connection.read_reply(session.manners.reply_seconds)
