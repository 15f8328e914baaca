"""What every message must pass before anything is decided about it: shape, loops, the shared secret.

Cheap checks on the header block alone, the same for both directions. What fails here is refused with
the reason, and nothing of the message was acted upon.
"""

import hmac
from dataclasses import dataclass, replace

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.author import Author, read_author
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.mail.received import count_own, count_received, count_valid_traces, own_passes_only
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.settings.model import Listener

MAX_RECEIVED = 100
"""RFC 5321 section 6.3: a loop threshold must be large, normally at least 100."""
MAX_OWN_RECEIVED = 3
MAX_OWN_TRACES = 1


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message that may be worked on."""

    message: Message
    author: Author | None
    """None only for an empty envelope sender whose From cannot be read: reports of old systems."""


def admit(
    data: bytearray, listener: Listener, hostname: str, trace_key: bytes, *, null_sender: bool
) -> Admitted | Refused:
    """Parse the header block and apply the checks; the listener's secret header is removed.

    trace_key: key of our authenticated trace headers (`mail/received.py`). null_sender: the envelope
    sender is `<>`; such mail (reports, receipts) may have a From without a domain, never several.
    """
    try:
        message = parse_message(data)
    except UnreadableMail as error:
        return Refused(Reason.MALFORMED, str(error))
    looping = _loop(message.headers, hostname, trace_key)
    if looping:
        return Refused(Reason.LOOP, looping)
    if listener.require_header:
        checked = _check_secret(message, listener.require_header)
        if checked is None:
            return Refused(Reason.RELAY_DENIED, "the header that this listener requires is missing or wrong")
        message = checked
    try:
        return Admitted(message, read_author(message.headers))
    except UnreadableMail as error:
        if null_sender and len(message.headers.all("from")) <= 1:
            return Admitted(message, None)
        return Refused(Reason.FROM_AMBIGUOUS, str(error))


def admit_inner(prepared: Prepared, hostname: str, trace_key: bytes, moment: float) -> Prepared | Refused:
    """The message out of a container, if carrier and message together have not come round in a circle.

    Who wraps mail automatically makes a new carrier each time, so the passes count that the message inside shows. Its
    Received lines then go, as no server wrote them (`mail/received.own_passes_only`). moment: seconds since 1970 UTC.
    """
    inner = prepared.message.headers
    carrier = prepared.carrier.fields if prepared.carrier is not None else ()
    looping = _loop(HeaderBlock((*carrier, *inner.fields)), hostname, trace_key)
    if looping:
        return Refused(Reason.LOOP, looping)
    return replace(prepared, message=prepared.message.with_headers(own_passes_only(inner, hostname, trace_key, moment)))


def _loop(headers: HeaderBlock, hostname: str, trace_key: bytes) -> str:
    """Evidence of a loop, or nothing (design 6.5, fact 7)."""
    received = count_received(headers)
    if received > MAX_RECEIVED:
        return f"{received} Received lines, at most {MAX_RECEIVED} are accepted"
    own = count_own(headers, hostname)
    if own > MAX_OWN_RECEIVED:
        return f"it passed this gateway {own} times"
    traces = count_valid_traces(headers, trace_key)
    if traces > MAX_OWN_TRACES:
        return f"it carries {traces} trace headers of this gateway"
    return ""


def _check_secret(message: Message, required: str) -> Message | None:
    """The message without its secret header, or None when no field matches; constant time per field."""
    name, _, secret = required.partition(":")
    name = name.strip()
    wanted = secret.strip().encode()
    found = [hmac.compare_digest(bytes(field.value).strip(), wanted) for field in message.headers.all(name)]
    if not any(found):
        return None
    return message.with_headers(message.headers.without({name.lower()}))
