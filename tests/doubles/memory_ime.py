"""The part of `ports/registry.py` that is about IME keys and signers, in memory."""

from dataclasses import dataclass, field, replace
from math import inf

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.registry import ContainerCounts, ImeKeyEntry


@dataclass
class ImeMemory:
    """Keys by domain and thumbprint, pins by address and thumbprint."""

    keys: dict[tuple[str, str], tuple[ImeKeyEntry, bytes]] = field(default_factory=dict)
    pins: dict[tuple[str, str], Pin] = field(default_factory=dict)

    def __copy__(self) -> "ImeMemory":
        return ImeMemory(dict(self.keys), dict(self.pins))


class MemoryImeTransaction:
    """What a registry transaction does with them; `_ime(write)` gives the memory."""

    _now: float

    def _ime(self, *, write: bool = False) -> ImeMemory:
        raise NotImplementedError

    def ime_keys(self, domain: str = "") -> list[ImeKeyEntry]:
        found = [entry for entry, _ in self._ime().keys.values() if not domain or entry.domain == domain]
        return sorted(found, key=lambda entry: (entry.domain, entry.opens_until != inf, -entry.made_at))

    def put_ime_key(
        self, domain: str, certificate: Certificate, private_key: bytes, *, older_open_until: float
    ) -> bool:
        memory, place = self._ime(write=True), (domain, certificate.thumbprint)
        if place in memory.keys and memory.keys[place][0].opens_until == inf:
            return False
        for other, (entry, key) in list(memory.keys.items()):
            if entry.domain == domain and entry.opens_until == inf:
                memory.keys[other] = (replace(entry, opens_until=older_open_until), key)
        memory.keys[place] = (ImeKeyEntry(domain, certificate, inf, self._now, True), private_key)
        return True

    def close_older_ime_keys(self, domain: str) -> int:
        memory, count = self._ime(write=True), 0
        for place, (entry, _) in list(memory.keys.items()):
            if entry.domain == domain and entry.opens_until != inf:
                count += entry.has_private_key
                ended = min(entry.opens_until, self._now)
                memory.keys[place] = (replace(entry, opens_until=ended, has_private_key=False), b"")
        return count

    def ime_private_key(self, domain: str, thumbprint: str) -> bytes | None:
        entry, key = self._ime().keys.get((domain, thumbprint), (None, b""))
        return key if entry and entry.has_private_key else None

    def delete_ime_keys(self, domain: str) -> int:
        memory = self._ime(write=True)
        gone = [place for place in memory.keys if place[0] == domain]
        for place in gone:
            del memory.keys[place]
        return len(gone)

    def pins(
        self, *, address: str = "", state: str = "", thumbprint: str = "", limit: int = 1000, offset: int = 0
    ) -> list[Pin]:
        found = [
            pin
            for pin in self._ime().pins.values()
            if (not address or pin.address == address)
            and (not state or pin.state == state)
            and pin.certificate.thumbprint.startswith(thumbprint)
        ]
        return sorted(found, key=lambda pin: (pin.state != "pending", -pin.at))[offset : offset + limit]

    def put_pin(self, pin: Pin) -> bool:
        memory, place = self._ime(write=True), (pin.address, pin.certificate.thumbprint)
        known = memory.pins.get(place)
        if known and (known.state, known.origin, known.note) == (pin.state, pin.origin, pin.note):
            return False
        memory.pins[place] = pin
        return True

    def container_counts(self, domain: str = "") -> ContainerCounts:
        states = [
            pin.state for pin in self._ime().pins.values() if pin.address.endswith(f"@{domain}" if domain else "")
        ]
        return ContainerCounts(states.count("approved"), states.count("pending"), states.count("revoked"))
