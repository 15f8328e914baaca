"""The parts of `ports/registry.py` that are about domain keys, checks of thumbprints and notices, in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.domain_keys import DomainKeyEntry
from ime_gateway.ports.keyring import DomainKeyState
from ime_gateway.ports.thumbprint_checks import ThumbprintCheck

_PLACES = ("current", "next", "older")


@dataclass
class PartnerMemory:
    """Keys by domain and thumbprint, checks, and notices with their end."""

    keys: dict[tuple[str, str], tuple[DomainKeyEntry, bytes]] = field(default_factory=dict)
    checks: list[ThumbprintCheck] = field(default_factory=list)
    notices: dict[str, float] = field(default_factory=dict)

    def __copy__(self) -> "PartnerMemory":
        return PartnerMemory(dict(self.keys), list(self.checks), dict(self.notices))


class MemoryCandidates:
    """`candidates` of a transaction, as far as a double needs them: none was brought."""

    def pending(self) -> int:
        return 0


class MemoryDomainKeys:
    """`domain_keys` of a transaction; `change` gives the memory to write to."""

    def __init__(self, memory: PartnerMemory, now: float, change: Callable[[], object]) -> None:
        self._memory, self._now, self._change = memory, now, change

    def list(self, domain: str = "") -> list[DomainKeyEntry]:
        found = [entry for entry, _ in self._memory.keys.values() if not domain or entry.domain == domain]
        return sorted(found, key=lambda key: (key.domain, _PLACES.index(key.state), -key.since))

    def put(self, domain: str, certificate: Certificate, private_key: bytes, state: DomainKeyState) -> bool:
        place = (domain, certificate.thumbprint)
        if place in self._memory.keys:
            return self.set_state(domain, certificate.thumbprint, state)
        self._make_room(domain, state)
        self._memory.keys[place] = (DomainKeyEntry(domain, certificate, state, self._now, None, self._now), private_key)
        return True

    def set_state(self, domain: str, thumbprint: str, state: DomainKeyState) -> bool:
        entry, key = self._memory.keys.get((domain, thumbprint), (None, b""))
        if entry is None or entry.state == state:
            return False
        self._make_room(domain, state)
        self._memory.keys[(domain, thumbprint)] = (replace(entry, state=state, since=self._now), key)
        return True

    def set_announced(self, domain: str, thumbprint: str, at: float) -> bool:
        entry, key = self._memory.keys.get((domain, thumbprint), (None, b""))
        if entry is None:
            return False
        self._change()
        self._memory.keys[(domain, thumbprint)] = (replace(entry, announced_at=at), key)
        return True

    def delete(self, domain: str, thumbprint: str) -> bool:
        self._change()
        return self._memory.keys.pop((domain, thumbprint), None) is not None

    def private_key(self, domain: str, thumbprint: str) -> bytes | None:
        return self._memory.keys.get((domain, thumbprint), (None, None))[1]

    def _make_room(self, domain: str, state: DomainKeyState) -> None:
        self._change()
        for place, (entry, key) in list(self._memory.keys.items()):
            if entry.domain == domain and entry.state == state and state != "older":
                self._memory.keys[place] = (replace(entry, state="older", since=self._now), key)


class MemoryChecks:
    """`checks` of a transaction."""

    def __init__(self, memory: PartnerMemory, change: Callable[[], object]) -> None:
        self._memory, self._change = memory, change

    def list(self, thumbprint: str = "") -> list[ThumbprintCheck]:
        found = [check for check in self._memory.checks if not thumbprint or check.thumbprint == thumbprint]
        return sorted(found, key=lambda check: -check.at)

    def put(self, check: ThumbprintCheck) -> bool:
        if any((one.thumbprint, one.at) == (check.thumbprint, check.at) for one in self._memory.checks):
            return False
        self._change()
        self._memory.checks.append(check)
        return True


class MemoryNotices:
    """`notices` of a transaction."""

    def __init__(self, memory: PartnerMemory, change: Callable[[], object]) -> None:
        self._memory, self._change = memory, change

    def told(self, name: str) -> bool:
        return name in self._memory.notices

    def tell(self, name: str, keep_until: float) -> bool:
        if name in self._memory.notices:
            return False
        self._change()
        self._memory.notices[name] = keep_until
        return True

    def forget(self, moment: float) -> int:
        old = [name for name, until in self._memory.notices.items() if until <= moment]
        for name in old:
            self._change()
            del self._memory.notices[name]
        return len(old)
