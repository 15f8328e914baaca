"""One worker process: takes mail on every listener, delivers it, and says how it is.

Workers share the listening sockets, the store and the board; everything else is their own. A worker that
cannot reach its store stays and answers 451, so that peers keep their mail and it recovers by itself.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Mapping, MutableSequence
from pathlib import Path

import structlog
import uvloop

from ime_gateway.app.assemble import (
    build_announcements,
    build_deliverer,
    build_directories,
    build_notices,
    build_probe,
    build_receiver,
    build_relay,
    build_revocations,
    watch_installation,
)
from ime_gateway.app.board import Board, WorkerState
from ime_gateway.app.entropy import PooledRandomness
from ime_gateway.app.housekeeping import each_by_itself, keep_house, write_due_mail
from ime_gateway.app.installation import Installation, open_installation
from ime_gateway.app.logs import configure_logs
from ime_gateway.app.metering import MeteredQueue, MeteredReception
from ime_gateway.app.parent_death import die_with_parent
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import GatewayError, StoreUnavailable
from ime_gateway.pipeline.deliver import Deliverer
from ime_gateway.smtp.limits import ConnectionBoard, MemoryBudget
from ime_gateway.smtp.listener import Listener

_DRAIN_SECONDS = 30.0
_BEAT_SECONDS = 1.0
_RECLAIM_PAUSE_SECONDS = 1.0
_HOUSEKEEPING_SECONDS = 3600.0
_RENEWAL_SECONDS = 300.0

log = structlog.get_logger("worker")


def run_worker(
    config: Path,
    index: int,
    parent: int,
    sockets: Mapping[str, socket.socket],
    board: Board,
    connections: MutableSequence[int],
) -> None:
    """Entry point of a worker process; returns when it was told to stop and has drained.

    index: which worker this is. parent: the supervisor's process id. connections: one count per worker.
    """
    die_with_parent(parent)
    configure_logs()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    structlog.contextvars.bind_contextvars(worker=index)
    try:
        with open_installation(config) as installation:
            uvloop.run(_Worker(installation, index, sockets, board, connections).run())
    except GatewayError as error:
        log.error("worker cannot start", cause=error.evidence or str(error))
        raise SystemExit(1) from error


class _Worker:
    def __init__(
        self,
        installation: Installation,
        index: int,
        sockets: Mapping[str, socket.socket],
        board: Board,
        connections: MutableSequence[int],
    ) -> None:
        self._installation = installation
        self._index = index
        self._sockets = sockets
        self._board = board
        self._places = ConnectionBoard(connections, index)
        # The place stays the same after a restart, so that a worker takes up what its predecessor held.
        self._place = f"{socket.gethostname()}:{installation.config.absolute()}#{index}/"
        self._owner = f"{self._place}{os.getpid()}-{time.time_ns()}"

    async def run(self) -> None:
        """Start, serve until SIGTERM, drain."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        settings, store = self._installation.settings, self._installation.store
        queue = MeteredQueue(store.queue, self._count)
        randomness = PooledRandomness()
        relay = build_relay(settings, randomness)
        deliverer = build_deliverer(self._installation, queue, relay, self._owner, randomness)
        probe = build_probe(settings)
        directories = build_directories(settings)
        receiver = build_receiver(
            self._installation, relay, deliverer, self._owner, queue, randomness, probe, directories
        )
        budget = MemoryBudget(settings.smtp.memory_bytes)
        # Outsiders may fill half of it; the rest is there for our own mail server.
        budgets = {"internal": budget, "internet": budget.part(settings.smtp.memory_bytes // 2)}
        reception = MeteredReception(receiver, self._count)
        listeners = [
            Listener(one, settings.smtp, reception, budgets[one.role], self._places, SystemClock())
            for one in settings.listener
        ]
        for listener in listeners:
            listener.start(self._sockets[listener.name])
        self._board.set_state(self._index, WorkerState.READY)
        log.info("worker ready", process_id=os.getpid())
        beating = asyncio.create_task(self._beat())
        delivering = asyncio.create_task(self._deliver(deliverer))
        tidying = asyncio.create_task(self._keep_house())
        renewing = asyncio.create_task(self._renew_revocations())
        await stop.wait()
        self._board.set_state(self._index, WorkerState.DRAINING)
        self._places.retire()
        await asyncio.gather(*(listener.drain(_DRAIN_SECONDS) for listener in listeners))
        await deliverer.drain(_DRAIN_SECONDS)
        for task in (delivering, tidying, renewing, beating):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        relay.close()
        if probe is not None:
            probe.close()
        if directories is not None:
            directories.close()

    async def _deliver(self, deliverer: Deliverer) -> None:
        """Take up what the predecessor left, then deliver for ever."""
        while True:
            try:
                await self._installation.store.queue.reclaim(self._place, self._owner)
                if self._index == 0:
                    await asyncio.to_thread(self._installation.store.sweep)
                break
            except StoreUnavailable as error:
                log.error("store not available", cause=error.evidence or str(error))
                await asyncio.sleep(_RECLAIM_PAUSE_SECONDS)
        await deliverer.run()

    async def _keep_house(self) -> None:
        """Now and every hour; one worker of a node is enough."""
        here = self._installation
        while self._index == 0:
            await each_by_itself(
                lambda: asyncio.to_thread(keep_house, here.store, SystemClock().now()),
                lambda: watch_installation(here),
                lambda: write_due_mail(build_announcements(here), build_notices(here)),
            )
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)

    async def _renew_revocations(self) -> None:
        """Now and every few minutes, so that mail finds fresh CRLs; one worker of a node is enough."""
        revocations = build_revocations(self._installation)
        while self._index == 0:
            try:
                view = await self._installation.store.directory.view()
                await revocations.renew(view, SystemClock().now())
            except StoreUnavailable as error:
                log.error("store not available", cause=error.evidence or str(error))
            await asyncio.sleep(_RENEWAL_SECONDS)

    async def _beat(self) -> None:
        while True:
            self._board.beat(self._index, time.monotonic())
            await asyncio.sleep(_BEAT_SECONDS)

    def _count(self, name: str, amount: int) -> None:
        self._board.count(self._index, name, amount)
