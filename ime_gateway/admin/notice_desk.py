"""Tells administrators by mail that certificates wait for their word: at most once a day, and only when new ones came.

The mail goes to addresses of our own domains, says who and how many, and carries no certificate: what is approved is
approved at the desk, with the thumbprint heard from its owner.
"""

from collections.abc import Callable

from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, Mailbox, parse_path
from ime_gateway.mail.headers import HeaderBlock, make_address_field, make_field
from ime_gateway.mail.received import date_time
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.exchange import Outbox, OwnMail
from ime_gateway.ports.incoming import Candidate
from ime_gateway.ports.registry import Registry

_DAY = 86_400.0
_SHOWN = 20


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
        """Write about pending candidates of the last day, unless that was done today; how many mails."""
        now = self._clock.now()
        name = f"candidates of day {int(now // _DAY)}"
        with self._registry.transaction(write=False) as live:
            people = _administrators(live.view())
            fresh = [one for one in live.candidates.rows(state="pending") if one.at > now - _DAY] if people else []
            if not fresh or live.notices.told(name):
                return 0
        with self._registry.transaction(write=True) as live:
            if not live.notices.tell(name, now + 2 * _DAY):
                return 0
        for person in people:
            await self._outbox.send(self._mail(person, fresh, now), now)
        return len(people)

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


def _administrators(view: SiteView) -> list[Address]:
    """Those inside: what is told here is nobody else's business."""
    found = [parse_path(text.strip()) for text in view.policy.administrators]
    return [address for address in found if address.domain in view.managed]


def notice_mail(
    person: Address, subject: str, text: str, *, hostname: str, unique: str, moment: float, detail: str
) -> OwnMail:
    """A mail of the gateway to an administrator, in an own domain: automatic (RFC 3834), with an empty sender.

    text: ASCII, lines end with a line feed. unique: its id, and the left side of its Message-ID. moment: seconds since
    1970 UTC.
    """
    author = Address("postmaster", person.domain)
    message_id = f"<{unique}@{hostname}>"
    headers = HeaderBlock(
        (
            make_address_field("From", (Mailbox("Mail encryption gateway", author),)),
            make_address_field("To", (Mailbox("", person),)),
            make_field("Subject", subject),
            make_field("Date", date_time(moment)),
            make_field("Message-ID", message_id),
            make_field("Auto-Submitted", "auto-generated"),
            make_field("MIME-Version", "1.0"),
            make_field("Content-Type", "text/plain; charset=us-ascii"),
            make_field("Content-Transfer-Encoding", "7bit"),
        )
    )
    head, body = headers.to_bytes() + b"\r\n", text.replace("\n", "\r\n").encode("ascii")
    return OwnMail(unique, "", person, head, body, message_id, "none", detail, Reason.NOT_REQUIRED)


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

    ime-gateway cert approve THUMBPRINT --check "GROUPS"
"""
