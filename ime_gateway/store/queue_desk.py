"""What administrators see of the queue and what they may ask of its rows.

A row that a worker sends at this moment is not taken from it: what was asked stands in `wish` and
holds from the end of that attempt, because a message that is half delivered cannot be held back.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, case, func, literal, literal_column, null, or_, select, update

from ime_gateway.ports.queue import HeldEvidence, QueueLine
from ime_gateway.store.dialect import Dialect
from ime_gateway.store.schema import envelopes, events, held_evidence, parcels, queue_rows
from ime_gateway.store.sealed_secrets import SecretBox

_ROWS = queue_rows.c


def queue_lines(connection: Connection, dialect: Dialect, message: str, limit: int, offset: int) -> list[QueueLine]:
    """Rows of the queue, oldest message first; with `message`, those of one message or row id."""
    query = (
        select(
            *(_ROWS[name] for name in ("id", "parcel_id", "recipient", "copy", "attempts", "next_attempt")),
            *(_ROWS[name] for name in ("last_reply", "protection", "reason", "detail")),
            _state(dialect).label("state"),
            *(parcels.c[name] for name in ("message_id", "sender", "received_at")),
            envelopes.c.wire_size,
        )
        .join(parcels, parcels.c.id == _ROWS.parcel_id)
        .join(envelopes, envelopes.c.id == _ROWS.envelope_id)
        .order_by(_ROWS.parcel_id, _ROWS.id)
    )
    if message:
        query = query.where(_named([message]))
    return [
        QueueLine(
            row=row.id,
            id=row.parcel_id,
            message_id=row.message_id,
            sender=row.sender,
            recipient=row.recipient,
            copy=row.copy,
            state=row.state,
            attempts=row.attempts,
            next_attempt=row.next_attempt,
            last_reply=row.last_reply,
            size=row.wire_size,
            protection=row.protection,
            reason=row.reason,
            detail=row.detail,
            received_at=row.received_at,
        )
        for row in connection.execute(query.limit(limit).offset(offset))
    ]


def queue_counts(connection: Connection, dialect: Dialect) -> dict[str, int]:
    """Rows by state; every state is there."""
    state = _state(dialect)
    counts = dict.fromkeys(("queued", "sending", "deferred", "held"), 0)
    counts.update({row[0]: row[1] for row in connection.execute(select(state, func.count()).group_by(state))})
    return counts


def retry(connection: Connection, dialect: Dialect, ids: Sequence[str]) -> int:
    """Make waiting rows due now; without ids all deferred ones."""
    which = and_(_ROWS.state.in_(("queued", "deferred")), _named(ids)) if ids else _ROWS.state == "deferred"
    return _change(connection, which, state="queued", due=_now(dialect), next_attempt=_now(dialect))


def hold(connection: Connection, dialect: Dialect, ids: Sequence[str], actor: str, moment: float) -> int:
    """Keep rows back; those being sent are held if the attempt does not deliver them."""
    which = and_(_ROWS.wish == "", _named(ids))
    held = list(connection.execute(select(_ROWS.id).where(which)).scalars())
    sending = _being_sent(dialect)
    count = _change(
        connection,
        and_(_ROWS.wish == "", _ROWS.id.in_(held)),
        wish="hold",
        state=case((sending, "sending"), else_="held"),
        due=case((sending, _ROWS.due), else_=null()),
    )
    _record_held(connection, held, actor, moment)
    return count


def release(connection: Connection, dialect: Dialect, ids: Sequence[str]) -> int:
    """Let held rows go again, at once."""
    sending = _being_sent(dialect)
    return _change(
        connection,
        and_(_ROWS.wish == "hold", _named(ids)),
        wish="",
        state=case((sending, "sending"), else_="queued"),
        due=case((sending, _ROWS.due), else_=_now(dialect)),
    )


def drop(connection: Connection, dialect: Dialect, ids: Sequence[str], *, silent: bool) -> int:
    """Ask the next worker to drop rows, with or without a report to the sender."""
    sending = _being_sent(dialect)
    return _change(
        connection,
        and_(_ROWS.wish.in_(("", "hold")), _named(ids)),
        wish="silent" if silent else "report",
        state=case((sending, "sending"), else_="queued"),
        due=case((sending, _ROWS.due), else_=_now(dialect)),
    )


def held(connection: Connection, box: SecretBox, limit: int) -> list[HeldEvidence]:
    """Evidence of messages that failed again and again, newest first."""
    query = held_evidence.select().order_by(held_evidence.c.at.desc(), held_evidence.c.id.desc()).limit(limit)
    return [
        HeldEvidence(
            id=row.id,
            digest=row.digest,
            sender=row.sender,
            recipients=tuple(json.loads(row.recipients)),
            headers=box.open("held_evidence", row.id, bytes(row.sealed_headers)),
            cause=row.cause,
            at=row.at,
            parcel_rows=tuple(json.loads(row.parcel_rows)),
        )
        for row in connection.execute(query)
    ]


def _record_held(connection: Connection, rows: Sequence[str], actor: str, moment: float) -> None:
    source = (
        select(
            parcels.c.id,
            parcels.c.message_id,
            parcels.c.sender,
            _ROWS.recipient,
            _ROWS.copy,
            literal("held"),
            _ROWS.reason,
            literal(f"held by {actor}"),
            literal(moment),
            _ROWS.id,
        )
        .join(parcels, parcels.c.id == _ROWS.parcel_id)
        .where(_ROWS.id.in_(rows))
    )
    names = ["id", "message_id", "sender", "recipient", "copy", "event", "reason", "detail", "at", "row_id"]
    connection.execute(events.insert().from_select(names, source))


def _change(connection: Connection, which: Any, **values: Any) -> int:
    return connection.execute(update(queue_rows).where(which).values(**values)).rowcount


def _named(ids: Sequence[str]) -> Any:
    return or_(_ROWS.id.in_(ids), _ROWS.parcel_id.in_(ids))


def _now(dialect: Dialect) -> Any:
    return literal_column(dialect.words["now"])


def _being_sent(dialect: Dialect) -> Any:
    return and_(_ROWS.state == "sending", _ROWS.due > _now(dialect))


def _state(dialect: Dialect) -> Any:
    """As people see it: a row whose worker died is queued again, or held if that was asked for."""
    abandoned = and_(_ROWS.state == "sending", _ROWS.due <= _now(dialect))
    return case((abandoned, case((_ROWS.wish == "hold", "held"), else_="queued")), else_=_ROWS.state)
