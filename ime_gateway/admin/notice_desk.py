"""Tells administrators by mail that certificates wait for their word: at most once a day, when new ones came, and
when an announced one has waited for whole weeks.

The mail goes to addresses of our own domains, says who and how many, and carries no certificate: what is approved is
approved at the desk, with the thumbprint heard from its owner.
"""

import asyncio
from collections.abc import Callable

from ime_gateway.admin.key_pairs import DAY_SECONDS
from ime_gateway.admin.notices import administrators, claim, confirm, notice_mail
from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.mail.address import Address
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.exchange import Outbox, OwnMail
from ime_gateway.ports.incoming import Candidate
from ime_gateway.ports.registry import Registry

_SHOWN = 20
_REMINDER_DAYS = 7


class NoticeDesk:
    """Writes to the addresses in `[policy] administrators`. Every method may raise StoreUnavailable."""

    def __init__(
        self, registry: Registry, outbox: Outbox, clock: Clock, randomness: Callable[[int], bytes], hostname: str
    ) -> None:
        self._registry = registry
        self._outbox = outbox
        self._clock = clock
        self._randomness = randomness
        self._hostname = hostname

    async def tell_of_candidates(self) -> int:
        """Write about pending candidates that are due, unless that was done today; how many mails."""
        now = self._clock.now()
        name = f"candidates of day {int(now // DAY_SECONDS)}"
        people, fresh = await asyncio.to_thread(self._claimed, name, now)
        for person in people:
            await self._outbox.send(self._mail(person, fresh, now), now)
        if people:
            await asyncio.to_thread(self._confirm, name, now)
        return len(people)

    def _claimed(self, name: str, now: float) -> tuple[list[Address], list[Candidate]]:
        """To whom to write about which candidates; nobody when there is nothing to tell, or it is told elsewhere."""
        with self._registry.transaction(write=False) as live:
            people = list(administrators(live.view()))
            fresh = [one for one in live.candidates.rows(state="pending") if _due(one, now)] if people else []
            if not fresh or live.notices.told(name):
                return [], []
        with self._registry.transaction(write=True) as live:
            return (people, fresh) if claim(live, [name], now) else ([], [])

    def _confirm(self, name: str, now: float) -> None:
        with self._registry.transaction(write=True) as live:
            confirm(live, {name: now + 2 * DAY_SECONDS})

    def _mail(self, person: Address, fresh: list[Candidate], now: float) -> OwnMail:
        lines = [f"    {_shown(one.owner)} ({one.origin}, brought by {_shown(one.sender)})" for one in fresh[:_SHOWN]]
        if len(fresh) > _SHOWN:
            lines.append(f"    and {len(fresh) - _SHOWN} more")
        text = _TEXT.format(count=len(fresh), lines="\n".join(lines))
        return notice_mail(
            person,
            "Certificates wait for approval",
            text,
            hostname=self._hostname,
            unique=new_id(now, self._randomness(RANDOM_BYTES)),
            moment=now,
            detail="notice to an administrator: certificates wait",
        )


def _due(one: Candidate, now: float) -> bool:
    """On its first day; what a partner announced also after each week, since its old certificate will end."""
    days = int((now - one.at) // DAY_SECONDS)
    return days <= 0 or (one.origin == "announcement" and days % _REMINDER_DAYS == 0)


def _shown(text: str) -> str:
    """A stranger's words on one short line of printable ASCII."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:100]


_TEXT = """\
{count} certificates came in by mail or from directories and wait for
your word. Nothing is encrypted to them before.

{lines}

See them with:

    ime-gateway cert candidates

and put one in force, after its owner has read the thumbprint to you:

    ime-gateway cert approve THUMBPRINT --check "GROUPS" --with "PERSON, NUMBER" --how phone
"""
