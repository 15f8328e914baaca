"""What is remembered of mail that came encrypted or signed, so that nothing that was opened gets to anybody else.

Committed together with the message: for whom a content key was opened, that answers to the mail must be encrypted, and
certificates that it brought.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from ime_gateway.certs.certificate import Certificate

OPENED_SECONDS: Final = 1_461 * 86_400.0
"""How long a content key is remembered: four years. A domain's key opens mail for three and the time in which both it
and its follower do; a content key that were forgotten earlier would be opened once more, for anybody."""
PROTECTED_SECONDS: Final = 90 * 86_400.0
"""How long what answers an encrypted mail must be encrypted, too."""

CandidateKind = Literal["person", "domain"]
CandidateState = Literal["pending", "approved", "rejected"]
CandidateOrigin = Literal["harvested", "exchange", "announcement", "directory"]
"""From any signed mail; from a mail to an exchange address; announced by a partner with a certificate that is in force;
found by LDAP."""


class ContentKey(NamedTuple):
    """An encrypted content key in an opened mail, and what came under it."""

    key_digest: str
    """SHA-256 of the encryptedKey, hexadecimal (`smime.layers.EncryptedLayer.encrypted_key_digests`)."""
    content_digest: str
    """SHA-256 of the encrypted content (`smime.layers.EncryptedLayer.content_digest`)."""


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """An encrypted content key that was opened, and for whom."""

    key_digest: str
    """As in `ContentKey`."""
    addresses: tuple[str, ...]
    """`Address.key` of each envelope recipient who got the content."""
    bound: bool = False
    """The mail itself names these recipients, signed by its sender's domain: whoever got the key before is no
    objection (`PartnerDomain.bound_recipients`)."""
    content_digest: str = ""
    """As in `ContentKey`."""


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What is remembered of an encrypted content key."""

    addresses: frozenset[str]
    """For whom (`Address.key`) it was opened."""
    contents: frozenset[str]
    """Digests of what came under it: one, as honest senders make a key for each content."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A certificate that somebody sent or a directory gave; used for nothing until it is approved."""

    owner: str
    """`Address.key`, or the name of a domain."""
    kind: CandidateKind
    certificate: Certificate
    origin: CandidateOrigin
    sender: str
    """Who sent it, as an `Address.key`; limits count by it."""
    message_id: str
    evidence: str
    """Why it may be believed: who signed, with which verdict. One line."""
    at: float
    """Seconds since 1970 UTC."""
    state: CandidateState = "pending"
    vouched: bool = False
    """Its mail is signed with a certificate of the partner's that is in force, so nothing that others bring holds it
    back. Not stored: afterwards it is told by its origin, `announcement`, which no other has."""


@dataclass(frozen=True, slots=True)
class IncomingRecord:
    """What is committed with one incoming message."""

    opened: tuple[OpenedKey, ...] = ()
    protected_ids: tuple[str, ...] = ()
    """Keyed hashes of the Message-IDs, outer and inner, of mail that came encrypted and was opened."""
    candidates: tuple[Candidate, ...] = ()
    """More than `CANDIDATES_OF_ONE_SENDER` a day are dropped without an error."""


CANDIDATES_OF_ONE_SENDER: Final = 10
"""Pending ones that one sender may bring in 24 hours; a sender is what an envelope says, which anybody may write."""


class IncomingMemory(Protocol):
    """Every method may raise StoreUnavailable."""

    async def opened_for(self, key_digests: Sequence[str]) -> Mapping[str, KnownKey]:
        """For whom and with what each of these content keys was opened before; new ones are missing."""
        ...

    async def came_protected(self, digests: Sequence[str]) -> frozenset[str]:
        """Those of these keyed hashes of Message-IDs that are of mail that came encrypted."""
        ...
