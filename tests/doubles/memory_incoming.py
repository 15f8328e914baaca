"""What is remembered of incoming mail, in memory, with the contract of ports/incoming; over a MemoryQueue."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ime_gateway.base.errors import OpenedForOthers
from ime_gateway.ports.incoming import OPENED_SECONDS, PROTECTED_SECONDS, Candidate, IncomingRecord, KnownKey
from ime_gateway.ports.queue import Parcel
from tests.doubles.memory_queue import MemoryQueue


@dataclass
class MemoryIncoming:
    """Implements `IncomingMemory`; what is committed with a parcel comes in by `queue`."""

    queue: MemoryQueue
    clock: Callable[[], float]
    opened: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    """Content digest, and until when it is kept, by key digest and address."""
    protected: dict[str, float] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    """All that were brought; no limits are kept here."""

    def __post_init__(self) -> None:
        self.queue.commit_incoming = self._commit

    async def opened_for(self, key_digests: Sequence[str]) -> Mapping[str, KnownKey]:
        known = {digest: self._known(digest) for digest in key_digests}
        return {digest: one for digest, one in known.items() if one.addresses}

    async def came_protected(self, digests: Sequence[str]) -> frozenset[str]:
        return frozenset(digest for digest in digests if self.protected.get(digest, 0.0) > self.clock())

    def _known(self, digest: str) -> KnownKey:
        found = [
            (who, content)
            for (key, who), (content, until) in self.opened.items()
            if key == digest and until > self.clock()
        ]
        return KnownKey(frozenset(who for who, _ in found), frozenset(content for _, content in found))

    def _commit(self, _: Parcel, record: IncomingRecord) -> None:
        known = {one.key_digest: self._known(one.key_digest) for one in record.opened}
        for one in record.opened:
            before = known[one.key_digest]
            stranger = not one.bound and not before.addresses.issuperset(one.addresses)
            if before.addresses and (stranger or before.contents != {one.content_digest}):
                raise OpenedForOthers("its content key was opened for other recipients a moment ago")
        for one in record.opened:
            for who in one.addresses:
                self.opened[one.key_digest, who] = (one.content_digest, self.clock() + OPENED_SECONDS)
        for digest in record.protected_ids:
            self.protected[digest] = self.clock() + PROTECTED_SECONDS
        self.candidates += record.candidates
