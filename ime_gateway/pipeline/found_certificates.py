"""Certificates that were found elsewhere than in our own live data, on their way to be judged like all others."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.selection import Selected


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for the recipients of one message."""

    personal: Mapping[str, tuple[Certificate, ...]] = field(default_factory=dict)
    """By `Address.key`."""
    domain: Mapping[str, tuple[Certificate, ...]] = field(default_factory=dict)
    """By domain."""

    def __bool__(self) -> bool:
        """Whether anything was found for anybody."""
        return any(self.personal.values()) or any(self.domain.values())

    def added_to(self, selected: Selected, address: Address) -> Selected:
        """The candidates for an address, with what was found behind what was imported."""
        personal, domain = self.personal.get(address.key, ()), self.domain.get(address.domain, ())
        if not personal and not domain:
            return selected
        return replace(
            selected,
            personal=tuple(dict.fromkeys((*selected.personal, *personal))),
            domain=tuple(dict.fromkeys((*selected.domain, *domain))),
        )


NOTHING_FOUND = Found()
