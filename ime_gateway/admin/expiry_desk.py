"""Tells administrators of certificates that end: once for each certificate and threshold, in one mail a time.

The mail goes through the queue like every other; only when it is there is it remembered as told, so that a crash in
between tells twice and never not at all.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ime_gateway.admin.expiry import Ending, Notice, endings, notices, people_endings
from ime_gateway.admin.key_pairs import DAY_SECONDS
from ime_gateway.admin.notices import administrators, claim, confirm, notice_mail
from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.mail.address import Address
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.exchange import Outbox, OwnMail
from ime_gateway.ports.registry import CertificateEnd, Registry

_LISTED: Final = 200
"""Lines in one mail; the rest is counted."""
_PAGE: Final = 1000
_LINE: Final = 900
"""Longest line of a mail of ours (RFC 5321 section 4.5.3.1.6 allows 998)."""


class ExpiryDesk:
    """Finds what ends, and tells. Every method may raise StoreUnavailable."""

    def __init__(
        self, registry: Registry, outbox: Outbox, clock: Clock, randomness: Callable[[int], bytes], hostname: str
    ) -> None:
        self._registry = registry
        self._outbox = outbox
        self._clock = clock
        self._randomness = randomness
        self._hostname = hostname

    def now(self) -> float:
        """The moment by which it judges, seconds since 1970 UTC."""
        return self._clock.now()

    def standing(self) -> list[Ending]:
        """Certificates of domains and authorities that end within the largest threshold, or have ended."""
        moment = self._clock.now()
        with self._registry.transaction(write=False) as live:
            thresholds = live.view().policy.expiry_warning_days
            return [notice.ending for notice in notices(endings(live), thresholds, moment)]

    def due(self) -> list[Notice]:
        """Warnings that nobody was given yet; certificates of people are walked through once a day. Blocking."""
        moment = self._clock.now()
        with self._registry.transaction(write=False) as live:
            thresholds = live.view().policy.expiry_warning_days
            found = endings(live)
            walked = live.notices.told(_walk(moment))
        if not walked:
            found += people_endings(self._people(), moment + max((*thresholds, 0)) * DAY_SECONDS)
        with self._registry.transaction(write=False) as live:
            return [notice for notice in notices(found, thresholds, moment) if not live.notices.told(notice.name)]

    async def tell(self, due: Sequence[Notice]) -> list[str]:
        """Mail those of these warnings that no other node is telling to the administrators of the policy; their
        addresses. None are told where there are none or all are outside: then the warnings stay due."""
        people, ours = await asyncio.to_thread(self._claimed, due)
        for address in people:
            await self._outbox.send(self._mail(address, ours), self._clock.now())
        if people:
            await asyncio.to_thread(self._confirm, ours)
        return [str(address) for address in people]

    def remember_walk(self) -> None:
        """That people's certificates were walked through today."""
        moment = self._clock.now()
        with self._registry.transaction(write=True) as live:
            live.notices.forget(moment)
            live.notices.tell(_walk(moment), moment + 2 * DAY_SECONDS)

    def _claimed(self, due: Sequence[Notice]) -> tuple[list[Address], list[Notice]]:
        if not due:
            return [], []
        with self._registry.transaction(write=False) as live:
            people = list(administrators(live.view()))
        if not people:
            return [], []
        with self._registry.transaction(write=True) as live:
            names = claim(live, (notice.name for notice in due), self._clock.now())
        ours = [notice for notice in due if notice.name in names]
        return (people, ours) if ours else ([], [])

    def _confirm(self, told: Sequence[Notice]) -> None:
        soonest = self._clock.now() + DAY_SECONDS
        with self._registry.transaction(write=True) as live:
            confirm(live, {notice.name: max(notice.keep_until, soonest) for notice in told})

    def _people(self) -> Iterator[CertificateEnd]:
        after = ""
        while True:
            with self._registry.transaction(write=False) as live:
                page = live.people_ends(after=after, limit=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].thumbprint

    def _mail(self, recipient: Address, due: Sequence[Notice]) -> OwnMail:
        moment = self._clock.now()
        count = "1 certificate ends" if len(due) == 1 else f"{len(due)} certificates end"
        return notice_mail(
            recipient,
            f"{count} soon or ended",
            _text(due, self._hostname, moment),
            hostname=self._hostname,
            unique=new_id(moment, self._randomness(RANDOM_BYTES)),
            moment=moment,
            detail="notice to an administrator: certificates end",
        )


def _walk(moment: float) -> str:
    return f"expiry walk {int(moment // DAY_SECONDS)}"


def _text(due: Sequence[Notice], hostname: str, moment: float) -> str:
    lines = [
        f"The mail gateway {hostname} uses certificates that end soon or have ended.",
        "What is not replaced in time makes the gateway refuse mail or send it less protected.",
        "",
    ]
    ordered = sorted(due, key=lambda notice: notice.ending.not_after)
    lines += [f"- {notice.ending.sentence(moment)}" for notice in ordered[:_LISTED]]
    if len(ordered) > _LISTED:
        lines.append(f"- and {len(ordered) - _LISTED} more; see: ime-gateway cert list")
    # Subjects of certificates are strangers' words: nothing of them may be more than printable text.
    safe = ("".join(c if " " <= c <= "~" else "?" for c in line)[:_LINE] for line in lines)
    return "".join(f"{line}\n" for line in safe)
