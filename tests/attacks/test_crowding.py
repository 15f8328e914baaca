"""Outsiders crowd the internet listener; our own mail server still gets in, and a fault costs one connection."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.servers.gateway import Gateway, free_port
from tests.smtp_door import Client, LoopName, open_door, until

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
MIB = 1_048_576


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One worker, so that every connection meets the same limits; three connections and 16 MiB of memory."""
    made = Gateway(tmp_path_factory.mktemp("crowding"))
    made.configure(
        next_hop=free_port(),
        workers=1,
        smtp=f"max_connections = 3\nmemory_bytes = {16 * MIB}\nmax_message_bytes = {16 * MIB}",
    )
    made.apply('[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:1"\n')
    made.start()
    yield made
    made.stop()


def enter(port: int, stack: contextlib.ExitStack) -> Client:
    """A greeted connection; while those of the test before are still being closed, there may be no room."""
    found: list[Client] = []

    def greeted() -> bool:
        client = Client(port)
        if client.read_line()[:3] == b"220":
            found.append(stack.enter_context(client))
            return True
        client.__exit__()
        return False

    until(greeted)
    return found[0]


def test_outsiders_do_not_use_up_the_connections_of_insiders(gateway: Gateway) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            enter(gateway.internet_port, stack)
        fourth = stack.enter_context(Client(gateway.internet_port))
        assert fourth.read_line()[:9] == b"421 4.7.0"
        for _ in range(3):
            insider = stack.enter_context(Client(gateway.port))
            assert insider.read_line()[:3] == b"220", "the internet listener is full, the internal one is not"


def test_outsiders_do_not_use_up_the_memory_of_insiders(gateway: Gateway) -> None:
    with contextlib.ExitStack() as stack:
        insider = enter(gateway.port, stack)
        outsiders = [enter(gateway.internet_port, stack) for _ in range(2)]
        first, second = (chunk(client, "eve@evil.example", "anna@acme.example", 7 * MIB) for client in outsiders)
        assert first[:3] == b"250"
        # 14 of 16 MiB would be held by outsiders now, if they could have them.
        assert chunk(insider, "anna@acme.example", "x@elsewhere.example", 4 * MIB)[:3] == b"250"
        assert second[:9] == b"452 4.3.1", "outsiders hold at most half of the memory"
        assert insider.command("BDAT 0 LAST")[:3] == b"250"


def chunk(client: Client, sender: str, recipient: str, size: int) -> bytes:
    """The reply to the first part of a message that is not finished."""
    assert client.command("EHLO peer.example")[:3] == b"250"
    assert client.command(f"MAIL FROM:<{sender}>")[:3] == b"250"
    assert client.command(f"RCPT TO:<{recipient}>")[:3] == b"250"
    head = f"From: {sender}\r\n\r\n".encode()
    client.send(b"BDAT %d\r\n" % size + head + (b"x" * 70 + b"\r\n") * ((size - len(head)) // 72))
    client.send(b"y" * ((size - len(head)) % 72))
    return client.read_line()


@LOOPS
def test_a_connection_that_fails_while_it_is_taken_costs_only_itself(
    loop: LoopName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer has gone, or the kernel has no memory for it: the next one is served, nobody is counted for ever."""
    with capture_logs() as logs, open_door(loop) as door:
        failures = [OSError(107, "Transport endpoint is not connected")]
        right = type(door.loop).connect_accepted_socket

        async def once_broken(self: asyncio.AbstractEventLoop, *arguments: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return await right(self, *arguments, **options)

        monkeypatch.setattr(type(door.loop), "connect_accepted_socket", once_broken)
        with Client(door.port) as broken:
            assert broken.is_closed()
        assert failures == []
        assert door.board.mine == 0 and door.listener.is_accepting
        with Client(door.port) as next_one:
            assert next_one.read_line()[:3] == b"220"
            assert door.board.mine == 1
        until(lambda: door.board.mine == 0)
        monkeypatch.undo()
    assert [entry["event"] for entry in logs] == ["connection failed"]


@LOOPS
@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 203.0.113.9 127.0.0.1 5555 25\r\n",
        b"PROXY TCP6 2001:db8::1 ::1 5555 25\r\n",
        b"PROXY TCP6 ::ffff:203.0.113.9 ::1 5555 25\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\x7f\x00\x00\x01\x15\xb3\x00\x19",
    ],
)
def test_a_stranger_behind_the_balancer_is_a_stranger(loop: LoopName, header: bytes) -> None:
    """`allow` speaks of clients, not of the balancer that lets everybody through."""
    mail = b"EHLO x\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\nhi\r\n.\r\n"
    listener = {"proxy_protocol": True, "allow": ("127.0.0.0/8", "192.0.2.0/24")}
    with capture_logs(), open_door(loop, listener=listener) as door, Client(door.port) as client:
        client.send(header + mail)
        assert client.read_line().startswith(b"554 5.7.1 gw.acme.example")
        assert client.is_closed()
        until(lambda: door.board.mine == 0)
        assert door.reception.mails == 0 and door.submissions == []


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 127.0.0.1 5555 25\r\n", b"PROXY UNKNOWN\r\n"])
def test_who_is_allowed_behind_the_balancer_is_served(header: bytes) -> None:
    listener = {"proxy_protocol": True, "allow": ("127.0.0.0/8", "192.0.2.0/24")}
    with open_door(listener=listener) as door, Client(door.port) as client:
        client.send(header)
        assert client.read_line()[:3] == b"220"


def test_strangers_behind_the_balancer_of_an_internet_listener_are_served() -> None:
    """An internet listener whose `allow` is empty is open to everybody."""
    listener = {"proxy_protocol": True, "role": "internet", "allow": ()}
    with open_door(listener=listener) as door, Client(door.port) as client:
        client.send(b"PROXY TCP4 203.0.113.9 127.0.0.1 5555 25\r\n")
        assert client.read_line()[:3] == b"220"
