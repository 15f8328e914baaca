"""Private keys that open incoming mail and sign outgoing mail: of people and of whole domains.

Asked for by owner only, so that no caller can come by a key that belongs to nobody on the envelope (P8): keys of IME
addresses and of CAs are not here at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ime_gateway.certs.certificate import Certificate

DomainKeyState = Literal["next", "current", "older"]
"""Announced and opening already; the one that signs and that partners should use; only opening."""


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key pair of a person or of a managed domain."""

    owner: str
    """`Address.key` of the person, or the name of the domain."""
    certificate: Certificate
    private_key: bytes = field(repr=False)
    """PKCS#8 DER, unsealed."""
    state: DomainKeyState = "current"
    """Always `current` for people."""


class Keyring(Protocol):
    """Every method may raise StoreUnavailable."""

    async def of_people(self, addresses: Sequence[str]) -> Mapping[str, tuple[KeptKey, ...]]:
        """By `Address.key`; whoever has no private key here is missing."""
        ...

    async def of_domains(self, domains: Sequence[str]) -> Mapping[str, tuple[KeptKey, ...]]:
        """By managed domain: the current one first, then the next, then older ones from the newest."""
        ...
