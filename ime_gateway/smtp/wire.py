"""One TCP connection as a session sees it: wait for a line or a block, write a reply, start TLS.

Replies are gathered until the session must wait for the peer, so a pipelined group is answered in one write
(RFC 2920 section 3.2). Works on asyncio and uvloop alike; knows nothing of SMTP commands.
"""

import asyncio
import math
import ssl
from collections.abc import Callable
from typing import cast

from ime_gateway.base.errors import GatewayError
from ime_gateway.smtp.command_lines import CommandLines, LineFault
from ime_gateway.smtp.tls_inbound import HANDSHAKE_SECONDS

READ_AHEAD = 262_144
"""Bytes that may wait unread before the peer is slowed down."""
_LINES_PER_TURN = 64
"""Pipelined commands that run before other sessions get their turn."""
_LINGER_SECONDS = 10.0
"""How long a closed connection may take to deliver our last reply."""


class PeerGone(GatewayError):
    """The peer closed the connection, or the network did."""


class TimedOut(GatewayError):
    """The peer was silent for too long."""


class Stopping(GatewayError):
    """The gateway stops and this connection was idle."""


class Wire(asyncio.Protocol):
    """The transport side of one session.

    on_open, on_closed: called once each with this wire.
    """

    def __init__(self, on_open: Callable[["Wire"], None], on_closed: Callable[["Wire"], None]) -> None:
        self._on_open = on_open
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._input = CommandLines()
        self._output = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = math.inf
        self._lines_this_turn = 0
        self._peer_reads = True
        self._reading_paused = False
        self._eof = False
        self._gone = False
        self._tls = False

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports only look like one
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._input.append(data)
        if self._input.waiting > READ_AHEAD and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The peer sends no more but may still read; TLS has no such half-open state."""
        self._eof = True
        self._wake()
        return not self._tls

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self._gone:
            return
        self._gone = True
        self._wake()
        self._on_closed(self)

    def pause_writing(self) -> None:
        """The peer does not read our replies."""
        self._peer_reads = False

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._peer_reads = True
        self._wake()

    # What the listener calls

    def check_time(self, now: float) -> None:
        """End a wait that is over its time, and a closing that takes too long; `now` by the loop's clock."""
        if now < self._deadline:
            return
        if self._waiter is not None:
            self.interrupt(TimedOut("timeout"))
        elif self._transport is not None and self._transport.is_closing():
            self._transport.abort()

    def interrupt(self, error: GatewayError) -> None:
        """Make the session's wait for the peer end with an error."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def abort(self) -> None:
        """Drop the connection now."""
        if self._transport is not None:
            self._transport.abort()

    # What the session calls

    async def line(self, seconds: float) -> bytes | LineFault:
        """The next command line. Raises TimedOut after `seconds` without a whole one, PeerGone, Stopping."""
        until = math.inf
        while (line := self._input.next()) is None:
            until = min(until, self._loop.time() + seconds)
            await self._more(until)
        self._lines_this_turn += 1
        if self._lines_this_turn >= _LINES_PER_TURN:
            self._lines_this_turn = 0
            await asyncio.sleep(0)
        return line

    async def block(self, seconds: float, until: float) -> bytearray:
        """The next bytes of a message. Raises TimedOut after `seconds` of silence, or at `until` (the loop's clock)."""
        now = self._loop.time()
        if now >= until:
            raise TimedOut("the message takes too long")
        if not self._input.waiting:
            await self._more(min(now + seconds, until))
        block = self._input.take_all()
        self._resume_reading()
        return block

    async def header(self, seconds: float) -> bytearray:
        """At least one byte more of what comes before the greeting (the PROXY header)."""
        return await self.block(seconds, math.inf)

    def put_back(self, data: bytes | bytearray) -> None:
        """Bytes of `block` that belong to what follows."""
        self._input.put_back(data)

    @property
    def has_unread_input(self) -> bool:
        """The peer has sent more than the session has used."""
        return self._input.waiting > 0

    def write(self, reply: bytes) -> None:
        """Answer; sent when the session waits for the peer, or flushes."""
        self._output += reply

    def flush(self) -> None:
        """Send what was written."""
        if self._output and self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(self._output))
        self._output.clear()

    async def start_tls(self, context: ssl.SSLContext) -> ssl.SSLObject:
        """Do the handshake as server; bytes that came before it are not carried into the session (RFC 3207
        section 4.2). Raises PeerGone when it fails."""
        assert self._transport is not None
        self.flush()
        self._input = CommandLines()
        self._tls = True
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError as error:  # ssl.SSLError and ConnectionError are both OSError
            self._transport.abort()
            raise PeerGone("the TLS handshake failed", evidence=str(error)) from error
        if transport is None:
            raise PeerGone("the connection was lost in the TLS handshake")
        self._transport = transport
        connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
        return connection

    def close(self) -> None:
        """Send what was written and end the connection."""
        self.flush()
        if self._transport is not None:
            self._deadline = self._loop.time() + _LINGER_SECONDS
            self._transport.close()

    async def _more(self, until: float) -> None:
        """Answer, then wait until the peer has read enough and sent something new."""
        self.flush()
        self._lines_this_turn = 0
        self._resume_reading()
        before = self._input.waiting
        while not self._peer_reads or self._input.waiting == before:
            if self._gone or self._eof:
                raise PeerGone("the peer closed the connection")
            self._deadline = until
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
                self._deadline = math.inf

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            if not self._transport.is_closing():  # uvloop refuses to touch a transport that is closed
                self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
