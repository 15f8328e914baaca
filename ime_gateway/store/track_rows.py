"""The tracking page: what happened to every recipient, found by id, Message-ID, sender or recipient."""

from collections.abc import Mapping

from sqlalchemy import Connection

from ime_gateway.ports.queue import Event
from ime_gateway.store.schema import events


def find_events(connection: Connection, filters: Mapping[str, str], limit: int) -> list[Event]:
    """The newest `limit` events that match all filters (column name, value; empty: any), oldest first.

    Addresses are found as they were written, or in lower case."""
    query = events.select().order_by(events.c.sequence.desc()).limit(limit)
    for column, value in filters.items():
        if value:
            query = query.where(events.c[column].in_({value, value.lower()} if "@" in value else {value}))
    found = [
        Event(
            id=row.id,
            message_id=row.message_id,
            sender=row.sender,
            recipient=row.recipient,
            copy=row.copy,
            event=row.event,
            reason=row.reason,
            detail=row.detail,
            at=row.at,
            row=row.row_id,
        )
        for row in connection.execute(query)
    ]
    return found[::-1]
