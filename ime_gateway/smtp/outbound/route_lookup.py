"""From a route to hosts, in the order in which they are tried (RFC 5321 section 5.1)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never
from urllib.parse import urlsplit

from ime_gateway.mail.delivery_report import Status
from ime_gateway.ports.exchangers import ExchangerLookup, Exchangers, LookupFailed, TakesNoMail
from ime_gateway.ports.relay import RelayReply

SMTP_PORT = 25
_MOST_HOSTS = 8
"""Exchangers that are tried for one message; a zone may list any number."""


@dataclass(frozen=True, slots=True)
class NextHop:
    """A host that takes mail; connections to it are shared by everything that goes there."""

    host: str
    """Name or address, without brackets."""
    port: int
    encrypt: bool
    """Use STARTTLS where it is offered."""


@dataclass(frozen=True, slots=True)
class RouteLookup:
    """Finds hosts; what it needs from outside comes in here."""

    lookup: ExchangerLookup
    hostname: str
    """Our own name: an exchanger of that name, and all behind it, would be a loop."""
    randomness: Callable[[int], bytes]
    mx_port: int = SMTP_PORT

    async def hosts(self, route: str, domain: str, *, encrypt: bool) -> list[NextHop] | RelayReply:
        """The hosts of a route for a recipient's domain, or the reply that stands for there being none."""
        if route != "mx":
            return [fixed_hop(route, encrypt)]
        if domain.startswith("["):
            literal = domain.strip("[]").lower().removeprefix("ipv6:")  # RFC 5321 section 4.1.3
            return [NextHop(literal, self.mx_port, encrypt)]
        answer = await self.lookup.exchangers(domain)
        match answer:
            case Exchangers():
                return self._in_order(answer, encrypt)
            case TakesNoMail():
                return RelayReply.own(Status.NULL_MX if answer.null_mx else Status.BAD_DOMAIN, answer.detail)
            case LookupFailed():
                return RelayReply.own(Status.NO_ROUTE_KNOWN, answer.detail)
            case _:
                assert_never(answer)

    def _in_order(self, answer: Exchangers, encrypt: bool) -> list[NextHop] | RelayReply:
        """Lowest preference first, equal ones in any order, nobody from ourselves on (RFC 5321 section 5.1)."""
        ours = [entry.preference for entry in answer.hosts if entry.host == self.hostname.lower()]
        usable = [entry for entry in answer.hosts if not ours or entry.preference < min(ours)]
        if not usable:
            return RelayReply.own(Status.LOOP, "the DNS names this gateway as the mail exchanger of the domain")
        shuffled = sorted(usable, key=lambda entry: (entry.preference, self.randomness(8)))
        return [NextHop(entry.host, self.mx_port, encrypt) for entry in shuffled[:_MOST_HOSTS]]


@lru_cache(maxsize=1024)  # a pure function that every message asks for the same few routes
def fixed_hop(route: str, encrypt: bool) -> NextHop:
    """The host of `smtp://HOST[:PORT]`, which was checked when it was configured."""
    parts = urlsplit(route)
    return NextHop(parts.hostname or "", SMTP_PORT if parts.port is None else parts.port, encrypt)
