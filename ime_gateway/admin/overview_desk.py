"""What an administrator wants to know on arrival: is mail flowing, what was refused, what runs out soon.

Certificates that expire unseen are the commonest cause of refused mail, so they are counted before
they do; refusals stand here with their reasons because their senders will telephone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from ime_gateway.ports.clock import Clock
from ime_gateway.ports.queue import Event
from ime_gateway.ports.registry import Registry

EXPIRY_HORIZON = 60 * 86400
"""Seconds ahead in which an expiry is worth a warning: time enough to renew by post."""
SCANNED_CERTIFICATES = 10_000
"""So many certificates are looked at for expiry; a larger store says that it is larger."""
_PAGE = 1000
_SCANNED_EVENTS = 500
_REMEMBER = 300.0


@dataclass(frozen=True, slots=True)
class ExpiringCertificate:
    """A certificate whose end is near."""

    thumbprint: str
    owner: str
    """Its first address, else its subject."""
    not_after: float
    """Seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """The certificates that expire within the horizon, soonest first."""

    certificates: tuple[ExpiringCertificate, ...]
    known: int
    """Certificates that were looked at."""
    complete: bool
    """False: there are more than were looked at."""


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """One refused message with everybody who did not get it."""

    events: tuple[Event, ...]
    """In the order in which they were written; never empty."""

    @property
    def in_the_way(self) -> tuple[Event, ...]:
        """Those whose own reason counts; all of them when no one's does."""
        return tuple(event for event in self.events if not refused_with_message(event.detail)) or self.events

    @property
    def with_it(self) -> tuple[Event, ...]:
        """Those who could have been served."""
        return tuple(event for event in self.events if event not in self.in_the_way)


@dataclass(frozen=True, slots=True)
class Glance:
    """The overview page's data, but for the health report, which the roof gives."""

    queue: Mapping[str, int]
    refusals: tuple[RefusedMessage, ...]
    """The messages that were refused last, newest first."""
    evidence: int
    """Messages that were set aside because they failed again and again."""
    expiry: Expiry


class OverviewDesk:
    """The first page. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._lock = Lock()
        self._remembered: tuple[int, float, Expiry] | None = None

    def glance(self, *, refusals: int = 8) -> Glance:
        """How things stand now; the newest `refusals` refused messages among the latest events."""
        latest = self._registry.events(limit=_SCANNED_EVENTS)
        refused: dict[object, list[Event]] = {}
        for position, event in enumerate(latest):
            if event.event == "refused":
                refused.setdefault(event.id or position, []).append(event)
        newest = [RefusedMessage(tuple(events)) for events in reversed(refused.values())]
        return Glance(
            queue=self._registry.queue_counts(),
            refusals=tuple(newest[:refusals]),
            evidence=len(self._registry.held()),
            expiry=self._expiry(),
        )

    def _expiry(self) -> Expiry:
        """Reading thousands of certificates for each visit would be waste: the answer is kept for
        some minutes, and dropped as soon as live data changes."""
        now = self._clock.now()
        with self._lock, self._registry.transaction(write=False) as live:
            generation = live.view().generation
            if self._remembered is not None:
                of_generation, at, expiry = self._remembered
                if of_generation == generation and 0 <= now - at < _REMEMBER:
                    return expiry
            found: list[ExpiringCertificate] = []
            known = 0
            for offset in range(0, SCANNED_CERTIFICATES, _PAGE):
                page = live.certificates(limit=_PAGE, offset=offset)
                known += len(page)
                found += [
                    ExpiringCertificate(
                        entry.certificate.thumbprint,
                        entry.addresses[0] if entry.addresses else entry.certificate.subject,
                        entry.certificate.not_after,
                    )
                    for entry in page
                    if now <= entry.certificate.not_after < now + EXPIRY_HORIZON
                ]
                if len(page) < _PAGE:
                    break
            found.sort(key=lambda item: item.not_after)
            expiry = Expiry(tuple(found), known, complete=known < SCANNED_CERTIFICATES)
            self._remembered = (generation, now, expiry)
            return expiry


def refused_with_message(detail: str) -> bool:
    """Was this recipient refused only because the whole message was? Then the reason is about somebody else."""
    return detail.startswith("refused with the whole message")
