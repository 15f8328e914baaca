"""The question to a mail server about a recipient: over real sockets, with a real Postfix and with servers that err."""

import asyncio

import pytest

from ime_gateway.mail.address import parse_path
from ime_gateway.ports.recipient_probe import Knowledge
from ime_gateway.settings.model import Delivery
from ime_gateway.smtp.outbound.recipient_probe import SmtpRecipientProbe
from tests.integration.outbound.scripted_server import EHLO, SLOW_EHLO, Peer, Script, ScriptedServer
from tests.servers.gateway import free_port
from tests.servers.postfix import Postfix

BOB = parse_path("bob@acme.example")


def make_probe(seconds: float = 10.0) -> SmtpRecipientProbe:
    return SmtpRecipientProbe("gw.acme.example", Delivery(), seconds)


def server(rcpt: bytes, *, mail: bytes = b"250 ok\r\n", rset: bytes = b"250 ok\r\n", ehlo: bytes = EHLO) -> Script:
    """Answers one question after the other."""

    async def script(peer: Peer) -> None:
        await peer.say(b"220 peer.example\r\n")
        await peer.hear()
        await peer.say(ehlo)
        while True:
            await peer.hear()
            await peer.say(mail)
            await peer.hear()
            await peer.say(rcpt)
            await peer.hear()
            await peer.say(rset)

    return script


async def ask(route: str, probe: SmtpRecipientProbe | None = None, address: str = "bob@acme.example") -> Knowledge:
    probe = probe or make_probe()
    try:
        return await probe.ask(route, parse_path(address), use_tls=True)
    finally:
        probe.close()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"250 2.1.5 ok\r\n", "known"),
        (b"251 2.1.5 will forward\r\n", "known"),
        (b"550 5.1.1 <bob@acme.example>: user unknown\r\n", "unknown"),
        (b"550-5.1.1 no such\r\n550 5.1.1 user\r\n", "unknown"),
        (b"550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found\r\n", "unknown"),
        (b"550 sorry, no mailbox here by that name (#5.1.1)\r\n", "unknown"),
        (b"450 4.2.0 greylisted\r\n", "unsure"),
        (b"550 5.7.1 relaying denied\r\n", "unsure"),
        (b"550 5.7.1 <bob5.1.1@acme.example> relaying denied\r\n", "unsure"),
        (b"550 5.1.12.7 is on a list\r\n", "unsure"),
        (b"550 no\r\n", "unsure"),
        (b"554 5.1.1 unknown\r\n", "unsure"),
        (b"354 go on\r\n", "unsure"),
        (b"421 4.3.2 closing\r\n", "unsure"),
    ],
)
@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO])
def test_only_a_plain_no_is_a_no(reply: bytes, expected: str, ehlo: bytes) -> None:
    async def go() -> None:
        async with ScriptedServer(server(reply, ehlo=ehlo)) as peer:
            assert await ask(peer.route) == expected

    asyncio.run(go())


def test_what_is_said_sends_no_mail_and_leaves_no_transaction() -> None:
    async def go() -> None:
        async with ScriptedServer(server(b"250 ok\r\n")) as peer:
            await ask(peer.route)
            said = [line.split()[0] + b" " + line.split()[1][:5] for line in peer.peers[0].lines[:3]]
            assert said == [b"EHLO gw.ac", b"MAIL FROM:", b"RCPT TO:<b"]
            assert peer.peers[0].lines[1].startswith(b"MAIL FROM:<>") and peer.peers[0].lines[3] == b"RSET\r\n"

    asyncio.run(go())


def test_one_connection_serves_many_questions() -> None:
    async def go() -> None:
        async with ScriptedServer(server(b"250 ok\r\n")) as peer:
            probe = make_probe()
            for _ in range(3):
                assert await probe.ask(peer.route, BOB, use_tls=True) == "known"
            assert len(peer.peers) == 1
            probe.close()

    asyncio.run(go())


def test_a_server_that_lost_patience_is_asked_again() -> None:
    async def once(peer: Peer) -> None:
        await peer.say(b"220 peer.example\r\n")
        await peer.hear()
        await peer.say(EHLO)
        for _ in range(3):
            await peer.hear()
            await peer.say(b"250 ok\r\n")
        await peer.hear()  # the next MAIL finds nobody
        peer.hang_up()

    async def go() -> None:
        async with ScriptedServer([once, server(b"550 5.1.1 unknown\r\n")]) as peer:
            probe = make_probe()
            assert await probe.ask(peer.route, BOB, use_tls=True) == "known"
            assert await probe.ask(peer.route, BOB, use_tls=True) == "unknown"
            probe.close()

    asyncio.run(go())


def test_a_server_that_does_not_reset_is_not_asked_on_the_same_connection() -> None:
    """Its transaction may be open still: the next answer would be about another MAIL."""

    async def go() -> None:
        async with ScriptedServer(server(b"250 ok\r\n", rset=b"502 5.5.1 what is that\r\n")) as peer:
            probe = make_probe()
            for _ in range(2):
                assert await probe.ask(peer.route, BOB, use_tls=True) == "known"
            assert len(peer.peers) == 2
            probe.close()

    asyncio.run(go())


def test_a_refused_sender_says_nothing_about_the_recipient() -> None:
    async def go() -> None:
        refused = b"550 5.7.1 we take no reports\r\n"
        script = server(b"550 5.1.1 need MAIL\r\n", mail=refused)
        async with ScriptedServer(script) as peer:
            assert await ask(peer.route) == "unasked"

    asyncio.run(go())


def test_silence_ends_in_time_and_nothing_listening_at_once() -> None:
    async def silent(peer: Peer) -> None:
        await peer.say(b"220 peer.example\r\n")
        await peer.hear()
        await peer.say(EHLO)
        await peer.reader.read()

    async def go() -> None:
        async with ScriptedServer(silent) as peer:
            assert await ask(peer.route, make_probe(seconds=0.3)) == "unasked"
        assert await ask(f"smtp://127.0.0.1:{free_port()}") == "unasked"

    asyncio.run(go())


def test_addresses_that_the_server_cannot_take_are_not_asked_about() -> None:
    async def go() -> None:
        async with ScriptedServer(server(b"550 5.1.1 unknown\r\n", ehlo=SLOW_EHLO)) as peer:
            assert await ask(peer.route, address="jürgen@acme.example") == "unsure"
            assert len(peer.peers[0].lines) == 1 or peer.peers[0].lines[1:] == [b"QUIT\r\n"]

    asyncio.run(go())


def test_a_real_postfix() -> None:
    known = "virtual_mailbox_maps = inline:{ {bob@acme.example = bob} }"
    with Postfix(local_domains=["acme.example"], lmtp_port=free_port(), routes={}, extra=known) as postfix:
        route = f"smtp://127.0.0.1:{postfix.port}"
        assert asyncio.run(ask(route)) == "known"
        assert asyncio.run(ask(route, address="nobody@acme.example")) == "unknown"
        assert postfix.queue() == []
