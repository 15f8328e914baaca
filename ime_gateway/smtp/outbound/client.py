"""One TCP connection to a server: bytes out, replies in, every wait with an end (RFC 5321 section 4.5.3.2).

Knows nothing of mail. A Protocol, not streams: several commands leave in one write (RFC 2920) and
replies that come while a message is still being written are seen at once.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

from ime_gateway.smtp.outbound.reply_parser import GarbledReply, Reply, ReplyParser

_UNREAD_REPLIES = 4096
"""More replies than any transaction has commands: the peer floods us."""
_WRITE_BUFFER_BYTES = 1_048_576


class ConnectionBroken(Exception):
    """The connection cannot be used any more; the text says why, in words for the queue listing."""


class Connection(asyncio.Protocol):
    """A connection and the replies that came over it; made by `connect`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._replies: deque[Reply] = deque()
        self._waiting: asyncio.Future[None] | None = None
        """Somebody waits for a reply, or for room to write."""
        self._writing_paused = False
        self._broken = ""

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """The peer said something."""
        if self._broken:
            return
        try:
            self._replies.extend(self._parser.feed(data))
        except GarbledReply as error:
            self._break(f"the server sent {error}")
            return
        if len(self._replies) > _UNREAD_REPLIES:
            self._break("the server sent replies without end")
        elif self._replies:
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; replies that came before can still be read."""
        self._broken = self._broken or "the server closed the connection"
        self._writing_paused = False
        self._wake()

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._writing_paused = False
        self._wake()

    # What a session calls

    @property
    def idle_and_sound(self) -> bool:
        """Open, and nothing has come that nobody asked for (an idle server says goodbye with 421)."""
        return not (self._broken or self._replies or self._parser.in_reply)

    @property
    def unread(self) -> Reply | None:
        """A reply that has come and was not read."""
        return self._replies[0] if self._replies else None

    def write(self, data: bytes) -> None:
        """Send bytes; what a broken connection is given is lost, and the next wait says so."""
        if self._transport is not None and not self._broken:
            self._transport.write(data)

    async def drain(self, seconds: float) -> None:
        """Wait until the peer has taken most of what was written. Raises ConnectionBroken."""
        if self._broken:
            raise ConnectionBroken(self._broken)
        if self._writing_paused:
            await self._wait(seconds, "the server stopped reading", lambda: not self._writing_paused)
            if self._broken:
                raise ConnectionBroken(self._broken)

    async def read_reply(self, seconds: float) -> Reply:
        """The next reply, whole, within `seconds`. Raises ConnectionBroken."""
        if not self._replies:
            await self._wait(seconds, "no reply in time", lambda: bool(self._replies))
        if not self._replies:
            raise ConnectionBroken(self._broken)
        return self._replies.popleft()

    async def start_tls(self, context: ssl.SSLContext, name: str, seconds: float) -> ssl.SSLObject:
        """The TLS handshake (RFC 3207). Raises ConnectionBroken; nothing that came in clear survives."""
        transport = self._transport
        if transport is None or self._broken:
            raise ConnectionBroken(self._broken or "the connection is not open")
        try:
            secured = await self._loop.start_tls(
                transport, self, context, server_hostname=name, ssl_handshake_timeout=seconds, ssl_shutdown_timeout=1.0
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._break("the TLS handshake failed")
            raise ConnectionBroken(f"the TLS handshake failed: {type(error).__name__}") from error
        if secured is None:
            raise ConnectionBroken(self._broken or "the TLS handshake failed")
        # RFC 3207 section 4.2: what was injected before the handshake must not be heard after it.
        self._replies.clear()
        self._parser = ReplyParser()
        self._transport = secured
        secured.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        return cast(ssl.SSLObject, secured.get_extra_info("ssl_object"))

    def close(self, farewell: bytes = b"") -> None:
        """Send a last command without waiting for its reply, and close."""
        if self._transport is not None:
            if not self._broken and farewell:
                self._transport.write(farewell)
            self._transport.close()
        self._broken = self._broken or "the connection was closed"

    def abort(self) -> None:
        """Close at once; a message that is under way is never completed by this."""
        self._break("the connection was given up")

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _wait(self, seconds: float, complaint: str, ready: Callable[[], bool]) -> None:
        """Until `ready`, broken, or time is up (then the connection is given up)."""
        alarm = self._loop.call_later(seconds, self._break, f"{complaint} ({seconds:g} s)")
        try:
            while not ready() and not self._broken:
                self._waiting = self._loop.create_future()
                await self._waiting
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiting = None
            alarm.cancel()


async def connect(address: str, port: int, seconds: float) -> Connection:
    """Open a connection to a numeric address. Raises ConnectionBroken."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(Connection, address, port)
    except TimeoutError as error:
        raise ConnectionBroken(f"no connection to {address} port {port} within {seconds:g} s") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConnectionBroken(f"no connection to {address} port {port}: {reason}") from error
    return connection
