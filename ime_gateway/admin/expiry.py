"""Which certificates end soon, so that nothing expires by surprise: whose, when, and what mends it.

What is found is the same for the log, the metrics and the mail to administrators. A certificate that a newer one has
replaced is no news: for people when another one of the same address lasts longer, for domains when another one of
theirs does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ime_gateway.admin.domain_keys import next_domain_key
from ime_gateway.admin.key_pairs import DAY_SECONDS
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.registry import CertificateEnd, RegistryTransaction

Kind = Literal["domain-key", "ime-key", "partner", "internal", "archive", "root", "ca", "own-ca", "person"]
_OLD_NEWS_DAYS: Final = 30
"""What ended longer ago is no news any more, but for keys of our own that are in use."""
_KEPT_DAYS: Final = 400
"""How long it is remembered that a warning was given."""
_NAMES: Final[dict[Kind, str]] = {
    "domain-key": "the domain certificate of {owner}",
    "ime-key": "the IME certificate of {owner}",
    "partner": "the certificate of partner {owner}",
    "internal": "an internal certificate of {owner}",
    "archive": "the archive certificate {owner}",
    "root": "the root {owner}",
    "ca": "the CA certificate {owner}",
    "own-ca": "our own CA {owner}",
    "person": "the certificate of {owner}",
}
_REMEDIES: Final[dict[Kind, str]] = {
    "domain-key": "run: ime-gateway domain key rollover {owner}, then: ime-gateway domain announce {owner}",
    "ime-key": "run: ime-gateway ime rotate {owner}",
    "partner": "ask the partner for the next one: ime-gateway domain set {owner} --certificate FILE; if it is"
    " self-signed also ime-gateway trust verify FILE, then ime-gateway trust allow FILE",
    "internal": "bring the next one: ime-gateway domain set {owner} --certificate FILE",
    "archive": "bring the next one: ime-gateway domain set global --certificate FILE",
    "root": "certificates that lead to it are not used afterwards; put the next one into SITE.toml as [[root]] and run:"
    " ime-gateway apply SITE.toml",
    "ca": "certificates that it issued are not used afterwards; import the next one: ime-gateway cert import FILE",
    "own-ca": "certificates that it issued are not used afterwards; see: ime-gateway ca list",
    "person": "mail to and from this address cannot be protected with it afterwards; bring the next one:"
    " ime-gateway cert import FILE",
}
_REMEDIES_AFTERWARDS: Final[dict[Kind, str]] = {
    "domain-key": "run: ime-gateway domain key rollover {owner} --now, then give partners the new one:"
    " ime-gateway domain key export {owner}",
}
"""Where it is too late for the remedy of the days before: an expired certificate vouches for no successor."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A certificate that is in use, and its end."""

    kind: Kind
    owner: str
    """Domain, address or subject."""
    thumbprint: str
    not_after: float
    """Seconds since 1970 UTC."""

    def sentence(self, moment: float) -> str:
        """What ends when, and what mends it; `moment` is now."""
        word = "expired" if self.not_after <= moment else "expires"
        what = _NAMES[self.kind].format(owner=self.owner)
        remedies = _REMEDIES | _REMEDIES_AFTERWARDS if word == "expired" else _REMEDIES
        remedy = remedies[self.kind].format(owner=self.owner)
        return f"{what} ({self.thumbprint[:19]}) {word} at {rfc3339(self.not_after)}; {remedy}"


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning that is due."""

    ending: Ending
    days: int
    """The threshold that was passed; 0: it has ended."""

    @property
    def name(self) -> str:
        """By which it is remembered that it was given: once for each threshold."""
        return f"expiry {self.ending.kind} {self.ending.owner} {self.ending.thumbprint} {self.days}"

    @property
    def keep_until(self) -> float:
        """How long to remember it, seconds since 1970 UTC."""
        return self.ending.not_after + _KEPT_DAYS * DAY_SECONDS


def endings(live: RegistryTransaction) -> list[Ending]:
    """The certificates in use that are few: of domains, authorities and the archive. Soonest first."""
    found = [*_of_domains(live), *_of_authorities(live)]
    return sorted(found, key=lambda one: (one.not_after, one.kind, one.owner, one.thumbprint))


def people_endings(ends: Iterable[CertificateEnd], until: float) -> list[Ending]:
    """Of certificates of people those that end before `until` and leave an address without a longer one."""
    longest: dict[str, float] = {}
    candidates: list[CertificateEnd] = []
    for one in ends:
        for address in one.addresses:
            longest[address] = max(longest.get(address, 0.0), one.not_after)
        if one.not_after < until:
            candidates.append(one)
    found = [
        Ending("person", address, one.thumbprint, one.not_after)
        for one in candidates
        for address in one.addresses
        if longest[address] <= one.not_after
    ]
    return sorted(found, key=lambda one: (one.not_after, one.owner))


def notices(found: Iterable[Ending], thresholds: Sequence[int], moment: float) -> Iterator[Notice]:
    """The warning that is due for each: that of the smallest threshold (days) that was passed, 0 after the end."""
    for one in found:
        left = one.not_after - moment
        passed = [days for days in (*thresholds, 0) if left <= days * DAY_SECONDS]
        if passed and (left > -_OLD_NEWS_DAYS * DAY_SECONDS or one.kind in ("domain-key", "ime-key")):
            yield Notice(one, min(passed))


def _of_domains(live: RegistryTransaction) -> Iterator[Ending]:
    view, keys = live.view(), live.domain_keys.list()
    for key in keys:
        following = next_domain_key(one for one in keys if one.domain == key.domain)
        replaced = following is not None and following.certificate.not_after > key.certificate.not_after
        if key.domain in view.managed and (key.state == "next" or (key.state == "current" and not replaced)):
            yield _ending("domain-key", key.domain, key.certificate)
    for own in live.ime_keys():
        if own.is_current and own.domain in view.managed and view.managed[own.domain].ime_address:
            yield _ending("ime-key", own.domain, own.certificate)
    for name, group in view.domain_certificates.items():
        kind: Kind = "internal" if name in view.managed else "partner"
        people = [one for one in group if not one.is_ca]
        if people:  # the one that lasts longest: those before it are replaced by it
            yield _ending(kind, name, max(people, key=lambda one: one.not_after))
        yield from (_ending("ca", one.subject, one) for one in group if one.is_ca)
    for one in view.additional_certificates:
        yield _ending("archive", one.subject, one)


def _of_authorities(live: RegistryTransaction) -> Iterator[Ending]:
    view = live.view()
    own = {entry.certificate.thumbprint: entry for entry in live.authorities.list()}
    for entry in own.values():
        if entry.state == "active":
            yield _ending("own-ca", entry.certificate.subject, entry.certificate)
    yield from (_ending("root", one.subject, one) for one in view.roots if one.thumbprint not in own)
    yield from (_ending("ca", one.subject, one) for one in view.intermediates if one.thumbprint not in own)


def _ending(kind: Kind, owner: str, certificate: Certificate) -> Ending:
    return Ending(kind, owner, certificate.thumbprint, certificate.not_after)
