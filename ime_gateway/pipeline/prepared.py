"""A message between its arrival and the decision: headers as its sender meant them, wishes read, recipients known.

`outgoing` and `incoming` make it, `gather_facts` turns it into facts, `protect` carries the plan out on it.
"""

from dataclasses import dataclass
from typing import Literal

from ime_gateway.mail.address import Address
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.message import Message
from ime_gateway.policy.facts import Copy, Direction
from ime_gateway.ports.containers import ContainerRecord
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
    calendar: bool = False
    unavailable: str = ""
    hide_subject: bool = False
    """Wherever the message is encrypted its subject stands inside only (RFC 9788)."""
    carrier: HeaderBlock | None = None
    """IME 2.0: the header that the mail server has seen anyway, for reports that pass it."""
    container: ContainerRecord | None = None
    """IME 2.0: what is committed together with the message."""
