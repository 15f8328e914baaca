"""The queue worker: takes leased rows to their next hop and records how it went (RFC 5321 sections 4.5.4, 6.1).

Freshly accepted rows come by `submit`, everything else from polling the queue. Rows of one message that
share an envelope and a route go in one transaction. Whatever happens, a row ends settled or stays
leased until its lease runs out: nothing is dropped here (P3). This is one of the two edges where an
unexpected error is caught: it defers the rows at hand, and the others go on.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import structlog

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.mail.delivery_report import Status
from ime_gateway.pipeline.compose_wire import wire_content
from ime_gateway.pipeline.routes import must_wait, route_of
from ime_gateway.pipeline.settle import Attempt
from ime_gateway.pipeline.settler import Settler
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import Directory, SiteView
from ime_gateway.ports.queue import Envelope, LeasedRow, Queue, Spool
from ime_gateway.ports.relay import OutboundMail, OutboundRecipient, Relay, RelayReply
from ime_gateway.settings.model import Settings

POLL_SECONDS = 1.0
_BEAT_SECONDS = 20.0
"""Between renewals of the leases; well under the lease time of the store."""
_TRUSTED_SECONDS = 60.0
"""A lease that was not renewed for so long is no reason to begin sending any more."""
_ROWS_IN_HAND = 2000
_ROWS_PER_LEASE = 200
_RECIPIENTS_PER_TRANSACTION = 100
"""What every server takes (RFC 5321 section 4.5.3.1.8)."""
_HOPS_AT_ONCE = 4
"""Transactions under way, in multiples of `connections_per_hop`: slow hops leave room for others."""

_POLICY_CHANGED = "not sent: encryption became mandatory for this partner after the mail was accepted; drop or wait"

log = structlog.get_logger("delivery")


class Deliverer:
    """Delivers for one worker; made inside its event loop."""

    def __init__(
        self,
        queue: Queue,
        spool: Spool,
        relay: Relay,
        directory: Directory,
        clock: Clock,
        randomness: Callable[[int], bytes],
        settings: Settings,
        owner: str,
        *,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """`owner`: the name under which this worker leases rows; no other living worker has it."""
        self._queue = queue
        self._spool = spool
        self._relay = relay
        self._directory = directory
        self._clock = clock
        self._settings = settings
        self._owner = owner
        self._poll_seconds = poll_seconds
        self._settler = Settler(queue, spool, clock, randomness, settings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand = 0
        self._stopping = False
        self._renewed_at = 0.0
        per_hop = settings.delivery.connections_per_hop
        self._room = asyncio.Semaphore(_HOPS_AT_ONCE * per_hop)
        self._hops: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._known_sizes: dict[str, int] = {}

    @property
    def has_room(self) -> bool:
        """False: so much waits here that new mail is better enqueued without a lease, for whoever is free."""
        return self._in_hand < _ROWS_IN_HAND and not self._stopping

    def submit(self, rows: Sequence[LeasedRow]) -> None:
        """Deliver rows that are leased to our owner. Never blocks; returns at once."""
        now = asyncio.get_running_loop().time()
        self._in_hand += len(rows)
        for together in _sharing_an_envelope(rows):
            self._begin(self._dispatch(together, now))

    async def run(self) -> None:
        """Poll the queue and renew the leases, until cancelled."""
        await self._recall_sizes()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            group.create_task(self._beat())

    async def drain(self, seconds: float) -> None:
        """Begin nothing new and wait for what is under way; what waits goes back to the queue.

        What is not done after `seconds` is broken off; its rows come back when their lease runs out.
        """
        self._stopping = True
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        late = set(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # The loops

    async def _poll(self) -> None:
        while True:
            leased: list[LeasedRow] = []
            if self.has_room:
                try:
                    leased = await self._queue.lease(self._owner, _ROWS_PER_LEASE)
                    if leased:
                        await self._directory.view()  # old rows go by the routes of today
                    self.submit(leased)
                except StoreUnavailable as error:
                    log.error("queue not available", cause=error.evidence or str(error))
                except Exception:
                    log.exception("polling the queue failed")
            if len(leased) < _ROWS_PER_LEASE:
                await asyncio.sleep(self._poll_seconds)

    async def _beat(self) -> None:
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                await self._queue.renew(self._owner)
                self._renewed_at = begun
            except StoreUnavailable as error:
                log.error("leases not renewed", cause=error.evidence or str(error))
            except Exception:
                log.exception("renewing leases failed")
            await asyncio.sleep(_BEAT_SECONDS)

    async def _recall_sizes(self) -> None:
        """What next hops announced before we began, so that oversize mail is refused from the first one on."""
        try:
            self._known_sizes = dict(await self._queue.next_hop_sizes())
        except StoreUnavailable as error:
            log.warning("sizes of next hops not known yet", cause=error.evidence or str(error))
        self._relay.recall_sizes(self._known_sizes)

    # The way of a group of rows

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dispatch(self, rows: list[LeasedRow], leased_at: float) -> None:
        """Rows that share an envelope: find their routes, then each route on its own."""
        if rows[0].drop:
            withdrawn = RelayReply.own(Status.WITHDRAWN, "withdrawn by the administrator")
            await self._settle([Attempt(leased, withdrawn) for leased in rows])
            return
        try:
            view = self._directory.latest() or await self._directory.view()
            waiting = [leased for leased in rows if must_wait(view, leased)]
            free = [leased for leased in rows if leased not in waiting]
            ways = _by_route(free, view, self._settings.delivery.default_route)
        except Exception as error:  # noqa: BLE001 - the edge: the rows wait, the cause is logged
            await self._settle(_troubled(rows, error))
            return
        if waiting:
            changed = RelayReply.own(Status.STORE_TROUBLE, _POLICY_CHANGED)
            await self._settle([Attempt(leased, changed) for leased in waiting])
        if len(ways) == 1:
            await self._go(*ways[0], view, leased_at)
            return
        for route, domain, together in ways:
            self._begin(self._go(route, domain, together, view, leased_at))

    async def _go(
        self, route: str | None, domain: str, rows: list[LeasedRow], view: SiteView, leased_at: float
    ) -> None:
        if route is None:
            denied = RelayReply.own(Status.NOT_RELAYED, "mail from the internet is never relayed to other domains")
            await self._settle([Attempt(leased, denied) for leased in rows])
            return
        hop = f"mx:{domain}" if route == "mx" else route
        semaphore, users = self._hops.get(hop) or (asyncio.Semaphore(self._settings.delivery.connections_per_hop), 0)
        self._hops[hop] = (semaphore, users + 1)
        try:
            async with semaphore, self._room:
                attempts = await self._attempt(route, domain, rows, view, leased_at)
        finally:
            users = self._hops[hop][1] - 1
            self._hops[hop] = (semaphore, users)
            if not users:
                del self._hops[hop]
        await self._settle(attempts)
        await self._remember_size(route, domain)

    async def _attempt(
        self, route: str, domain: str, rows: list[LeasedRow], view: SiteView, leased_at: float
    ) -> list[Attempt]:
        now = asyncio.get_running_loop().time()
        if self._stopping or now - max(leased_at, self._renewed_at) > _TRUSTED_SECONDS:
            waiting = RelayReply.own(Status.STORE_TROUBLE, "not tried: the gateway stops, or its lease ran out")
            return [Attempt(leased, waiting, again_at=self._clock.now()) for leased in rows]
        try:
            envelope = await self._queue.envelope(rows[0].row.envelope_id)
            content = wire_content(envelope, self._spool)
            mail = _outbound(rows, envelope)
            result = await self._relay.send(route, domain, mail, content, use_tls=view.policy.opportunistic_tls)
            return [
                Attempt(leased, reply, result.peer, result.dsn_supported)
                for leased, reply in zip(rows, result.replies, strict=True)
            ]
        except Exception as error:  # noqa: BLE001 - the edge: the rows wait, the cause is logged
            return _troubled(rows, error)

    async def _remember_size(self, route: str, domain: str) -> None:
        """Keep for the next start what a configured next hop announced; exchangers may be too many."""
        size = self._relay.size_limit(route, domain) or 0
        if route == "mx" or self._known_sizes.get(route, 0) == size:
            return
        self._known_sizes[route] = size
        try:
            await self._queue.remember_size(route, size)
        except StoreUnavailable:
            self._known_sizes.pop(route)  # the next message tries again; this one was sent

    async def _settle(self, attempts: list[Attempt]) -> None:
        try:
            await self._settler.settle(attempts)
        except Exception:
            log.exception("settling failed", id=attempts[0].leased.message)
            await self._settle_plainly(attempts)
        finally:
            self._in_hand -= len(attempts)

    async def _settle_plainly(self, attempts: list[Attempt]) -> None:
        """Without reports: what was delivered is over, all else waits, so that nothing is unreported or sent twice."""
        later = self._clock.now() + self._settings.delivery.retry_minutes[0] * 60
        try:
            await self._settler.settle(
                [
                    replace(attempt, dsn_supported=True) if attempt.reply.positive else replace(attempt, again_at=later)
                    for attempt in attempts
                ]
            )
        except Exception:
            log.exception("rows not settled; a restart takes them up again", id=attempts[0].leased.message)


def _sharing_an_envelope(rows: Iterable[LeasedRow]) -> Iterable[list[LeasedRow]]:
    ordered = sorted(rows, key=_envelope_key)
    return (list(together) for _, together in groupby(ordered, key=_envelope_key))


def _envelope_key(leased: LeasedRow) -> tuple[str, str, str]:
    return leased.message, leased.row.envelope_id, leased.drop


def _by_route(
    rows: Iterable[LeasedRow], view: SiteView, default_route: str
) -> list[tuple[str | None, str, list[LeasedRow]]]:
    """Route, domain and rows of each transaction; domains share a fixed route, but not an MX look-up."""
    ways: dict[tuple[str | None, str], list[LeasedRow]] = {}
    for leased in rows:
        domain = leased.row.recipient.rpartition("@")[2].lower()
        route = route_of(view, default_route, leased.origin, domain)
        ways.setdefault((route, domain if route == "mx" else ""), []).append(leased)
    return [
        (route, domain, together[start : start + _RECIPIENTS_PER_TRANSACTION])
        for (route, domain), together in ways.items()
        for start in range(0, len(together), _RECIPIENTS_PER_TRANSACTION)
    ]


def _outbound(rows: Sequence[LeasedRow], envelope: Envelope) -> OutboundMail:
    first = rows[0]
    recipients = [OutboundRecipient(leased.row.recipient, leased.row.notify, leased.row.orcpt) for leased in rows]
    # A sender's server may ask for SMTPUTF8 without need; the next hop need not have it then.
    plain = first.sender.isascii() and envelope.head.isascii() and all(each.address.isascii() for each in recipients)
    return OutboundMail(
        sender=first.sender,
        recipients=recipients,
        size=envelope.wire_size,
        eight_bit=envelope.eight_bit,
        smtputf8=first.smtputf8 and not plain,
        ret=first.ret,
        envid=first.envid,
    )


def _troubled(rows: Iterable[LeasedRow], error: Exception) -> list[Attempt]:
    """Trouble of our own: the rows wait, whatever it was; the cause is in the log."""
    rows = list(rows)
    if isinstance(error, StoreUnavailable):
        log.error("a queued message cannot be read", id=rows[0].message, cause=error.evidence or str(error))
        reply = RelayReply.own(Status.STORE_TROUBLE, str(error))
    else:
        log.error("delivery failed unexpectedly", id=rows[0].message, exc_info=error)
        reply = RelayReply.own(Status.STORE_TROUBLE, "an internal error; the cause is in the log")
    return [Attempt(leased, reply) for leased in rows]
