"""The double of IncomingMemory keeps the same contract as the real store."""

import itertools
from dataclasses import dataclass, field

import pytest

from ime_gateway.ports.queue import Envelope, Parcel, Row
from tests.doubles.memory_incoming import MemoryIncoming
from tests.doubles.memory_queue import MemoryQueue, MemorySpool
from tests.integration.store_contract.incoming_contract import IncomingContract

_numbers = itertools.count()


@dataclass
class DoubleWorld:
    """An `IncomingWorld` in memory."""

    spool: MemorySpool = field(default_factory=MemorySpool)
    moment: float = 1_800_000_000.0

    def __post_init__(self) -> None:
        self.queue = MemoryQueue(lambda: self.moment, self.spool)
        self.incoming = MemoryIncoming(self.queue, lambda: self.moment)

    def later(self, seconds: float) -> None:
        self.moment += seconds

    def parcel(self) -> Parcel:
        number = next(_numbers)
        body = self.spool.write([b"x"], 1)
        envelope = Envelope(f"e{number}", body.id, b"Subject: x\r\n\r\n")
        row = Row(f"r{number}", envelope.id, "bob@acme.example", "recipient", "none", "not-required", "")
        return Parcel(f"m{number}", "", "", "internet", self.moment, (body,), (envelope,), (row,))

    def promised(self) -> list[str]:
        return list(self.queue.parcels)

    def told(self, message: str) -> list[str]:
        return [event.event for event in self.queue.events if event.id == message]


@pytest.fixture
def world() -> DoubleWorld:
    return DoubleWorld()


class TestIncomingDouble(IncomingContract):
    """The whole contract."""
