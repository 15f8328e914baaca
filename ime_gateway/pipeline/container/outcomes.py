"""What a container may amount to besides a message to deliver or a plain refusal.

Planning only names them, `container.replies` carries them out: so `explain` can tell them without doing them.
"""

from dataclasses import dataclass

from ime_gateway.base.outcome import Refused
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import Address
from ime_gateway.ports.containers import Pin


@dataclass(frozen=True, slots=True)
class RefusedContainer:
    """A refusal after opening: its evidence is for the log only, and it leaves at an even time."""

    refusal: Refused
    evidence: str


@dataclass(frozen=True, slots=True)
class Question:
    """The signer is unknown for this person: their mailbox is asked, the mail waits at the mail server."""

    person: Address
    signer: Certificate
    ime_address: Address
    """Where the container was sent to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A mail that answers a question rightly; nothing of it is delivered."""

    token_hash: str
    pin: Pin
    """What the answer makes of the signer."""


@dataclass(frozen=True, slots=True)
class AnsweredBefore:
    """An answer to a question that is answered: its signer is known, so the answer has done what it should."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same container from the same sender again: a lost reply must not become a false failure."""

    message: str
    """Id of the message that it became the first time."""


ContainerVerdict = RefusedContainer | Question | Answer | AnsweredBefore | Duplicate
