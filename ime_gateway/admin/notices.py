"""Mail of the gateway to its administrators: to whom, what it looks like, and that nothing is told twice or lost.

Whoever has something to tell claims it, sends it and confirms it. A claim keeps the other nodes of one store from
telling the same; it ends by itself, so that what a crash left untold is told by the next hour's housekeeping.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, Mailbox, parse_path
from ime_gateway.mail.headers import HeaderBlock, make_address_field, make_field
from ime_gateway.mail.received import date_time
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.exchange import OwnMail
from ime_gateway.ports.registry import RegistryTransaction

_CLAIM_SECONDS: Final = 900.0
"""Far longer than queueing takes, and shorter than the pause of housekeeping."""


def administrators(view: SiteView) -> Iterator[Address]:
    """Those of the policy who are inside: what is told them is nobody else's business."""
    for text in view.policy.administrators:
        try:
            address = parse_path(text.strip())
        except UnreadableMail:
            continue
        if address.domain in view.managed:
            yield address


def claim(live: RegistryTransaction, names: Iterable[str], moment: float) -> frozenset[str]:
    """Those of `names` that nobody told before or is telling now; they are the caller's to tell. `moment`: now, in
    seconds since 1970 UTC. In a transaction of its own that writes, before anything is sent."""
    live.notices.forget(moment)
    free = (name for name in dict.fromkeys(names) if not live.notices.told(name))
    return frozenset(name for name in free if live.notices.tell(_claim_of(name), moment + _CLAIM_SECONDS))


def confirm(live: RegistryTransaction, told: Mapping[str, float]) -> None:
    """These were told; each is remembered until then (seconds since 1970 UTC)."""
    for name, until in told.items():
        live.notices.tell(name, until)


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


def _claim_of(name: str) -> str:
    return f"being told: {name}"
