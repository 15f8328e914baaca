"""Where a row goes: one pure decision from its origin and its recipient's domain (design 6.5, fact 6).

Mail from inside returns by the trusted connector, mail from outside goes by the ordinary one, so that
nothing from outside ever gains the trust of the inside.
"""

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import parse_path
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.queue import LeasedRow, Origin
from ime_gateway.settings.inheritance import encryption_of, partner_route


def route_of(view: SiteView, default_route: str, origin: Origin, domain: str) -> str | None:
    """The route (`mx` or `smtp://HOST:PORT`) for recipients of `domain`; None: this row must never be relayed.

    domain: lower case, A-labels. None is for mail from the internet to a domain that is not ours: the
    door refuses that, and if a row came into being all the same, it stays here (RFC 5321 section 3.6).
    """
    managed = view.managed.get(domain)
    if managed is not None:
        return (managed.return_to or managed.deliver_to) if origin == "internal" else managed.deliver_to
    if origin == "internet":
        return None
    return partner_route(view.partners, domain) or default_route


def must_wait(view: SiteView, leased: LeasedRow) -> bool:
    """Whether a row that was accepted as plain mail may not leave so any more: encryption became mandatory (P1).

    Reports are no content of ours and go on; so does what the internet sent to our own domains.
    """
    if leased.row.protection != "none" or leased.origin == "internet" or not leased.sender:
        return False
    address = _key(leased.row.recipient)
    if address.rpartition("@")[2] in view.managed:
        return False
    return encryption_of(view.policy, view.partners, view.addresses, address) == "mandatory"


def _key(recipient: str) -> str:
    """`Address.key` of what was accepted as an address once."""
    try:
        return parse_path(recipient).key
    except UnreadableMail:
        return recipient.lower()
