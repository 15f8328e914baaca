"""How attempts end: rows leave the queue or wait for the next attempt, and what nobody needs goes.

Only the holder of a lease settles its row, so that two workers that both believe to own a row never
both report it (RFC 5321 section 6.1: one report).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ime_gateway.ports.queue import Settlement
from ime_gateway.store.challenge_writes import forget_lost
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.parcel_writes import insert_events, insert_parcels
from ime_gateway.store.rows import ParcelRows, event_values, storable

# Parcels are locked first: two workers that settle the last two rows of one parcel must see each
# other, or both would leave the parcel to the other and nobody would remove it.
_FOUND = (
    "SELECT r.id, r.lease, r.parcel_id, r.envelope_id FROM parcels p JOIN queue_rows r ON r.parcel_id = p.id"
    " WHERE r.id IN ({list}) ORDER BY p.id, r.id {for_update}"
)
_DEFER = (
    "UPDATE queue_rows SET attempts = attempts + 1, next_attempt = ?, last_reply = ?, lease = NULL, lease_owner = NULL,"
    " state = CASE wish WHEN 'hold' THEN 'held' WHEN '' THEN 'deferred' ELSE 'queued' END,"
    " due = CASE wish WHEN 'hold' THEN NULL WHEN '' THEN ? ELSE {now} END WHERE id = ?"
)
_REMOVE_ROWS = "DELETE FROM queue_rows WHERE id IN ({list})"
_REMOVE_ENVELOPES = (
    "DELETE FROM envelopes WHERE id IN ({list})"
    " AND NOT EXISTS (SELECT 1 FROM queue_rows WHERE envelope_id = envelopes.id) RETURNING id, body_id"
)
_REMOVE_BODIES = (
    "DELETE FROM bodies WHERE id IN ({list})"
    " AND NOT EXISTS (SELECT 1 FROM envelopes WHERE body_id = bodies.id) RETURNING id, place"
)
_REMOVE_PARCELS = (
    "DELETE FROM parcels WHERE id IN ({list}) AND NOT EXISTS (SELECT 1 FROM queue_rows WHERE parcel_id = parcels.id)"
)


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """Settlements of one call, and the parcels (DSNs) that go with them."""

    settlements: Sequence[Settlement]
    parcels: ParcelRows


@dataclass(slots=True)
class Settled:
    """What one call settled, and what nobody needs any more."""

    rows: list[str] = field(default_factory=list)
    enqueued: bool = False
    """The parcels were enqueued with it."""
    gone: list[str] = field(default_factory=list)
    """Envelopes and bodies that were removed."""
    files: list[str] = field(default_factory=list)
    """Bodies whose files can be removed now."""


def settle_rows(transaction: Transaction, requests: list[SettleRequest]) -> list[Settled]:
    """Settle what is still leased to those who ask."""
    asked = sorted({settlement.row_id for request in requests for settlement in request.settlements})
    found = {row[0]: row for row in transaction.run_for(_FOUND, asked)}
    answers = []
    accepted: list[Settlement] = []
    ended: list[Any] = []
    lost: dict[str, str] = {}
    for request in requests:
        taken, enqueued = _still_held(request, found)
        answers.append(Settled([settlement.row_id for settlement in taken], enqueued))
        accepted += taken
        if enqueued:
            insert_parcels(transaction, [request.parcels])
        for settlement in taken:
            row = found.pop(settlement.row_id)  # a row settles once, even if two calls of a group hold its token
            if settlement.outcome != "deferred":
                ended.append(row)
            if settlement.outcome in ("failed", "dropped"):
                lost[row[2]] = f"question {row[2]} {settlement.outcome}: {settlement.last_reply}"
    _defer(transaction, (settlement for settlement in accepted if settlement.outcome == "deferred"))
    if ended:
        _remove(transaction, ended, answers[0])
    forget_lost(transaction, lost)  # what was lost may have been a question to an unknown signer of containers
    insert_events(transaction, [[event_values(settlement.event) for settlement in accepted]])
    return answers


def _still_held(request: SettleRequest, found: dict[str, Any]) -> tuple[list[Settlement], bool]:
    """The settlements whose lease holds; reports and the rows they report stand or fall together."""
    held = [
        settlement
        for settlement in request.settlements
        if settlement.row_id in found and found[settlement.row_id][1] == settlement.lease
    ]
    if not request.parcels.parcels:
        return held, False
    lost = len(held) < len(request.settlements) and any(
        settlement.outcome in ("failed", "dropped") for settlement in request.settlements if settlement not in held
    )
    if lost:
        return [settlement for settlement in held if settlement.outcome in ("delivered", "deferred")], False
    return held, True


def _defer(transaction: Transaction, settlements: Iterable[Settlement]) -> None:
    for settlement in settlements:
        due = settlement.next_attempt
        transaction.run(_DEFER, (due, storable(settlement.last_reply), due, settlement.row_id))


def _remove(transaction: Transaction, rows: list[Any], answer: Settled) -> None:
    transaction.run_for(_REMOVE_ROWS, [row[0] for row in rows])
    envelopes = transaction.run_for(_REMOVE_ENVELOPES, sorted({row[3] for row in rows}))
    if envelopes:
        bodies = transaction.run_for(_REMOVE_BODIES, sorted({row[1] for row in envelopes}))
        answer.gone = [row[0] for row in (*envelopes, *bodies)]
        answer.files = [row[0] for row in bodies if row[1] == "file"]
    transaction.run_for(_REMOVE_PARCELS, sorted({row[2] for row in rows}))
