"""GetStreamingEvents (MS-OXWSNTIF section 3.1.4.2): one answer that goes on for minutes, an envelope for each news."""

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator

from tests.servers.ews.dispatch import envelope_of
from tests.servers.ews.operations.call import Call, refused, succeeded
from tests.servers.ews.operations.notifications import root_of
from tests.servers.ews.refusals import EwsError
from tests.servers.ews.subscriptions import Subscription, event_element
from tests.servers.ews.xml_names import make, need, text_of

_OPERATION = "GetStreamingEvents"
_LONGEST_MINUTES = 30


def stream(call: Call, request: ET.Element, closing: Callable[[], bool]) -> Iterator[bytes]:
    """The envelopes of one stream; ends after the time asked for, or soon after `closing()`.

    The connection is cut (no `Closed` is sent) when the quirk `stream_cut` is on at the end.
    """
    names = [text_of(name) for name in need(request, "m:SubscriptionIds")]
    minutes = int(text_of(request, "m:ConnectionTimeout"))
    try:
        if not 1 <= minutes <= _LONGEST_MINUTES:
            raise EwsError("ErrorInvalidRequest", f"ConnectionTimeout must be between 1 and {_LONGEST_MINUTES}.")
        with call.world.lock:
            mine = _found(call, names)
    except EwsError as error:
        yield envelope_of(_OPERATION, [_failed(error, names)])
        return
    seconds = minutes * 60.0 if call.quirks.stream_seconds is None else call.quirks.stream_seconds
    yield _status("OK")
    yield from _news(call, mine, time.monotonic() + seconds, closing)
    if not call.quirks.stream_cut:
        yield _status("Closed")


def _found(call: Call, names: list[str]) -> list[Subscription]:
    found = [call.subscriptions.get(name, streaming=True) for name in names]
    if any(
        subscription.user != call.user and (call.user, subscription.user) not in call.grants for subscription in found
    ):
        raise EwsError("ErrorSubscriptionAccessDenied", "Access is denied to the subscription.")
    return found


def _failed(error: EwsError, names: list[str]) -> ET.Element:
    message = refused(_OPERATION, error)
    message.append(make("m:ErrorSubscriptionIds", [make("t:SubscriptionId", name) for name in names]))
    return message


def _status(word: str) -> bytes:
    return envelope_of(_OPERATION, [succeeded(_OPERATION, make("m:ConnectionStatus", word))])


def _news(call: Call, subscriptions: list[Subscription], ends: float, closing: Callable[[], bool]) -> Iterator[bytes]:
    heartbeat = time.monotonic() + call.quirks.stream_heartbeat_seconds
    while time.monotonic() < ends and not closing():
        with call.world.lock:
            found = [notification for one in subscriptions for notification in _events(call, one)]
            if not found:
                left = min(ends, heartbeat) - time.monotonic()
                if left > 0 and not closing():
                    call.world.happened.wait(min(left, 1.0))
        if found:
            yield envelope_of(_OPERATION, [succeeded(_OPERATION, make("m:Notifications", found))])
        elif time.monotonic() >= heartbeat:
            heartbeat = time.monotonic() + call.quirks.stream_heartbeat_seconds
            yield _status("OK")


def _events(call: Call, subscription: Subscription) -> list[ET.Element]:
    """What happened since the last time, as at most one `m:Notification`."""
    events = call.subscriptions.since(subscription, subscription.position)
    subscription.position = len(call.world.journal)
    if not events:
        return []
    root = root_of(call, subscription.user)
    shown = [event_element(event, root, with_watermark=False) for event in events]
    return [make("m:Notification", [make("t:SubscriptionId", subscription.id), *shown])]
