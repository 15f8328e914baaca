"""What is remembered of incoming mail, in memory, with the contract of ports/incoming; over a MemoryQueue."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ime_gateway.base.errors import OpenedForOthers
from ime_gateway.ports.incoming import OPENED_SECONDS, PROTECTED_SECONDS, Candidate, IncomingRecord
from ime_gateway.ports.queue import Parcel
from tests.doubles.memory_queue import MemoryQueue


@dataclass
class MemoryIncoming:
    """Implements `IncomingMemory`; what is committed with a parcel comes in by `queue`."""

    queue: MemoryQueue
    clock: Callable[[], float]
    opened: dict[tuple[str, str], float] = field(default_factory=dict)
    """Until when it is kept, by digest and address."""
    protected: dict[str, float] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    """All that were brought; no limits are kept here."""

    def __post_init__(self) -> None:
        self.queue.commit_incoming = self._commit

    async def opened_for(self, key_digests: Sequence[str]) -> Mapping[str, frozenset[str]]:
        known = {digest: self._known(digest) for digest in key_digests}
        return {digest: addresses for digest, addresses in known.items() if addresses}

    async def came_protected(self, digests: Sequence[str]) -> bool:
        return any(self.protected.get(digest, 0.0) > self.clock() for digest in digests)

    def _known(self, digest: str) -> frozenset[str]:
        return frozenset(who for (key, who), until in self.opened.items() if key == digest and until > self.clock())

    def _commit(self, _: Parcel, record: IncomingRecord) -> None:
        wanted: dict[str, set[str]] = {}
        for one in record.opened:
            if not one.bound:
                wanted.setdefault(one.key_digest, set()).update(one.addresses)
        if any(self._known(digest) and not who <= self._known(digest) for digest, who in wanted.items()):
            raise OpenedForOthers("its content key was opened for other recipients a moment ago")
        for one in record.opened:
            for who in one.addresses:
                self.opened[one.key_digest, who] = self.clock() + OPENED_SECONDS
        for digest in record.protected_ids:
            self.protected[digest] = self.clock() + PROTECTED_SECONDS
        self.candidates += record.candidates
