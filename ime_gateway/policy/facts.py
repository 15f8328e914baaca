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
SigningMode = Literal["never", "on-request", "always"]
SelectedBy = Literal["automatic", "manual", "domain", "inherited", "directory"]
"""Named by the address itself; chosen by an administrator for it; set for its domain; set for a domain above; found in
a directory."""


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
    selected_by: SelectedBy = "automatic"
    """How it came to be a candidate."""


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """One recipient of one message, and what could protect it."""

    address: Address
    copy: Copy
    blind: bool
    """True: in neither To nor Cc as delivered, so nobody else may learn of them (P6)."""
    managed: bool
    partner_encryption: EncryptionMode | None
    """The mode that holds for mail to this recipient; None for managed domains, where only requests count."""
    personal: tuple[Candidate, ...] = ()
    domain: tuple[Candidate, ...] = ()
    mode_origin: str = ""
    """Where that mode is set: `address x`, `domain x`, `*.x`, `global`, `default`."""
    bound: bool = False
    """The recipient's gateway opens only what our domain signed with the recipient inside (`bound_recipients`)."""
    version: int = 0
    """Incoming: recipients with the same number get the same content; 0: the message as it came."""
    arrived: tuple[Reason, str] | None = None
    """Incoming: why the recipient gets that content, with the evidence; None: nothing was found about it."""


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
    """What the sender asked for that this version cannot do (the portal); empty: nothing."""
    sealed_already: bool = False
    """The sender's own program encrypted the whole of it."""
    answers_protected: bool = False
    """It answers, forwards or returns mail that came encrypted, and policy wants such mail encrypted."""
    recognised_by: str = ""
    """How that was recognised, in words for people; empty where it was not."""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The installation's policy, as far as deciding needs it."""

    hierarchy: tuple[str, ...]
    on_unprotectable: Literal["refuse", "report"]
    sent_copy_without_key: Literal["refuse", "omit"]
    calendar: Literal["encrypt", "pass", "refuse"]
    content_cipher: Literal["auto", "aes-256-gcm", "aes-256-cbc"]


@dataclass(frozen=True, slots=True)
class SigningFacts:
    """Whether this message shall be signed on its way out, and which keys could do it."""

    mode: SigningMode = "never"
    origin: str = ""
    """Where that is set, as `RecipientFacts.mode_origin`."""
    asked: bool = False
    """`x-smsign` or `[sign]` of an insider."""
    protected_already: bool = False
    """The sender's own program signed or encrypted it: another signature around it would hide that one."""
    is_report: bool = False
    """The envelope sender is empty: programs read it, and look for its type on the outside (RFC 6522)."""
    personal: tuple[Candidate, ...] = ()
    """Keys of the author on this gateway, best first."""
    domain: tuple[Candidate, ...] = ()
    """The current key of the author's domain."""
    missing: str = ""
    """Why there is no key at all, for people."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything `decide` needs; recipients in the order To, Cc, Bcc, other RCPT, sent copy."""

    message: MessageFacts
    policy: PolicyFacts
    recipients: tuple[RecipientFacts, ...]
    signing: SigningFacts = SigningFacts()
    additional: tuple[Candidate, ...] = ()
    """Certificates to which everything is encrypted, too (`[policy] additional_certificates`)."""
