"""What is wrong in `gateway.toml` though every single value is legal.

The gravest mistake of a mail gateway is an internal listener that strangers can reach: there,
markers steer and senders relay (P5), so a public network needs one more proof.
"""

import ipaddress
import re
from collections.abc import Iterator

from ime_gateway.app.preflight.finding import Finding, error, ok, warning
from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import parse_path
from ime_gateway.settings.model import Listener, Network, Settings, Web

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_WIDEST = {4: 16, 6: 48}
"""Shortest prefix of a private network that needs no second look."""


def check_settings(settings: Settings) -> Iterator[Finding]:
    """All findings that need no file, socket or store."""
    yield _hostname(settings.smtp.hostname)
    roles = {listener.role for listener in settings.listener}
    if "internal" not in roles:
        yield warning("listener", 'no listener has role = "internal"; mail from inside cannot be taken')
    for listener in settings.listener:
        yield from _listener(listener)
    yield _route("delivery.default_route", settings.delivery.default_route, settings)
    yield _v1_address(settings.ime.v1_address)
    yield from _addresses(settings)
    yield from _portal(settings.web)


def public_part(network: Network) -> bool:
    """True: the network holds addresses that are not reserved for private use (RFC 1918, RFC 4193)."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        # ::ffff:0:0/96 is the whole of IPv4 in another spelling (RFC 4291 section 2.5.5.2).
        mapped = int(network.network_address) & 0xFFFF_FFFF
        network = ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return not (network.is_private or network.is_loopback or network.is_link_local)


def route_host(route: str) -> tuple[str, int]:
    """Host (without brackets) and port of `smtp://HOST[:PORT]`."""
    rest = route.removeprefix("smtp://")
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        return host, int(port.removeprefix(":") or 25)
    host, _, port = rest.partition(":")
    return host, int(port or 25)


def check_route(key: str, route: str, settings: Settings) -> Finding:
    """Is a next hop a possible host, and not one of our own listeners."""
    return _route(key, route, settings)


def _hostname(name: str) -> Finding:
    key = "smtp.hostname"
    if not _HOST_NAME.fullmatch(name):
        return error(key, f"{name!r} is no host name; give the name of this machine in DNS")
    if name.lower() in ("localhost", "localhost.localdomain") or re.fullmatch(r"[0-9.]+", name):
        return error(key, f"{name} is not a name by which other mail servers know this machine")
    if "." not in name:
        return warning(key, f"{name} has no domain; other servers expect the full name, as in gw.acme.example")
    return ok(key, name)


def _listener(listener: Listener) -> Iterator[Finding]:
    key = f"listener.{listener.name}.allow"
    try:
        ipaddress.ip_address(listener.address)
    except ValueError:
        yield error(f"listener.{listener.name}.address", f"{listener.address!r} is no IP address")
    yield from _relay_senders(listener)
    if listener.role == "internet":
        yield ok(key, f"from {len(listener.allow)} networks" if listener.allow else "from everybody")
        return
    if not listener.allow:
        yield warning(key, "empty: nobody can connect; name the addresses of your mail server")
        return
    proved = listener.require_header or listener.client_certificate_names or listener.tenant_ids
    public = [str(network) for network in listener.allow if public_part(network)]
    wide = [
        str(network)
        for network in listener.allow
        if not public_part(network) and not network.is_loopback and network.prefixlen < _WIDEST[network.version]
    ]
    if public and not proved:
        proof = "require_header, client_certificate_names or tenant_ids"
        yield error(key, f"an internal listener is open to public addresses ({', '.join(public)}); it needs {proof}")
    elif wide:
        yield warning(key, f"wider than /16: {', '.join(wide)}; name the addresses of your mail server alone")
    else:
        yield ok(key, ", ".join(map(str, listener.allow)))


def _relay_senders(listener: Listener) -> Iterator[Finding]:
    for sender in listener.relay_senders:
        try:
            parse_path(f"postmaster{sender}" if sender.startswith("@") else sender)
        except UnreadableMail:
            key = f"listener.{listener.name}.relay_senders"
            yield error(key, f"{sender!r} is neither an address nor @domain")


def _route(key: str, route: str, settings: Settings) -> Finding:
    if route == "mx":
        return ok(key, "by MX records")
    host, port = route_host(route)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            return error(key, f"{host!r} is neither a host name nor an IP address")
    for listener in settings.listener:
        wherever = listener.address in _EVERYWHERE or host == "localhost"
        ours = {listener.address, settings.smtp.hostname.lower()} | (_LOOPBACK if wherever else set())
        same_host = host.lower() in ours
        if same_host and port == listener.port:
            return error(key, f"{route} is our own listener {listener.name}; mail would go round in circles")
    return ok(key, route)


def _v1_address(address: str) -> Finding:
    key = "ime.v1_address"
    try:
        parse_path(address)
    except UnreadableMail as trouble:
        return error(key, f"{address!r} is no mail address: {trouble}")
    return ok(key, address)


def _portal(web: Web) -> Iterator[Finding]:
    if web.portal_url:
        detail = f"the portal comes later; {web.pki_base}/pki/ is where revocation lists are" if web.pki_base else ""
        yield warning("web.portal_url", detail or "this is no address such as https://secure.acme.example")
    if web.pki_base and not web.portal:
        yield error("web.portal", f"it is off, so nothing answers at {web.pki_base}/pki/")


def _addresses(settings: Settings) -> Iterator[Finding]:
    """Two things on one port."""
    taken: dict[tuple[str, int], str] = {}
    places = [(f"listener.{one.name}.port", one.address, one.port) for one in settings.listener]
    web = settings.web
    for key, text in (
        ("web.admin", web.admin),
        ("web.portal", web.portal),
        ("metrics.address", settings.metrics.address),
    ):
        if text:
            host, _, port = text.rpartition(":")
            places.append((key, host.strip("[]"), int(port)))
    for key, host, number in places:
        if number == 0:
            continue
        other = taken.setdefault((host, number), key)
        if other != key:
            yield error(key, f"port {number} of {host} is given to {other} already")
