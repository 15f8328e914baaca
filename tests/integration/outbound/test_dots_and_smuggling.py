"""What a foreign server receives is what we were given; what could smuggle a second message never leaves."""

import asyncio
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ime_gateway.smtp.outbound.data_writer import DataWriter, UnsafeContent
from tests.integration.outbound.scripted_server import ScriptedServer, answering, closing
from tests.integration.outbound.sending import content_of, make_mail, make_relay
from tests.servers.listening import free_port

SEQUENCES = Path(__file__).resolve().parents[2] / "data" / "smuggling_sequences.csv"


class Keeper:
    """An aiosmtpd handler that keeps what came."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 2.0.0 kept"


@pytest.fixture
def foreign() -> Iterator[tuple[Keeper, str]]:
    keeper = Keeper()
    controller = Controller(keeper, hostname="127.0.0.1", port=0, data_size_limit=0)
    controller.port = free_port()
    controller.start()
    yield keeper, f"smtp://127.0.0.1:{controller.port}"
    controller.stop()


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b"..", b".x", b"...", b" .", b"x.", b"\xff.", b".\t", b"QUIT", b"RSET"]),
        st.binary(max_size=30).map(lambda line: line.translate(None, b"\r\n\0")),
    ),
    max_size=12,
)


RAW = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"ab"]), max_size=12).map(b"".join)


def cut(message: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({place % (len(message) + 1) for place in places} | {0, len(message)})
    return [message[start:end] for start, end in itertools.pairwise(borders)] or [message]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.tuples(LINES, st.lists(st.integers(0, 400), max_size=8)), min_size=1, max_size=8))
def test_a_foreign_server_receives_what_we_were_given(
    foreign: tuple[Keeper, str], batch: list[tuple[list[bytes], list[int]]]
) -> None:
    keeper, route = foreign
    messages = [b"".join(line + b"\r\n" for line in [*lines, b"end"]) for lines, _ in batch]

    async def scenario() -> None:
        async with closing(make_relay()) as relay:
            for message, (_, places) in zip(messages, batch, strict=True):
                content = content_of(*cut(message, places))
                result = await relay.send(route, "", make_mail(eight_bit=True), content, use_tls=True)
                assert result.replies[0].positive, result

    keeper.envelopes.clear()
    asyncio.run(scenario())
    assert [envelope.original_content for envelope in keeper.envelopes] == messages


@given(lines=LINES, places=st.lists(st.integers(0, 400), max_size=8))
def test_on_the_wire_only_the_end_is_a_dot_line(lines: list[bytes], places: list[int]) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    writer = DataWriter()
    wire = b"".join(writer.feed(piece) for piece in cut(message, places)) + writer.finish()
    assert (b"\r\n" + wire).count(b"\r\n.\r\n") == 1 and wire.endswith(b".\r\n")
    unstuffed = (b"\r\n" + wire[:-3]).replace(b"\r\n.", b"\r\n")[2:]
    assert unstuffed == message


@given(
    message=st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\0", b"ab"]), max_size=12).map(b"".join),
    places=st.lists(st.integers(0, 40), max_size=6),
)
def test_no_bare_newline_and_no_nul_ever_leaves(message: bytes, places: list[int]) -> None:
    writer = DataWriter()
    wire = b""
    refused = False
    try:
        for piece in cut(message, places):
            wire += writer.feed(piece)
        wire += writer.finish()
    except UnsafeContent:
        refused = True
    bare = message.replace(b"\r\n", b"")
    assert refused == any(octet in bare for octet in b"\r\n\0")
    rest = wire.replace(b"\r\n", b"")
    assert not any(octet in rest for octet in b"\r\n\0")


def test_a_last_line_without_its_end_gets_one(foreign: tuple[Keeper, str]) -> None:
    keeper, route = foreign

    async def scenario() -> None:
        async with closing(make_relay()) as relay:
            await relay.send(route, "", make_mail(), content_of(b"Subject: x\r\n\r\n", b"no end"), use_tls=True)

    asyncio.run(scenario())
    assert keeper.envelopes[0].original_content == b"Subject: x\r\n\r\nno end\r\n"


def test_smuggling_sequences_never_leave() -> None:
    with SEQUENCES.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "out" in row["direction"]]
    assert len(rows) >= 10

    async def scenario() -> None:
        for row in rows:
            sequence = bytes.fromhex(row["bytes_hex"])
            message = b"Subject: x\r\n\r\nfirst" + sequence + b"MAIL FROM:<evil@x.example>\r\nsecond\r\n"
            for cuts in range(len(sequence) + 1):
                place = message.index(sequence) + cuts
                async with ScriptedServer(answering()) as server, closing(make_relay()) as relay:
                    content = content_of(message[:place], message[place:])
                    result = await relay.send(server.route, "", make_mail(), content, use_tls=True)
                    if row["id"] == "S0":
                        assert result.replies[0].positive
                        assert server.peers[0].messages == [message.replace(b"\r\n.\r\n", b"\r\n..\r\n")]
                    else:
                        assert result.replies[0].permanent and result.replies[0].text.startswith("5.6.0")
                        assert server.peers[0].messages == []

    asyncio.run(scenario())
