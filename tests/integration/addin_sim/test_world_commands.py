"""`addin-sim world …` as somebody types it."""

import re
import signal
import smtplib
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

from ime_gateway.settings.annotate import annotated_gateway_toml

PROGRAM = [sys.executable, "-c", "from addin_sim.cli import run; run()", "world"]


def test_people_writes_what_a_gateway_needs(tmp_path: Path) -> None:
    done = subprocess.run([*PROGRAM, "people", tmp_path / "p"], capture_output=True, text=True, check=True, timeout=60)
    assert "ime-gateway apply" in done.stdout
    assert {"ca.pem", "SITE.toml", "alice.pem", "alice.key.pem"} <= {path.name for path in (tmp_path / "p").iterdir()}
    assert not (tmp_path / "p" / "erik.pem").exists()


def test_serve_takes_mail_until_it_is_stopped(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [*PROGRAM, "serve", tmp_path, "--port", "0", "--outside-port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split(",")[0])
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("a@x.example", ["bob@acme.example"], b"Subject: x\r\n\r\nhello\r\n")
        printed = [server.stdout.readline() for _ in range(5)]
        settings = tomllib.loads("".join(printed))
        assert settings["submission"]["port"] == port
        assert Path(settings["world_mailbox"]["folder"]) == tmp_path / "mailboxes"
        assert (tmp_path / "mailboxes" / "bob@acme.example" / "0001.eml").exists()
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()


def test_a_port_in_use_is_one_sentence(tmp_path: Path, free_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        done = subprocess.run(
            [*PROGRAM, "serve", tmp_path, "--port", str(free_port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("The mail world cannot listen")
    assert "Traceback" not in done.stderr


def test_the_ports_are_not_those_of_a_new_gateway(tmp_path: Path) -> None:
    gateway = tomllib.loads(annotated_gateway_toml(hostname="gw.example", store_url="sqlite:///x"))
    taken = {str(listener["port"]) for listener in gateway["listener"]}
    subprocess.run([*PROGRAM, "people", tmp_path], capture_output=True, check=True, timeout=60)
    routes = re.findall(r"smtp://127\.0\.0\.1:(\d+)", (tmp_path / "SITE.toml").read_text())
    assert len(routes) == 2 and not taken & set(routes)
    told = subprocess.run([*PROGRAM, "serve", "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert all(route in told for route in routes), "world serve listens where world people says"


def test_a_wrong_gateway_is_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run([*PROGRAM, "serve", tmp_path, "--gateway", "nowhere"], capture_output=True, check=False)
    assert done.returncode == 2
