"""Trace fields: the Received line of this gateway, and the authenticated mark that shows a loop.

RFC 5321 section 4.4 has each hop prepend a Received field and section 6.3 counts them against
loops. Received can be forged or removed, so a second field with a MAC tells our own passes.
"""

import hmac
import re
from datetime import UTC, datetime

from ime_gateway.mail.headers import Field, HeaderBlock, make_field

TRACE_FIELD = "X-IMEGW-Trace"
_TRACE = re.compile(r"([0-9a-z]{1,64}); mac=([0-9a-f]{64})")
_UNSAFE = re.compile(r"[^A-Za-z0-9.:_-]")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def received_field(
    *,
    helo: str,
    peer_ip: str,
    peer_name: str | None = None,
    hostname: str,
    protocol: str,
    message_id: str,
    moment: float,
) -> Field:
    """The Received field for a message taken now (RFC 5321 section 4.4).

    helo: what the peer called itself, untrusted. hostname: ours. protocol: the word after `with`,
    such as ESMTPS (RFC 3848). message_id: our queue id. moment: seconds since 1970 UTC.
    There is no `for` clause: it would show one blind recipient to another (section 7.2).
    """
    address = f"[IPv6:{peer_ip}]" if ":" in peer_ip else f"[{_word(peer_ip)}]"
    seen = f"{_word(peer_name)} {address}" if peer_name else address
    route = f"from {_word(helo)} ({seen}) by {_word(hostname)} with {_word(protocol)} id {_word(message_id)}"
    return make_field("Received", f"{route}; {date_time(moment)}")


def date_time(moment: float) -> str:
    """An RFC 5322 section 3.3 date-time in UTC, independent of the machine's language."""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02d} {_MONTHS[at.month - 1]} {at.year:04d} {at:%H:%M:%S} +0000"


def count_received(headers: HeaderBlock) -> int:
    """How many hops the message has behind it (RFC 5321 section 6.3)."""
    return len(headers.all("received"))


def count_own(headers: HeaderBlock, hostname: str) -> int:
    """How many of the Received fields name this host after `by`."""
    ours = re.compile(rb"(?:\A|[\s)])by\s+" + re.escape(hostname.lower().encode("ascii", "ignore")) + rb"(?=[\s;(]|\Z)")
    return sum(1 for field in headers.all("received") if ours.search(field.value.lower()))


def trace_field(message_id: str, mac_key: bytes) -> Field:
    """The mark of one pass through this installation: our queue id and an HMAC-SHA-256 over it."""
    return make_field(TRACE_FIELD, f"{message_id}; mac={_mac(message_id, mac_key)}")


def count_valid_traces(headers: HeaderBlock, mac_key: bytes) -> int:
    """How many different passes the message proves; copies of one mark count once, forged ones never."""
    passes: set[str] = set()
    for field in headers.all(TRACE_FIELD):
        match = _TRACE.fullmatch(field.text)
        if match and hmac.compare_digest(match[2], _mac(match[1], mac_key)):
            passes.add(match[1])
    return len(passes)


def own_passes_only(headers: HeaderBlock, hostname: str, mac_key: bytes, moment: float) -> HeaderBlock:
    """The header of a message that no mail server has seen, without the way that it claims to have come.

    Whoever wrote it wrote its Received lines, with any words in them. What counts against loops stays: for each line
    that names this host one of our own making, and the marks that prove a pass. moment: seconds since 1970 UTC.
    """
    again = make_field("Received", f"by {_word(hostname)}; {date_time(moment)}")
    kept: list[Field] = []
    for field in headers.fields:
        if field.key == "received":
            kept += [again] * count_own(HeaderBlock((field,)), hostname)
        elif field.key != TRACE_FIELD.lower() or count_valid_traces(HeaderBlock((field,)), mac_key):
            kept.append(field)
    return headers if len(kept) == len(headers.fields) and again not in kept else HeaderBlock(kept)


def _mac(message_id: str, mac_key: bytes) -> str:
    return hmac.new(mac_key, b"imegw-trace:" + message_id.encode("ascii"), "sha256").hexdigest()


def _word(text: str) -> str:
    """A name of the peer's choosing as one harmless word."""
    return _UNSAFE.sub("?", text)[:255] or "unknown"
