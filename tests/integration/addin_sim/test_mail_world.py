"""The mail world and `addin-sim send`, with a server in the gateway's place."""

import email
import email.policy
import json
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from addin_sim.world import proof
from addin_sim.world.mail_server import MailServer
from addin_sim.world.people import ALICE, BOB, ERIK, make_people, write_site
from tests.servers.dovecot import PASSWORD, Dovecot

Talk = Callable[[Envelope], str]


class Stranger:
    """Stands where the gateway would: answers DATA as told and remembers what came."""

    def __init__(self) -> None:
        self.reply = "250 2.0.0 accepted id=1"
        self.refuse_recipient = ""
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == self.refuse_recipient:
            return "550 5.1.1 no such person"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return self.reply


@pytest.fixture
def stranger(free_port: int) -> Iterator[tuple[Stranger, int]]:
    handler = Stranger()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port)
    controller.start()
    yield handler, free_port
    controller.stop()


@pytest.fixture
def gateway(stranger: tuple[Stranger, int]) -> Stranger:
    return stranger[0]


@pytest.fixture
def world(tmp_path: Path, stranger: tuple[Stranger, int]) -> Iterator[MailServer]:
    server = MailServer(tmp_path / "world", ["acme.example"])
    server.start()
    server.route_to("127.0.0.1", stranger[1])
    yield server
    server.stop()


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"Subject: Plan\nTo: Bob <bob@acme.example>\nBcc: dora@partner.example\n\nHello\n.\n")
    return path


@pytest.fixture
def settings(tmp_path: Path, world: MailServer) -> Path:
    path = tmp_path / "outlook-settings.toml"
    path.write_text(f'[account]\naddress = "{ALICE.address}"\n[submission]\nhost = "127.0.0.1"\nport = {world.port}\n')
    return path


def addin_sim(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from addin_sim.cli import run; run()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_send_reaches_the_gateway_with_one_recipient(
    world: MailServer, gateway: Stranger, settings: Path, mail: Path
) -> None:
    done = addin_sim("send", "--settings", settings, "--eml", mail, "--json", "--cc", "carol@acme.example")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["accepted"], answer["ime"], answer["saved_in"]) == (True, "1.0", None)
    assert answer["reply"].startswith("250 ")
    (envelope,) = gateway.envelopes
    assert envelope.mail_from == ALICE.address
    assert envelope.rcpt_tos == ["ime@imepseudodomain.local"]
    read = email.message_from_bytes(envelope.content, policy=email.policy.SMTP)  # type: ignore[arg-type]
    assert read["X-SM-ORIGTO"] == "Bob <bob@acme.example>"
    assert read["X-SM-ORIGCC"] == "carol@acme.example"
    assert read["X-SM-ORIGBCC"] == "dora@partner.example"
    assert read["Message-ID"] == answer["message_id"]
    assert envelope.content.endswith(b"\r\n\r\nHello\r\n.\r\n")  # type: ignore[union-attr]


def test_a_permanent_refusal_becomes_a_report(world: MailServer, gateway: Stranger, settings: Path, mail: Path) -> None:
    gateway.reply = "550 5.7.1 <erik@acme.example>: no certificate is known for this recipient (id=7)"
    assert addin_sim("send", "--settings", settings, "--eml", mail).returncode == 0
    (file,) = world.mailboxes.of(ALICE.address)
    report = proof.headers_of(file)
    assert report.get_content_type() == "multipart/report"
    assert report["Subject"] == "Undeliverable: Plan"
    text = report.get_body(("plain",))
    assert text is not None
    assert gateway.reply in text.get_content()
    status = [part for part in report.walk() if part.get_content_type() == "message/delivery-status"]
    groups = status[0].get_payload()
    assert groups[1]["Final-Recipient"] == "rfc822;ime@imepseudodomain.local"  # type: ignore[index]
    assert groups[1]["Status"] == "5.7.1"  # type: ignore[index]
    assert [entry["event"] for entry in world.journal.entries()] == ["handed-over", "reported"]


def test_a_temporary_refusal_leaves_the_mail_with_the_sender(
    world: MailServer, gateway: Stranger, settings: Path, mail: Path
) -> None:
    gateway.reply = "451 4.3.0 the store cannot be used now"
    done = addin_sim("send", "--settings", settings, "--eml", mail, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["accepted"] is False
    assert "the store cannot be used now" in done.stderr
    assert world.mailboxes.of(ALICE.address) == []


def test_a_world_that_retries_takes_the_mail_and_hands_it_on_later(
    tmp_path: Path, stranger: tuple[Stranger, int]
) -> None:
    handler, port = stranger
    handler.reply = "451 4.7.1 confirm first"
    server = MailServer(tmp_path / "world", ["acme.example"], retry_seconds=0.05)
    server.start()
    try:
        server.route_to("127.0.0.1", port)
        for number in (1, 2):
            with smtplib.SMTP("127.0.0.1", server.port) as client:
                client.sendmail(ALICE.address, ["x@ime.acme.example"], f"Subject: {number}\r\n\r\nhello\r\n".encode())
        eventually(lambda: len(handler.envelopes) >= 6, "both mails are tried again and again")
        assert server.mailboxes.of(ALICE.address) == []
        handler.reply = "554 5.7.1 no"
        eventually(lambda: len(server.mailboxes.of(ALICE.address)) == 2, "both are reported in the end")
        tried = len(handler.envelopes)
        eventually(lambda: len(server.journal.entries()) >= tried + 2, "the journal is complete")
    finally:
        server.stop()
    assert len(handler.envelopes) == tried, "what was reported is not tried again"


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_no_gateway_is_temporary(world: MailServer, settings: Path, mail: Path) -> None:
    world.route_to("127.0.0.1", 1)
    done = addin_sim("send", "--settings", settings, "--eml", mail)
    assert done.returncode == 1
    assert "451 4.4.1" in done.stderr


def test_no_server_is_one_sentence(settings: Path, mail: Path, world: MailServer) -> None:
    settings.write_text(settings.read_text().replace(str(world.port), "1"))
    done = addin_sim("send", "--settings", settings, "--eml", mail)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot be used" in done.stderr


def test_some_recipients_refused(world: MailServer, gateway: Stranger) -> None:
    gateway.refuse_recipient = "nobody@partner.example"
    with smtplib.SMTP("127.0.0.1", world.port) as client:
        client.sendmail(
            ALICE.address,
            [BOB.address, "nobody@partner.example", "dora@partner.example"],
            b"Subject: x\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n",
        )
    assert gateway.envelopes[0].rcpt_tos == ["dora@partner.example"]
    assert len(world.mailboxes.of(BOB.address)) == 1
    (report,) = world.mailboxes.of(ALICE.address)
    assert b"nobody@partner.example" in report.read_bytes()
    assert b"dora@partner.example" not in report.read_bytes()


def test_no_report_about_a_report(world: MailServer, gateway: Stranger) -> None:
    gateway.reply = "550 5.7.1 no"
    with smtplib.SMTP("127.0.0.1", world.port) as client:
        client.sendmail("", ["x@partner.example"], b"Subject: x\r\n\r\nhello\r\n")
    assert world.journal.entries()[-1]["event"] == "handed-over"


def test_a_second_delivery_of_one_message_id_is_dropped(world: MailServer) -> None:
    with smtplib.SMTP("127.0.0.1", world.port) as client:
        for _ in range(2):
            client.sendmail("gw@x.example", [BOB.address], b"Message-ID: <same@x>\r\n\r\nhello\r\n")
            client.sendmail("gw@x.example", [BOB.address], b"Subject: none\r\n\r\nhello\r\n")
    assert len(world.mailboxes.of(BOB.address)) == 3


def test_mail_keeps_its_bytes(world: MailServer) -> None:
    data = b"Message-ID: <1@x>\r\n\r\n.dot\r\n..\r\n\xff\r\n\r\n"
    with smtplib.SMTP("127.0.0.1", world.port) as client:
        client.sendmail("gw@x.example", [BOB.address], data, ["BODY=8BITMIME"])
    stored = world.mailboxes.of(BOB.address)[0].read_bytes()
    assert stored.startswith(b"Return-Path: <gw@x.example>\r\nReceived: from ")
    assert stored.endswith(data)


@pytest.mark.parametrize(
    ("recipient", "option", "status", "words"),
    [
        ("ime@imepseudodomain.local", "2", 2, "means IME 1.0"),
        ("dca@ime.acme.example", "1", 2, "means IME 2.0"),
        ("dca@ime.acme.example", "2", 1, "IME 2.0 needs the certificate of the IME address"),
        ("dca@ime.acme.example", "", 1, "IME 2.0 needs the certificate of the IME address"),
        ("ime@imepseudodomain.local", "3", 2, "--ime"),
    ],
)
def test_the_version_is_what_the_registry_says(
    gateway: Stranger, settings: Path, mail: Path, recipient: str, option: str, status: int, words: str
) -> None:
    settings.write_text(settings.read_text() + f'[registry]\nInternalRecipient = "{recipient}"\n')
    done = addin_sim("send", "--settings", settings, "--eml", mail, *(["--ime", option] if option else []))
    assert done.returncode == status
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert gateway.envelopes == []


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["send", "--eml", "/nonexistent.eml"], 2), (["send"], 2), (["sync", "--settings", "/nonexistent.toml"], 2)],
)
def test_wrong_usage(arguments: list[str], status: int) -> None:
    assert addin_sim(*arguments).returncode == status


def test_sync_without_mailbox_is_refused(settings: Path) -> None:
    done = addin_sim("sync", "--settings", settings)
    assert done.returncode == 1
    assert "[mailbox]" in done.stderr


def test_a_mail_without_recipient_is_refused(gateway: Stranger, settings: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.eml"
    empty.write_bytes(b"Subject: x\n\nx\n")
    done = addin_sim("send", "--settings", settings, "--eml", empty)
    assert done.returncode == 1
    assert done.stderr.strip() == "The mail has no recipient; give To, Cc or Bcc."
    assert gateway.envelopes == []


@pytest.mark.xdist_group("dovecot")
def test_send_saves_the_marked_original_as_outlook_does(gateway: Stranger, settings: Path, mail: Path) -> None:
    with Dovecot([ALICE.address]) as dovecot:
        settings.write_text(
            settings.read_text() + f'[mailbox]\nhost = "127.0.0.1"\nport = {dovecot.imap_port}\n'
            f'user = "{ALICE.address}"\npassword = "{PASSWORD}"\n'
        )
        done = addin_sim("send", "--settings", settings, "--eml", mail, "--json")
        assert json.loads(done.stdout)["saved_in"] == "Sent Items"
        (saved,) = dovecot.mails(ALICE.address, "Sent Items")
        assert saved == gateway.envelopes[0].content.split(b"\r\n", 2)[2]  # type: ignore[union-attr]
        (flags,) = dovecot.keywords(ALICE.address, "Sent Items")
        assert {"$IME", "\\Seen"} <= flags
        gateway.reply = "451 4.3.0 later"
        assert addin_sim("send", "--settings", settings, "--eml", mail).returncode == 1
        assert len(dovecot.mails(ALICE.address, "Sent Items")) == 1, "what was not sent is not saved as sent"
        settings.write_text(settings.read_text().replace(PASSWORD, "wrong"))
        assert addin_sim("send", "--settings", settings, "--eml", mail).returncode == 1
        assert len(gateway.envelopes) == 2, "a mailbox that cannot be used is found before anything is sent"


def test_people_are_what_openssl_expects(tmp_path: Path) -> None:
    files = make_people(tmp_path)
    assert ERIK not in files
    assert len(files) == 4
    for person, pair in files.items():
        verified = subprocess.run(
            ["openssl", "verify", "-purpose", "smimeencrypt", "-CAfile", tmp_path / "ca.pem", pair.certificate],
            capture_output=True,
            text=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stderr
        shown = subprocess.run(
            ["openssl", "x509", "-in", pair.certificate, "-noout", "-email"], capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == person.address
        assert pair.private_key.stat().st_mode & 0o077 == 0
    write_site(tmp_path / "SITE.toml", tmp_path, "127.0.0.1:1", "127.0.0.1:2")
    assert (tmp_path / "SITE.toml").read_text().count("[[certificate]]") == 4


def test_the_proof_can_fail(tmp_path: Path) -> None:
    """The judges of the demo tell a right key from a wrong one, and find clear text in every disguise."""
    files = make_people(tmp_path / "people")
    clear = tmp_path / "clear.txt"
    clear.write_bytes(b"the secret words\n")
    mail = tmp_path / "mail.eml"
    subprocess.run(
        ["openssl", "cms", "-encrypt", "-aes-256-cbc", "-in", clear, "-out", mail, files[BOB].certificate], check=True
    )
    keys = {person.address: pair.private_key for person, pair in files.items()}
    assert proof.who_can_read(mail, keys, b"the secret words") == {BOB.address}
    assert proof.files_with(b"the secret words", [tmp_path]) == [clear]
    for number in range(4):
        disguised = tmp_path / f"disguised-{number}"
        encoded = subprocess.run(
            ["openssl", "base64"],
            input=b"x" * (50 + number) + b"the secret words and more",
            capture_output=True,
            check=True,
        )
        disguised.write_bytes(encoded.stdout)
        assert disguised in proof.files_with(b"the secret words", [tmp_path])
