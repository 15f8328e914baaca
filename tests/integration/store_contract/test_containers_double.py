"""The double of Containers keeps the same contract as the real store."""

import itertools
from dataclasses import dataclass, field

import pytest

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.queue import Envelope, Parcel, Row
from tests.doubles.containers_double import MemoryContainers
from tests.doubles.memory_queue import MemoryQueue, MemorySpool
from tests.integration.store_contract.container_contract import ContainerContract

_numbers = itertools.count()


@dataclass
class DoubleWorld:
    """A `ContainerWorld` in memory."""

    spool: MemorySpool = field(default_factory=MemorySpool)

    def __post_init__(self) -> None:
        self.queue = MemoryQueue(self.now, self.spool)
        self.containers = MemoryContainers(self.queue, self.now)

    def now(self) -> float:
        return 1_800_000_000.0

    def parcel(self, recipient: str = "bob@partner.example") -> Parcel:
        number = next(_numbers)
        body = self.spool.write([b"x"], 1)
        envelope = Envelope(f"e{number}", body.id, b"Subject: x\r\n\r\n")
        row = Row(f"r{number}", envelope.id, recipient, "recipient", "none", "not-required", "")
        return Parcel(f"m{number}", "", "", "internal", self.now(), (body,), (envelope,), (row,))

    def put_ime_key(self, domain: str, certificate: Certificate, key: bytes, *, older_open_until: float) -> None:
        self.containers.put_key(domain, certificate, key, older_open_until)

    def put_pin(self, pin: Pin) -> None:
        self.containers.put_pin(pin)

    def promised(self) -> list[str]:
        return list(self.queue.parcels)

    def told(self, message: str) -> list[str]:
        return [event.event for event in self.queue.events if event.id == message]


@pytest.fixture
def world() -> DoubleWorld:
    return DoubleWorld()


class TestContainersDouble(ContainerContract):
    """The whole contract."""
