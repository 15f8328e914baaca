"""A real listener on 127.0.0.1 with a recording Reception behind it, and a client that speaks raw bytes.

with open_door(listener={"role": "internal"}) as door, Client(door.port) as client:
    client.read_reply()          # b"220 ..."
"""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvloop

from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.ports.reception import RelayFacts, SessionInfo, Submission
from ime_gateway.settings.model import Listener as ListenerSettings
from ime_gateway.settings.model import Smtp
from ime_gateway.smtp.limits import ConnectionBoard, MemoryBudget
from ime_gateway.smtp.listener import Listener

LoopName = Literal["uvloop", "asyncio"]
PATIENCE = 20.0
"""Seconds after which a test gives up waiting; never reached by a right implementation."""


@dataclass
class RecordingReception:
    """Takes everything for `acme.example` and remembers it; each answer can be replaced."""

    submissions: list[Submission] = field(default_factory=list)
    mail_answer: Refused | None = None
    mail_error: Exception | None = None
    unknown: Callable[[Address], Awaitable[Refused | None]] | None = None
    """What RCPT asks about recipients that may be written to."""
    mails: int = 0
    """How often MAIL has asked."""
    turned: list[tuple[Address | None, Address | None, Refused]] = field(default_factory=list)
    receive_answer: Callable[[Submission], Outcome] | None = None
    failures: list[str] = field(default_factory=list)
    failed_answer: Refused | None = field(default_factory=lambda: Refused(Reason.STORE_UNAVAILABLE, "", temporary=True))
    """None: reporting the failure fails, too."""
    gate: asyncio.Event | None = None
    """When set, `receive` waits for it."""
    receiving: threading.Event = field(default_factory=threading.Event)

    async def may_mail(self, session: SessionInfo, sender: Address | None) -> RelayFacts | Refused:
        self.mails += 1
        await asyncio.sleep(0)
        if self.mail_error is not None:
            raise self.mail_error
        managed = {"acme.example"}
        facts = RelayFacts(
            lambda domain: domain in managed, frozenset({"ime@imepseudodomain.local"}), unknown=self.unknown
        )
        return self.mail_answer or facts

    async def turned_away(
        self, session: SessionInfo, sender: Address | None, recipient: Address | None, refused: Refused
    ) -> None:
        self.turned.append((sender, recipient, refused))

    async def receive(self, submission: Submission) -> Outcome:
        self.receiving.set()
        if self.gate is not None:
            await self.gate.wait()
        else:
            await asyncio.sleep(0)
        self.submissions.append(submission)
        if self.receive_answer is not None:
            return self.receive_answer(submission)
        return Accepted(f"id{len(self.submissions)}")

    async def failed(self, submission: Submission, cause: str) -> Refused:
        self.failures.append(cause)
        if self.failed_answer is None:
            raise RuntimeError("no evidence can be kept")
        return self.failed_answer


class WallClock:
    """The moment."""

    def now(self) -> float:
        return time.time()


class Door:
    """A listener that runs in a thread with a loop of its own."""

    def __init__(
        self,
        loop: LoopName,
        smtp: dict[str, Any],
        listener: dict[str, Any],
        listening: socket.socket | None = None,
        board: ConnectionBoard | None = None,
    ) -> None:
        smtp = {"hostname": "gw.acme.example"} | smtp
        listener = {"name": "test", "role": "internal", "port": 0, "allow": ("127.0.0.0/8",)} | listener
        self.smtp = Smtp.model_validate(smtp)
        self.settings = ListenerSettings.model_validate(listener)
        self.memory = MemoryBudget(self.smtp.memory_bytes)
        self.board = board or ConnectionBoard([0], 0)
        self.reception = RecordingReception()
        self.loop = uvloop.new_event_loop() if loop == "uvloop" else asyncio.new_event_loop()
        self._socket = listening or socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.listener = self.call(self._start)

    @property
    def submissions(self) -> list[Submission]:
        return self.reception.submissions

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function inside the door's loop and return what it returns."""

        async def inside() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(PATIENCE)

    def drain(self, seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(self.listener.drain(seconds), self.loop).result(PATIENCE)

    def close_gate(self) -> asyncio.Event:
        """Make `receive` wait; open with `open_gate`."""
        self.reception.gate = self.call(asyncio.Event)
        return self.reception.gate

    def open_gate(self) -> None:
        assert self.reception.gate is not None
        self.call(self.reception.gate.set)

    def shut(self) -> None:
        try:
            if self.listener.is_accepting:
                self.drain(0.2)
        finally:
            self.call(lambda: None)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE)
            self.loop.close()
            self._socket.close()

    def _start(self) -> Listener:
        made = Listener(self.settings, self.smtp, self.reception, self.memory, self.board, WallClock())
        made.start(self._socket)
        return made


@contextmanager
def open_door(
    loop: LoopName = "uvloop", *, smtp: dict[str, Any] | None = None, listener: dict[str, Any] | None = None
) -> Iterator[Door]:
    """A listener; `smtp` and `listener` are keys of `gateway.toml`."""
    door = Door(loop, smtp or {}, listener or {})
    try:
        yield door
    finally:
        door.shut()


class Client:
    """A raw SMTP client."""

    def __init__(self, port: int) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = bytearray()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send; a peer that has closed shows in what it said before."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def send_split(self, data: bytes) -> None:
        """One segment for each byte."""
        for octet in data:
            self.send(bytes((octet,)))

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def read_line(self) -> bytes:
        """The next line without CRLF; empty at the end of the connection."""
        while b"\r\n" not in self._input:
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                assert not self._input, f"half a line: {self._input!r}"
                return b""
            self._input += data
        end = self._input.index(b"\r\n")
        line = bytes(self._input[:end])
        del self._input[: end + 2]
        return line

    def read_reply(self) -> list[bytes]:
        """One reply with all its lines; empty at the end of the connection."""
        lines = [self.read_line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.read_line())
        return lines if lines[0] else []

    def command(self, line: str) -> bytes:
        """Send one line; the last line of the reply."""
        self.send(line.encode() + b"\r\n")
        return self.read_reply()[-1]

    def is_closed(self) -> bool:
        """Nothing more comes and the peer has closed; waits for that."""
        return self.read_line() == b""

    def open_transaction(self, sender: str = "a@acme.example", recipient: str = "b@acme.example") -> None:
        """Greeting, EHLO, MAIL, RCPT."""
        self.read_reply()
        assert self.command("EHLO client.example")[:3] == b"250"
        assert self.command(f"MAIL FROM:<{sender}>")[:3] == b"250"
        assert self.command(f"RCPT TO:<{recipient}>")[:3] == b"250"

    def start_tls(self, certificate: tuple[str, str] | None = None) -> None:
        """The handshake; the server's certificate is not judged here."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(*certificate)
        assert not self._input
        self._socket = context.wrap_socket(self._socket)


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; fails after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
