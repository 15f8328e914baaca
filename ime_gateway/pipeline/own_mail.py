"""Mail of the gateway itself becomes a parcel like any other: sealed, queued, delivered, tracked.

It never asks for reports (NOTIFY=NEVER, RFC 3461 section 4.1): nobody reads the address that it comes from.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ime_gateway.base.ids import RANDOM_BYTES, new_id
from ime_gateway.pipeline.parcel import accepted_events
from ime_gateway.ports.exchange import OwnMail
from ime_gateway.ports.queue import Envelope, Parcel, Queue, Row, Spool


@dataclass(frozen=True, slots=True)
class QueuedOutbox:
    """The Outbox of ports/exchange."""

    queue: Queue
    spool: Spool
    randomness: Callable[[int], bytes]

    async def send(self, mail: OwnMail, moment: float) -> None:
        """As the port says."""
        envelope_id, row_id = (new_id(moment, self.randomness(RANDOM_BYTES)) for _ in range(2))
        sealed = await asyncio.to_thread(self.spool.write, [mail.body], len(mail.body))
        row = Row(
            id=row_id,
            envelope_id=envelope_id,
            recipient=str(mail.recipient),
            copy="recipient",
            protection=mail.protection,
            reason=mail.reason.value,
            detail=mail.detail,
            notify="NEVER",
        )
        parcel = Parcel(
            id=mail.id,
            sender=mail.sender,
            message_id=mail.message_id,
            origin="internal",
            received_at=moment,
            bodies=(sealed,),
            envelopes=(Envelope(envelope_id, sealed.id, mail.head, wire_size=len(mail.head) + len(mail.body)),),
            rows=(row,),
            smtputf8=mail.recipient.smtputf8,
        )
        try:
            await self.queue.enqueue(parcel, accepted_events(parcel), None)
        except BaseException:
            self.spool.discard(sealed)
            raise
