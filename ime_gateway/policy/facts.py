"""What `decide` may know about a message: plain values, gathered beforehand by the pipeline.

Deciding on facts alone keeps the decision pure: the same facts give the same plan, in the gateway,
in `explain` and in a test (habit 1: decide, then do).
"""

from dataclasses import dataclass
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address

Direction = Literal["outgoing", "internal", "incoming"]
Copy = Literal["recipient", "sent"]
EncryptionMode = Literal["mandatory", "on-request", "opportunistic", "never"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A certificate that might protect mail to one recipient, already judged."""

    thumbprint: str
    """`sha256:` and 64 hexadecimal digits."""
    usable: bool
    reason: Reason
    """When usable the reason for taking it, else the reason against."""
    detail: str
    """The evidence, for people: subject, dates, which root."""
    reads_gcm: bool = False
    """The owner is known to read AuthEnvelopedData (RFC 8551 section 2.5.2)."""
    reads_oaep: bool = False
    """The owner is known to read RSAES-OAEP with SHA-256 (RFC 4055 section 4.1)."""


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """One recipient of one message, and what could protect it."""

    address: Address
    copy: Copy
    blind: bool
    """True: in neither To nor Cc as delivered, so nobody else may learn of them (P6)."""
    managed: bool
    partner_encryption: EncryptionMode | None
    """The mode agreed with the recipient's domain; None for domains that are no partners."""
    personal: tuple[Candidate, ...] = ()
    domain: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One message as the policy sees it."""

    direction: Direction
    ime: Literal["1.0", "2.0"] | None
    wants_encryption: bool
    """A control header, Sensitivity or subject keyword of an insider asks for encryption."""
    wants_plain: bool
    """`x-smplain` or `[plain]` of an insider."""
    calendar: bool
    """The message is an invitation or another meeting message."""
    unavailable: str = ""
    """What the sender asked for that this version cannot do (signing, portal); empty: nothing."""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The installation's policy, as far as deciding needs it."""

    hierarchy: tuple[str, ...]
    on_unprotectable: Literal["refuse", "report"]
    sent_copy_without_key: Literal["refuse", "omit"]
    calendar: Literal["encrypt", "pass", "refuse"]
    content_cipher: Literal["auto", "aes-256-gcm", "aes-256-cbc"]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything `decide` needs; recipients in the order To, Cc, Bcc, other RCPT, sent copy."""

    message: MessageFacts
    policy: PolicyFacts
    recipients: tuple[RecipientFacts, ...]
