"""What the pipeline asks and keeps about IME 2.0 containers: keys, signer pins, challenges, what was seen.

A container is opened with a key of the IME address it was sent to, believed only from a certificate that may
sign for its sender (a pin), and acted upon once. Pins say who may *sign*; nothing here ever encrypts to anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.queue import Event, Parcel

PinState = Literal["approved", "pending", "revoked"]
PinOrigin = Literal["registered", "confirmed", "endorsed", "first-use", "challenged"]
"""Given by an administrator; answered a challenge; named by an older pin of the person; first seen on an internal
listener; or only known because a challenge was sent (always `pending`)."""


@dataclass(frozen=True, slots=True)
class ImeKey:
    """A key pair of a managed domain's IME address."""

    domain: str
    """The managed domain."""
    certificate: Certificate
    private_key: bytes = field(repr=False)
    """PKCS#8 DER, unsealed."""
    opens_until: float
    """Seconds since 1970 UTC; infinity for the current key, the end of the overlap for older ones."""


@dataclass(frozen=True, slots=True)
class Pin:
    """Whether a certificate may sign containers for a person. A person may have several (several machines)."""

    address: str
    """`Address.key` of the person."""
    certificate: Certificate
    state: PinState
    origin: PinOrigin
    at: float
    """When the state was last set, seconds since 1970 UTC."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A question sent to a mailbox: did you sign this? A reply signed with the same key answers it (as in RFC 8823)."""

    token_hash: str
    """Hexadecimal SHA-256 of the token in the mail; the token itself is stored nowhere."""
    address: str
    """`Address.key` of the mailbox that was asked."""
    certificate: Certificate
    """The signer that waits."""
    sent_at: float
    expires_at: float


MOST_PENDING = 20
"""Pending pins of one person; who makes up certificates must not be able to fill the administrators' list."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What became of the wish to ask a mailbox about a signer."""

    why: Literal["asked", "open", "full", "revoked", "approved"]
    """Asked now; asked before and not answered; not asked, because too many other questions to the mailbox are open;
    not asked, because an administrator has revoked this signer for this person, or because the signer was approved
    while the container was looked at."""
    sent_at: float = 0.0
    """`open`: when it was asked, seconds since 1970 UTC."""
    unanswered: int = 0
    """`full`: how many questions are open."""
    pinned: bool = True
    """A pin of this signer is there, so that an administrator can approve it; not when `MOST_PENDING` others wait."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a verified signature told of its signer's programs (RFC 8551 section 2.5.2)."""

    address: str
    capabilities: bytes
    """SMIMECapabilities in DER as it was signed."""
    signing_time: float
    """Only a newer signingTime replaces what is known."""
    preferred: str = ""
    """Thumbprint of the certificate the signer prefers for encryption (section 2.5.3); a preference among
    certificates that the directory gives and that are valid, never a certificate to trust. Empty: none."""


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """What is committed together with the parcel that a container became."""

    replay_key: str
    """Hexadecimal SHA-256 over signer key, messageDigest and signingTime."""
    sender: str
    """`Address.key` of the envelope sender."""
    keep_until: float
    """Seconds since 1970 UTC; 14 days after it came."""
    pins: Sequence[Pin] = ()
    """Pins that this container brings: of first use, or endorsed by its signer."""
    signer: str = ""
    """Thumbprint of the certificate that signed it. What it endorses counts only while its own pin is approved."""
    learnt: Learnt | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A container that was accepted before."""

    sender: str
    message: str
    """Id of the parcel that it became."""
    at: float


class Containers(Protocol):
    """Every method may raise StoreUnavailable."""

    async def ime_keys(self, domain: str, moment: float) -> tuple[ImeKey, ...]:
        """Keys that open containers at the IME address of a managed domain at `moment`, the current one first."""
        ...

    async def pins(self, address: str) -> tuple[Pin, ...]:
        """Everything known about signers of one person, by `Address.key`; newest first."""
        ...

    async def seen(self, replay_key: str) -> Seen | None:
        """The container with this replay key, if it was accepted in the last 14 days."""
        ...

    async def first_ciphertext(self, key_digest: str, ciphertext_digest: str, keep_until: float) -> bool:
        """Whether this is the first ciphertext under its encrypted content key, or that one again; it takes the place
        when that is free, durably before the answer. `keep_until`: seconds since 1970 UTC, 400 days after it came."""
        ...

    async def ciphertext_under(self, key_digest: str) -> str | None:
        """The digest of the first ciphertext under an encrypted content key, while it is kept; None when the place is
        free. Writes nothing."""
        ...

    async def challenge(
        self,
        challenge: Challenge,
        mail: Parcel,
        events: Sequence[Event],
        most_open: int,
        renew_before: float = float("-inf"),
    ) -> Asking:
        """Commit a challenge, a pending pin for it and its mail with `events` in one transaction.

        Nobody is asked while one for the same person and certificate is open (unless it was sent at `renew_before`,
        seconds since 1970 UTC, or earlier: then this one takes its place, and only its token counts), while the person
        has `most_open` open ones (then only the pending pin is written), or when the signer is revoked. The caller
        then discards the mail's bodies and writes its own events. When the mail's row settles `failed` or `dropped`,
        the challenge goes with it and the pending pin's note says why."""
        ...

    async def open_challenge(self, token_hash: str, moment: float) -> Challenge | None:
        """The challenge that this token answers, unless it was answered or has run out."""
        ...

    async def confirm(self, token_hash: str, pin: Pin, events: Sequence[Event]) -> bool:
        """Commit the answer: the pin is stored, the challenge is used up. False when it was used up already, or an
        administrator has revoked this certificate for this person meanwhile."""
        ...

    async def learnt(self, addresses: Sequence[str]) -> dict[str, Learnt]:
        """What signatures told about people, by `Address.key`; who is not there has told nothing."""
        ...
