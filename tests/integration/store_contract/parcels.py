"""Parcels for contract tests: any number of envelopes and recipients over one body."""

import itertools
import os
import time
from collections.abc import Sequence

from ime_gateway.base.ids import new_id
from ime_gateway.ports.queue import Envelope, Event, EventName, LeasedRow, Parcel, Row, Settlement
from ime_gateway.store.database import Store

_numbers = itertools.count(1)


def make_id() -> str:
    return new_id(time.time(), os.urandom(10))


def make_parcel(
    store: Store,
    *,
    content: bytes = b"body\r\n",
    groups: Sequence[Sequence[str]] = (("bob@partner.example",),),
    sender: str = "alice@acme.example",
    received_at: float | None = None,
) -> Parcel:
    """One envelope for each group of recipients, all over one body."""
    identity = make_id()
    body = store.spool.write([content], len(content))
    envelopes, rows = [], []
    for number, recipients in enumerate(groups):
        envelope = Envelope(
            id=make_id(),
            body_id=body.id,
            head=b"Subject: head-%d\r\n\r\n" % number,
            prefix=b"prefix-%d" % number,
            suffix=b"suffix-%d" % number,
            base64=True,
            wire_size=len(content) + 100,
        )
        envelopes.append(envelope)
        rows += [_row(envelope.id, recipient) for recipient in recipients]
    return Parcel(
        id=identity,
        sender=sender,
        message_id=f"<{identity}@acme.example>",
        origin="internal",
        received_at=time.time() if received_at is None else received_at,
        bodies=[body],
        envelopes=envelopes,
        rows=rows,
        ret="HDRS",
        envid="QQ314159",
        smtputf8=True,
        return_headers=b"Subject: return\r\n\r\n",
    )


def _row(envelope_id: str, recipient: str) -> Row:
    return Row(
        id=make_id(),
        envelope_id=envelope_id,
        recipient=recipient,
        copy="recipient",
        protection="smime-personal",
        reason="personal-certificate",
        detail="sha256:00",
        notify="FAILURE,DELAY",
        orcpt="rfc822;" + recipient,
    )


def make_event(event: EventName, *, id: str = "m1", recipient: str = "bob@partner.example", **fields: object) -> Event:  # noqa: A002
    values: dict[str, object] = {
        "message_id": "<m1@acme.example>",
        "sender": "alice@acme.example",
        "copy": "recipient",
        "reason": "personal-certificate",
        "detail": "",
        "at": float(next(_numbers)),
    }
    return Event(id=id, recipient=recipient, event=event, **(values | fields))  # type: ignore[arg-type]


def settlement(leased: LeasedRow, outcome: str, *, lease: str | None = None, **fields: object) -> Settlement:
    event: EventName = outcome  # type: ignore[assignment]
    return Settlement(
        row_id=leased.row.id,
        lease=leased.lease if lease is None else lease,
        outcome=outcome,  # type: ignore[arg-type]
        event=make_event(event, id=leased.message, recipient=leased.row.recipient, row=leased.row.id),
        **fields,  # type: ignore[arg-type]
    )


def read_all(store: Store, body_id: str) -> bytes:
    return b"".join(store.spool.read(body_id))
