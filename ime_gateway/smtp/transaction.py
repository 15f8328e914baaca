"""One mail transaction from MAIL to the end of its message (RFC 5321 section 3.3)."""

from dataclasses import dataclass, field

from ime_gateway.mail.address import Address
from ime_gateway.ports.reception import RelayFacts, SessionInfo, Submission, SubmittedRecipient
from ime_gateway.smtp.commands import MailCommand, RcptCommand
from ime_gateway.smtp.data_reader import ChunkReader, DotReader, MessageContent
from ime_gateway.smtp.limits import Reservation


@dataclass(slots=True)
class Transaction:
    """The envelope, and the message while it comes in."""

    mail: MailCommand
    facts: RelayFacts
    content: MessageContent
    memory: Reservation
    recipients: dict[Address, SubmittedRecipient] = field(default_factory=dict)
    chunks: ChunkReader | None = None
    """Set by the first BDAT; from then on neither RCPT nor DATA fit (RFC 3030 section 2)."""
    ends_at: float = 0.0
    """When the whole message must be here, by the loop's clock."""

    def add(self, command: RcptCommand) -> None:
        """Take a recipient; one that is named twice gets one copy (RFC 5321 section 4.1.1.3), first wishes first."""
        self.recipients.setdefault(
            command.recipient, SubmittedRecipient(command.recipient, command.notify, command.orcpt)
        )

    def dot_reader(self) -> DotReader:
        """The reader for DATA."""
        return DotReader(self.content)

    def chunk_reader(self) -> ChunkReader:
        """The reader for BDAT, the same for all chunks of the message."""
        if self.chunks is None:
            self.chunks = ChunkReader(self.content)
        return self.chunks

    def submission(self, session: SessionInfo, received_at: float) -> Submission:
        """The finished message; its content is handed over, the memory stays reserved."""
        return Submission(
            session=session,
            sender=self.mail.sender,
            recipients=tuple(self.recipients.values()),
            data=self.content.take(),
            received_at=received_at,
            ret=self.mail.ret,
            envid=self.mail.envid,
            smtputf8=self.mail.smtputf8,
            body=self.mail.body,
        )
