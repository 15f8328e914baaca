"""RCPT for a recipient whom nobody knows: refused there, the others go on; who tries out addresses is hung up on."""

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from tests.smtp_door import Client, open_door

ASKED: dict[str, object] = {"role": "internet", "allow": ()}


async def only_bob(recipient: Address) -> Refused | None:
    if recipient.local == "bob":
        return None
    if recipient.local == "broken":
        raise RuntimeError("the question failed in a way that nobody foresaw")
    return Refused(Reason.RECIPIENT_UNKNOWN, "asked", address=str(recipient))


def greeted(client: Client) -> Client:
    assert client.read_line()[:3] == b"220"
    client.command("HELO peer.example")
    return client


def test_unknown_is_refused_at_rcpt_and_the_known_one_still_gets_the_mail() -> None:
    with open_door(listener=ASKED) as door:
        door.reception.unknown = only_bob
        with Client(door.port) as client:
            greeted(client).command("MAIL FROM:<forged@outsider.example>")
            reply = client.command("RCPT TO:<nobody@acme.example>")
            assert reply.startswith(b"550 5.1.1 <nobody@acme.example> recipient-unknown: ")
            assert client.command("RCPT TO:<bob@acme.example>")[:3] == b"250"
            assert client.command("DATA")[:3] == b"354"
            client.send(b"Subject: x\r\n\r\nhello\r\n.\r\n")
            assert client.read_line()[:3] == b"250"
        assert [str(entry.address) for entry in door.submissions[0].recipients] == ["bob@acme.example"]
        assert [str(recipient) for _, recipient, _ in door.reception.turned] == ["nobody@acme.example"]


def test_foreign_domains_are_refused_without_asking() -> None:
    asked = []

    async def note(recipient: Address) -> None:
        asked.append(str(recipient))

    with open_door(listener=ASKED) as door:
        door.reception.unknown = note
        with Client(door.port) as client:
            greeted(client).command("MAIL FROM:<a@outsider.example>")
            assert client.command("RCPT TO:<b@elsewhere.example>")[:9] == b"550 5.7.1"
            for _ in range(2):  # named twice, asked once
                assert client.command("RCPT TO:<bob@acme.example>")[:3] == b"250"
    assert asked == ["bob@acme.example"]


def test_trouble_with_the_question_is_temporary() -> None:
    with open_door(listener=ASKED) as door:
        door.reception.unknown = only_bob
        with Client(door.port) as client:
            greeted(client).command("MAIL FROM:<a@outsider.example>")
            assert client.command("RCPT TO:<broken@acme.example>")[:3] == b"451"


def test_who_tries_out_addresses_is_hung_up_on() -> None:
    with open_door(smtp={"max_errors": 3}, listener=ASKED) as door:
        door.reception.unknown = only_bob
        with Client(door.port) as client:
            greeted(client).command("MAIL FROM:<a@outsider.example>")
            for name in ("adam", "ada", "al"):
                assert client.command(f"RCPT TO:<{name}@acme.example>")[:9] == b"550 5.1.1"
            assert client.read_line()[:3] == b"421"
