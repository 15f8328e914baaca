"""STARTTLS as a client: encrypted where offered, nothing survives from before, clear only when TLS cannot be had."""

import asyncio
import csv
import ssl
from pathlib import Path

import pytest

from tests.integration.outbound.scripted_server import EHLO, Peer, Script, ScriptedServer, answering, closing
from tests.integration.outbound.sending import MESSAGE, content_of, make_mail, make_relay
from tests.integration.outbound.tls_context import server_context

OFFER = b"250-peer.example\r\n250-SIZE 10\r\n250 starttls \r\n"


async def start_tls(peer: Peer, context: ssl.SSLContext, extra: bytes = b"") -> None:
    """Greeting, EHLO, STARTTLS and the handshake; `extra` is injected behind the 220."""
    await peer.say(b"220 hi\r\n")
    await peer.hear()
    await peer.say(OFFER)
    assert (await peer.hear()).upper() == b"STARTTLS\r\n"
    await peer.say(b"220 go\r\n" + extra)
    await peer.writer.start_tls(context)


def inside(context: ssl.SSLContext, extra: bytes = b"", ehlo: bytes = EHLO) -> Script:
    async def script(peer: Peer) -> None:
        await start_tls(peer, context, extra)
        peer.lines.append(b"-- TLS --")
        await peer.hear()
        await peer.say(ehlo)
        for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await peer.hear()
            await peer.say(answer)
        await peer.hear_message()
        await peer.say(b"250 ok\r\n")
        await peer.hear()

    return script


async def send(scripts: list[Script] | Script, *, use_tls: bool = True, reply: float = 5.0):  # type: ignore[no-untyped-def]
    async with ScriptedServer(scripts) as server, closing(make_relay(reply=reply)) as relay:
        result = await relay.send(server.route, "", make_mail(), content_of(), use_tls=use_tls)
        return result, server.peers


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return server_context(tmp_path_factory.mktemp("tls"))


def test_tls_is_used_where_it_is_offered_and_only_its_capabilities_count(context: ssl.SSLContext) -> None:
    result, peers = asyncio.run(send(inside(context)))
    assert result.replies[0].positive  # SIZE 10 was said outside TLS
    assert result.tls.startswith("TLSv1.") and result.dsn_supported
    assert peers[0].messages == [MESSAGE]
    assert peers[0].lines.index(b"-- TLS --") == 2


@pytest.mark.parametrize("extra", [b"250 forged\r\n", b"250-forged\r\n250-DSN\r\n250 SIZE 5\r\n", b"junk"])
def test_what_was_injected_before_the_handshake_has_no_effect(context: ssl.SSLContext, extra: bytes) -> None:
    result, peers = asyncio.run(send(inside(context, extra, b"250-peer.example\r\n250 8BITMIME\r\n")))
    assert result.replies[0].positive
    if result.tls:
        assert not result.dsn_supported
        assert peers[0].messages == [MESSAGE]


def test_an_injected_answer_does_not_stand_in_for_a_silent_server(context: ssl.SSLContext) -> None:
    async def silent(peer: Peer) -> None:
        await start_tls(peer, context, b"250 forged\r\n")
        await asyncio.sleep(60)

    result, _ = asyncio.run(send(silent, reply=0.3))
    assert result.replies[0].code // 100 == 4


@pytest.mark.parametrize("code", [454, 502, 354, 250, 221, 421, 500, 501, 530])
def test_a_refused_starttls_leads_to_one_new_connection_in_clear(code: int) -> None:
    async def refuses(peer: Peer) -> None:
        await peer.say(b"220 hi\r\n")
        await peer.hear()
        await peer.say(OFFER)
        await peer.hear()
        await peer.say(b"%d no\r\n" % code)
        await peer.hear()

    result, peers = asyncio.run(send([refuses, answering()]))
    assert result.replies[0].positive and result.tls == ""
    assert len(peers) == 2
    assert not any(line.startswith((b"MAIL", b"RCPT")) for line in peers[0].lines)


@pytest.mark.parametrize("how", ["garbage", "closes", "old"])
def test_a_failed_handshake_leads_to_one_new_connection_in_clear(how: str, tmp_path: Path) -> None:
    async def fails(peer: Peer) -> None:
        if how == "old":
            old = server_context(tmp_path)
            with pytest.warns(DeprecationWarning):
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            await start_tls(peer, old)
            return
        await peer.say(b"220 hi\r\n")
        await peer.hear()
        await peer.say(OFFER)
        await peer.hear()
        await peer.say(b"220 go\r\n")
        await peer.reader.read(1000)
        if how == "garbage":
            await peer.say(b"this is no TLS at all, sorry\r\n" * 10)
        peer.hang_up()

    result, peers = asyncio.run(send([fails, answering()]))
    assert result.replies[0].positive and result.tls == ""
    assert len(peers) == 2


def test_switched_off_it_is_not_asked_for() -> None:
    result, peers = asyncio.run(send(answering(ehlo=b"250-peer.example\r\n250 STARTTLS\r\n"), use_tls=False))
    assert result.replies[0].positive and result.tls == ""
    assert not any(line.upper().startswith(b"STARTTLS") for line in peers[0].lines)


def test_clear_and_encrypted_connections_are_not_mixed_up(context: ssl.SSLContext) -> None:
    async def scenario() -> None:
        async with ScriptedServer([answering(), inside(context)]) as server, closing(make_relay()) as relay:
            first = await relay.send(server.route, "", make_mail(), content_of(), use_tls=False)
            second = await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
            assert first.tls == "" and second.tls

    asyncio.run(scenario())


def test_every_client_case_of_the_vectors_is_known_here(vectors: Path) -> None:
    """A new case in the shared list must be looked at; demanded TLS (half of N13 to N24) is not there yet."""
    with (vectors / "no-starttls" / "tests.csv").open(encoding="utf-8") as file:
        cases = [row["id"] for row in csv.DictReader(file) if row["role_of_gateway"] == "client"]
    assert cases == [f"N{number}" for number in range(11, 25)]
