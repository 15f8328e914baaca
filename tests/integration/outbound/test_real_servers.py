"""Relay.send to Postfix's smtp-sink and over uvloop: sizes small and large, many at a time."""

import asyncio
import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.integration.outbound.scripted_server import closing
from tests.integration.outbound.sending import content_of, make_mail, make_relay


@pytest.fixture
def sink(free_port: int, tmp_path: Path) -> Iterator[str]:
    """smtp-sink, which writes every message into a file of its own."""
    user = ["-u", getpass.getuser()] if os.geteuid() == 0 else []
    command = ["smtp-sink", *user, "-d", f"{tmp_path}/message.", f"127.0.0.1:{free_port}", "100"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", free_port)).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "smtp-sink did not start"
            time.sleep(0.01)
    yield f"smtp://127.0.0.1:{free_port}"
    process.terminate()
    process.wait()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("size", [4096, 102_400, 10_485_760])
def test_messages_arrive_whole(sink: str, tmp_path: Path, loop, size: int) -> None:  # type: ignore[no-untyped-def]
    count = 3 if size > 1_000_000 else 20
    line = b".The quick brown fox jumps over the lazy dog.\r\n"
    body = b"Subject: x\r\n\r\n" + line * (size // len(line))
    pieces = [body[start : start + 300_001] for start in range(0, len(body), 300_001)]

    async def scenario() -> None:
        async with closing(make_relay(connections_per_hop=10)) as relay:
            mail = make_mail(size=len(body))
            sends = [relay.send(sink, "", mail, content_of(*pieces), use_tls=True) for _ in range(count)]
            for result in await asyncio.gather(*sends):
                assert result.replies[0].positive

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())
    kept = [path.read_bytes() for path in tmp_path.glob("message.*")]
    assert sum(one.count(b"Subject: x\n") for one in kept) == count
    expected = body.replace(b"\r\n", b"\n")
    assert sum(one.count(expected) for one in kept) == count
