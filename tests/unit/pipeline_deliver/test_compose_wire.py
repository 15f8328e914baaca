"""Head, frame and body as bytes on the wire, small and large, and what is left behind when it is broken off."""

import asyncio
import base64
import threading
from collections.abc import Iterator

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.pipeline.compose_wire import INLINE_BYTES, wire_content
from ime_gateway.ports.queue import Envelope
from tests.doubles.memory_queue import MemorySpool


async def collect(envelope: Envelope, spool: MemorySpool) -> tuple[bytes, int]:
    pieces = [piece async for piece in wire_content(envelope, spool)()]
    return b"".join(pieces), len(pieces)


@pytest.mark.parametrize("size", [0, 10, 70_000, INLINE_BYTES + 100_000, 3 * INLINE_BYTES])
@pytest.mark.parametrize("coded", [False, True])
def test_the_wire_form(size: int, coded: bool) -> None:
    spool = MemorySpool()
    content = bytes(range(256)) * (size // 256 + 1)
    body = spool.write([content[:size]], size)
    envelope = Envelope("e", body.id, b"Subject: x\r\n\r\n", b"PRE", b"SUF", base64=coded, wire_size=size + 20)
    wire, pieces = asyncio.run(collect(envelope, spool))
    assert wire.startswith(envelope.head)
    rest = wire[len(envelope.head) :]
    if coded:
        lines = rest.split(b"\r\n")
        assert lines[-1] == b"" and all(len(line) == 76 for line in lines[:-2])
        rest = base64.b64decode(rest, validate=False)
    assert rest == b"PRE" + content[:size] + b"SUF"
    assert pieces == 1 if envelope.wire_size <= INLINE_BYTES else pieces > 1


def test_it_can_be_read_again_from_the_beginning() -> None:
    spool = MemorySpool()
    body = spool.write([b"x" * 2_000_000], 2_000_000)
    content = wire_content(Envelope("e", body.id, b"H: 1\r\n\r\n", wire_size=2_000_008), spool)

    async def twice() -> list[bytes]:
        return [b"".join([piece async for piece in content()]) for _ in range(2)]

    first, second = asyncio.run(twice())
    assert first == second and len(first) == 2_000_008


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_a_damaged_body_says_so(size: int) -> None:
    spool = MemorySpool()
    body = spool.write([b"x" * size], size)
    spool.damaged.add(body.id)
    with pytest.raises(StoreUnavailable):
        asyncio.run(collect(Envelope("e", body.id, b"H: 1\r\n\r\n", wire_size=size), spool))


def test_breaking_off_leaves_no_thread_reading() -> None:
    reading = threading.Event()

    class Slow(MemorySpool):
        def read(self, body_id: str) -> Iterator[bytes]:
            for chunk in super().read(body_id):
                reading.set()
                yield chunk
                reading.clear()

    spool = Slow()
    body = spool.write([b"x" * 5_000_000], 5_000_000)

    async def scenario() -> None:
        stream = wire_content(Envelope("e", body.id, b"H: 1\r\n\r\n", wire_size=5_000_008), spool)()
        await anext(stream)
        await stream.aclose()

    asyncio.run(scenario())
