"""The Queue of ports/queue: what is promised with 250, on both engines.

This file is the asyncio side: it seals, hands the work to the group commit, and keeps what was just
enqueued in memory. What happens inside the transactions stands in parcel_writes, lease_writes,
settle_writes and failure_writes.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from ime_gateway.base.errors import AlreadySeen, OpenedForOthers, OtherSignerFirst, StoreUnavailable
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.containers import ContainerRecord
from ime_gateway.ports.incoming import IncomingRecord
from ime_gateway.ports.queue import Envelope, Event, HeldEvidence, LeasedRow, Parcel, Settlement
from ime_gateway.store.connections import Connections
from ime_gateway.store.container_writes import ContainerRequest, Taken, insert_containers
from ime_gateway.store.failure_writes import (
    NEXT_HOP_SIZES,
    count_failures,
    evidence_values,
    hold_evidence,
    remember_sizes,
)
from ime_gateway.store.group_commit import GroupCommit
from ime_gateway.store.incoming_writes import IncomingRequest, insert_incoming
from ime_gateway.store.lease_writes import ANY_DUE, LeaseRequest, give_back, reclaim_leases, renew_leases, take_leases
from ime_gateway.store.parcel_writes import insert_events, insert_parcels
from ime_gateway.store.recent import Recent
from ime_gateway.store.rows import ParcelRows, event_values, leased_row, open_envelope, parcel_rows
from ime_gateway.store.sealed_secrets import SecretBox
from ime_gateway.store.settle_writes import Settled, SettleRequest, settle_rows
from ime_gateway.store.spool import SealedSpool


class DurableQueue:
    """Rows, envelopes and parcels of the store."""

    def __init__(
        self,
        connections: Connections,
        commits: GroupCommit,
        spool: SealedSpool,
        box: SecretBox,
        recent: Recent,
        readers: Executor,
        clock: Clock,
        lease_seconds: float,
    ) -> None:
        """`lease_seconds`: after that long without `renew`, a worker is taken for dead."""
        self._connections = connections
        self._commits = commits
        self._spool = spool
        self._box = box
        self._recent = recent
        self._readers = readers
        self._clock = clock
        self._lease_seconds = lease_seconds

    async def enqueue(
        self,
        parcel: Parcel,
        events: Sequence[Event],
        lease_owner: str | None,
        reports: Sequence[Parcel] = (),
        container: ContainerRecord | None = None,
        incoming: IncomingRecord | None = None,
    ) -> list[LeasedRow]:
        """As the port says. On StoreUnavailable nothing was promised: discard the bodies, answer 451."""
        token = self._box.random(12).hex()
        lease = (lease_owner, token, self._lease_seconds) if lease_owner else None
        leased = [leased_row(row, parcel, token) for row in parcel.rows] if lease else []
        rows = parcel_rows(parcel, events, self._box, lease)
        for report in reports:
            rows.add(parcel_rows(report, (), self._box, None))
        await self._insert(parcel, rows, leased, container, incoming)
        for each in (parcel, *reports):
            self._remember(each)
        return leased

    async def _insert(
        self,
        parcel: Parcel,
        rows: ParcelRows,
        leased: list[LeasedRow],
        container: ContainerRecord | None,
        incoming: IncomingRecord | None,
    ) -> None:
        def give_up(_: object) -> None:
            self._commits.post(give_back, leased)

        if incoming is not None:
            assert container is None, "a container comes from inside"
            remembered = IncomingRequest(rows, parcel.id, self._clock.now(), incoming)
            if not await self._commits.run(insert_incoming, remembered, give_up):
                raise OpenedForOthers("its content key was opened for other recipients a moment ago", parcel.id)
            return
        if container is None:
            await self._commits.run(insert_parcels, rows, give_up)
            return
        request = ContainerRequest(rows, parcel.id, parcel.received_at, self._clock.now(), container)
        taken: Taken = await self._commits.run(insert_containers, request, give_up)
        if taken == "rival":
            raise OtherSignerFirst("another signer of this person came first")
        if taken == "seen":
            raise AlreadySeen("this message was accepted before", f"replay key {container.replay_key}")

    async def lease(self, owner: str, limit: int) -> list[LeasedRow]:
        """As the port says. Asking an idle queue costs a read only."""
        if not await self._read(self._connections.read_bare, ANY_DUE):
            return []
        request = LeaseRequest(owner, limit, self._box.random(12).hex(), self._lease_seconds)
        leased: list[LeasedRow] = await self._commits.run(
            take_leases, request, lambda rows: self._commits.post(give_back, rows)
        )
        return leased

    async def reclaim(self, place: str, owner: str) -> int:
        """As the port says."""
        count: int = await self._commits.run(reclaim_leases, (place, owner))
        return count

    async def renew(self, owner: str) -> None:
        """As the port says; call it at least twice in a lease's time."""
        await self._commits.run(renew_leases, (owner, self._lease_seconds))

    async def envelope(self, envelope_id: str) -> Envelope:
        """As the port says."""
        kept: Envelope | None = self._recent.get(envelope_id)
        return kept if kept is not None else await self._read(self._find_envelope, envelope_id)

    async def return_headers(self, message: str) -> bytes:
        """As the port says."""
        rows = await self._read(
            self._connections.read_bare, "SELECT sealed_return_headers FROM parcels WHERE id = ?", (message,)
        )
        if not rows:
            raise StoreUnavailable("a stored message is missing", f"parcel {message}: no row")
        return self._box.open("parcels", message, rows[0][0])

    async def settle(self, settlements: Sequence[Settlement], parcels: Sequence[Parcel] = ()) -> list[str]:
        """As the port says."""
        rows = ParcelRows()
        for parcel in parcels:
            rows.add(parcel_rows(parcel, (), self._box, None))
        settled: Settled = await self._commits.run(settle_rows, SettleRequest(settlements, rows), self._tidy)
        if settled.enqueued:
            for parcel in parcels:
                self._remember(parcel)
        self._tidy(settled)
        return settled.rows

    async def record(self, events: Sequence[Event]) -> None:
        """As the port says."""
        await self._commits.run(insert_events, [event_values(event) for event in events])

    async def count_failure(self, digest: str) -> int:
        """As the port says."""
        count: int = await self._commits.run(count_failures, (digest, self._clock.now()))
        return count

    async def hold_evidence(self, evidence: HeldEvidence) -> None:
        """As the port says."""
        await self._commits.run(hold_evidence, evidence_values(evidence, self._box))

    async def next_hop_sizes(self) -> dict[str, int]:
        """As the port says."""
        return {route: int(size) for route, size in await self._read(self._connections.read_bare, NEXT_HOP_SIZES)}

    async def remember_size(self, route: str, size: int) -> None:
        """As the port says."""
        await self._commits.run(remember_sizes, (route, size))

    def _remember(self, parcel: Parcel) -> None:
        for envelope in parcel.envelopes:
            self._recent.put(envelope.id, envelope, len(envelope.head) + len(envelope.prefix) + len(envelope.suffix))
        for body in parcel.bodies:
            self._spool.remember(body)

    def _tidy(self, settled: Settled) -> None:
        for key in settled.gone:
            self._recent.drop(key)
        if settled.files:
            self._readers.submit(self._spool.remove_files, settled.files)

    def _find_envelope(self, envelope_id: str) -> Envelope:
        rows = self._connections.read_bare(
            "SELECT body_id, base64, eight_bit, wire_size, sealed_parts FROM envelopes WHERE id = ?", (envelope_id,)
        )
        if not rows:
            raise StoreUnavailable("a stored message is missing", f"envelope {envelope_id}: no row")
        return open_envelope(envelope_id, rows[0], self._box)

    async def _read(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(function, *arguments))
