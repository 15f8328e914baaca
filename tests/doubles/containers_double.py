"""Containers in memory that keep the contract of ports/containers, over a MemoryQueue; tests look into its fields."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from ime_gateway.base.errors import AlreadySeen, OtherSignerFirst
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import (
    MOST_PENDING,
    Asking,
    Challenge,
    ContainerRecord,
    ImeKey,
    Learnt,
    Pin,
    Seen,
)
from ime_gateway.ports.queue import Event, Parcel, Settlement
from tests.doubles.memory_queue import MemoryQueue


@dataclass
class MemoryContainers:
    """Implements `Containers`; what is committed with a parcel comes in by `queue`."""

    queue: MemoryQueue
    clock: Callable[[], float]
    keys: list[ImeKey] = field(default_factory=list)
    known: dict[tuple[str, str], Pin] = field(default_factory=dict)
    accepted: dict[str, tuple[Seen, float]] = field(default_factory=dict)
    ciphertexts: dict[str, tuple[str, float]] = field(default_factory=dict)
    asked: dict[str, Challenge] = field(default_factory=dict)
    asking_mails: dict[str, str] = field(default_factory=dict)
    """Token hash by id of the mail that asks."""
    taught: dict[str, Learnt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.queue.commit_container = self._commit
        self.queue.row_lost = self._lost

    def put_key(self, domain: str, certificate: Certificate, private_key: bytes, older_open_until: float) -> None:
        """A new current key; the one before opens until then."""
        self.keys = [
            replace(key, opens_until=older_open_until) if key.domain == domain and key.opens_until == inf else key
            for key in self.keys
        ]
        self.keys.insert(0, ImeKey(domain, certificate, private_key, inf))

    def put_pin(self, pin: Pin) -> None:
        """An administrator's word: it overrules whatever was there, and ends the question about the signer."""
        self.known[pin.address, pin.certificate.thumbprint] = pin
        if pin.state != "pending":
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

    async def first_ciphertext(self, key_digest: str, ciphertext_digest: str, keep_until: float) -> bool:
        if await self.ciphertext_under(key_digest) not in (None, ciphertext_digest):
            return False
        self.ciphertexts[key_digest] = ciphertext_digest, keep_until
        return True

    async def ciphertext_under(self, key_digest: str) -> str | None:
        found, keep_until = self.ciphertexts.get(key_digest, (None, 0.0))
        return found if keep_until > self.clock() else None

    async def challenge(
        self,
        challenge: Challenge,
        mail: Parcel,
        events: Sequence[Event],
        most_open: int,
        renew_before: float = -inf,
    ) -> Asking:
        before = self.known.get((challenge.address, challenge.certificate.thumbprint))
        if before is not None and before.state != "pending":
            return Asking(before.state)
        open_now = [
            one
            for one in self.asked.values()
            if one.address == challenge.address and one.expires_at > challenge.sent_at
        ]
        again = next((one for one in open_now if one.certificate == challenge.certificate), None)
        if again is not None and again.sent_at > renew_before:
            return Asking("open", sent_at=again.sent_at)
        if again is None and len(open_now) >= most_open:
            return Asking("full", unanswered=len(open_now), pinned=self._wait(challenge))
        self.asked = {
            token: one
            for token, one in self.asked.items()
            if (one.address, one.certificate) != (challenge.address, challenge.certificate)
        }
        self.asked[challenge.token_hash] = challenge
        self.asking_mails[mail.id] = challenge.token_hash
        pinned = self._wait(challenge)
        self._note(challenge, "")
        await self.queue.enqueue(mail, events, None)
        return Asking("asked", pinned=pinned)

    def _wait(self, challenge: Challenge) -> bool:
        place = challenge.address, challenge.certificate.thumbprint
        if place not in self.known:
            waiting = [pin for (owner, _), pin in self.known.items() if owner == place[0] and pin.state == "pending"]
            if len(waiting) >= MOST_PENDING:
                return False
            self._pin(Pin(challenge.address, challenge.certificate, "pending", "challenged", challenge.sent_at))
        return True

    def _note(self, challenge: Challenge, note: str) -> None:
        place = challenge.address, challenge.certificate.thumbprint
        if place in self.known and self.known[place].state == "pending":
            self.known[place] = replace(self.known[place], note=note)

    def _lost(self, message: str, settlement: Settlement) -> None:
        challenge = self.asked.pop(self.asking_mails.pop(message, ""), None)
        if challenge is not None:
            self._note(challenge, f"question {message} {settlement.outcome}: {settlement.last_reply}")

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
        for pin in record.pins:
            states = {name: known.state for (owner, name), known in self.known.items() if owner == pin.address}
            if pin.origin == "first-use" and states and states.get(pin.certificate.thumbprint) != "approved":
                raise OtherSignerFirst("another signer of this person came first")
            if pin.origin == "first-use" or states.get(record.signer) == "approved":
                self._pin(pin)
        self.accepted[record.replay_key] = Seen(record.sender, parcel.id, parcel.received_at), record.keep_until
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
