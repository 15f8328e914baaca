"""The plan for one message: per recipient what will be done and the one reason why (P4).

A plan is immutable and complete before anything is done; `pipeline/protect` carries it out and
`policy/explain` prints it.
"""

from dataclasses import dataclass
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.policy.facts import Candidate, Copy

ProtectionName = Literal["smime-personal", "smime-domain", "none"]
Cipher = Literal["aes-256-cbc", "aes-256-gcm"]


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A protection that was not chosen for a recipient, and why."""

    protection: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Considered:
    """A certificate that was looked at for a recipient, whatever came of it."""

    protection: str
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class RecipientPlan:
    """What happens for one recipient."""

    address: Address
    copy: Copy
    blind: bool
    group: int
    """Recipients with the same number share one envelope."""
    protection: ProtectionName | None
    """None: this recipient cannot be served."""
    reason: Reason
    detail: str
    keys: tuple[str, ...] = ()
    """Thumbprints of the certificates to encrypt to; empty for `none`."""
    cipher: Cipher | None = None
    oaep: bool = False
    """The content key goes to RSA keys with OAEP, because this recipient is known to read it; else PKCS#1 v1.5."""
    not_taken: tuple[NotTaken, ...] = ()
    considered: tuple[Considered, ...] = ()
    """Every candidate in the order in which they were tried; empty where nothing asks for encryption."""
    additional: tuple[str, ...] = ()
    """Thumbprints of the certificates that every envelope is encrypted to besides (an archive)."""
    signed_by: str = ""
    """Thumbprint of the certificate whose key signs the content; empty: it is not signed here."""
    bound: bool = False
    """Header and recipients stand inside the signature, a blind recipient's own address as Bcc."""
    version: int = 0
    """Which of the messages this recipient gets (`RecipientFacts.version`)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens with one message."""

    decision: Literal["deliver", "refuse"]
    recipients: tuple[RecipientPlan, ...]
    refusal: RecipientPlan | None = None
    """The recipient who stands in the way of the whole message, when it is refused for one."""
    refusal_reason: Reason | None = None
    refusal_detail: str = ""
