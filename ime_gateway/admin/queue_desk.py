"""What an administrator does with queued mail: look, retry, hold, release, drop.

Nothing here delivers or reads a body. A drop is a promise taken back, so the sender gets a report
(RFC 3464) unless it is silent, and the audit trail keeps who did it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.ports.queue import HeldEvidence, QueueLine
from ime_gateway.ports.registry import Registry

_HELD = 10_000


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """One message in the queue."""

    id: str
    rows: tuple[QueueLine, ...]
    held: tuple[HeldEvidence, ...]
    """Kept because the message made the gateway fail again and again."""


class QueueDesk:
    """The queue, for one administrator at a time. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def lines(self, *, limit: int = 1000, offset: int = 0) -> list[QueueLine]:
        """Rows of the queue, oldest message first."""
        return self._registry.queue_lines(limit=limit, offset=offset)

    def counts(self) -> dict[str, int]:
        """Rows by state."""
        return self._registry.queue_counts()

    def message(self, message: str) -> QueuedMessage:
        """All that is queued or kept of one message; raises UserError when there is nothing."""
        lines = tuple(self._registry.queue_lines(id=message))
        evidence = tuple(kept for kept in self._registry.held(_HELD) if kept.id == message)
        if not lines and not evidence:
            hint = f"what became of it: ime-gateway track --id {message}"
            raise UserError(f"no message {message} is in the queue; {hint}")
        return QueuedMessage(message, lines, evidence)

    def evidence(self, *, limit: int = 100) -> list[HeldEvidence]:
        """What is kept of messages that failed again and again (design 6.5, fact 10)."""
        return self._registry.held(limit)

    def retry(self, ids: Sequence[str], actor: str) -> int:
        """Make rows due now (row or message ids; none: all deferred ones); returns how many."""
        return _some(self._registry.retry(ids, actor), ids, "waits for a retry")

    def hold(self, ids: Sequence[str], actor: str) -> int:
        """Keep rows back until they are released; returns how many."""
        return _some(self._registry.hold(_named(ids), actor), ids, "could be held")

    def release(self, ids: Sequence[str], actor: str) -> int:
        """Let held rows go again; returns how many."""
        return _some(self._registry.release(_named(ids), actor), ids, "is held")

    def drop(self, ids: Sequence[str], actor: str, *, silent: bool) -> int:
        """Give rows up; their sender gets a report unless `silent`, which is audited."""
        return _some(self._registry.drop(_named(ids), actor, silent=silent), ids, "could be dropped")


def queue_line_json(line: QueueLine) -> dict[str, object]:
    """One row of `queue list --json` (contract of the design's 6.1)."""
    return {
        "row": line.row,
        "id": line.id,
        "message_id": line.message_id,
        "sender": line.sender,
        "recipient": line.recipient,
        "copy": line.copy,
        "state": line.state,
        "attempts": line.attempts,
        "next_attempt": rfc3339(line.next_attempt),
        "last_reply": line.last_reply,
    }


def queued_message_json(message: QueuedMessage) -> dict[str, object]:
    """`queue show --json`: the rows of `list` with why each is protected as it is, and evidence."""
    return {
        "id": message.id,
        "rows": [_detail_json(line) for line in message.rows],
        "held": [
            {
                "digest": kept.digest,
                "sender": kept.sender,
                "recipients": list(kept.recipients),
                "cause": kept.cause,
                "at": rfc3339(kept.at),
            }
            for kept in message.held
        ],
    }


def _detail_json(line: QueueLine) -> dict[str, object]:
    return queue_line_json(line) | {
        "size": line.size,
        "protection": line.protection,
        "reason": line.reason,
        "detail": line.detail,
        "received_at": rfc3339(line.received_at),
    }


def _named(ids: Sequence[str]) -> Sequence[str]:
    if not ids:
        raise UserError("name at least one row or message id, as queue list shows them")
    return ids


def _some(count: int, ids: Sequence[str], doing: str) -> int:
    if count == 0 and ids:
        raise UserError(f"none of these {doing}: {', '.join(ids)}; see queue list")
    return count
