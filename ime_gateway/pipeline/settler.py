"""Writes how attempts ended, with the reports about them in the same transaction (P3: once, and surely).

A message that was sent and not settled would be sent again, so this does not give up while the store
is away: it tries until the store is back or the worker is stopped.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.pipeline.report_back import report_parcel
from ime_gateway.pipeline.settle import Attempt, event_of, reported_message, reported_recipient, settlement_of
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.queue import Parcel, Queue, Settlement, Spool
from ime_gateway.settings.model import Settings

_PAUSES = (0.2, 1.0, 5.0, 15.0)
"""Seconds between tries while the store is away; the last repeats."""
_TRIES_FOR_HEADERS = 3
"""A report without the header of its message is better than none: then its stored form is damaged."""

log = structlog.get_logger("delivery")


class Settler:
    """Settles for one worker."""

    def __init__(
        self, queue: Queue, spool: Spool, clock: Clock, randomness: Callable[[int], bytes], settings: Settings
    ) -> None:
        self._queue = queue
        self._spool = spool
        self._clock = clock
        self._randomness = randomness
        self._delivery = settings.delivery
        self._hostname = settings.smtp.hostname

    async def settle(self, attempts: Sequence[Attempt]) -> None:
        """Settle attempts for rows of one message; at most one report comes of them."""
        moment = self._clock.now()
        retried = any(not attempt.reply.positive for attempt in attempts)
        chance = int.from_bytes(self._randomness(2), "big") / 65536 if retried else 0.0
        settlements = [settlement_of(attempt, moment, self._delivery, chance) for attempt in attempts]
        _log(attempts, settlements)
        reported = {
            settlement.row_id: told
            for attempt, settlement in zip(attempts, settlements, strict=True)
            if (told := reported_recipient(attempt, settlement)) is not None
        }
        parcel: Parcel | None = None
        tries = 0
        try:
            while True:
                try:
                    if reported and parcel is None:
                        headers = await self._headers(attempts, tries)
                        parcel = await report_parcel(
                            reported_message(attempts, headers),
                            list(reported.values()),
                            spool=self._spool,
                            hostname=self._hostname,
                            moment=moment,
                            randomness=self._randomness,
                        )
                    settled = set(await self._queue.settle(settlements, (parcel,) if parcel else ()))
                    break
                except StoreUnavailable as error:
                    log.error("not settled yet", id=attempts[0].leased.message, cause=error.evidence or str(error))
                    await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                    tries += 1
        except BaseException:
            self._discard(parcel)
            raise
        await self._finish(attempts, settlements, settled, parcel, set(reported), moment)

    async def _headers(self, attempts: Sequence[Attempt], tries: int) -> bytes:
        if tries >= _TRIES_FOR_HEADERS:
            return b""
        return await self._queue.return_headers(attempts[0].leased.message)

    async def _finish(
        self,
        attempts: Sequence[Attempt],
        settlements: Sequence[Settlement],
        settled: set[str],
        parcel: Parcel | None,
        reported: set[str],
        moment: float,
    ) -> None:
        lost = [settlement.row_id for settlement in settlements if settlement.row_id not in settled]
        if lost:
            log.warning("leases lost before the end; another worker goes on", rows=lost)
        if parcel is None:
            return
        # Rows that end without delivery stand or fall together with their report (contract of `settle`).
        if any(s.outcome in ("failed", "dropped") and s.row_id in lost for s in settlements):
            self._discard(parcel)
            return
        events = [
            event_of(attempt.leased, "reported", f"delivery report {parcel.id}", moment)
            for attempt in attempts
            if attempt.leased.row.id in reported & settled
        ]
        try:
            await self._queue.record(events)
        except StoreUnavailable as error:
            log.warning("a tracking line is missing", id=parcel.id, cause=error.evidence or str(error))

    def _discard(self, parcel: Parcel | None) -> None:
        for body in parcel.bodies if parcel else ():
            self._spool.discard(body)


def _log(attempts: Sequence[Attempt], settlements: Sequence[Settlement]) -> None:
    """One line for each recipient, as mail administrators know it; never a subject."""
    for attempt, settlement in zip(attempts, settlements, strict=True):
        leased = attempt.leased
        write = log.info if settlement.outcome in ("delivered", "dropped") else log.warning
        write(
            settlement.outcome,
            id=leased.message,
            recipient=leased.row.recipient,
            copy=leased.row.copy,
            peer=attempt.peer,
            reply=settlement.last_reply,
        )
        if settlement.outcome == "failed" and not leased.sender:
            # RFC 3461 section 5.2: nobody else will ever hear of it, so the postmaster must.
            log.error(
                "a message without sender could not be delivered",
                id=leased.message,
                recipient=leased.row.recipient,
                detail=leased.row.detail,
            )
