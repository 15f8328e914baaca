"""A message between its arrival and the decision: headers as its sender meant them, wishes read, recipients known.

`outgoing` and `incoming` make it, `gather_facts` turns it into facts, `protect` carries the plan out on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.message import Message
from ime_gateway.mail.recognise import Protection
from ime_gateway.pipeline.signature_verdicts import FoundSignature
from ime_gateway.policy.facts import Copy, Direction
from ime_gateway.ports.containers import ContainerRecord
from ime_gateway.ports.incoming import ContentKey, IncomingRecord
from ime_gateway.ports.queue import Origin


@dataclass(frozen=True, slots=True)
class PreparedRecipient:
    """One recipient of one copy, before anything was decided about it."""

    address: Address
    copy: Copy = "recipient"
    blind: bool = False
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """What some recipients of incoming mail get in the place of `Prepared.message`: opened with keys of theirs, or
    sealed as it came with other marks. Recipients who get the same share one object."""

    message: Message = field(repr=False)
    """Markers are gone from it at every nesting; the subject has its tags."""
    reason: Reason
    """`decrypted` when it was opened."""
    detail: str
    """With which key it was opened and what its signatures are worth."""
    marks: tuple[Field, ...] = field(default=(), repr=False)
    """Status fields of this version, on top of those that all incoming mail has."""
    opened: tuple[ContentKey, ...] = ()
    """Each content key that was opened for it, from the outside in; empty: sealed."""
    opened_with: tuple[str, ...] = ()
    """Thumbprints of the certificates whose keys opened it, in the same order."""
    signatures: tuple[FoundSignature, ...] = ()
    """What signed it, from the outside in, with verdicts."""
    content: Message | None = field(default=None, repr=False)
    """The innermost entity as it was found, header fields of its own included: nothing in it is to be believed by
    itself. None: nothing was opened."""
    unread: bool = False
    """A layer is left in `content` that was not taken off, so that nobody can tell who signed it."""
    inside: tuple[Message, ...] = field(default=(), repr=False)
    """What stands inside each layer, from the outside in, as signatures count them (`FoundSignature.layer`)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One message, ready to be decided about."""

    message: Message
    """Control and forged headers are gone, IME recipients restored."""
    sender: Address | None
    recipients: tuple[PreparedRecipient, ...]
    """In the order To, Cc, Bcc, other RCPT, sent copy."""
    direction: Direction
    origin: Origin
    ime: Literal["1.0", "2.0"] | None = None
    wants_encryption: bool = False
    wants_plain: bool = False
    wants_signature: bool = False
    desktop: Protection = "none"
    """How the sender's own program protected the whole message, by its structure."""
    calendar: bool = False
    unavailable: str = ""
    hide_subject: bool = False
    """Wherever the message is encrypted its subject stands inside only (RFC 9788)."""
    carrier: HeaderBlock | None = None
    """IME 2.0: the header that the mail server has seen anyway, for reports that pass it."""
    container: ContainerRecord | None = None
    """IME 2.0: what is committed together with the message."""
    as_it_came: Message | None = field(default=None, repr=False)
    """Incoming: with the markers that it came with, which signatures may cover; only to be verified and opened."""
    versions: Mapping[str, Version] = field(default_factory=dict)
    """Incoming: by `Address.key`; recipients who are missing get `message`."""
    incoming: IncomingRecord | None = None
    """Incoming: what is remembered of the mail, committed together with it."""
    came_encrypted: bool = False
    """Incoming: it came encrypted, whether or not anybody's version could be opened."""
    signatures: tuple[FoundSignature, ...] = ()
    """Incoming: what signed `message`; signatures inside an encryption are those of a version."""
    marks: tuple[Field, ...] = field(default=(), repr=False)
    """Incoming: status fields of `message`."""
    detail: str = ""
    """Incoming: what was found about `message`, for tracking; empty: nothing."""
    older_keys: tuple[tuple[str, str], ...] = ()
    """Incoming: managed domain and thumbprint of older domain keys that opened it: its sender has not heard of the
    current ones."""
