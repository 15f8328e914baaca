"""What is asked and kept about revocations: stored answers, our own CA's word, and the ways to ask the network.

Answers are kept for all workers and nodes as they came, signatures included: whoever reads one checks it again, so that
a row nobody vouches for can withhold knowledge but never invent it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ime_gateway.certs.known_revocations import AnswerKind, OwnAuthorities, StoredAnswer

__all__ = [
    "AnswerKind",
    "OwnAuthorities",
    "RevocationAnswers",
    "RevocationSource",
    "RevocationStore",
    "StoredAnswer",
    "Unfetched",
]


class RevocationStore(Protocol):
    """Every method may raise StoreUnavailable."""

    async def answers(self, kind: AnswerKind, names: Sequence[str]) -> Mapping[str, StoredAnswer]:
        """What is stored under these names; what was never asked for is missing."""
        ...

    async def keep(self, answer: StoredAnswer) -> None:
        """Store an answer; without `der` only how the attempt ended, and what was there before stays."""
        ...

    async def want(self, kind: AnswerKind, names: Sequence[str], moment: float) -> None:
        """Note that mail asked for these at `moment` (seconds since 1970 UTC)."""
        ...

    async def crls_to_renew(self, moment: float, wanted_since: float) -> Sequence[StoredAnswer]:
        """CRLs whose half life is over at `moment`, that were wanted since then and not tried in the last minutes."""
        ...

    async def own_authorities(self) -> OwnAuthorities:
        """Our own CAs and what they revoked, as of now."""
        ...


class RevocationAnswers(Protocol):
    """The same for administrators, within one transaction of the registry (ports/registry)."""

    def answers(self, kind: AnswerKind, names: Sequence[str]) -> Mapping[str, StoredAnswer]:
        """What is stored under these names; what was never asked for is missing."""
        ...

    def own_authorities(self) -> OwnAuthorities:
        """Our own CAs and what they revoked, this transaction's changes included."""
        ...


@dataclass(frozen=True, slots=True)
class Unfetched:
    """Why nothing was brought, in words for the log and for `cert check`."""

    why: str


class RevocationSource(Protocol):
    """The network. Never raises for what a peer does; bounded in time and size."""

    async def crl(self, url: str) -> bytes | Unfetched:
        """The list behind an http, https, ldap or ldaps URL."""
        ...

    async def ocsp(self, url: str, question: bytes) -> bytes | Unfetched:
        """The answer of the responder at an http or https URL (RFC 6960 appendix A.1)."""
        ...
