"""MAIL, RCPT, DATA and BDAT: how a session takes in one message after the other (RFC 5321 section 3.3, RFC 3030)."""

import asyncio
import traceback
from pathlib import Path
from typing import assert_never

from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.mail.address import Address
from ime_gateway.ports.reception import SessionInfo, Submission
from ime_gateway.smtp import commands, relay_permission, replies
from ime_gateway.smtp.commands import CommandError
from ime_gateway.smtp.data_reader import ChunkReader, ContentFault, DotReader, MessageContent
from ime_gateway.smtp.door import Door
from ime_gateway.smtp.transaction import Transaction
from ime_gateway.smtp.wire import Wire


class MailDialogue:
    """The mail half of one session: at most one transaction at a time."""

    def __init__(self, door: Door, wire: Wire, session: SessionInfo) -> None:
        self._door = door
        self._wire = wire
        self.session = session
        """Who speaks; replaced when EHLO or TLS tell more."""
        self._transaction: Transaction | None = None
        self.in_step = True
        """False: where the next command begins is not known, so no more may be run."""

    @property
    def is_idle(self) -> bool:
        """No transaction is open."""
        return self._transaction is None

    async def mail(self, argument: str) -> bytes:
        """MAIL opens a transaction (RFC 5321 section 4.1.1.2)."""
        door = self._door
        if not self.session.helo:
            return replies.out_of_order("EHLO comes first")
        if self._transaction is not None:
            return replies.out_of_order("a transaction is open already")
        mail = commands.parse_mail(argument)
        demanded = door.listener.client_certificate_names
        if demanded and not self.session.tls:
            return replies.TLS_FIRST
        if refusal := relay_permission.certificate_refusal(demanded, self.session.client_certificate_names):
            return await self._turn_away(refusal, mail.sender, None)
        if mail.size > door.smtp.max_message_bytes:
            return replies.too_large(door.smtp.max_message_bytes)
        if not door.memory.has_room(mail.size):
            return replies.OUT_OF_MEMORY
        facts = await door.reception.may_mail(self.session, mail.sender)
        if isinstance(facts, Refused):
            return await self._turn_away(facts, mail.sender, None)
        content = MessageContent(door.smtp.max_message_bytes, normalise=door.normalises)
        self._transaction = Transaction(mail, facts, content, door.memory.reservation())
        return replies.SENDER_OK

    async def rcpt(self, argument: str) -> bytes:
        """RCPT adds a recipient (RFC 5321 section 4.1.1.3)."""
        door, transaction = self._door, self._transaction
        if transaction is None or transaction.chunks is not None:
            return replies.out_of_order("MAIL comes first" if transaction is None else "the message has begun")
        sender = transaction.mail.sender
        rcpt = commands.parse_rcpt(argument, door.smtp.hostname, smtputf8=transaction.mail.smtputf8)
        if rcpt.recipient not in transaction.recipients:
            if len(transaction.recipients) >= door.smtp.max_recipients:
                return replies.TOO_MANY_RECIPIENTS
            refusal = relay_permission.may_relay(
                door.listener.role, sender, rcpt.recipient, transaction.facts, door.listener.relay_senders
            )
            if refusal is None and transaction.facts.unknown is not None:
                refusal = await transaction.facts.unknown(rcpt.recipient)
            if refusal is not None:
                return await self._turn_away(refusal, sender, rcpt.recipient)
        transaction.add(rcpt)
        return replies.RECIPIENT_OK

    async def data(self, argument: str) -> bytes:
        """DATA brings the message in lines (RFC 5321 section 4.1.1.4)."""
        transaction = self._transaction
        if argument:
            return replies.NO_ARGUMENT
        if transaction is None or transaction.chunks is not None:
            return replies.out_of_order("MAIL comes first" if transaction is None else "the message came by BDAT")
        if not transaction.recipients:
            return replies.NO_VALID_RECIPIENTS
        self._wire.write(replies.SEND_DATA)
        await self._read_message(transaction, transaction.dot_reader())
        return await self._finish(transaction)

    async def bdat(self, argument: str) -> bytes:
        """BDAT brings a counted piece of the message (RFC 3030 section 2)."""
        try:
            chunk = commands.parse_chunk(argument)
        except CommandError:
            self.in_step = False  # how many octets follow is unknown, and they must not become commands
            raise
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            await self._drop_chunk(chunk.size)
            return replies.out_of_order("MAIL comes first") if transaction is None else replies.NO_VALID_RECIPIENTS
        reader = transaction.chunk_reader()
        if chunk.size:
            reader.expect(chunk.size)
            await self._read_message(transaction, reader)
        if chunk.last:
            reader.finish()
        if chunk.last or transaction.content.fault is not None:
            return await self._finish(transaction)
        return replies.CHUNK_OK

    async def _turn_away(self, refused: Refused, sender: Address | None, recipient: Address | None) -> bytes:
        """Refuse a sender or recipient, and leave a trace: somebody will ask why (P4)."""
        self._door.log.warning(
            "refused",
            listener=self.session.listener,
            peer=self.session.peer_ip,
            sender=str(sender or ""),
            recipient=str(recipient or ""),
            reason=refused.reason.value,
            detail=refused.detail,
        )
        await self._door.reception.turned_away(self.session, sender, recipient, refused)
        return replies.refused(refused)

    def reset(self) -> None:
        """Forget the open transaction, if there is one, and give its memory back."""
        if self._transaction is not None:
            self._transaction.memory.release()
            self._transaction = None

    async def _drop_chunk(self, size: int) -> None:
        """Read the octets of a BDAT that has no transaction: they must not become commands (RFC 3030 section 2)."""
        self.in_step = False
        ends_at = asyncio.get_running_loop().time() + self._door.smtp.message_seconds
        while size:
            block = await self._wire.block(self._door.smtp.data_seconds, ends_at)
            self._wire.put_back(block[size:])
            size = max(0, size - len(block))
        self.in_step = True

    async def _read_message(self, transaction: Transaction, reader: DotReader | ChunkReader) -> None:
        smtp, content = self._door.smtp, transaction.content
        transaction.ends_at = transaction.ends_at or asyncio.get_running_loop().time() + smtp.message_seconds
        self.in_step = False  # an error on the way leaves us in the middle of the message
        rest = None
        while rest is None:
            rest = reader.feed(await self._wire.block(smtp.data_seconds, transaction.ends_at))
            if not transaction.memory.grow_to(content.size):
                content.discard(ContentFault.OUT_OF_MEMORY)
        self._wire.put_back(rest)
        self.in_step = True

    async def _finish(self, transaction: Transaction) -> bytes:
        """Hand the message over; the reply is the promise of RFC 5321 section 6.1."""
        try:
            if transaction.content.fault is not None:
                return self._fault_reply(transaction, transaction.content.fault)
            size, begun = transaction.content.size, asyncio.get_running_loop().time()
            submission = transaction.submission(self.session, self._door.clock.now())
            result = await self._receive(submission)
            seconds = asyncio.get_running_loop().time() - begun
            refused = result if isinstance(result, Refused) else None
            self._log_message(transaction, _outcome_word(result), result.message_id, size, seconds, refused)
            return replies.outcome(result)
        finally:
            self.reset()

    async def _receive(self, submission: Submission) -> Outcome:
        """The edge: an unforeseen error refuses this message and is counted, and the session goes on."""
        try:
            return await self._door.reception.receive(submission)
        except Exception as error:
            self._door.log.exception("unexpected error with a message", listener=self.session.listener)
            return await self._door.reception.failed(submission, _cause(error))

    def _fault_reply(self, transaction: Transaction, fault: ContentFault) -> bytes:
        self._log_message(transaction, fault.name.lower().replace("_", "-"), "", 0, 0.0)
        match fault:
            case ContentFault.BARE_NEWLINE:
                return replies.BARE_NEWLINE_IN_DATA
            case ContentFault.NUL:
                return replies.NUL_IN_DATA
            case ContentFault.TOO_LARGE:
                return replies.too_large(self._door.smtp.max_message_bytes)
            case ContentFault.OUT_OF_MEMORY:
                return replies.OUT_OF_MEMORY
        assert_never(fault)

    def _log_message(
        self,
        transaction: Transaction,
        outcome: str,
        message_id: str,
        size: int,
        seconds: float,
        refused: Refused | None = None,
    ) -> None:
        """One line for each message; of a refused one who could not be served and why, never what it says."""
        tell = self._door.log.info if refused is None else self._door.log.warning
        tell(
            "message",
            id=message_id,
            listener=self.session.listener,
            peer=self.session.peer_ip,
            sender=str(transaction.mail.sender or ""),
            recipients=len(transaction.recipients),
            size=size,
            ms=round(seconds * 1000, 1),
            outcome=outcome,
            **({} if refused is None else {"recipient": refused.address, "detail": refused.detail}),
        )


def _outcome_word(result: Outcome) -> str:
    match result:
        case Accepted(duplicate=duplicate):
            return "duplicate" if duplicate else "accepted"
        case Refused(reason=reason):
            return reason.value
    assert_never(result)


def _cause(error: Exception) -> str:
    """Evidence without content: what kind of error, and where; its text might quote the message."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"
