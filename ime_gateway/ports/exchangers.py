"""Which hosts take mail for a domain (RFC 5321 section 5.1): asked of the DNS, answered without guessing."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One MX record; the lowest preference is tried first."""

    preference: int
    host: str
    """Lower case, without the final dot."""


@dataclass(frozen=True, slots=True)
class Exchangers:
    """The hosts of a domain; the domain itself where it has an address and no MX."""

    hosts: tuple[Exchanger, ...]


@dataclass(frozen=True, slots=True)
class TakesNoMail:
    """A definite no: the domain does not exist, has no address, or says so by a null MX (RFC 7505)."""

    detail: str
    null_mx: bool = False


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """No answer to rely on (time-out, SERVFAIL): try again later."""

    detail: str


class ExchangerLookup(Protocol):
    """Asks for mail exchangers; never raises for what a name server does."""

    async def exchangers(self, domain: str) -> Exchangers | TakesNoMail | LookupFailed:
        """The exchangers of a domain given in A-labels."""
        ...
