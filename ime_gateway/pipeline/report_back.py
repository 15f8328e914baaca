"""A delivery report becomes mail of its own: sealed, queued, and sent like any other (RFC 3461 section 6.1).

It leaves with an empty reverse-path, so that it is never reported about itself, and counts as mail from
inside: what a managed sender gets back travels by the trusted connector.
"""

import asyncio
from collections.abc import Callable

from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.delivery_report import RANDOM_BYTES as REPORT_RANDOM_BYTES
from ime_gateway.mail.delivery_report import ReportedMessage, ReportedRecipient, delivery_report
from ime_gateway.ports.queue import Envelope, Parcel, Row, Spool

_THREAD_BYTES = 65_536


async def report_parcel(
    original: ReportedMessage,
    recipients: list[ReportedRecipient],
    *,
    spool: Spool,
    hostname: str,
    moment: float,
    randomness: Callable[[int], bytes],
) -> Parcel:
    """Write the report and seal it. Raises StoreUnavailable; nothing is left behind then.

    moment: seconds since 1970 UTC. Discard the parcel's bodies when it is not enqueued after all.
    """
    report = delivery_report(
        original, recipients, hostname=hostname, moment=moment, randomness=randomness(REPORT_RANDOM_BYTES)
    )
    if len(report.body) < _THREAD_BYTES:
        body = spool.write([report.body], len(report.body))
    else:
        body = await asyncio.to_thread(spool.write, [report.body], len(report.body))
    parcel_id, envelope_id, row_id = (new_id(moment, randomness(RANDOM_BYTES)) for _ in range(3))
    envelope = Envelope(envelope_id, body.id, report.head, wire_size=len(report.head) + len(report.body))
    row = Row(
        id=row_id,
        envelope_id=envelope_id,
        recipient=original.sender,
        copy="recipient",
        protection="none",
        reason=Reason.NOT_REQUIRED.value,
        detail=f"delivery report about {original.id}",
        notify="NEVER",  # RFC 3461 section 6.1
    )
    return Parcel(
        id=parcel_id,
        sender="",
        message_id=report.message_id,
        origin="internal",
        received_at=moment,
        bodies=(body,),
        envelopes=(envelope,),
        rows=(row,),
        smtputf8=not original.sender.isascii(),
    )
