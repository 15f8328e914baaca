"""Mail exchangers from the DNS, with the difference between "no" and "don't know" kept.

A definite no ends in a report to the sender at once (RFC 5321 section 5.1, RFC 7505), everything else
is tried again: a broken name server must never bounce mail. Answers are cached for their TTL.
"""

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdatatype import RdataType

from ime_gateway.ports.exchangers import Exchanger, Exchangers, LookupFailed, TakesNoMail

LIFETIME_SECONDS = 20.0
"""Longest time for one question, retries and fall-back to TCP included."""
_CACHED_ANSWERS = 10_000


class DnsExchangers:
    """`ExchangerLookup` over the machine's resolver, or over given name servers."""

    def __init__(
        self, nameservers: tuple[str, ...] = (), port: int = 53, lifetime_seconds: float = LIFETIME_SECONDS
    ) -> None:
        """`nameservers`: addresses; empty takes those of the machine, read at the first question."""
        self._nameservers = nameservers
        self._port = port
        self._lifetime = lifetime_seconds
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def exchangers(self, domain: str) -> Exchangers | TakesNoMail | LookupFailed:
        """As the port says."""
        try:
            # A final dot: search lists of the machine have no business in mail routing.
            name = dns.name.from_text(domain.rstrip(".") + ".")
            records = await self._ask(name, dns.rdatatype.MX)
            if records:
                return _from_records(domain, records)
            return await self._implicit(domain, name)
        except dns.resolver.NXDOMAIN:
            return TakesNoMail(f"the domain {domain} does not exist")
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return TakesNoMail(f"{domain} is no domain name")
        except (dns.exception.DNSException, OSError) as error:
            return LookupFailed(f"no answer about {domain} from the DNS: {type(error).__name__}")

    async def _implicit(self, domain: str, name: dns.name.Name) -> Exchangers | TakesNoMail:
        """Without MX the domain's own address takes its mail (RFC 5321 section 5.1)."""
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            if await self._ask(name, kind):
                return Exchangers((Exchanger(0, domain.lower().rstrip(".")),))
        return TakesNoMail(f"the domain {domain} has neither a mail exchanger nor an address")

    async def _ask(self, name: dns.name.Name, kind: RdataType) -> list[tuple[int, str]]:
        answer = await self._get_resolver().resolve(name, kind, raise_on_no_answer=False, lifetime=self._lifetime)
        if answer.rrset is None:
            return []
        if kind is not dns.rdatatype.MX:
            return [(0, record.address) for record in answer]
        return [(record.preference, record.exchange.to_text(omit_final_dot=True).lower()) for record in answer]

    def _get_resolver(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                resolver.nameservers = list(self._nameservers)
                resolver.port = self._port
            resolver.cache = dns.resolver.LRUCache(_CACHED_ANSWERS)
            self._resolver = resolver
        return self._resolver


def _from_records(domain: str, records: list[tuple[int, str]]) -> Exchangers | TakesNoMail:
    hosts = tuple(Exchanger(preference, host) for preference, host in records if host not in ("", "."))
    if not hosts:
        return TakesNoMail(f"the domain {domain} says that it takes no mail (null MX, RFC 7505)", null_mx=True)
    return Exchangers(hosts)
