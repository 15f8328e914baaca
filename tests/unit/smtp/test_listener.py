"""The listener and its sessions over real sockets: limits, time, faults behind the door, stopping."""

import asyncio
import contextlib
import multiprocessing
import multiprocessing.sharedctypes
import socket
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ime_gateway.base.errors import ConfigurationError, StoreUnavailable
from ime_gateway.base.outcome import Outcome, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ports.reception import Submission
from ime_gateway.settings.model import Listener as ListenerSettings
from ime_gateway.smtp.limits import ConnectionBoard
from ime_gateway.smtp.tls_inbound import server_context
from ime_gateway.smtp.wire import TimedOut, Wire
from tests.pki import make_ca, make_user
from tests.smtp_door import PATIENCE, Client, Door, LoopName, open_door, until

LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


def send_mail(client: Client, body: bytes = b"Subject: x\r\n\r\nhello\r\n") -> bytes:
    """One transaction on a greeted connection; the reply to its message."""
    for command in ("MAIL FROM:<a@acme.example>", "RCPT TO:<b@acme.example>"):
        reply = client.command(command)
        if reply[:1] != b"2":
            return reply
    assert client.command("DATA")[:3] == b"354"
    client.send(body + b".\r\n")
    return client.read_line()


def greet(client: Client) -> None:
    assert client.read_line()[:3] == b"220"
    assert client.command("EHLO client.example")[:3] == b"250"


@LOOPS
def test_a_peer_outside_allow_hears_554_and_nothing_else(loop: LoopName) -> None:
    with open_door(loop, listener={"allow": ("192.0.2.0/24",)}) as door, Client(door.port) as client:
        assert client.read_line().startswith(b"554 5.7.1 gw.acme.example")
        assert client.is_closed()
        until(lambda: door.board.mine == 0)


@LOOPS
def test_too_many_connections_hear_421_until_one_ends(loop: LoopName) -> None:
    with open_door(loop, smtp={"max_connections": 2}) as door:
        with Client(door.port) as first, Client(door.port) as second:
            greet(first)
            greet(second)
            with Client(door.port) as third:
                assert third.read_line().startswith(b"421 4.7.0")
                assert third.is_closed()
        until(lambda: door.board.mine == 0)
        with Client(door.port) as fourth:
            greet(fourth)


def test_a_refusal_of_each_port_method_is_told_with_its_reason() -> None:
    with open_door() as door, Client(door.port) as client:
        greet(client)
        door.reception.receive_answer = lambda submission: Refused(
            Reason.NO_CERTIFICATE, "none for b", address="b@acme.example", message_id="01a"
        )
        reply = send_mail(client)
        assert reply.startswith(b"550 5.7.1 <b@acme.example> no-certificate: ")
        assert reply.endswith(b"(none for b) (id=01a)")
        door.reception.mail_answer = Refused(Reason.STORE_UNAVAILABLE, "database locked", temporary=True)
        assert send_mail(client).startswith(b"451 4.3.0 store-unavailable: ")
        assert len(door.submissions) == 1


def test_a_refused_message_is_logged_with_who_and_why() -> None:
    with capture_logs() as logs, open_door() as door, Client(door.port) as client:
        refusal = Refused(Reason.NO_CERTIFICATE, "none for b", address="b@acme.example")
        door.reception.receive_answer = lambda submission: refusal
        greet(client)
        send_mail(client)
    (line,) = [entry for entry in logs if entry["event"] == "message"]
    assert (line["log_level"], line["recipient"], line["detail"]) == ("warning", "b@acme.example", "none for b")
    assert not {"subject", "body"} & set(line)


def test_who_is_turned_away_leaves_a_trace() -> None:
    with capture_logs() as logs, open_door() as door, Client(door.port) as client:
        greet(client)
        client.command("MAIL FROM:<stranger@evil.example>")
        assert client.command("RCPT TO:<x@elsewhere.example>").startswith(b"550 5.7.1")
    assert [(str(sender), str(to), refused.reason) for sender, to, refused in door.reception.turned] == [
        ("stranger@evil.example", "x@elsewhere.example", Reason.SENDER_NOT_MANAGED)
    ]
    assert [entry["reason"] for entry in logs if entry["event"] == "refused"] == ["sender-not-managed"]


@LOOPS
def test_an_unexpected_error_is_temporary_and_the_connection_lives(loop: LoopName) -> None:
    def broken(submission: Submission) -> Outcome:
        raise RuntimeError("secret detail")

    with capture_logs() as logs, open_door(loop) as door, Client(door.port) as client:
        greet(client)
        door.reception.receive_answer = broken
        assert send_mail(client).startswith(b"451 4.3.0 store-unavailable: ")
        assert len(door.reception.failures) == 1
        assert door.reception.failures[0].startswith("RuntimeError in test_listener.py line ")
        door.reception.failed_answer = Refused(Reason.MALFORMED, "held")
        assert send_mail(client).startswith(b"554 5.6.0 malformed: ")
        door.reception.failed_answer = None
        assert send_mail(client) == b"451 4.3.0 internal error, nothing was accepted, try again later"
        assert door.memory.used == 0
        door.reception.mail_error = StoreUnavailable("the disk is full")
        assert send_mail(client)[:9] == b"451 4.3.0"
        door.reception.mail_error = None
        door.reception.receive_answer = None
        assert send_mail(client) == b"250 2.0.0 accepted id=id4"
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert [entry["event"] for entry in errors] == [
        *["unexpected error with a message"] * 3,
        *["unexpected error"] * 2,
    ]


def test_one_log_line_for_each_message_without_its_content() -> None:
    with capture_logs() as logs, open_door() as door, Client(door.port) as client:
        greet(client)
        send_mail(client, b"Subject: confidential\r\n\r\nbody\r\n")
        client.command("QUIT")
    assert len(logs) == 1
    entry = logs[0] | {"ms": 0}
    expected = {"event": "message", "log_level": "info", "id": "id1", "listener": "test", "peer": "127.0.0.1"}
    assert entry == expected | {"sender": "a@acme.example", "recipients": 1, "size": 31, "ms": 0, "outcome": "accepted"}


@LOOPS
def test_memory_is_counted_while_a_message_is_in_hand(loop: LoopName) -> None:
    limits = {"memory_bytes": 16_777_216, "max_message_bytes": 16_777_216}
    with open_door(loop, smtp=limits) as door, Client(door.port) as one, Client(door.port) as two:
        door.close_gate()
        one.open_transaction()
        assert one.command("DATA")[:3] == b"354"
        one.send(b"x" * 998 + b"\r\n" + b"y" * 9_999_998 + b"\r\n.\r\n")
        assert door.reception.receiving.wait(PATIENCE)
        assert door.memory.used == 10_001_000
        greet(two)
        # declared: refused before it is sent; undeclared: read to its end, then refused, and the stream is in step
        assert two.command("MAIL FROM:<a@acme.example> SIZE=8000000").startswith(b"452 4.3.1")
        assert send_mail(two, b"z" * 8_000_000 + b"\r\n").startswith(b"452 4.3.1")
        assert door.memory.used == 10_001_000
        assert two.command("NOOP")[:3] == b"250"
        door.open_gate()
        assert one.read_line()[:3] == b"250"
        until(lambda: door.memory.used == 0)
        assert two.command("MAIL FROM:<a@acme.example> SIZE=8000000")[:3] == b"250"


def test_what_is_pipelined_behind_a_message_waits_for_its_reply() -> None:
    with open_door() as door, Client(door.port) as client:
        door.close_gate()
        client.open_transaction()
        client.command("DATA")
        client.send(b"one\r\n.\r\nMAIL FROM:<c@acme.example>\r\nRCPT TO:<d@acme.example>\r\nDATA\r\n")
        assert door.reception.receiving.wait(PATIENCE)
        assert door.reception.mails == 1
        door.open_gate()
        assert [client.read_line()[:9] for _ in range(3)] == [b"250 2.0.0", b"250 2.1.0", b"250 2.1.5"]
        assert client.read_line()[:3] == b"354"
        assert door.reception.mails == 2


@LOOPS
def test_a_flood_behind_a_message_is_held_back_at_the_socket(loop: LoopName) -> None:
    lines = 300_000
    with open_door(loop) as door, Client(door.port) as client:
        door.close_gate()
        client.open_transaction()
        client.command("DATA")
        client.send(b"one\r\n.\r\n")
        assert door.reception.receiving.wait(PATIENCE)
        sender = threading.Thread(target=client.send, args=(b"NOOP\r\n" * lines,))
        sender.start()
        wire = next(iter(door.listener._sessions))
        until(lambda: wire._reading_paused)
        assert door.call(lambda: wire._input.waiting) < 1_000_000
        door.open_gate()
        assert client.read_line()[:9] == b"250 2.0.0"
        assert all(client.read_line()[:3] == b"250" for _ in range(lines))
        sender.join(PATIENCE)


@LOOPS
@pytest.mark.parametrize("state", ["greeting", "half-command", "data", "bdat"])
def test_a_silent_peer_hears_421_and_is_gone(loop: LoopName, state: str) -> None:
    seconds = {"command_seconds": 0.2, "data_seconds": 0.2}
    with open_door(loop, smtp=seconds) as door, Client(door.port) as client:
        client.read_line()
        if state == "half-command":
            client.send(b"EHLO cli")
        elif state in ("data", "bdat"):
            client.send(b"EHLO x\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<b@acme.example>\r\n")
            client.send(b"DATA\r\nhalf" if state == "data" else b"BDAT 10\r\nhalf")
            for _ in range(10 + (state == "data")):
                client.read_line()
        assert client.read_line().startswith(b"421 4.4.2")
        assert client.is_closed()
        until(lambda: door.board.mine == 0)
        assert door.submissions == []
        assert door.memory.used == 0


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 100000\r\n", b""])
def test_what_only_trickles_is_cut_off(command: bytes) -> None:
    with open_door(smtp={"message_seconds": 0.3, "command_seconds": 0.3}) as door, Client(door.port) as client:
        client.open_transaction()
        client.send(command)
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.01):
                client.send(b"x")

        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            reply = client.read_line()
            assert (client.read_line() if reply[:3] == b"354" else reply).startswith(b"421 4.4.2")
        finally:
            stop.set()
            trickling.join(PATIENCE)
        assert door.submissions == []


def test_a_message_is_cut_off_in_time_even_when_its_bytes_never_pause() -> None:
    async def read_late() -> None:
        wire = Wire(lambda wire: None, lambda wire: None)
        wire.data_received(b"more and more")
        now = asyncio.get_running_loop().time()
        assert await wire.block(10.0, now + 10.0) == b"more and more"
        wire.data_received(b"more and more")
        with pytest.raises(TimedOut):
            await wire.block(10.0, now)

    asyncio.run(read_late())


@LOOPS
def test_a_peer_that_vanishes_leaves_nothing_behind(loop: LoopName) -> None:
    with capture_logs() as logs, open_door(loop) as door:
        for last in (b"DATA\r\nhalf a message", b"DATA\r\n", b"BDAT 100\r\nhalf"):
            with Client(door.port) as client:
                client.open_transaction()
                client.send(last)
        until(lambda: door.board.mine == 0)
        assert door.memory.used == 0
        assert door.submissions == []
        assert door.listener.sessions == 0
    assert logs == []


@LOOPS
def test_a_peer_that_closes_its_sending_side_still_hears_all_replies(loop: LoopName) -> None:
    with open_door(loop) as door, Client(door.port) as client:
        client.send(b"EHLO x\r\nMAIL FROM:<a@acme.example>\r\nRCPT TO:<b@acme.example>\r\nDATA\r\nx\r\n.\r\n")
        client.half_close()
        assert [client.read_reply()[-1][:3] for _ in range(6)] == [b"220", b"250", b"250", b"250", b"354", b"250"]
        assert client.is_closed()
        assert len(door.submissions) == 1


@LOOPS
def test_draining_ends_idle_sessions_and_lets_transactions_finish(loop: LoopName) -> None:
    with open_door(loop) as door, Client(door.port) as idle, Client(door.port) as busy:
        greet(idle)
        door.close_gate()
        busy.open_transaction()
        busy.command("DATA")
        busy.send(b"last\r\n.\r\n")
        assert door.reception.receiving.wait(PATIENCE)
        draining = threading.Thread(target=door.drain, args=(PATIENCE,))
        draining.start()
        assert idle.read_line().startswith(b"421 4.3.2")
        assert idle.is_closed()
        assert not door.listener.is_accepting
        door.open_gate()
        assert busy.read_line() == b"250 2.0.0 accepted id=id1"
        assert busy.read_line().startswith(b"421 4.3.2")
        assert busy.is_closed()
        draining.join(PATIENCE)
        assert not draining.is_alive()


def test_draining_has_an_end() -> None:
    with open_door() as door, Client(door.port) as client:
        client.open_transaction()
        client.command("DATA")
        client.send(b"never finished")
        door.drain(0.1)
        assert client.is_closed()
        assert door.submissions == []


def test_client_certificates_open_the_door_for_the_named_only(tmp_path: Path) -> None:
    ca, other = make_ca("Client CA"), make_ca("Other CA")
    certificate, key = make_user("gw@acme.example", ca).write(tmp_path, "gw")
    ca_file, _ = ca.write(tmp_path, "ca")
    listener = {
        "tls": "opportunistic",
        "certificate": certificate,
        "key": key,
        "client_ca": ca_file,
        "client_certificate_names": ("exchange@acme.example",),
    }
    named = make_user("exchange@acme.example", ca, eku=None).write(tmp_path, "named")
    unnamed = make_user("other@acme.example", ca, eku=None).write(tmp_path, "unnamed")
    stranger = make_user("exchange@acme.example", other, eku=None).write(tmp_path, "stranger")
    with open_door(listener=listener) as door:
        for files, start in ((None, b"550 5.7.1"), (unnamed, b"550 5.7.1"), (named, b"250 2.0.0 accepted")):
            with Client(door.port) as client:
                greet(client)
                assert client.command("MAIL FROM:<a@acme.example>").startswith(b"530 5.7.0")
                assert client.command("STARTTLS")[:3] == b"220"
                client.start_tls((str(files[0]), str(files[1])) if files else None)
                assert client.command("EHLO inside")[:3] == b"250"
                assert send_mail(client).startswith(start)
        assert "exchange@acme.example" in door.submissions[0].session.client_certificate_names
        with Client(door.port) as client:
            greet(client)
            assert client.command("STARTTLS")[:3] == b"220"
            with contextlib.suppress(OSError):  # TLS 1.3 tells the client after its side of the handshake
                client.start_tls((str(stranger[0]), str(stranger[1])))
                client.send(b"EHLO x\r\nMAIL FROM:<a@acme.example>\r\n")
                assert client.is_closed()
        assert len(door.submissions) == 1


def test_unusable_tls_files_are_told_by_listener_and_file(tmp_path: Path) -> None:
    ca = make_ca("CA")
    one = make_user("a@acme.example", ca).write(tmp_path, "one")
    two = make_user("b@acme.example", ca).write(tmp_path, "two")

    def settings(**more: object) -> ListenerSettings:
        return ListenerSettings.model_validate(
            {"name": "in", "role": "internet", "port": 0, "tls": "opportunistic", "certificate": one[0], "key": one[1]}
            | more
        )

    assert server_context(settings()) is not None
    assert server_context(settings(tls="off")) is None
    for wrong in ({"key": two[1]}, {"key": "/nonexistent"}, {"certificate": one[1]}, {"client_ca": "/nonexistent"}):
        with pytest.raises(ConfigurationError, match="'in'"):
            server_context(settings(**wrong))


def serve_in_process(listening: socket.socket, counts: object, slot: int, ready: object, stop: object) -> None:
    """One worker that shares the socket and the board."""
    door = Door("uvloop", {}, {}, listening, ConnectionBoard(counts, slot))
    ready.set()  # type: ignore[attr-defined]
    stop.wait(60)  # type: ignore[attr-defined]
    door.shut()


def test_a_connection_that_no_other_worker_takes_is_taken_anyway() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        door = Door("uvloop", {}, {}, listening, ConnectionBoard([0, 0], 0))
        try:
            with Client(door.port) as first, Client(door.port) as second:
                greet(first)
                greet(second)
                assert door.board.mine == 2
        finally:
            door.shut()


def test_few_long_connections_spread_evenly_over_workers() -> None:
    context = multiprocessing.get_context("fork")
    counts = multiprocessing.sharedctypes.RawArray("i", [-1, -1])
    stop = context.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        readies = [context.Event() for _ in range(2)]
        workers = [
            context.Process(target=serve_in_process, args=(listening, counts, slot, ready, stop))
            for slot, ready in enumerate(readies)
        ]
        for worker in workers:
            worker.start()
        try:
            assert all(ready.wait(PATIENCE) for ready in readies)
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(Client(listening.getsockname()[1])) for _ in range(8)]
                for client in clients:
                    greet(client)
                assert list(counts) == [4, 4]
        finally:
            stop.set()
            for worker in workers:
                worker.join(PATIENCE)
                assert worker.exitcode == 0
