"""An SMTP server by hand that misbehaves exactly as told: a list of steps for each connection."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType

EHLO = b"250-peer.example\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n"
SLOW_EHLO = b"250-peer.example\r\n250 SIZE 1000000\r\n"  # no PIPELINING


@dataclass
class Peer:
    """One connection, as the script sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    lines: list[bytes] = field(default_factory=list)
    """Commands that came."""
    messages: list[bytes] = field(default_factory=list)
    """Message bytes as they came on the wire, dots still doubled, without the final dot."""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> bytes:
        line = await self.reader.readuntil(b"\r\n")
        self.lines.append(line)
        return line

    async def hear_message(self) -> bytes:
        data = b"\r\n" + await self.reader.readuntil(b"\r\n.\r\n") if not await self._dot_first() else b"\r\n.\r\n"
        self.messages.append(data[2:-3])
        return self.messages[-1]

    async def _dot_first(self) -> bool:
        first = await self.reader.readexactly(3)
        if first == b".\r\n":
            return True
        self.reader._buffer[:0] = first  # type: ignore[attr-defined]
        return False

    def hang_up(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class ScriptedServer:
    """`async with ScriptedServer([script, …])`: each connection runs the next script, the last repeats."""

    def __init__(self, scripts: Sequence[Script] | Script) -> None:
        self._scripts = list(scripts) if isinstance(scripts, Sequence) else [scripts]
        self.peers: list[Peer] = []
        self.port = 0

    @property
    def route(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "ScriptedServer":
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            if not peer.writer.is_closing():  # abort after close fails in asyncio of Python 3.11.2
                peer.writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        number = len(self.peers)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._scripts[min(number, len(self._scripts) - 1)](peer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


async def greet(peer: Peer, ehlo: bytes = EHLO) -> None:
    await peer.say(b"220 peer.example ESMTP\r\n")
    await peer.hear()
    await peer.say(ehlo)


def answering(
    *,
    ehlo: bytes = EHLO,
    mail: bytes = b"250 2.1.0 ok\r\n",
    rcpt: Callable[[bytes], bytes] = lambda line: b"250 2.1.5 ok\r\n",
    data: bytes = b"354 go\r\n",
    dot: bytes = b"250 2.0.0 queued\r\n",
) -> Script:
    """A server that serves any number of transactions with these replies."""

    async def script(peer: Peer) -> None:
        await greet(peer, ehlo)
        while True:
            line = await peer.hear()
            verb = line[:4].upper()
            if verb == b"MAIL":
                await peer.say(mail)
            elif verb == b"RCPT":
                await peer.say(rcpt(line))
            elif verb == b"DATA":
                await peer.say(data)
                if data.startswith(b"3"):
                    await peer.hear_message()
                    await peer.say(dot)
            elif verb == b"QUIT":
                await peer.say(b"221 bye\r\n")
                return
            else:
                await peer.say(b"250 ok\r\n")

    return script


@asynccontextmanager
async def closing(relay: object):  # type: ignore[no-untyped-def]
    try:
        yield relay
    finally:
        relay.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
