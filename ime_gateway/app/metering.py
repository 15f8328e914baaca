"""Counts what passes the two doors, for the metrics page: wrapped around them at the roof.

The pipeline does not know that it is counted; the words are those of outcomes and reasons (P4).
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.mail.address import Address
from ime_gateway.ports.containers import ContainerRecord
from ime_gateway.ports.incoming import IncomingRecord
from ime_gateway.ports.queue import Event, LeasedRow, Parcel, Queue, Settlement
from ime_gateway.ports.reception import Reception, RelayFacts, SessionInfo, Submission

Count = Callable[[str, int], None]


class MeteredReception:
    """A reception that counts its outcomes."""

    def __init__(self, inner: Reception, count: Count) -> None:
        self._inner = inner
        self._count = count

    async def may_mail(self, session: SessionInfo, sender: Address | None) -> RelayFacts | Refused:
        """As the inner one."""
        return await self._inner.may_mail(session, sender)

    async def turned_away(
        self, session: SessionInfo, sender: Address | None, recipient: Address | None, refused: Refused
    ) -> None:
        """As the inner one, counted by reason."""
        self._count(f"refused:{refused.reason.value}", 1)
        await self._inner.turned_away(session, sender, recipient, refused)

    async def receive(self, submission: Submission) -> Outcome:
        """As the inner one, counted by outcome and reason."""
        size = len(submission.data)
        outcome = await self._inner.receive(submission)
        match outcome:
            case Accepted(duplicate=True):
                self._count("duplicate", 1)
            case Accepted():
                self._count("accepted", 1)
                self._count("accepted_bytes", size)
            case Refused():
                self._count(f"refused:{outcome.reason.value}", 1)
            case _:
                assert_never(outcome)
        return outcome

    async def failed(self, submission: Submission, cause: str) -> Refused:
        """As the inner one, counted as a refusal."""
        refused = await self._inner.failed(submission, cause)
        self._count(f"refused:{refused.reason.value}", 1)
        return refused


class MeteredQueue:
    """A queue that counts how attempts ended; everything else is the inner one's."""

    def __init__(self, inner: Queue, count: Count) -> None:
        self._inner = inner
        self._count = count
        self.lease = inner.lease
        self.reclaim = inner.reclaim
        self.renew = inner.renew
        self.envelope = inner.envelope
        self.return_headers = inner.return_headers
        self.count_failure = inner.count_failure
        self.hold_evidence = inner.hold_evidence
        self.next_hop_sizes = inner.next_hop_sizes
        self.remember_size = inner.remember_size

    async def enqueue(
        self,
        parcel: Parcel,
        events: Sequence[Event],
        lease_owner: str | None,
        reports: Sequence[Parcel] = (),
        container: ContainerRecord | None = None,
        incoming: IncomingRecord | None = None,
    ) -> list[LeasedRow]:
        """As the inner one."""
        leased = await self._inner.enqueue(parcel, events, lease_owner, reports, container, incoming)
        self._count_reported(events)
        return leased

    async def record(self, events: Sequence[Event]) -> None:
        """As the inner one."""
        await self._inner.record(events)
        self._count_reported(events)

    async def settle(self, settlements: Sequence[Settlement], parcels: Sequence[Parcel] = ()) -> list[str]:
        """As the inner one; only rows that were really settled count."""
        settled = await self._inner.settle(settlements, parcels)
        done = set(settled)
        for settlement in settlements:
            if settlement.row_id in done:
                self._count(settlement.outcome, 1)
        return settled

    def _count_reported(self, events: Sequence[Event]) -> None:
        self._count("reported", sum(event.event == "reported" for event in events))
