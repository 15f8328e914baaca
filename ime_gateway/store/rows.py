"""Turns parcels and events into the values of rows, sealing on the way what people could read.

Addresses and Message-IDs stay readable, because administrators search for them; header blocks and
CMS frames do not (P2).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from ime_gateway.ports.queue import Envelope, Event, LeasedRow, Parcel, Row, SealedBody
from ime_gateway.store.sealed_secrets import SecretBox
from ime_gateway.store.spool import Resting

Values = tuple[object, ...]
_LENGTHS = struct.Struct(">II")


@dataclass(slots=True)
class ParcelRows:
    """One parcel, ready to be inserted."""

    parcels: list[Values] = field(default_factory=list)
    bodies: list[Values] = field(default_factory=list)
    chunked: list[SealedBody] = field(default_factory=list)
    envelopes: list[Values] = field(default_factory=list)
    queue_rows: list[Values] = field(default_factory=list)
    events: list[Values] = field(default_factory=list)

    def add(self, other: "ParcelRows") -> None:
        """Take in the rows of another parcel."""
        self.parcels += other.parcels
        self.bodies += other.bodies
        self.chunked += other.chunked
        self.envelopes += other.envelopes
        self.queue_rows += other.queue_rows
        self.events += other.events


def storable(text: str) -> str:
    """Text that both engines take: PostgreSQL knows no NUL, neither knows lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def event_values(event: Event) -> Values:
    """One line of the tracking page."""
    return (
        event.id,
        storable(event.message_id),
        storable(event.sender),
        storable(event.recipient),
        event.copy,
        event.event,
        event.reason,
        storable(event.detail),
        event.at,
        event.row,
    )


def parcel_rows(
    parcel: Parcel, events: Sequence[Event], box: SecretBox, lease: tuple[str, str, float] | None
) -> ParcelRows:
    """Rows of a parcel. `lease`: owner, token and seconds, or None when anybody may take the rows."""
    made = ParcelRows(events=[event_values(event) for event in events])
    if not parcel.rows:
        return made
    sealed_headers = box.seal("parcels", parcel.id, parcel.return_headers)
    made.parcels.append(
        (
            parcel.id,
            parcel.sender,
            storable(parcel.message_id),
            parcel.origin,
            parcel.received_at,
            parcel.ret,
            parcel.envid,
            parcel.smtputf8,
            sealed_headers,
        )
    )
    named = {envelope.body_id for envelope in parcel.envelopes}
    for body in parcel.bodies:
        if body.id in named:
            resting = body.handle
            assert isinstance(resting, Resting)
            made.bodies.append((body.id, body.size, resting.place, resting.sealed_key, resting.content))
            if resting.place == "chunks":
                made.chunked.append(body)
    made.envelopes += [_envelope_values(envelope, box) for envelope in parcel.envelopes]
    made.queue_rows += [_queue_values(row, parcel, lease) for row in parcel.rows]
    return made


def _envelope_values(envelope: Envelope, box: SecretBox) -> Values:
    lengths = _LENGTHS.pack(len(envelope.head), len(envelope.prefix))
    sealed = box.seal("envelopes", envelope.id, b"".join((lengths, envelope.head, envelope.prefix, envelope.suffix)))
    return envelope.id, envelope.body_id, envelope.base64, envelope.eight_bit, envelope.wire_size, sealed


def open_envelope(envelope_id: str, row: tuple[str, bool, bool, int, bytes], box: SecretBox) -> Envelope:
    """An envelope from `body_id, base64, eight_bit, wire_size, sealed_parts`."""
    body_id, base64, eight_bit, wire_size, sealed = row
    parts = box.open("envelopes", envelope_id, sealed)
    head, prefix = _LENGTHS.unpack_from(parts)
    head_end = _LENGTHS.size + head
    prefix_end = head_end + prefix
    return Envelope(
        id=envelope_id,
        body_id=body_id,
        head=parts[_LENGTHS.size : head_end],
        prefix=parts[head_end:prefix_end],
        suffix=parts[prefix_end:],
        base64=bool(base64),
        eight_bit=bool(eight_bit),
        wire_size=wire_size,
    )


def _queue_values(row: Row, parcel: Parcel, lease: tuple[str, str, float] | None) -> Values:
    owner, token, seconds = lease or (None, None, 0.0)
    return (
        row.id,
        parcel.id,
        row.envelope_id,
        row.recipient,
        row.copy,
        row.protection,
        row.reason,
        storable(row.detail),
        row.notify,
        row.orcpt,
        "sending" if lease else "queued",
        seconds,
        parcel.received_at,
        token,
        owner,
    )


def leased_row(row: Row, parcel: Parcel, token: str) -> LeasedRow:
    """What a worker gets that delivers a parcel which it has just enqueued."""
    return LeasedRow(
        row=row,
        message=parcel.id,
        sender=parcel.sender,
        message_id=parcel.message_id,
        origin=parcel.origin,
        ret=parcel.ret,
        envid=parcel.envid,
        smtputf8=parcel.smtputf8,
        received_at=parcel.received_at,
        attempts=0,
        lease=token,
    )
