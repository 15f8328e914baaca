"""`addin-sim` with IME 2.0 as a user runs it: Dovecot is the mailbox, a scripted server stands for Exchange."""

import email
import email.policy
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from addin_sim.compose import compose
from addin_sim.outlook_settings import load
from addin_sim.raw_mail import parse
from addin_sim.sending import send_mail
from addin_sim.submission import Accepted
from tests.full_disk import FullDisk
from tests.openssl import decrypt
from tests.pki import Entity, make_user
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.unit.addin_sim.test_refusals import postfix_report

ALICE = "alice@acme.example"
DCA = "domain-confidentiality-authority@ime.acme.example"
SECRET = b"the heliotrope ledger"
SENT = "Sent Items"
pytestmark = pytest.mark.xdist_group("dovecot")


class Exchange:
    """Answers DATA as told and keeps what came."""

    def __init__(self) -> None:
        self.reply = "250 2.0.0 Ok"
        self.on_mail: Callable[[], None] = lambda: None
        self.mails: list[bytes] = []
        self.recipients: list[list[str]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        self.mails.append(bytes(envelope.content or b""))
        self.recipients.append(list(envelope.rcpt_tos))
        self.on_mail()
        return self.reply


@pytest.fixture(scope="module")
def shared_dovecot() -> Iterator[Dovecot]:
    with Dovecot([ALICE]) as server:
        yield server


@pytest.fixture
def dovecot(shared_dovecot: Dovecot) -> Dovecot:
    shared_dovecot.empty(ALICE)
    return shared_dovecot


@pytest.fixture
def exchange(free_port: int) -> Iterator[tuple[Exchange, int]]:
    handler = Exchange()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port)
    controller.start()
    yield handler, free_port
    controller.stop()


@pytest.fixture(scope="module")
def authority() -> Entity:
    return make_user(DCA)


@pytest.fixture
def settings(dovecot: Dovecot, exchange: tuple[Exchange, int], authority: Entity, tmp_path: Path) -> Path:
    (tmp_path / "ime.pem").write_bytes(authority.pem)
    path = tmp_path / "alice.toml"
    path.write_text(
        f'[account]\naddress = "{ALICE}"\n[submission]\nhost = "127.0.0.1"\nport = {exchange[1]}\n'
        f'[registry]\nInternalRecipient = "{DCA}"\n[container]\nime_certificate = "ime.pem"\n'
        f'[mailbox]\nhost = "127.0.0.1"\nport = {dovecot.imap_port}\nuser = "{ALICE}"\npassword = "{PASSWORD}"\n'
    )
    return path


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "mail.eml"
    path.write_bytes(
        b"Subject: Heliotrope\nTo: bob@acme.example\nBcc: dora@partner.example\n\nDear Bob,\n" + SECRET + b"\n"
    )
    return path


def addin_sim(settings: Path, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from addin_sim.cli import run; run()", *map(str, arguments)]
    return subprocess.run([*command, "--settings", settings], capture_output=True, timeout=60, check=False)


def outbox(settings: Path) -> list[dict[str, str]]:
    listed = addin_sim(settings, "outbox", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)  # type: ignore[no-any-return]


def copy_of(message_id: str) -> bytes:
    return (
        f"From: {ALICE}\r\nTo: bob@acme.example\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: {message_id}\r\nX-ESWmail-InternalEncrypt-sentcopy: yes\r\n"
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nMIIB\r\n"
    ).encode()


def question(thumbprint: str) -> bytes:
    return (
        f"From: Internal encryption <{DCA}>\r\nTo: {ALICE}\r\nReply-To: {DCA}\r\nMessage-ID: <q1@gw>\r\n"
        "Subject: Did you send this encrypted message?\r\n"
        "X-IMEGW-Challenge: imegw-0123456789abcdefghjkmnpqrstvwxyz\r\n"
        f"X-IMEGW-Challenge-Certificate: {thumbprint}\r\n\r\nHello\r\n"
    ).encode()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_disk_that_is_full_once_the_mail_was_taken(
    settings: Path, exchange: tuple[Exchange, int], dovecot: Dovecot
) -> None:
    outlook = load(settings)
    mail = compose(b"To: bob@acme.example\n\nDear Bob\n", outlook.account, moment=time.time(), unique="u")
    with FullDisk() as disk:
        exchange[0].on_mail = disk.fill
        sent = send_mail(outlook, mail)
    assert isinstance(sent.answer, Accepted)
    assert "submitted again" in sent.remark and "outbox cannot be written" in sent.remark
    assert [kept["state"] for kept in outbox(settings)] == ["waiting"]
    dovecot.deliver(ALICE, copy_of(sent.message_id))
    assert addin_sim(settings, "sync").returncode == 0
    assert outbox(settings) == [], "the copy settles it, submitted again or not"


def test_send_then_the_copy_comes_back(
    settings: Path, mail: Path, exchange: tuple[Exchange, int], dovecot: Dovecot, authority: Entity
) -> None:
    done = addin_sim(settings, "send", "--ime", 2, "--eml", mail, "--json", "--cc", "carol@acme.example")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sorted(told) == sorted(
        ["accepted", "reply", "ime", "sender", "recipient", "message_id", "saved_in", "outbox_id"]
    )
    assert (told["accepted"], told["ime"], told["sender"], told["recipient"], told["saved_in"]) == (
        True, "2.0", ALICE, DCA, None,
    )  # fmt: skip
    assert exchange[0].recipients == [[DCA]]
    (carrier,) = exchange[0].mails
    for word in (SECRET, b"eliotrope", b"bob@", b"carol@", b"dora@", told["message_id"].encode()):
        assert word.lower() not in carrier.lower()
    clear = decrypt(carrier, authority)
    assert clear is not None
    assert dovecot.mails(ALICE, SENT) == [], "nothing clear is saved in Sent Items"
    profile = settings.with_suffix(".profile")
    assert not [path for path in files_below(profile) if SECRET in path.read_bytes()]
    (kept,) = outbox(settings)
    assert (kept["state"], kept["message_id"], kept["id"]) == ("sent", told["message_id"], told["outbox_id"])
    dovecot.deliver(ALICE, copy_of(told["message_id"]), sender=ALICE)
    synced = addin_sim(settings, "sync", "--json")
    assert synced.returncode == 0, synced.stderr
    assert json.loads(synced.stdout) == {
        "filed": 1, "originals_removed": 0, "duplicates_removed": 0, "waiting": 0, "problems": [],
        "confirmed": [told["message_id"]], "challenges_answered": 0, "resubmitted": 0, "unsent": 0, "refused": 0,
        "awaiting_copy": 0, "oldest_awaiting": None, "remarks": [],
    }  # fmt: skip
    assert outbox(settings) == []
    assert not files_below(profile / "outbox")
    assert len(dovecot.mails(ALICE, SENT)) == 1 and dovecot.mails(ALICE) == []


def test_the_words_say_where_a_mail_is(settings: Path, mail: Path, exchange: tuple[Exchange, int]) -> None:
    sent = addin_sim(settings, "send", "--eml", mail)
    (kept,) = outbox(settings)
    assert sent.returncode == 0, sent.stderr
    assert f"kept in the outbox as {kept['id']} until the encrypted copy is back".encode() in sent.stderr
    assert b"1 wait for their encrypted copy, the oldest since 20" in addin_sim(settings, "sync").stdout
    told = json.loads(addin_sim(settings, "sync", "--json").stdout)
    assert (told["awaiting_copy"], told["oldest_awaiting"][-1]) == (1, "Z")


def test_a_file_sent_again_gets_a_message_id_of_its_own(
    settings: Path, mail: Path, exchange: tuple[Exchange, int], dovecot: Dovecot
) -> None:
    """A corrected file with the Message-ID of one that came back is refused: it stays until its author drops it."""
    written = mail.read_bytes()
    mail.write_bytes(b"Message-ID: <m1@acme.example>\n" + written)
    assert json.loads(addin_sim(settings, "send", "--eml", mail, "--json").stdout)["message_id"] == "<m1@acme.example>"
    dovecot.deliver(ALICE, copy_of("<m1@acme.example>"), sender=ALICE)
    assert json.loads(addin_sim(settings, "sync", "--json").stdout)["confirmed"] == ["<m1@acme.example>"]
    corrected = b"the amended heliotrope ledger"
    mail.write_bytes(mail.read_bytes().replace(SECRET, corrected))
    exchange[0].reply = "554 5.7.1 no"
    told = json.loads(addin_sim(settings, "send", "--eml", mail, "--json").stdout)
    assert (told["accepted"], told["message_id"] == "<m1@acme.example>") == (False, False)
    assert addin_sim(settings, "sync").returncode == 0
    (kept,) = outbox(settings)
    assert (kept["state"], kept["id"]) == ("refused", told["outbox_id"])
    assert corrected in addin_sim(settings, "outbox", "show", kept["id"]).stdout


def test_a_corrected_resend_of_a_refused_mail(
    settings: Path, mail: Path, exchange: tuple[Exchange, int], dovecot: Dovecot
) -> None:
    mail.write_bytes(b"Message-ID: <m1@acme.example>\n" + mail.read_bytes())
    exchange[0].reply = "554 5.7.1 no"
    refused = json.loads(addin_sim(settings, "send", "--eml", mail, "--json").stdout)
    exchange[0].reply = "250 2.0.0 Ok"
    corrected = json.loads(addin_sim(settings, "send", "--eml", mail, "--to", "eve@acme.example", "--json").stdout)
    assert corrected["accepted"] and corrected["message_id"] != refused["message_id"]
    dovecot.deliver(ALICE, copy_of(corrected["message_id"]), sender=ALICE)
    assert json.loads(addin_sim(settings, "sync", "--json").stdout)["confirmed"] == [corrected["message_id"]]
    assert [kept["id"] for kept in outbox(settings)] == [refused["outbox_id"]]


def test_a_refusal_at_once_keeps_what_was_written(settings: Path, mail: Path, exchange: tuple[Exchange, int]) -> None:
    exchange[0].reply = "554 5.7.1 <erik@acme.example>: no certificate is known (id=7)"
    done = addin_sim(settings, "send", "--eml", mail, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["accepted"] is False
    (kept,) = outbox(settings)
    assert kept["state"] == "refused" and "erik@acme.example" in kept["reply"]
    assert f"outbox show {kept['id']}".encode() in done.stderr
    shown = addin_sim(settings, "outbox", "show", kept["id"])
    assert shown.returncode == 0, shown.stderr
    read = email.message_from_bytes(shown.stdout, policy=email.policy.SMTP)
    assert (read["Subject"], read["Bcc"]) == ("Heliotrope", "dora@partner.example")
    assert SECRET in shown.stdout
    assert addin_sim(settings, "sync").returncode == 0
    assert len(exchange[0].mails) == 1, "what was refused for good is not submitted again"
    assert addin_sim(settings, "outbox", "drop", kept["id"]).returncode == 0
    assert outbox(settings) == []
    again = addin_sim(settings, "outbox", "drop", kept["id"])
    assert again.returncode == 1 and b"outbox list" in again.stderr


def test_a_server_that_says_later_gets_the_same_bytes_again(
    settings: Path, mail: Path, exchange: tuple[Exchange, int]
) -> None:
    exchange[0].reply = "451 4.3.2 later"
    done = addin_sim(settings, "send", "--eml", mail)
    assert done.returncode == 1
    assert b"451 4.3.2 later" in done.stderr and b"submit it again" in done.stderr
    assert b"1 still to be submitted" in addin_sim(settings, "sync").stdout
    exchange[0].reply = "250 2.0.0 Ok"
    assert b"1 mails submitted again" in addin_sim(settings, "sync").stdout
    assert [kept["state"] for kept in outbox(settings)] == ["sent"]
    assert len(exchange[0].mails) == 3 and len(set(exchange[0].mails)) == 1


def test_no_server_at_all_keeps_the_mail_too(settings: Path, mail: Path) -> None:
    text = settings.read_text()
    settings.write_text(
        text.replace("[registry]", "[registry]").replace(
            'host = "127.0.0.1"\nport =', 'host = "127.0.0.1"\nport = 1 #', 1
        )
    )
    done = addin_sim(settings, "send", "--eml", mail)
    assert done.returncode == 1 and b"refused. It waits in the outbox" in done.stderr
    assert [kept["state"] for kept in outbox(settings)] == ["waiting"]
    settings.write_text(text)
    assert b"1 mails submitted again" in addin_sim(settings, "sync").stdout


def test_a_report_in_the_inbox_is_told_and_the_mail_is_kept(
    settings: Path, mail: Path, exchange: tuple[Exchange, int], dovecot: Dovecot
) -> None:
    assert addin_sim(settings, "send", "--eml", mail).returncode == 0
    carrier_id = parse(exchange[0].mails[0]).value("Message-ID")
    dovecot.deliver(ALICE, postfix_report(message_id=carrier_id))
    synced = addin_sim(settings, "sync")
    assert synced.returncode == 1
    (kept,) = outbox(settings)
    assert kept["state"] == "refused"
    assert b"was refused" in synced.stderr and kept["id"].encode() in synced.stderr
    assert SECRET in addin_sim(settings, "outbox", "show", kept["id"]).stdout
    assert addin_sim(settings, "sync").returncode == 0


def test_the_question_is_answered_once_and_only_for_the_own_key(
    settings: Path, mail: Path, exchange: tuple[Exchange, int], dovecot: Dovecot, tmp_path: Path
) -> None:
    shown = json.loads(addin_sim(settings, "certificate", "show", "--json").stdout)
    dovecot.deliver(ALICE, question(shown["thumbprint"]))
    early = addin_sim(settings, "sync")
    assert early.returncode == 0 and b"no mail of yours waits for it" in early.stderr, "nothing was sent yet"
    assert addin_sim(settings, "sync").stderr == b"", "said once"
    assert exchange[0].mails == []
    assert addin_sim(settings, "send", "--eml", mail).returncode == 0
    dovecot.deliver(ALICE, question("sha256:" + "ab" * 32))
    synced = addin_sim(settings, "sync", "--json")
    told = json.loads(synced.stdout)
    assert (told["challenges_answered"], len(told["remarks"])) == (1, 1)
    answer = exchange[0].mails[1]
    exported = addin_sim(settings, "certificate", "export", "--out", tmp_path / "own.pem")
    assert exported.returncode == 0, exported.stderr
    verified = subprocess.run(
        ["openssl", "cms", "-verify", "-CAfile", tmp_path / "own.pem"], input=answer, capture_output=True, check=False
    )
    assert verified.returncode == 0, verified.stderr
    assert b"imegw-0123456789abcdefghjkmnpqrstvwxyz" in verified.stdout
    (left,) = dovecot.mails(ALICE)
    assert b"sha256:abab" in left


def test_watch_answers_and_submits_again_by_itself(
    settings: Path, mail: Path, exchange: tuple[Exchange, int], dovecot: Dovecot
) -> None:
    thumbprint = json.loads(addin_sim(settings, "certificate", "show", "--json").stdout)["thumbprint"]
    exchange[0].reply = "451 4.7.1 confirm first"
    assert addin_sim(settings, "send", "--eml", mail).returncode == 1
    watcher = subprocess.Popen(
        [sys.executable, "-c", "from addin_sim.cli import run; run()", "watch", "--settings", str(settings), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert watcher.stderr is not None and watcher.stdout is not None
        assert "watching" in watcher.stderr.readline()
        eventually(lambda: len(exchange[0].mails) >= 3, "it is submitted again and again")
        exchange[0].reply = "250 2.0.0 Ok"
        dovecot.deliver(ALICE, question(thumbprint))
        eventually(lambda: dovecot.mails(ALICE) == [], "the question is answered")
        eventually(lambda: [kept["state"] for kept in outbox(settings)] == ["sent"], "the mail has gone out")
        dovecot.deliver(ALICE, copy_of(outbox(settings)[0]["message_id"]))
        eventually(lambda: outbox(settings) == [], "the copy has come")
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(20) == 0
        passes = [json.loads(line) for line in watcher.stdout]
        assert sum(told["challenges_answered"] for told in passes) == 1
        assert sum(len(told["confirmed"]) for told in passes) == 1
    finally:
        watcher.kill()
        watcher.wait()
        for stream in (watcher.stdout, watcher.stderr):
            if stream is not None:
                stream.close()


def test_certificate_commands(settings: Path, tmp_path: Path) -> None:
    shown = addin_sim(settings, "certificate", "show")
    assert shown.returncode == 0
    pem = addin_sim(settings, "certificate", "export").stdout
    assert pem.startswith(b"-----BEGIN CERTIFICATE-----") and b"PRIVATE" not in pem
    der = addin_sim(settings, "certificate", "export", "--der").stdout
    judged = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-noout", "-fingerprint", "-sha256"], input=der, capture_output=True,
        check=True,
    )  # fmt: skip
    printed = judged.stdout.decode().partition("=")[2].strip().replace(":", "")
    lines = shown.stdout.decode().split("thumbprint")[1].splitlines()[:4]
    assert [len(line.split()) for line in lines] == [4, 4, 4, 4]
    assert "".join("".join(lines).split()) == printed
    refused = addin_sim(settings, "certificate", "export", "--out", tmp_path / "no" / "where.pem")
    assert refused.returncode == 1 and b"cannot be written" in refused.stderr


def test_ime2_with_settings_of_ime1_says_what_to_set(settings: Path, mail: Path) -> None:
    settings.write_text(settings.read_text().replace(DCA, "ime@imepseudodomain.local"))
    done = addin_sim(settings, "send", "--ime", 2, "--eml", mail)
    assert done.returncode == 2
    words = b" ".join(done.stderr.replace("│".encode(), b" ").split())
    assert b"set [registry] InternalRecipient to the address in contact/README.txt" in words


def test_a_wrong_ime_certificate_stops_everything(settings: Path, mail: Path, exchange: tuple[Exchange, int]) -> None:
    (settings.parent / "ime.pem").write_bytes(make_user("dca@ime.evil.example").pem)
    done = addin_sim(settings, "send", "--eml", mail)
    assert done.returncode == 1 and b"evil" in done.stderr
    assert exchange[0].mails == [] and outbox(settings) == []
