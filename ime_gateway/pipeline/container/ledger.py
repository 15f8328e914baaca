"""Who is asked whether a ciphertext is the first under its content key, and how `explain` asks without leaving a trace.

Mail that arrives takes the place under its key (`ports/containers.Containers`, in one step, so that of two workers one
wins); whoever only wants to know what would happen must not take it from the real mail.
"""

from dataclasses import dataclass
from typing import Protocol

from ime_gateway.ports.containers import Containers


class Ledger(Protocol):
    """The part of `Containers` that is asked between unlocking a container and looking into it."""

    async def first_ciphertext(self, key_digest: str, ciphertext_digest: str, keep_until: float) -> bool:
        """As `Containers.first_ciphertext`."""
        ...


@dataclass(frozen=True, slots=True)
class ReadingLedger:
    """Gives the answer that the real ledger would give, and writes nothing."""

    containers: Containers

    async def first_ciphertext(self, key_digest: str, ciphertext_digest: str, keep_until: float) -> bool:
        """Whether the place is free or taken by this ciphertext. Raises StoreUnavailable."""
        return await self.containers.ciphertext_under(key_digest) in (None, ciphertext_digest)
