"""One message to one server: MAIL, RCPT, DATA, content, dot, and a reply for each recipient (RFC 5321 section 3.3).

Where the server knows PIPELINING the commands leave in one write (RFC 2920), which halves the waiting.
Nothing but a 2yz after the final dot counts as taken. When that reply never comes, the message may
have arrived: it is sent again, because a copy too many is better than none (RFC 1047).
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import structlog

from ime_gateway.mail.delivery_report import Status
from ime_gateway.ports.relay import Content, OutboundMail, RelayReply
from ime_gateway.smtp.outbound import commands
from ime_gateway.smtp.outbound.client import ConnectionBroken
from ime_gateway.smtp.outbound.data_writer import END, DataWriter, UnsafeContent
from ime_gateway.smtp.outbound.reply_parser import Reply
from ime_gateway.smtp.outbound.session import Session
from ime_gateway.smtp.replies import STOPPING, code

_JOINED_BYTES = 131_072
"""Up to this size the end of a message leaves together with its last piece."""

log = structlog.get_logger("delivery")


@dataclass(frozen=True, slots=True)
class HandedOver:
    """How one transaction went."""

    replies: Sequence[RelayReply]
    """One for each recipient."""
    progress: Literal["none", "some", "decided"]
    """`none`: gone before the answer to MAIL. `some`: gone before the final dot and before it refused
    anybody, so that another host may be asked. `decided`: the replies stand."""


async def hand_over(session: Session, mail: OutboundMail, content: Content) -> HandedOver:
    """Run the transaction; afterwards the session is reusable or its connection is closed.

    Raises only what `content` raises; the server has then not got the message.
    """
    refused = commands.refusal_of_mail(mail, session.capabilities)
    if refused is not None:
        return HandedOver([refused] * len(mail.recipients), "decided")
    transaction = _Transaction(session, mail)
    if not transaction.wanted:
        return HandedOver(transaction.result(), "decided")
    session.transactions += 1
    try:
        await transaction.run(content)
    except ConnectionBroken as error:
        session.connection.abort()
        transaction.settle_rest(RelayReply.own(Status.BROKEN_CONNECTION, f"{error}, at {transaction.stage}"))
    except BaseException:
        session.connection.abort()  # without the final dot there is no message (RFC 5321 section 4.1.1.4)
        raise
    return HandedOver(transaction.result(), transaction.progress)


class _Transaction:
    """The state of one transaction."""

    def __init__(self, session: Session, mail: OutboundMail) -> None:
        self._session = session
        self._connection = session.connection
        self._mail = mail
        self._pipelined = session.capabilities.pipelining
        self._replies: list[RelayReply | None] = [commands.refusal_of_recipient(each) for each in mail.recipients]
        self.wanted = [place for place, reply in enumerate(self._replies) if reply is None]
        """Recipients that the server is asked about, by their place."""
        self._accepted: list[int] = []
        self.stage = "MAIL"
        self.progress: Literal["none", "some", "decided"] = "none"

    def result(self) -> list[RelayReply]:
        """A reply for each recipient."""
        return [reply for reply in self._replies if reply is not None]

    def settle_rest(self, reply: RelayReply) -> None:
        """Who has no reply of their own gets this one."""
        self._replies = [reply if known is None else known for known in self._replies]

    async def run(self, content: Content) -> None:
        """The dialogue."""
        mail_command = commands.mail_from(self._mail, self._session.capabilities)
        recipients = [
            commands.rcpt_to(self._mail.recipients[place], self._mail, self._session.capabilities)
            for place in self.wanted
        ]
        if self._pipelined:
            self._connection.write(b"".join((mail_command, *recipients, commands.DATA)))
        reply = await self._ask(mail_command)
        if reply.code == code(STOPPING):
            self._goodbye(reply)
            return
        self.progress = "some"
        if reply.kind == 2:
            await self._ask_recipients(recipients)
        else:
            self._decide(reply)
            if self._pipelined:
                for _ in recipients:
                    await self._ask(b"")  # the server's answers to what it could not serve without MAIL
        if self._accepted:
            await self._data(content)
        else:
            await self._without_recipients()

    async def _ask(self, command: bytes, *, go_on: bool = False) -> Reply:
        """Say the command, unless it was said already, and hear its reply; 3yz only where it has a meaning."""
        if not self._pipelined:
            self._connection.write(command)
        reply = await self._connection.read_reply(self._session.manners.reply_seconds)
        if reply.kind == 3 and not go_on:
            raise ConnectionBroken("the server is out of step")
        return reply

    async def _ask_recipients(self, recipients: Sequence[bytes]) -> None:
        self.stage = "RCPT"
        for place, command in zip(self.wanted, recipients, strict=True):
            reply = await self._ask(command)
            if reply.code == code(STOPPING):
                self._goodbye(reply)
                raise ConnectionBroken("the server is closing down")
            if reply.kind == 2:
                self._accepted.append(place)
            else:
                self._replies[place] = _theirs(reply)
                self.progress = "decided"

    async def _data(self, content: Content) -> None:
        self.stage = "DATA"
        reply = await self._ask(commands.DATA, go_on=True)
        if reply.kind == 2:  # no message was sent, so none was taken, whatever the server believes
            raise ConnectionBroken("the server is out of step")
        if reply.kind != 3:
            self._decide(reply)
            await self._reset(reply)
            return
        self.stage = "the message"
        if not await self._send(content):
            return
        self.progress = "decided"
        self.stage = "the end of the message"
        try:
            reply = await self._connection.read_reply(self._session.manners.end_seconds)
        except ConnectionBroken as error:
            log.warning(
                "no reply after the end of a message; it is sent again", peer=self._session.peer, cause=str(error)
            )
            raise
        if reply.kind == 3:
            raise ConnectionBroken("the server is out of step")
        self._decide(reply)
        if reply.code == code(STOPPING):
            self._connection.abort()

    async def _send(self, content: Content) -> bool:
        """The message with its final dot; False when that was not sent, and why is decided."""
        try:
            async with aclosing(content()) as pieces:
                end = await self._send_pieces(pieces)
        except UnsafeContent as error:
            log.error("a stored message is not fit to be sent", peer=self._session.peer, cause=str(error))
            self._give_up(RelayReply.own(Status.UNSAFE_CONTENT, str(error)))
            return False
        except ConnectionBroken:
            if self._connection.unread is None:
                raise
            end = b""
        early = self._connection.unread
        if early is not None:
            # No answer to the dot, for that was not sent: a refusal holds, a "taken" does not.
            refusal = _theirs(early) if early.kind in (4, 5) else None
            self._give_up(refusal or RelayReply.own(Status.PROTOCOL_TROUBLE, "the server answered before the end"))
            return False
        self._connection.write(end)
        return True

    async def _send_pieces(self, pieces: AsyncGenerator[bytes, None]) -> bytes:
        """All of the message but what is returned: the end, with the last piece where that is small."""
        writer = DataWriter()
        waiting = b""
        async for piece in pieces:
            if waiting:
                self._connection.write(waiting)
                await self._connection.drain(self._session.manners.reply_seconds)
                if self._connection.unread is not None:
                    return b""
            waiting = writer.feed(piece)
        end = writer.finish()
        if len(waiting) <= _JOINED_BYTES:
            return waiting + end
        self._connection.write(waiting)
        await self._connection.drain(self._session.manners.reply_seconds)
        return end

    async def _without_recipients(self) -> None:
        """Nobody was accepted; a pipelined DATA that was taken all the same gets no message (RFC 2920 section 3.1)."""
        self.progress = "decided"
        self.stage = "RSET"
        try:
            if self._pipelined:
                reply = await self._ask(b"", go_on=True)
                if reply.kind == 3:
                    self._connection.write(END)
                    await self._connection.read_reply(self._session.manners.end_seconds)
                    return
            await self._reset(None)
        except ConnectionBroken:
            self._connection.abort()  # everybody has their reply already

    async def _reset(self, after: Reply | None) -> None:
        """Leave no open transaction on a connection that others will use (RFC 5321 section 4.1.1.5)."""
        if after is not None and after.code == code(STOPPING):
            self._connection.abort()
            return
        try:
            self._connection.write(commands.RSET)
            reply = await self._connection.read_reply(self._session.manners.reply_seconds)
        except ConnectionBroken:
            return
        if reply.kind != 2:
            self._connection.abort()

    def _decide(self, reply: Reply) -> None:
        """This reply is the one of everybody who has none yet."""
        self.progress = "decided"
        if reply.kind == 3:
            self.settle_rest(
                RelayReply.own(Status.PROTOCOL_TROUBLE, f"the server answered {self.stage} with a question")
            )
        else:
            self.settle_rest(_theirs(reply))

    def _goodbye(self, reply: Reply) -> None:
        """The server closes down: nobody was served, whatever it had said before (RFC 5321 section 3.8)."""
        self.settle_rest(_theirs(reply))
        self._connection.abort()

    def _give_up(self, reply: RelayReply) -> None:
        self.progress = "decided"
        self.settle_rest(reply)
        self._connection.abort()


def _theirs(reply: Reply) -> RelayReply:
    return RelayReply(reply.code, reply.text)
