"""What the gateway knows about itself that Exchange must be told, and what is still missing for it.

Exchange needs four things: which domains go to the gateway, at which name and port it listens, from which addresses
it comes back, and on which ports of Exchange mail from inside and from outside returns (design 6.5.6: two trust
levels).
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509

from ime_gateway.admin.exchange_kit.readiness import (
    SMTP_PORT,
    certificate_notes,
    exchange_port_notes,
    listener_notes,
    policy_notes,
)
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UnreadableMail, UserError
from ime_gateway.mail.address import normalize_domain
from ime_gateway.settings.model import Listener, Settings
from ime_gateway.settings.site import ManagedDomain, Policy

_LARGEST = 2_147_483_647
"""The largest MaxMessageSize of a connector (reference of New-SendConnector, New-ReceiveConnector)."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the administrator says beyond live data."""

    addresses: tuple[str, ...] = ()
    """From which the gateway connects to Exchange; empty: the address of the listener."""
    name: str = ""
    """How Exchange finds the gateway; empty: [smtp] hostname."""
    listener: str = ""
    """The internal listener for Exchange; empty: the only one."""
    registry_key: str = ""
    """The add-in's registry key; it is not public."""
    test_sender: str = ""
    test_recipient: str = ""
    """Mailboxes for the test mails; empty: ime-test-1 and ime-test-2 of the first domain."""


@dataclass(frozen=True, slots=True)
class ImeAddress:
    """The IME 2.0 address of one managed domain."""

    domain: str
    address: str


@dataclass(frozen=True, slots=True)
class KitFacts:
    """Everything that the files are made from."""

    made_at: str
    """RFC 3339."""
    name: str
    addresses: tuple[str, ...]
    port: int
    max_bytes: int
    managed: tuple[str, ...]
    v1_address: str
    ime_addresses: tuple[ImeAddress, ...]
    inside_ports: tuple[int, ...]
    """Ports of Exchange to which mail from inside returns (`return_to`); empty: they are those of `outside_ports`."""
    outside_ports: tuple[int, ...]
    """Ports of Exchange to which mail from outside goes (`deliver_to`)."""
    secret_header: str
    """Name of the header that the listener demands (`require_header`); empty: none."""
    registry_key: str
    test_sender: str
    test_recipient: str
    notes: tuple[str, ...]
    """What must be done at the gateway first, or cannot be had, one sentence each."""

    @property
    def ime_domains(self) -> tuple[str, ...]:
        """What Exchange sends to the gateway: the pseudo domain of IME 1.0 and each IME 2.0 domain."""
        names = [_domain_of(self.v1_address), *(_domain_of(one.address) for one in self.ime_addresses)]
        return tuple(dict.fromkeys(names))

    @property
    def public_addresses(self) -> tuple[str, ...]:
        """Those that Exchange Online can see: public IPv4."""
        found = (ipaddress.ip_address(one) for one in self.addresses)
        return tuple(str(one) for one in found if one.version == 4 and one.is_global)


def gather(
    settings: Settings,
    managed: Mapping[str, ManagedDomain],
    policy: Policy,
    wishes: Wishes,
    certificate: x509.Certificate | None,
    moment: float,
) -> KitFacts:
    """The facts at a moment (seconds since 1970 UTC); `certificate` is the one that the listener shows, if any.

    Raises UserError when something is missing that no script can do without."""
    if not managed:
        raise UserError("there is no managed domain yet; add one: ime-gateway domain add NAME --managed deliver_to=...")
    listener = chosen_listener(settings, wishes.listener)
    if listener.port == 0:
        raise UserError(
            f"listener {listener.name} takes any free port, so Exchange could not be told where to send; nothing was"
            " written; set port = 25 in gateway.toml and run the command again"
        )
    name = _gateway_name(wishes.name or settings.smtp.hostname)
    addresses = tuple(_addresses(wishes.addresses, listener))
    domains = [managed[one] for one in sorted(managed)]
    inside, outside, port_notes = _ports(domains)
    own = domains[0].name
    return KitFacts(
        made_at=rfc3339(moment),
        name=name,
        addresses=addresses,
        port=listener.port,
        max_bytes=min(settings.smtp.max_message_bytes, _LARGEST),
        managed=tuple(one.name for one in domains),
        v1_address=settings.ime.v1_address,
        ime_addresses=tuple(ImeAddress(one.name, one.ime_address) for one in domains if one.ime_address),
        inside_ports=inside,
        outside_ports=outside,
        secret_header=listener.require_header.partition(":")[0].strip(),
        registry_key=wishes.registry_key,
        test_sender=wishes.test_sender or f"ime-test-1@{own}",
        test_recipient=wishes.test_recipient or f"ime-test-2@{own}",
        notes=(
            *listener_notes(listener),
            *certificate_notes(listener, name, certificate, moment),
            *port_notes,
            *exchange_port_notes((*inside, *outside)),
            *policy_notes(domains, policy),
        ),
    )


def chosen_listener(settings: Settings, name: str) -> Listener:
    """The internal listener that is meant; raises UserError."""
    internal = [one for one in settings.listener if one.role == "internal" and name in ("", one.name)]
    if len(internal) == 1:
        return internal[0]
    if name:
        raise UserError(f"gateway.toml has no internal listener called {name}")
    if not internal:
        raise UserError('gateway.toml has no listener with role = "internal"; Exchange could not send to this gateway')
    names = ", ".join(one.name for one in internal)
    raise UserError(f"there are several internal listeners ({names}); say which one is for Exchange: --listener NAME")


def _gateway_name(name: str) -> str:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        try:
            return normalize_domain(name)
        except UnreadableMail:
            raise UserError(
                f"{name} is no host name; Exchange looks the gateway up by it: --gateway-name NAME"
            ) from None
    raise UserError(f"{name} is an address; Exchange checks the gateway's certificate by name: --gateway-name NAME")


def _addresses(wanted: Sequence[str], listener: Listener) -> Iterator[str]:
    for one in wanted or (listener.address,):
        try:
            address = ipaddress.ip_address(one.strip())
        except ValueError:
            raise UserError(f"{one} is no IP address; --gateway-address takes one, and may be given again") from None
        if address.is_unspecified or address.is_loopback:
            raise UserError(
                f"{address} does not say from where this gateway connects to Exchange, which takes its mail from no"
                " other address; give it: --gateway-address IP"
            )
        yield str(address)


def _ports(domains: Sequence[ManagedDomain]) -> tuple[tuple[int, ...], tuple[int, ...], list[str]]:
    """Ports for mail from inside, for mail from outside, and what stands in the way of telling them apart."""
    outside = {_port(one.deliver_to) for one in domains}
    inside = {_port(one.return_to) for one in domains if one.return_to and one.return_to != one.deliver_to}
    notes = [
        f"{one.name}: return_to is empty or the same as deliver_to, so mail from inside comes back as if strangers had"
        ' sent it; set return_to = "smtp://HOST:PORT" with a port of its own, as 10026, and make the kit again'
        for one in domains
        if one.return_to in ("", one.deliver_to)
    ]
    shared = sorted(inside & outside)
    if shared:
        ports = ", ".join(map(str, shared))
        notes.append(
            f"port {ports} is in a return_to and in a deliver_to; Exchange tells mail from inside and from outside"
            " apart by the port, so the kit takes that port for mail from outside; give return_to a port of its own"
        )
    return tuple(sorted(inside - outside)), tuple(sorted(outside)), notes


def _port(route: str) -> int:
    """The port of `mx` or `smtp://HOST[:PORT]`."""
    rest = route.removeprefix("smtp://").rpartition("]")[2] if route != "mx" else ""
    return int(rest.partition(":")[2] or SMTP_PORT)


def _domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()
