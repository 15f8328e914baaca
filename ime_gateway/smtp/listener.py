"""Takes connections on one address and gives each a session; several workers share the listening socket.

A worker accepts only when no other has fewer connections, so the few long-lived connections of a mail server spread
evenly; a connection that nobody else takes is taken anyway.
"""

import asyncio
import contextlib
import socket

import structlog

from ime_gateway.ports.clock import Clock
from ime_gateway.ports.reception import Reception
from ime_gateway.settings.model import Listener as ListenerSettings
from ime_gateway.settings.model import Smtp
from ime_gateway.smtp import replies, tls_inbound
from ime_gateway.smtp.door import Door
from ime_gateway.smtp.limits import ConnectionBoard, MemoryBudget
from ime_gateway.smtp.relay_permission import may_connect
from ime_gateway.smtp.session import Session
from ime_gateway.smtp.wire import Wire

_YIELD_SECONDS = 0.002
"""How often a busier worker looks whether another has taken the connection."""
_PATIENCE_SECONDS = 0.05
"""How long a connection may wait for the least busy worker."""
_ACCEPT_PAUSE_SECONDS = 0.2
"""Pause when the process has no file descriptors left."""


class Listener:
    """One listener of `gateway.toml` in one worker.

    Raises ConfigurationError when certificate, key or client_ca cannot be used.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        smtp: Smtp,
        reception: Reception,
        memory: MemoryBudget,
        board: ConnectionBoard,
        clock: Clock,
    ) -> None:
        tls = tls_inbound.server_context(settings)
        self._door = Door(settings, smtp, reception, memory, tls, clock, structlog.get_logger("ime_gateway.smtp"))
        self._board = board
        self._sessions: dict[Wire, Session] = {}
        self._conversations: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._listening: socket.socket | None = None

    @property
    def name(self) -> str:
        """How the settings call it."""
        return self._door.listener.name

    @property
    def sessions(self) -> int:
        """Open connections of this listener in this worker."""
        return len(self._sessions)

    @property
    def is_accepting(self) -> bool:
        """New connections are taken; False after `drain`, or when accepting has failed for good."""
        return bool(self._tasks) and not self._tasks[0].done()

    def start(self, listening: socket.socket) -> None:
        """Accept on a bound, listening socket; `drain` closes it, so that peers are refused and go elsewhere."""
        listening.setblocking(False)
        self._listening = listening
        self._tasks = [asyncio.create_task(self._accept(listening)), asyncio.create_task(self._watch_the_clock())]
        for task in self._tasks:
            task.add_done_callback(self._report)

    async def drain(self, seconds: float) -> None:
        """Accept no more, tell idle peers 421, let running transactions end for at most `seconds`, drop the rest."""
        accepting, watching = self._tasks
        await _cancel({accepting})
        if self._listening is not None:
            self._listening.close()
        self._board.retire()
        for session in list(self._sessions.values()):
            session.stop()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=seconds)
        for wire in list(self._sessions):
            wire.abort()
        await _cancel({watching, *self._conversations})

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await _readable(loop, listening)
            patience = loop.time() + _PATIENCE_SECONDS
            # The others are processes, so there is no event to wait for.
            while not self._board.is_my_turn() and loop.time() < patience:  # noqa: ASYNC110
                await asyncio.sleep(_YIELD_SECONDS)
            try:
                connection, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue  # another worker was faster, or the peer has gone again
            except OSError as error:
                self._door.log.error("cannot accept", listener=self.name, cause=str(error))
                await asyncio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            await self._welcome(loop, connection, str(address[0]))

    async def _welcome(self, loop: asyncio.AbstractEventLoop, connection: socket.socket, peer_ip: str) -> None:
        settings, smtp = self._door.listener, self._door.smtp
        connection.setblocking(False)
        if not may_connect(settings.role, settings.allow, peer_ip):
            self._turn_away(connection, peer_ip, replies.not_allowed(smtp.hostname), "address not allowed")
        elif len(self._sessions) >= smtp.max_connections:  # its own count: outsiders crowd nobody out
            self._turn_away(connection, peer_ip, replies.TOO_MANY_CONNECTIONS, "too many connections")
        else:
            await self._admit(loop, connection, peer_ip)

    async def _admit(self, loop: asyncio.AbstractEventLoop, connection: socket.socket, peer_ip: str) -> None:
        def wire() -> Wire:
            return Wire(lambda wire: self._begin(wire, peer_ip), self._end)

        self._board.enter()
        try:
            await loop.connect_accepted_socket(wire, connection)
        except OSError as error:
            self._board.leave()
            connection.close()
            self._door.log.warning("connection failed", listener=self.name, peer=peer_ip, cause=str(error))

    def _turn_away(self, connection: socket.socket, peer_ip: str, reply: bytes, cause: str) -> None:
        self._door.log.warning("connection refused", listener=self.name, peer=peer_ip, cause=cause)
        with connection, contextlib.suppress(OSError):
            connection.send(reply)
            connection.shutdown(socket.SHUT_WR)

    def _begin(self, wire: Wire, peer_ip: str) -> None:
        session = Session(self._door, wire, peer_ip)
        self._sessions[wire] = session
        conversation = asyncio.create_task(session.run())
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)
        conversation.add_done_callback(self._report)

    def _end(self, wire: Wire) -> None:
        self._sessions.pop(wire, None)
        self._board.leave()

    def _report(self, task: asyncio.Task[None]) -> None:
        """No task of a listener ends by an error; if one does, somebody must hear of it."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._door.log.error("task failed", listener=self.name, cause=repr(error), exc_info=error)

    async def _watch_the_clock(self) -> None:
        """Look at all deadlines now and then: cheaper than a timer for each command."""
        loop, smtp = asyncio.get_running_loop(), self._door.smtp
        interval = min(1.0, min(smtp.command_seconds, smtp.data_seconds, smtp.message_seconds) / 4)
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for wire in list(self._sessions):
                wire.check_time(now)


async def _readable(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> None:
    """Wait until a connection is pending, without taking it."""
    pending: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not pending.done():
            pending.set_result(None)

    loop.add_reader(listening.fileno(), tell)
    try:
        await pending
    finally:
        loop.remove_reader(listening.fileno())


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
