"""What became of a message: the tracking events, found by the words people have at hand.

A user says "my mail to bob at nine"; the events of that sender, recipient or Message-ID tell each
decision with its reason (P4), long after the rows have left the queue.
"""

from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UnreadableMail, UserError
from ime_gateway.mail.address import parse_path
from ime_gateway.ports.queue import Event
from ime_gateway.ports.registry import Registry


class TrackDesk:
    """The tracking page. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def events(
        self, *, message: str = "", message_id: str = "", sender: str = "", recipient: str = "", limit: int = 1000
    ) -> list[Event]:
        """Events that match all filters, oldest first; the newest `limit` of them.

        message: our id, as in `250 2.0.0 accepted id=<id>`. message_id: the Message-ID header, with
        or without angle brackets. sender, recipient: addresses. Raises UserError for what is no address.
        """
        return self._registry.events(
            id=message.strip(),
            message_id=_with_brackets(message_id),
            sender=_address(sender),
            recipient=_address(recipient),
            limit=limit,
        )


def event_json(event: Event) -> dict[str, object]:
    """One event of `track --json` (contract of the design's 6.1)."""
    return {
        "id": event.id,
        "message_id": event.message_id,
        "sender": event.sender,
        "recipient": event.recipient,
        "copy": event.copy,
        "event": event.event,
        "reason": event.reason,
        "detail": event.detail,
        "at": rfc3339(event.at),
    }


def _with_brackets(message_id: str) -> str:
    text = message_id.strip()
    return f"<{text}>" if text and not text.startswith("<") else text


def _address(text: str) -> str:
    """The address as rows write it: domain folded, local part kept."""
    text = text.strip().removeprefix("<").removesuffix(">")
    if not text:
        return ""
    try:
        return str(parse_path(text))
    except UnreadableMail as error:
        raise UserError(f"{text} is no mail address: {error}") from None
