"""The transaction behind 250: everything that is promised for many messages, in as few statements as can be."""

from collections.abc import Sequence

from ime_gateway.store.dialect import Transaction
from ime_gateway.store.rows import ParcelRows, Values
from ime_gateway.store.spool import Resting

_PARCELS = (
    "INSERT INTO parcels (id, sender, message_id, origin, received_at, ret, envid, smtputf8, sealed_return_headers)"
    " VALUES [(?, ?, ?, ?, ?, ?, ?, ?, ?)]"
)
_BODIES = "INSERT INTO bodies (id, size, place, sealed_key, sealed_content) VALUES [(?, ?, ?, ?, ?)]"
_CHUNKS = "INSERT INTO body_chunks (body_id, position, sealed_content) VALUES (?, ?, ?)"
_ENVELOPES = (
    "INSERT INTO envelopes (id, body_id, base64, eight_bit, wire_size, sealed_parts) VALUES [(?, ?, ?, ?, ?, ?)]"
)
_QUEUE_ROWS = (
    "INSERT INTO queue_rows (id, parcel_id, envelope_id, recipient, copy, protection, reason, detail, notify, orcpt,"
    " state, due, next_attempt, lease, lease_owner, wish, attempts, last_reply)"
    " VALUES [(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {now} + ?, ?, ?, ?, '', 0, '')]"
)
_EVENTS = (
    "INSERT INTO events (id, message_id, sender, recipient, copy, event, reason, detail, at, row_id)"
    " VALUES [(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]"
)


def insert_parcels(transaction: Transaction, arguments: list[ParcelRows]) -> list[None]:
    """Insert parcels with all that belongs to them."""
    rows = ParcelRows()
    for argument in arguments:
        rows.add(argument)
    transaction.insert(_PARCELS, rows.parcels)
    transaction.insert(_BODIES, rows.bodies)
    for body in rows.chunked:
        assert isinstance(body.handle, Resting)
        for position, chunk in enumerate(body.handle.chunks()):
            transaction.run(_CHUNKS, (body.id, position, chunk))
    transaction.insert(_ENVELOPES, rows.envelopes)
    transaction.insert(_QUEUE_ROWS, rows.queue_rows)
    transaction.insert(_EVENTS, rows.events)
    return [None] * len(arguments)


def insert_events(transaction: Transaction, arguments: list[Sequence[Values]]) -> list[None]:
    """Insert lines of the tracking page."""
    transaction.insert(_EVENTS, [event for events in arguments for event in events])
    return [None] * len(arguments)
