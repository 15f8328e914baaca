"""Which addresses may be asked on behalf of what stands in certificates: public ones, and those an administrator named.

A URL in a certificate is a stranger's wish. Fulfilled without looking, it reaches what only we can reach: the metadata
service of a cloud, the administrators' site on loopback, a printer in the next room (server-side request forgery,
OWASP ASVS 5.0 1.3.6). So names are resolved here, every address is judged, and the connection is made to the very
address that was judged, never to the name again.
"""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_NEVER_PUBLIC: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's own service for the machine that asks
        *("64:ff9b:1::/48", "100::/64", "2001::/23", "3fff::/20", "fc00::/7", "fec0::/10"),
    )
)
"""What the library of some Python versions takes for public, and what looks public and is the machine's own cloud."""
_USUAL_PORTS: Final = {"http": 80, "https": 443, "ldap": 389, "ldaps": 636}


class Forbidden(OSError):
    """The target may not be asked; the message says why, for the log and for `cert check`."""


def target(url: str, schemes: Sequence[str]) -> tuple[SplitResult, str, int]:
    """The parts of a URL, its host and its port. Raises Forbidden."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        raise Forbidden("the URL cannot be read") from None
    if scheme not in schemes:
        raise Forbidden(f"{scheme or 'no scheme'}: only {' and '.join(schemes)} are asked")
    if not host or parts.username is not None or parts.password is not None or not url.isascii() or " " in url:
        raise Forbidden("the URL names no host, or a user")
    if not url.isprintable():
        raise Forbidden("the URL holds control characters")
    usual = _USUAL_PORTS[scheme]
    port = usual if port is None else port
    if port != usual and port < 1024:
        raise Forbidden(f"port {port} is not asked")
    return parts, host, port


def permitted(address: str, allowed: Sequence[Network]) -> bool:
    """Whether an address (as the resolver writes it) may be asked; `allowed`: networks beyond the public ones."""
    try:
        found: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = _embedded(found)
    if inner is not None:
        # One address in the clothes of another: what is meant decides.
        return permitted(str(inner), allowed)
    if any(found.version == network.version and found in network for network in allowed):
        return True
    if any(found.version == network.version and found in network for network in _NEVER_PUBLIC):
        return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def resolve(host: str, port: int, allowed: Sequence[Network]) -> list[tuple[int, tuple[str, int]]]:
    """The permitted addresses of a host as (family, (address, port)), in the resolver's order. Blocking.

    Raises Forbidden when it has only others, OSError when it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise Forbidden(f"{host} is no host name") from None
    addresses = dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found)
    good = [(int(family), (address, port)) for family, address in addresses if permitted(address, allowed)]
    if not good:
        named = ", ".join(address for _, address in addresses)
        raise Forbidden(f"{host} ({named}) lies in a network that is not asked; see [lookup] allow_networks")
    return good
