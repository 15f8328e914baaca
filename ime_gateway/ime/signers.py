"""Who may sign containers for whom: the verdict on a signer, by the mode of the sender's domain (`ime_signers`).

The certificates of Outlook users are usually self-signed, so no path vouches for them: a person's signers are known by
pins (given by an administrator, confirmed by a challenge, endorsed by an older pin, or first seen) or by the directory.
Path, identity and permission are three questions; this answers the third from the answers to the first two
(RFC 8550 sections 3 and 4). A pin says who may sign and is never a key to encrypt to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate

Mode = Literal["confirm", "directory", "registered", "first-use"]
MOST_PINS = 20
"""Approved signers of one person who may bring in a further one themselves: enough machines for anybody."""


class KnownSigner(Protocol):
    """A pin, as far as deciding needs it."""

    @property
    def certificate(self) -> Certificate:
        """The signer."""
        ...

    @property
    def state(self) -> str:
        """`approved`, `pending` or `revoked`."""
        ...

    @property
    def origin(self) -> str:
        """`registered`, `confirmed`, `endorsed`, `first-use` or `challenged`."""
        ...


@dataclass(frozen=True, slots=True)
class SignerFacts:
    """What was found out about one signer of one person."""

    certificate: Certificate
    names_person: bool
    """An address in the certificate is the person's (RFC 8550 section 3)."""
    names_others: bool
    """It carries addresses, and none is the person's."""
    trusted: bool
    """A path to a trusted CA, or the administrators' word for this very certificate; in time and fit for signing."""
    fault: Reason | None = None
    """What is wrong with the certificate whoever it belongs to: denied, expired, weak, not made for signing."""
    evidence: str = ""
    """The words for `trusted` or `fault`, for people."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The signer may sign for the person."""

    how: Literal["pin", "directory", "first-use"]
    """`first-use`: allowed because nobody was known; to be pinned."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The mailbox must say that this signer is its own (a challenge)."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The signer may not sign for the person, and a challenge would not change that."""

    reason: Reason
    detail: str


def may_sign(facts: SignerFacts, pins: Sequence[KnownSigner], mode: Mode) -> Allowed | Unconfirmed | Denied:
    """The verdict on a signer; `pins` are all that are known of the person, in any state."""
    own = [pin for pin in pins if pin.certificate == facts.certificate]
    if any(pin.state == "revoked" for pin in own):
        return Denied(Reason.IME_SIGNER_UNKNOWN, "this certificate was revoked as signer by an administrator")
    if facts.fault is not None:
        return Denied(_REASON_OF.get(facts.fault, Reason.IME_BAD_SIGNATURE), f"signer {facts.evidence}")
    if facts.names_others:
        return Denied(Reason.IME_SIGNER_MISMATCH, "the signer's certificate names other addresses only")
    approved = [pin for pin in own if pin.state == "approved"]
    if mode == "registered":
        if any(pin.origin == "registered" for pin in approved):
            return Allowed("pin")
        return Denied(Reason.IME_SIGNER_UNKNOWN, "administrators register signers here; ask yours")
    if approved:
        return Allowed("pin")
    if not facts.names_person:
        return Denied(Reason.IME_SIGNER_MISMATCH, "the signer's certificate names no address")
    if facts.trusted:
        return Allowed("directory")
    if mode == "directory":
        return Denied(Reason.IME_SIGNER_UNKNOWN, f"neither directory nor a trusted CA gives it: {facts.evidence}")
    if mode == "first-use" and not pins:
        return Allowed("first-use")
    return Unconfirmed()


_REASON_OF = {Reason.CERTIFICATE_DENIED: Reason.IME_SIGNER_UNKNOWN}
"""A denied signer is nobody whose signature could be good or bad; all other faults spoil the signature."""
