"""Relay.send against servers that answer, and against servers that don't: what each recipient's reply is."""

import asyncio
import socket
from collections.abc import AsyncGenerator

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.exchangers import Exchanger, Exchangers, LookupFailed, TakesNoMail
from ime_gateway.ports.relay import OutboundMail, OutboundRecipient, RelayResult
from ime_gateway.smtp.outbound.session import Manners, open_session
from ime_gateway.smtp.outbound.transaction import hand_over
from tests.integration.outbound.scripted_server import (
    EHLO,
    SLOW_EHLO,
    Peer,
    Script,
    ScriptedServer,
    answering,
    closing,
    greet,
)
from tests.integration.outbound.sending import MESSAGE, FixedLookup, content_of, make_mail, make_relay


async def send_once(
    scripts: list[Script] | Script, mail: OutboundMail | None = None, *pieces: bytes, reply: float = 5.0
):
    async with ScriptedServer(scripts) as server, closing(make_relay(reply=reply)) as relay:
        result = await relay.send(server.route, "", mail or make_mail(), content_of(*pieces), use_tls=True)
        return result, server.peers


def codes(result: RelayResult) -> list[int]:
    return [reply.code for reply in result.replies]


@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO], ids=["pipelining", "one by one"])
def test_each_recipient_has_its_own_reply(ehlo: bytes) -> None:
    def rcpt(line: bytes) -> bytes:
        if b"later" in line:
            return b"450 4.2.1 mailbox busy\r\n"
        return b"550-5.1.1 no such\r\n550 5.1.1 user\r\n" if b"never" in line else b"250 ok\r\n"

    mail = make_mail(["ok@x.example", "later@x.example", "never@x.example", "fine@x.example"])
    result, peers = asyncio.run(send_once(answering(ehlo=ehlo, rcpt=rcpt), mail))
    assert codes(result) == [250, 450, 550, 250]
    assert result.replies[2].text == "5.1.1 no such 5.1.1 user"
    assert peers[0].messages == [MESSAGE]
    assert result.peer.startswith("127.0.0.1 [127.0.0.1]:")


@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO], ids=["pipelining", "one by one"])
@pytest.mark.parametrize("data", [b"354 go\r\n", b"503 5.5.1 no recipients\r\n"])
def test_nobody_accepted_sends_nothing_and_keeps_the_connection(ehlo: bytes, data: bytes) -> None:
    async def scenario() -> None:
        script = answering(ehlo=ehlo, data=data, rcpt=lambda line: b"550 5.1.1 no\r\n")
        async with ScriptedServer(script) as server, closing(make_relay()) as relay:
            for _ in range(2):
                result = await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
                assert codes(result) == [550]
            assert len(server.peers) == 1
            assert not any(server.peers[0].messages), "no byte of the message went to anybody"

    asyncio.run(scenario())


def test_mail_and_rcpt_and_data_leave_in_one_write() -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        first = await peer.reader.readuntil(b"DATA\r\n")  # would hang if the client waited for replies
        assert first.count(b"\r\n") == 3
        await peer.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await peer.hear_message()
        await peer.say(b"250 ok\r\n")

    result, _ = asyncio.run(send_once(script))
    assert codes(result) == [250]


def test_parameters_go_only_where_they_are_understood() -> None:
    recipients = [OutboundRecipient("b@x.example", "SUCCESS,FAILURE", "rfc822;b+2Bc@x.example")]
    more = {"eight_bit": True, "ret": "HDRS", "envid": "QQ+2B1"}
    mail = make_mail(recipients, **more)
    result, peers = asyncio.run(send_once(answering(), mail))
    assert result.dsn_supported
    assert peers[0].lines[1] == (
        b"MAIL FROM:<alice@acme.example> SIZE=%d BODY=8BITMIME RET=HDRS ENVID=QQ+2B1\r\n" % len(MESSAGE)
    )
    assert peers[0].lines[2] == b"RCPT TO:<b@x.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bc@x.example\r\n"
    plain = answering(ehlo=b"250-peer.example\r\n250 8BITMIME\r\n")
    result, peers = asyncio.run(send_once(plain, mail))
    assert not result.dsn_supported
    assert peers[0].lines[1:3] == [
        b"MAIL FROM:<alice@acme.example> BODY=8BITMIME\r\n",
        b"RCPT TO:<b@x.example>\r\n",
    ]


@pytest.mark.parametrize(
    ("more", "ehlo", "status"),
    [
        ({"size": 2_000_000}, EHLO, "5.3.4"),
        ({"eight_bit": True}, SLOW_EHLO, "5.6.3"),
        ({"smtputf8": True}, SLOW_EHLO, "5.6.7"),
    ],
)
def test_what_the_next_hop_can_never_take_fails_here(more: dict[str, object], ehlo: bytes, status: str) -> None:
    result, peers = asyncio.run(send_once(answering(ehlo=ehlo), make_mail(["a@x.example", "b@x.example"], **more)))
    assert [reply.permanent for reply in result.replies] == [True, True]
    assert all(reply.ours and reply.text.startswith(status) for reply in result.replies)
    assert len(peers[0].lines) == 1, "only EHLO was said"


def test_the_size_of_the_next_hop_is_remembered() -> None:
    async def scenario() -> None:
        async with ScriptedServer(answering()) as server, closing(make_relay()) as relay:
            assert relay.size_limit(server.route, "") is None
            relay.recall_sizes({server.route: 77})
            assert relay.size_limit(server.route, "") == 77
            await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
            assert relay.size_limit(server.route, "") == 1_000_000

    asyncio.run(scenario())


@pytest.mark.parametrize("address", ["b@x.example>\r\nRCPT TO:<evil@y.example", "b\0@x.example", ""])
def test_an_address_cannot_become_a_command(address: str) -> None:
    result, peers = asyncio.run(send_once(answering(), make_mail([address, "good@x.example"])))
    assert [reply.code // 100 for reply in result.replies] == [5, 2]
    assert not any(b"evil" in line for line in peers[0].lines)


def test_parameters_cannot_become_commands() -> None:
    recipient = OutboundRecipient("b@x.example", "NEVER\r\nRSET", "rfc822;x NOTIFY=SUCCESS")
    _, peers = asyncio.run(send_once(answering(), make_mail([recipient], envid="a\r\nRSET", ret="HDRS X=1")))
    assert peers[0].lines[1:3] == [
        b"MAIL FROM:<alice@acme.example> SIZE=%d\r\n" % len(MESSAGE),
        b"RCPT TO:<b@x.example>\r\n",
    ]


# What dies


def dies_at(step: str, how: bytes = b"", recipients: int = 2) -> Script:
    async def script(peer: Peer) -> None:
        if step != "greeting":
            await peer.say(b"220 hi\r\n")
        steps = [("EHLO", EHLO), ("MAIL", b"250 ok\r\n"), *[("RCPT", b"250 ok\r\n")] * recipients]
        steps.append(("DATA", b"354 go\r\n"))
        for name, answer in steps:
            if step == "greeting":
                break
            await peer.hear()
            if name == step:
                break
            await peer.say(answer)
        if step == "dot":
            await peer.hear_message()
        if step == "message":
            await peer.reader.readexactly(4)
        if how:
            await peer.say(how)
        peer.hang_up()

    return script


STEPS = ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "message", "dot"]


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_dies_at_any_step_defers_everybody(step: str) -> None:
    result, _ = asyncio.run(send_once(dies_at(step), make_mail(["a@x.example", "b@x.example"])))
    assert [reply.code // 100 for reply in result.replies] == [4, 4]
    assert all(reply.ours for reply in result.replies)


@pytest.mark.parametrize("step", STEPS[:-1])
@pytest.mark.parametrize("junk", [b"hello there\r\n", b"250\0\r\n250-x\r\n251 y\r\n", b"999 x\r\n", b"\xff" * 5000])
def test_garbage_at_any_step_defers(step: str, junk: bytes) -> None:
    result, _ = asyncio.run(send_once(dies_at(step, junk, 1)))
    assert [reply.code // 100 for reply in result.replies] == [4]


def test_endless_replies_are_cut_off() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"220 hi\r\n")
        await peer.hear()
        while True:
            await peer.say(b"250-" + b"x" * 1000 + b"\r\n")

    result, _ = asyncio.run(send_once(script))
    assert [reply.code // 100 for reply in result.replies] == [4]


def test_replies_without_end_are_cut_off() -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.hear()
        while True:
            await peer.say(b"250 ok\r\n" * 1000)

    result, _ = asyncio.run(send_once(script, make_mail(), b"Subject: x\r\n\r\n"))
    assert [reply.code // 100 for reply in result.replies] == [4]


@pytest.mark.parametrize("step", STEPS)
def test_silence_at_any_step_ends_in_time(step: str) -> None:
    async def script(peer: Peer) -> None:
        await dies_at(step, recipients=1)(_Silent(peer))
        await asyncio.sleep(60)

    class _Silent(Peer):
        def __init__(self, peer: Peer) -> None:
            super().__init__(peer.reader, peer.writer, peer.lines, peer.messages)

        def hang_up(self) -> None:
            pass

    result, _ = asyncio.run(send_once(script, reply=0.2))
    assert [reply.code // 100 for reply in result.replies] == [4]
    assert result.replies[0].ours


@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO], ids=["pipelining", "one by one"])
def test_a_yes_to_data_is_no_success(ehlo: bytes) -> None:
    result, peers = asyncio.run(send_once(answering(ehlo=ehlo, data=b"250 2.0.0 queued\r\n")))
    assert result.replies[0].code // 100 == 4
    assert peers[0].messages == []


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "dot"])
def test_go_on_where_it_means_nothing_is_no_success(step: str) -> None:
    result, _ = asyncio.run(send_once(dies_at(step, b"354 go on\r\n", 1)))
    assert result.replies[0].code // 100 == 4


def test_a_reply_before_the_final_dot_is_no_success() -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.reader.readuntil(b"DATA\r\n")
        await peer.say(b"250 ok\r\n250 ok\r\n354 go\r\n250 thanks, got it already\r\n")
        await asyncio.sleep(60)

    result, _ = asyncio.run(send_once(script, make_mail(), b"Subject: x\r\n\r\n", b"more\r\n"))
    assert result.replies[0].code // 100 == 4


def test_a_refusal_in_the_middle_of_the_message_is_heard() -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.reader.readuntil(b"DATA\r\n")
        await peer.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await peer.reader.readexactly(100_000)
        await peer.say(b"552 5.3.4 too much\r\n")
        while await peer.reader.read(65536):
            pass

    piece = b"x" * 998 + b"\r\n"
    result, _ = asyncio.run(send_once(script, make_mail(), *[piece * 1000] * 30))
    assert codes(result) == [552]


def test_the_final_reply_counts_even_if_the_server_hangs_up_at_once() -> None:
    result, _ = asyncio.run(send_once(dies_at("dot", b"250 ok\r\n", 1)))
    assert codes(result) == [250]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "dot"])
def test_421_closes_and_defers(step: str) -> None:
    result, _ = asyncio.run(send_once(dies_at(step, b"421 4.3.2 going down\r\n"), make_mail(["a@x", "b@x"])))
    assert codes(result) == [421, 421]


@pytest.mark.parametrize("code", [221, 250, 354, 421, 500, 530, 554])
def test_an_odd_greeting_keeps_the_mail(code: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"%d hello\r\n" % code)
        await peer.hear()

    result, peers = asyncio.run(send_once(script))
    assert result.replies[0].code // 100 == 4
    assert peers[0].lines in ([], [b"QUIT\r\n"])


@pytest.mark.parametrize("code", [220, 221, 354, 421, 450])
def test_an_odd_answer_to_ehlo_keeps_the_mail(code: int) -> None:
    result, peers = asyncio.run(send_once(answering(ehlo=b"%d odd\r\n" % code)))
    assert result.replies[0].code // 100 == 4
    assert not any(line.startswith(b"MAIL") for line in peers[0].lines)


def test_helo_for_servers_without_ehlo() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"220 old\r\n")
        await peer.hear()
        await peer.say(b"502 what?\r\n")
        for answer in (b"250 old\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await peer.hear()
            await peer.say(answer)
        await peer.hear_message()
        await peer.say(b"250 ok\r\n")

    result, peers = asyncio.run(send_once(script))
    assert codes(result) == [250]
    assert [line[:4] for line in peers[0].lines[:4]] == [b"EHLO", b"HELO", b"MAIL", b"RCPT"]


@pytest.mark.parametrize("code", [220, 221, 354, 421])
def test_an_odd_answer_to_helo_keeps_the_mail(code: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"220 old\r\n")
        await peer.hear()
        await peer.say(b"500 what?\r\n")
        await peer.hear()
        await peer.say(b"%d odd\r\n" % code)
        await peer.hear()

    result, peers = asyncio.run(send_once(script))
    assert result.replies[0].code // 100 == 4
    assert peers[0].lines[2:] in ([], [b"QUIT\r\n"])


@pytest.mark.parametrize("ehlo", [EHLO, SLOW_EHLO], ids=["pipelining", "one by one"])
def test_a_refused_data_leaves_no_open_transaction(ehlo: bytes) -> None:
    async def scenario() -> None:
        async with ScriptedServer(answering(ehlo=ehlo, data=b"451 4.3.0 no\r\n")) as server:
            async with closing(make_relay()) as relay:
                for _ in range(2):
                    result = await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
                    assert codes(result) == [451]
            verbs = [line[:4] for line in server.peers[0].lines]
            assert verbs[:8] == [b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"MAIL", b"RCPT", b"DATA"]

    asyncio.run(scenario())


def test_the_last_words_of_a_server_that_hung_up_in_the_middle_are_heard() -> None:
    async def script(peer: Peer) -> None:
        await greet(peer)
        await peer.reader.readuntil(b"DATA\r\n")
        await peer.say(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await peer.reader.readexactly(4)
        await peer.say(b"552 5.3.4 too much\r\n")
        peer.writer.write_eof()
        await asyncio.sleep(60)

    async def scenario() -> None:
        async with ScriptedServer(script) as server:
            manners = Manners("gw.acme.example", 5, 5)
            session = await open_session("127.0.0.1", "127.0.0.1", server.port, manners, None)

            async def content() -> AsyncGenerator[bytes, None]:
                yield b"Subject: x\r\n\r\n"
                yield b"more\r\n"
                async with asyncio.timeout(10):
                    while not session.connection._broken:  # noqa: ASYNC110 - it polls, up to a deadline
                        await asyncio.sleep(0.001)
                yield b"end\r\n"
                yield b"end\r\n"

            handed = await hand_over(session, make_mail(), content)
            assert [reply.code for reply in handed.replies] == [552]

    asyncio.run(scenario())


# Our own trouble


def test_content_that_cannot_be_read_passes_through_and_nothing_is_ended() -> None:
    async def scenario() -> None:
        async def broken():
            yield b"Subject: x\r\n\r\n" + b"secret\r\n" * 1000
            yield b"more\r\n"
            raise StoreUnavailable("torn")

        async with ScriptedServer(answering()) as server, closing(make_relay()) as relay:
            with pytest.raises(StoreUnavailable):
                await relay.send(server.route, "", make_mail(), broken, use_tls=True)
            assert not any(host.idle for host in relay._pool._hosts.values()), "the torn connection is not kept"
            result = await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
            assert codes(result) == [250]
            assert server.peers[0].messages == []

    asyncio.run(scenario())


def test_a_cancelled_message_is_never_completed() -> None:
    async def scenario() -> None:
        waiting = asyncio.Event()

        async def slow():
            yield b"Subject: x\r\n\r\n"
            yield b"half\r\n"
            waiting.set()
            await asyncio.sleep(60)
            yield b"never\r\n"

        async with ScriptedServer(answering()) as server, closing(make_relay()) as relay:
            task = asyncio.create_task(relay.send(server.route, "", make_mail(), slow, use_tls=True))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert server.peers[0].messages == []

    asyncio.run(scenario())


# Connections


def test_connections_are_reused_and_limited() -> None:
    async def scenario() -> None:
        async with ScriptedServer(answering()) as server, closing(make_relay(connections_per_hop=3)) as relay:
            sends = [relay.send(server.route, "", make_mail(), content_of(), use_tls=True) for _ in range(30)]
            results = await asyncio.gather(*sends)
            assert all(codes(result) == [250] for result in results)
            assert len(server.peers) <= 3
            assert sum(len(peer.messages) for peer in server.peers) == 30

    asyncio.run(scenario())


def test_a_stale_connection_is_replaced_without_anybody_noticing() -> None:
    async def once_then_bye(peer: Peer) -> None:
        await greet(peer)
        for answer in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await peer.hear()
            await peer.say(answer)
        await peer.hear_message()
        await peer.say(b"250 ok\r\n")
        await peer.hear()  # the next MAIL: no answer, the connection dies
        peer.hang_up()

    async def scenario() -> None:
        async with ScriptedServer([once_then_bye, answering()]) as server, closing(make_relay()) as relay:
            for _ in range(2):
                result = await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
                assert codes(result) == [250]
            assert [len(peer.messages) for peer in server.peers] == [1, 1]

    asyncio.run(scenario())


@pytest.mark.parametrize("first", [b"250 ok\r\n421 4.4.2 idle too long\r\n", b"250 ok\r\n250 extra\r\n"])
def test_words_nobody_asked_for_retire_a_connection(first: bytes) -> None:
    async def scenario() -> None:
        script = answering(dot=first)
        async with ScriptedServer([script, answering()]) as server, closing(make_relay()) as relay:
            for _ in range(2):
                result = await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
                assert codes(result) == [250]
            assert [len(peer.messages) for peer in server.peers] == [1, 1]

    asyncio.run(scenario())


def test_idle_connections_are_closed() -> None:
    async def scenario() -> None:
        async with ScriptedServer(answering()) as server, closing(make_relay(idle_seconds=0.05)) as relay:
            await relay.send(server.route, "", make_mail(), content_of(), use_tls=True)
            peer = server.peers[0]
            async with asyncio.timeout(10):
                while not peer.lines[-1].startswith(b"QUIT"):  # noqa: ASYNC110 - it polls, up to a deadline
                    await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_a_server_that_takes_fewer_connections_gets_fewer() -> None:
    """Exchange takes 20 connections from one source; the rest of the mail waits for those, it is not deferred."""

    async def scenario() -> None:
        async def full(peer: Peer) -> None:
            await peer.say(b"421 4.3.2 too many connections\r\n")

        async with ScriptedServer([answering(), answering(), full]) as server, closing(make_relay()) as relay:
            sends = [relay.send(server.route, "", make_mail(), content_of(), use_tls=True) for _ in range(40)]
            results = await asyncio.gather(*sends)
            assert all(codes(result) == [250] for result in results)

    asyncio.run(scenario())


def test_nobody_listens() -> None:
    async def scenario() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            route = f"smtp://127.0.0.1:{closed.getsockname()[1]}"
            async with closing(make_relay()) as relay:
                mails = [relay.send(route, "", make_mail(), content_of(), use_tls=True) for _ in range(50)]
                for result in await asyncio.gather(*mails):
                    assert result.replies[0].ours and result.replies[0].text.startswith("4.4.1")
                    assert result.peer == ""

    asyncio.run(scenario())


# Mail exchangers


def test_the_next_exchanger_is_asked_when_one_is_not_well() -> None:
    async def scenario() -> None:
        async with ScriptedServer(answering()) as server:
            lookup = FixedLookup(
                {"x.example": Exchangers((Exchanger(20, "127.0.0.1"), Exchanger(10, "nowhere.invalid")))}
            )
            async with closing(make_relay(lookup, mx_port=server.port)) as relay:
                result = await relay.send("mx", "x.example", make_mail(), content_of(), use_tls=True)
                assert codes(result) == [250]

    asyncio.run(scenario())


def test_another_exchanger_gets_the_whole_message_when_one_dies_in_the_middle() -> None:
    async def scenario() -> None:
        async with ScriptedServer([dies_at("message", recipients=1), answering()]) as server:
            lookup = FixedLookup({"x.example": Exchangers((Exchanger(1, "127.0.0.1"), Exchanger(2, "localhost")))})
            async with closing(make_relay(lookup, mx_port=server.port)) as relay:
                pieces = [b"x" * 998 + b"\r\n"] * 30_000  # more than any socket buffer holds
                content = content_of(*[b"".join(pieces[:1000])] * 30)
                result = await relay.send("mx", "x.example", make_mail(), content, use_tls=True)
                assert codes(result) == [250]
                assert server.peers[-1].messages == [b"".join(pieces)]
                assert len(server.peers) == 2

    asyncio.run(scenario())


def test_after_the_final_dot_no_other_exchanger_is_asked() -> None:
    async def scenario() -> None:
        async with ScriptedServer([dies_at("dot", recipients=1), answering()]) as server:
            lookup = FixedLookup({"x.example": Exchangers((Exchanger(1, "127.0.0.1"), Exchanger(2, "localhost")))})
            async with closing(make_relay(lookup, mx_port=server.port)) as relay:
                result = await relay.send("mx", "x.example", make_mail(), content_of(), use_tls=True)
                assert result.replies[0].code // 100 == 4
                assert len(server.peers) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "beginning"),
    [
        (TakesNoMail("gone"), "5.1.2"),
        (TakesNoMail("null MX", null_mx=True), "5.1.10"),
        (LookupFailed("SERVFAIL"), "4.4.3"),
        (Exchangers((Exchanger(10, "gw.acme.example"), Exchanger(20, "127.0.0.1"))), "5.4.6"),
    ],
)
def test_answers_of_the_dns(answer: Exchangers | TakesNoMail | LookupFailed, beginning: str) -> None:
    async def scenario() -> RelayResult:
        async with closing(make_relay(FixedLookup({"x.example": answer}), mx_port=1)) as relay:
            return await relay.send("mx", "x.example", make_mail(), content_of(), use_tls=True)

    result = asyncio.run(scenario())
    assert result.replies[0].ours and result.replies[0].text.startswith(beginning)
