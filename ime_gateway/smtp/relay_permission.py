"""Who may send what to whom through this gateway: one table, so that it can never become an open relay.

Rows: the listener's role and who the envelope sender is; columns: who the recipient is (RFC 5321 section 3.6, design
6.5 fact 1). Percent signs, bangs and source routes buy nothing: only the domain after the last `@` counts.
"""

import ipaddress
from collections.abc import Collection
from enum import Enum, auto

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.ports.reception import RelayFacts, Role
from ime_gateway.settings.model import Network


class SenderKind(Enum):
    """Who the envelope sender is."""

    MANAGED = auto()
    """In a domain of ours."""
    NULL = auto()
    """`<>`: out of office, receipts, non-delivery reports, journal."""
    LISTED = auto()
    """In the listener's `relay_senders`."""
    FOREIGN = auto()


class RecipientKind(Enum):
    """Who the recipient is."""

    IME = auto()
    """An address of internal mail encryption: the pseudo recipient (1.0), or any at an IME domain (2.0)."""
    MANAGED = auto()
    FOREIGN = auto()


_NOT_OURS = Reason.SENDER_NOT_MANAGED
_DENIED = Reason.RELAY_DENIED
# fmt: off
_TABLE: dict[tuple[Role, SenderKind], tuple[Reason | None, Reason | None, Reason | None]] = {
    #                                    to: IME        MANAGED    FOREIGN
    ("internal", SenderKind.MANAGED): (None,      None,      None),
    ("internal", SenderKind.NULL):    (_NOT_OURS, None,      None),
    ("internal", SenderKind.LISTED):  (_NOT_OURS, None,      None),
    ("internal", SenderKind.FOREIGN): (_NOT_OURS, _NOT_OURS, _NOT_OURS),
    ("internet", SenderKind.MANAGED): (_DENIED,   None,      _DENIED),
    ("internet", SenderKind.NULL):    (_DENIED,   None,      _DENIED),
    ("internet", SenderKind.LISTED):  (_DENIED,   None,      _DENIED),
    ("internet", SenderKind.FOREIGN): (_DENIED,   None,      _DENIED),
}
_COLUMN = {RecipientKind.IME: 0, RecipientKind.MANAGED: 1, RecipientKind.FOREIGN: 2}
# fmt: on


def may_connect(role: Role, allow: Collection[Network], peer_ip: str) -> bool:
    """Is the TCP peer inside `allow`? An empty list: nobody on an internal listener, everybody on an internet one."""
    if not allow:
        return role == "internet"
    peer = ipaddress.ip_address(peer_ip.partition("%")[0])
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    return any(peer.version == network.version and peer in network for network in allow)


def certificate_refusal(demanded: Collection[str], presented: Collection[str]) -> Refused | None:
    """None when the client's verified certificate carries a demanded name, or none is demanded."""
    if not demanded or {name.lower() for name in demanded} & {name.lower() for name in presented}:
        return None
    shown = ", ".join(presented) or "no certificate"
    return Refused(_DENIED, f"the client certificate carries none of the names demanded here; shown: {shown}")


def may_relay(
    role: Role, sender: Address | None, recipient: Address, facts: RelayFacts, relay_senders: Collection[str]
) -> Refused | None:
    """None when mail from this sender to this recipient is taken on a listener of this role."""
    sender_kind = _sender_kind(sender, facts, relay_senders)
    reason = _TABLE[role, sender_kind][_COLUMN[_recipient_kind(recipient, facts)]]
    if reason is None:
        return None
    return Refused(reason, f"sender <{sender or ''}>, listener role {role}", address=str(recipient))


def _sender_kind(sender: Address | None, facts: RelayFacts, relay_senders: Collection[str]) -> SenderKind:
    if sender is None:
        return SenderKind.NULL
    if facts.is_managed(sender.domain):
        return SenderKind.MANAGED
    listed = {entry.lower() for entry in relay_senders}
    if sender.key in listed or f"@{sender.domain}" in listed:
        return SenderKind.LISTED
    return SenderKind.FOREIGN


def _recipient_kind(recipient: Address, facts: RelayFacts) -> RecipientKind:
    if recipient.key in facts.ime_addresses or recipient.domain in facts.ime_domains:
        return RecipientKind.IME
    return RecipientKind.MANAGED if facts.is_managed(recipient.domain) else RecipientKind.FOREIGN
