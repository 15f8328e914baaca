"""A Queue and a Spool in memory that keep the contract of ports/queue, for tests of what stands on it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.containers import ContainerRecord
from ime_gateway.ports.incoming import IncomingRecord
from ime_gateway.ports.queue import Envelope, Event, HeldEvidence, LeasedRow, Parcel, Row, SealedBody, Settlement, Spool

LEASE_SECONDS = 120.0


class MemorySpool(Spool):
    """Bodies in a dictionary; `damaged` ones cannot be read."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.damaged: set[str] = set()
        self._numbers = itertools.count(1)

    def write(self, chunks: Iterable[bytes | memoryview], expected_size: int) -> SealedBody:
        content = b"".join(bytes(chunk) for chunk in chunks)
        body = SealedBody(f"body-{next(self._numbers)}", len(content), None)
        self.bodies[body.id] = content
        return body

    def discard(self, body: SealedBody) -> None:
        self.bodies.pop(body.id, None)

    def read(self, body_id: str) -> Iterator[bytes]:
        content = self.bodies.get(body_id)
        if content is None:
            raise StoreUnavailable("a stored message is missing", body_id)
        for start in range(0, len(content), 65536):
            if body_id in self.damaged and start + 65536 >= len(content):
                raise StoreUnavailable("a stored message is damaged", body_id)
            yield content[start : start + 65536]


@dataclass
class _Row:
    row: Row
    parcel: Parcel
    due: float
    attempts: int = 0
    lease: str = ""
    owner: str = ""
    wish: str = ""
    last_reply: str = ""


@dataclass
class MemoryQueue:
    """Rows, events and parcels; `clock` gives the moment, `failures` makes the next calls fail."""

    clock: Callable[[], float]
    spool: MemorySpool
    rows: dict[str, _Row] = field(default_factory=dict)
    parcels: dict[str, Parcel] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    evidence: list[HeldEvidence] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    commit_container: Callable[[Parcel, ContainerRecord], None] = lambda *_: None
    """Takes a container together with its parcel, or raises AlreadySeen; a double of Containers sets it."""
    commit_incoming: Callable[[Parcel, IncomingRecord], None] = lambda *_: None
    """Takes what is remembered of incoming mail, or raises OpenedForOthers; a double of IncomingMemory sets it."""
    row_lost: Callable[[str, Settlement], None] = lambda *_: None
    """Hears of each row that settles failed or dropped, with the id of its parcel; a double of Containers sets it."""
    failures: dict[str, int] = field(default_factory=dict)
    """How often a method fails from now on, by its name."""
    _counts: dict[str, int] = field(default_factory=dict)
    _tokens: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def _maybe_fail(self, method: str) -> None:
        if self.failures.get(method, 0) > 0:
            self.failures[method] -= 1
            raise StoreUnavailable("the store is away", method)

    async def enqueue(
        self,
        parcel: Parcel,
        events: Sequence[Event],
        lease_owner: str | None,
        reports: Sequence[Parcel] = (),
        container: ContainerRecord | None = None,
        incoming: IncomingRecord | None = None,
    ) -> list[LeasedRow]:
        self._maybe_fail("enqueue")
        if container is not None:
            self.commit_container(parcel, container)
        if incoming is not None:
            self.commit_incoming(parcel, incoming)
        for report in reports:
            await self.enqueue(report, (), None)
        self.parcels[parcel.id] = parcel
        self.events += events
        for row in parcel.rows:
            self.rows[row.id] = _Row(row, parcel, self.clock())
        return self._take([self.rows[row.id] for row in parcel.rows], lease_owner) if lease_owner else []

    async def lease(self, owner: str, limit: int) -> list[LeasedRow]:
        self._maybe_fail("lease")
        due = [row for row in self.rows.values() if row.due <= self.clock() and row.wish != "hold"]
        return self._take(due[:limit], owner)

    def _take(self, rows: Iterable[_Row], owner: str) -> list[LeasedRow]:
        taken = []
        for row in rows:
            row.lease, row.owner, row.due = f"lease-{next(self._tokens)}", owner, self.clock() + LEASE_SECONDS
            parcel = row.parcel
            taken.append(
                LeasedRow(
                    row=row.row,
                    message=parcel.id,
                    sender=parcel.sender,
                    message_id=parcel.message_id,
                    origin=parcel.origin,
                    ret=parcel.ret,
                    envid=parcel.envid,
                    smtputf8=parcel.smtputf8,
                    received_at=parcel.received_at,
                    attempts=row.attempts,
                    lease=row.lease,
                    drop=row.wish,  # type: ignore[arg-type]
                )
            )
        return taken

    async def renew(self, owner: str) -> None:
        self._maybe_fail("renew")
        for row in self.rows.values():
            if row.owner == owner and row.lease:
                row.due = self.clock() + LEASE_SECONDS

    async def reclaim(self, place: str, owner: str) -> int:
        taken = [row for row in self.rows.values() if row.lease and row.owner.startswith(place) and row.owner != owner]
        for row in taken:
            row.lease, row.owner, row.due = "", "", self.clock()
        return len(taken)

    async def envelope(self, envelope_id: str) -> Envelope:
        self._maybe_fail("envelope")
        for parcel in self.parcels.values():
            for envelope in parcel.envelopes:
                if envelope.id == envelope_id:
                    return envelope
        raise StoreUnavailable("a stored message is missing", envelope_id)

    async def return_headers(self, message: str) -> bytes:
        self._maybe_fail("return_headers")
        return self.parcels[message].return_headers

    async def settle(self, settlements: Sequence[Settlement], parcels: Sequence[Parcel] = ()) -> list[str]:
        self._maybe_fail("settle")
        held = [s for s in settlements if s.row_id in self.rows and self.rows[s.row_id].lease == s.lease]
        lost = any(s.outcome in ("failed", "dropped") for s in settlements if s not in held)
        if parcels and lost:
            held = [s for s in held if s.outcome in ("delivered", "deferred")]
        elif parcels:
            for parcel in parcels:
                await self.enqueue(parcel, (), None)
        for settlement in held:
            self._settle_one(settlement)
        return [settlement.row_id for settlement in held]

    def _settle_one(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        self.events.append(settlement.event)
        row = self.rows[settlement.row_id]
        if settlement.outcome == "deferred":
            row.attempts += 1
            row.lease, row.owner, row.due = "", "", settlement.next_attempt
            row.last_reply = settlement.last_reply
            return
        del self.rows[settlement.row_id]
        if settlement.outcome in ("failed", "dropped"):
            self.row_lost(row.parcel.id, settlement)
        needed = {other.row.envelope_id for other in self.rows.values()}
        for envelope in row.parcel.envelopes:
            if envelope.id not in needed and not any(
                other.body_id == envelope.body_id and other.id in needed for other in row.parcel.envelopes
            ):
                self.spool.bodies.pop(envelope.body_id, None)

    async def record(self, events: Sequence[Event]) -> None:
        self._maybe_fail("record")
        self.events += events

    async def count_failure(self, digest: str) -> int:
        self._counts[digest] = self._counts.get(digest, 0) + 1
        return self._counts[digest]

    async def hold_evidence(self, evidence: HeldEvidence) -> None:
        self.evidence.append(evidence)

    async def next_hop_sizes(self) -> dict[str, int]:
        self._maybe_fail("next_hop_sizes")
        return dict(self.sizes)

    async def remember_size(self, route: str, size: int) -> None:
        self._maybe_fail("remember_size")
        self.sizes[route] = size
