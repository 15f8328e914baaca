"""The processes of `serve`: workers and supervisor die, signals drain and reload, two workers share one store."""

import contextlib
import os
import signal
import smtplib
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers.gateway import COMMANDS, Gateway, free_port


class NextHop:
    """A next hop that can be told to refuse for a while, and remembers what it took."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.busy = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.busy:
            return "451 4.3.2 later"
        self.taken.append(bytes(envelope.content or b""))
        return "250 2.0.0 taken"


@pytest.fixture
def next_hop() -> Iterator[tuple[NextHop, int]]:
    handler, port = NextHop(), free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


@pytest.fixture
def gateway(tmp_path: Path, next_hop: tuple[NextHop, int]) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    made.configure(next_hop=next_hop[1], workers=2)
    made.apply(f'[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:{next_hop[1]}"\n')
    made.start()
    yield made
    made.stop()


def send(gateway: Gateway, number: int, client: smtplib.SMTP | None = None) -> None:
    mail = f"From: anna@acme.example\r\nTo: x@else.example\r\nSubject: number {number}\r\n\r\nhello\r\n"
    with contextlib.ExitStack() as stack:
        used = client or stack.enter_context(smtplib.SMTP("127.0.0.1", gateway.port, timeout=30))
        used.sendmail("anna@acme.example", ["x@else.example"], mail)


def until(true: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def _command(process: psutil.Process) -> str:
    """Empty for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def workers(gateway: Gateway) -> list[psutil.Process]:
    """The children that serve: the web process is the last one started."""
    children = [child for child in psutil.Process(gateway.pid).children() if "spawn_main" in _command(child)]
    return sorted(children, key=lambda child: child.pid)[:2]


def test_each_message_is_delivered_once_by_two_workers(gateway: Gateway, next_hop: tuple[NextHop, int]) -> None:
    clients = [smtplib.SMTP("127.0.0.1", gateway.port, timeout=30) for _ in range(4)]
    for number in range(200):
        send(gateway, number, clients[number % 4])
    for client in clients:
        client.quit()
    gateway.wait_until_empty()
    subjects = Counter(line for mail in next_hop[0].taken for line in mail.splitlines() if line.startswith(b"Subject:"))
    assert subjects == {b"Subject: number %d" % number: 1 for number in range(200)}
    events = gateway.json("track", "--to", "x@else.example")
    assert Counter(event["event"] for event in events) == {"accepted": 200, "delivered": 200}


def test_four_connections_spread_over_both_workers(gateway: Gateway) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(smtplib.SMTP("127.0.0.1", gateway.port, timeout=30)).noop()
        held = [
            sum(
                connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == gateway.port
                for connection in worker.net_connections()
            )
            for worker in workers(gateway)
        ]
    assert held == [2, 2]


def test_a_killed_worker_comes_back_and_its_rows_are_delivered_at_once(
    gateway: Gateway, next_hop: tuple[NextHop, int]
) -> None:
    victim = workers(gateway)[0]
    victim.send_signal(signal.SIGSTOP)  # it holds whatever it has leased
    for number in range(20):
        with contextlib.suppress(OSError, smtplib.SMTPException), contextlib.ExitStack() as stack:
            client = smtplib.SMTP("127.0.0.1", gateway.port, timeout=3)
            stack.callback(client.close)
            send(gateway, number, client)
    victim.kill()
    until(lambda: gateway.health()[0] == 503, "healthz notices that a worker is gone")
    until(lambda: gateway.health()[0] == 200, "the worker comes back")
    gateway.wait_until_empty(20)
    send(gateway, 99)
    until(lambda: any(b"number 99" in mail for mail in next_hop[0].taken), "mail flows again")


def test_rows_in_the_hands_of_a_killed_gateway_go_out_after_the_restart(
    gateway: Gateway, next_hop: tuple[NextHop, int]
) -> None:
    next_hop[0].busy = True
    for number in range(10):
        send(gateway, number)
    until(lambda: len(gateway.json("queue", "list")) == 10, "ten rows wait")
    gateway.kill()
    next_hop[0].busy = False
    gateway.start()
    gateway.command("queue", "retry")
    gateway.wait_until_empty(30)
    assert len(next_hop[0].taken) == 10


def test_workers_do_not_outlive_their_supervisor(gateway: Gateway) -> None:
    children = psutil.Process(gateway.pid).children()
    assert len(children) >= 3
    gateway.kill_supervisor()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, alive
    gateway.start()


def test_sigterm_drains_and_ends_well(gateway: Gateway, next_hop: tuple[NextHop, int]) -> None:
    client = smtplib.SMTP("127.0.0.1", gateway.port, timeout=30)
    client.ehlo()
    client.mail("anna@acme.example")
    client.rcpt("x@else.example")
    os.kill(gateway.pid, signal.SIGTERM)
    until(lambda: gateway.health()[1].get("status") != "ok", "healthz says that it stops")
    code, _ = client.data(b"From: anna@acme.example\r\nSubject: last\r\n\r\nbye\r\n")
    assert code == 250, "a transaction that is under way is finished"
    client.close()
    assert gateway.stop() == 0
    with pytest.raises(OSError):
        smtplib.SMTP("127.0.0.1", gateway.port, timeout=3)
    gateway.start()
    gateway.wait_until_empty()
    assert any(b"Subject: last" in mail for mail in next_hop[0].taken)


def test_sighup_takes_new_settings_and_keeps_good_ones(gateway: Gateway) -> None:
    good = gateway.config.read_text()
    gateway.config.write_text(good.replace("[smtp]", "[smtp]\nmax_message_bytes = 5000"))
    before = {worker.pid for worker in workers(gateway)}
    os.kill(gateway.pid, signal.SIGHUP)
    until(lambda: not before & {worker.pid for worker in workers(gateway)}, "workers are new")
    until(lambda: gateway.health()[0] == 200, "healthy again")
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=30) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "5000"
    gateway.config.write_text(good.replace("[smtp]", "[smtp]\nmax_message_bites = 5000"))
    os.kill(gateway.pid, signal.SIGHUP)
    until(lambda: "max_message_bites" in gateway.log(), "the log names the key")
    assert gateway.health()[0] == 200
    gateway.config.write_text(good)


def test_what_check_calls_an_error_does_not_start_and_does_not_replace_what_runs(gateway: Gateway) -> None:
    good = gateway.config.read_text()
    for wrong in (
        'allow = ["0.0.0.0/0"]',
        'allow = ["127.0.0.0/8"]\ntls = "mandatory"\ncertificate = "no.pem"\nkey = "no.pem"',
    ):
        gateway.config.write_text(good.replace('allow = ["127.0.0.0/8"]', wrong, 1))
        before = {worker.pid for worker in workers(gateway)}
        os.kill(gateway.pid, signal.SIGHUP)
        until(lambda: "settings not reloaded" in gateway.log(), "the log says why")
        assert {worker.pid for worker in workers(gateway)} == before and gateway.health()[0] == 200
        other = gateway.command("serve", check=False)
        assert other == "", "nothing is started"
    gateway.config.write_text(good)


def test_a_second_serve_of_one_installation_is_refused(gateway: Gateway) -> None:
    environment = os.environ | {
        "IMEGW_LISTENER__internal__PORT": "0",
        "IMEGW_LISTENER__internet__PORT": "0",
        "IMEGW_WEB__ADMIN": "127.0.0.1:0",
        "IMEGW_WEB__PORTAL": "127.0.0.1:0",
    }
    command = [str(COMMANDS / "ime-gateway"), "serve", "-c", str(gateway.config)]
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert f"already served by process {gateway.pid}" in second.stderr


def test_who_connects_while_the_gateway_stops_is_refused_at_once(gateway: Gateway) -> None:
    client = smtplib.SMTP("127.0.0.1", gateway.port, timeout=30)
    client.ehlo()
    client.mail("anna@acme.example")
    os.kill(gateway.pid, signal.SIGTERM)

    def refused() -> bool:
        try:
            smtplib.SMTP("127.0.0.1", gateway.port, timeout=2).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    until(refused, "new peers are refused while an open transaction is waited for")
    client.close()
    assert gateway.stop() == 0
