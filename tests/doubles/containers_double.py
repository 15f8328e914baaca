"""Containers in memory that keep the contract of ports/containers, over a MemoryQueue; tests look into its fields."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from ime_gateway.base.errors import AlreadySeen
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import Challenge, ContainerRecord, ImeKey, Learnt, Pin, Seen
from ime_gateway.ports.queue import Event, Parcel
from tests.doubles.memory_queue import MemoryQueue


@dataclass
class MemoryContainers:
    """Implements `Containers`; what is committed with a parcel comes in by `queue`."""

    queue: MemoryQueue
    clock: Callable[[], float]
    keys: list[ImeKey] = field(default_factory=list)
    known: dict[tuple[str, str], Pin] = field(default_factory=dict)
    accepted: dict[str, tuple[Seen, float]] = field(default_factory=dict)
    asked: dict[str, Challenge] = field(default_factory=dict)
    taught: dict[str, Learnt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue.commit_container = self._commit

    def put_key(self, domain: str, certificate: Certificate, private_key: bytes, older_open_until: float) -> None:
        """A new current key; the one before opens until then."""
        self.keys = [
            replace(key, opens_until=older_open_until) if key.domain == domain and key.opens_until == inf else key
            for key in self.keys
        ]
        self.keys.insert(0, ImeKey(domain, certificate, private_key, inf))

    def put_pin(self, pin: Pin) -> None:
        """An administrator's word: it overrules whatever was there, and ends the question about a revoked one."""
        self.known[pin.address, pin.certificate.thumbprint] = pin
        if pin.state == "revoked":
            self.asked = {
                token: asked
                for token, asked in self.asked.items()
                if (asked.address, asked.certificate) != (pin.address, pin.certificate)
            }

    async def ime_keys(self, domain: str, moment: float) -> tuple[ImeKey, ...]:
        return tuple(key for key in self.keys if key.domain == domain and key.opens_until > moment)

    async def pins(self, address: str) -> tuple[Pin, ...]:
        own = [pin for (owner, _), pin in self.known.items() if owner == address]
        return tuple(sorted(own, key=lambda pin: -pin.at))

    async def seen(self, replay_key: str) -> Seen | None:
        found, keep_until = self.accepted.get(replay_key, (None, 0.0))
        return found if keep_until > self.clock() else None

    async def challenge(self, challenge: Challenge, mail: Parcel, events: Sequence[Event], most_open: int) -> bool:
        open_now = [
            one
            for one in self.asked.values()
            if one.address == challenge.address and one.expires_at > challenge.sent_at
        ]
        before = self.known.get((challenge.address, challenge.certificate.thumbprint))
        again = any(one.certificate == challenge.certificate for one in open_now)
        if again or len(open_now) >= most_open or (before is not None and before.state == "revoked"):
            return False
        self.asked[challenge.token_hash] = challenge
        if before is None or before.state == "pending":
            self._pin(Pin(challenge.address, challenge.certificate, "pending", "challenged", challenge.sent_at))
        await self.queue.enqueue(mail, events, None)
        return True

    async def open_challenge(self, token_hash: str, moment: float) -> Challenge | None:
        found = self.asked.get(token_hash)
        return found if found is not None and found.expires_at > moment else None

    async def confirm(self, token_hash: str, pin: Pin, events: Sequence[Event]) -> bool:
        found = await self.open_challenge(token_hash, self.clock())
        if found is None or (found.address, found.certificate) != (pin.address, pin.certificate):
            return False
        if not self._pin(pin):
            return False
        del self.asked[token_hash]
        await self.queue.record(events)
        return True

    async def learnt(self, addresses: Sequence[str]) -> dict[str, Learnt]:
        return {address: self.taught[address] for address in addresses if address in self.taught}

    def _commit(self, parcel: Parcel, record: ContainerRecord) -> None:
        before, keep_until = self.accepted.get(record.replay_key, (None, 0.0))
        if before is not None and keep_until > self.clock():
            raise AlreadySeen("this container was accepted before")
        self.accepted[record.replay_key] = Seen(record.sender, parcel.id, parcel.received_at), record.keep_until
        for pin in record.pins:
            self._pin(pin)
        new = record.learnt
        if (
            new is not None
            and new.signing_time > self.taught.get(new.address, replace(new, signing_time=-inf)).signing_time
        ):
            self.taught[new.address] = new

    def _pin(self, pin: Pin) -> bool:
        """False for a revoked signer: only an administrator brings one back."""
        place = pin.address, pin.certificate.thumbprint
        if place in self.known and self.known[place].state == "revoked":
            return False
        self.known[place] = pin
        return True
