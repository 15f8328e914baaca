"""The PROXY protocol header (versions 1 and 2) by which a load balancer names the real client.

It is believed only on listeners that ask for it, only from peers inside `allow`, and only before anything else.
Specification: HAProxy "The PROXY protocol", sections 2.1 and 2.2. Pure: bytes in, address out.
"""

import ipaddress
from dataclasses import dataclass

from ime_gateway.base.errors import GatewayError

MAX_HEADER = 16 + 2048
"""Bytes of the longest header that is read; more can only be ballast."""
_V1_LONGEST = 107
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_ADDRESS_BYTES = {0x10: 4, 0x20: 16}


class ProxyHeaderError(GatewayError):
    """The connection does not begin with a PROXY header; it is closed without a word."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What the load balancer says."""

    client_ip: str
    """Empty when the balancer speaks for itself (a health check)."""
    length: int
    """Bytes that the header takes."""


def read_header(data: bytes | bytearray) -> ProxyHeader | None:
    """The header at the beginning of `data`, None when more bytes are needed. Raises ProxyHeaderError."""
    start = bytes(data[:12])
    if _V2_SIGNATURE.startswith(start):
        return _version_2(bytes(data)) if len(data) >= 16 else None
    if b"PROXY ".startswith(start[:6]):
        return _version_1(bytes(data[:_V1_LONGEST]))
    raise ProxyHeaderError("no PROXY header")


def _version_1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data.partition(b"\r\n")
    if not end:
        if len(data) >= _V1_LONGEST:
            raise ProxyHeaderError("PROXY header without end")
        return None
    words = line.decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader("", len(line) + 2)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderError("malformed PROXY header")
    try:
        client = ipaddress.ip_address(words[2])
    except ValueError as error:
        raise ProxyHeaderError("malformed address in the PROXY header") from error
    return ProxyHeader(str(client), len(line) + 2)


def _version_2(data: bytes) -> ProxyHeader | None:
    command, family = data[12], data[13]
    length = 16 + int.from_bytes(data[14:16], "big")
    if command >> 4 != 2 or command & 15 > 1 or length > MAX_HEADER:
        raise ProxyHeaderError("malformed PROXY header")
    if len(data) < length:
        return None
    size = _V2_ADDRESS_BYTES.get(family & 0xF0, 0)
    if command & 15 == 0 or not size:
        return ProxyHeader("", length)
    if length < 16 + 2 * size + 4:
        raise ProxyHeaderError("PROXY header without address")
    return ProxyHeader(str(ipaddress.ip_address(data[16 : 16 + size])), length)
