"""What signatures told of people's programs, kept for a minute: it is asked for every message and changes rarely.

Each worker keeps its own; a person who changes programs is served the old way for at most a minute more, which RFC
8551 section 2.7.1 takes for granted (what is known of a peer is always of yesterday).
"""

from collections.abc import Sequence
from typing import Final, Protocol

from ime_gateway.ports.containers import Learnt

KEPT_SECONDS: Final = 60.0
_MAX_PEOPLE = 20_000


class Teachings(Protocol):
    """The part of ports/containers.Containers that is needed here."""

    async def learnt(self, addresses: Sequence[str]) -> dict[str, Learnt]:
        """What signatures told about people, by `Address.key`. May raise StoreUnavailable."""
        ...


class Taught:
    """Asks the store once a minute for each person, also for those who told nothing."""

    def __init__(self, teachings: Teachings) -> None:
        self._teachings = teachings
        self._kept: dict[str, tuple[float, Learnt | None]] = {}

    async def about(self, addresses: Sequence[str], moment: float) -> dict[str, Learnt]:
        """What is known of these people, by `Address.key`, at `moment` (seconds since 1970 UTC).

        Raises StoreUnavailable.
        """
        missing = [address for address in dict.fromkeys(addresses) if not self._is_fresh(address, moment)]
        told: dict[str, Learnt] = {}
        if missing:
            told = await self._teachings.learnt(missing)
            if len(self._kept) + len(missing) > _MAX_PEOPLE:
                self._kept.clear()
            self._kept.update((address, (moment, told.get(address))) for address in missing[:_MAX_PEOPLE])
        kept = ((address, self._kept.get(address, (moment, told.get(address)))[1]) for address in addresses)
        return {address: learnt for address, learnt in kept if learnt is not None}

    def _is_fresh(self, address: str, moment: float) -> bool:
        kept = self._kept.get(address)
        return kept is not None and 0 <= moment - kept[0] < KEPT_SECONDS
