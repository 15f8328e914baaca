"""What a reply means for a row: delivered, tried again, or over and reported (RFC 5321 sections 4.2, 6.1).

Pure: replies and the moment in, settlements and reports out. Each recipient is judged alone, so that
one unknown address never costs another their mail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ime_gateway.mail.delivery_report import ReportedMessage, ReportedRecipient, Status, status_of, wants_report
from ime_gateway.ports.queue import Event, EventName, LeasedRow, Settlement
from ime_gateway.ports.relay import RelayReply
from ime_gateway.settings.model import Delivery

_JITTER = 0.1
"""Up to a tenth is added to each wait, so that messages that failed together do not come back together."""
_ATTEMPTS_BEFORE_GIVING_UP = 2
"""However old a message is (the gateway was off, the clock jumped), it is tried twice at least."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt for one row, and how it ended."""

    leased: LeasedRow
    reply: RelayReply
    peer: str = ""
    """The server that was reached."""
    dsn_supported: bool = False
    """The server took over the sender's wish for reports (RFC 3461 section 5.2.1)."""
    again_at: float | None = None
    """Nothing was tried; another worker may do it from this moment on."""


def settlement_of(attempt: Attempt, moment: float, delivery: Delivery, chance: float) -> Settlement:
    """How the row goes on. moment: seconds since 1970 UTC. chance: from 0 to 1, spreads retries."""
    leased, reply = attempt.leased, attempt.reply
    outcome = _outcome(attempt, moment, delivery)
    said = f"{attempt.peer}: {reply.line}" if attempt.peer and not reply.ours else reply.line
    detail = (
        f"given up after {_hours(moment - leased.received_at)}; last: {said}" if _expired(attempt, outcome) else said
    )
    return Settlement(
        row_id=leased.row.id,
        lease=leased.lease,
        outcome=outcome,
        event=event_of(leased, outcome, detail, moment),
        next_attempt=_next_attempt(attempt, moment, delivery, chance) if outcome == "deferred" else 0.0,
        last_reply=reply.line,
    )


def event_of(leased: LeasedRow, name: EventName, detail: str, moment: float) -> Event:
    """A line of the tracking page about a row."""
    return Event(
        id=leased.message,
        message_id=leased.message_id,
        sender=leased.sender,
        recipient=leased.row.recipient,
        copy=leased.row.copy,
        event=name,
        reason=leased.row.reason,
        detail=detail,
        at=moment,
        row=leased.row.id,
    )


def reported_recipient(attempt: Attempt, settlement: Settlement) -> ReportedRecipient | None:
    """What the sender is told of this row; None: nothing (RFC 3461 sections 5.2.2 and 5.2.6).

    Never anything about a sent copy, to an empty sender, or of a row that was withdrawn in silence.
    """
    leased, reply = attempt.leased, attempt.reply
    if not leased.sender or leased.row.copy == "sent" or leased.drop == "silent":
        return None
    match settlement.outcome:
        case "deferred":
            return None
        case "delivered":
            if attempt.dsn_supported or not wants_report(leased.row.notify, "relayed"):
                return None
            action, status = "relayed", Status.RELAYED.value
        case "failed" | "dropped":
            if not wants_report(leased.row.notify, "failed"):
                return None
            action = "failed"
            status = Status.EXPIRED if _expired(attempt, settlement.outcome) else status_of(reply.code, reply.text)
    return ReportedRecipient(
        address=leased.row.recipient,
        action="relayed" if action == "relayed" else "failed",
        status=status,
        diagnostic=reply.line,
        remote="" if reply.ours else attempt.peer.partition(" ")[0],
        orcpt=leased.row.orcpt,
    )


def reported_message(attempts: Sequence[Attempt], headers: bytes) -> ReportedMessage:
    """The message that a report is about; all attempts are for rows of one message."""
    leased = attempts[0].leased
    return ReportedMessage(
        id=leased.message,
        sender=leased.sender,
        message_id=leased.message_id,
        envid=leased.envid,
        received_at=leased.received_at,
        headers=headers,
    )


def _outcome(
    attempt: Attempt, moment: float, delivery: Delivery
) -> Literal["delivered", "deferred", "failed", "dropped"]:
    if attempt.again_at is not None:
        return "deferred"
    if attempt.leased.drop:
        return "dropped"
    if attempt.reply.positive:
        return "delivered"
    if attempt.reply.permanent:
        return "failed"
    old = moment - attempt.leased.received_at >= delivery.give_up_hours * 3600
    return "failed" if old and attempt.leased.attempts + 1 >= _ATTEMPTS_BEFORE_GIVING_UP else "deferred"


def _expired(attempt: Attempt, outcome: str) -> bool:
    return outcome == "failed" and not attempt.reply.permanent


def _next_attempt(attempt: Attempt, moment: float, delivery: Delivery, chance: float) -> float:
    if attempt.again_at is not None:
        return attempt.again_at
    waits = delivery.retry_minutes
    minutes = waits[min(attempt.leased.attempts, len(waits) - 1)]
    return moment + minutes * 60 * (1 + _JITTER * chance)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours"
