"""The add-in's commands against a real Dovecot: both orders, several clients, watch, every fallback."""

import contextlib
import imaplib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from addin_sim.ime1 import MARKER
from addin_sim.mailbox.imap import ImapMailbox
from addin_sim.mailbox.interface import Folder, MailboxError, Uid
from addin_sim.outlook_settings import MailboxSettings
from addin_sim.sent_items import COPY_HEADER, FILED, sync
from tests.servers.dovecot import PASSWORD, Dovecot

ALICE = "alice@acme.example"
ERIKA, ERIKAS_PASSWORD = "erika@acme.example", "Pä€ß"
SENT = "Sent Items"
pytestmark = pytest.mark.xdist_group("dovecot")


@pytest.fixture(scope="module")
def shared_dovecot() -> Iterator[Dovecot]:
    with Dovecot([ALICE]) as server:
        users = server.folder / "users"
        line = users.read_text()
        users.write_text(line + line.replace(ALICE, ERIKA).replace(PASSWORD, ERIKAS_PASSWORD, 1))
        yield server


@pytest.fixture
def dovecot(shared_dovecot: Dovecot) -> Dovecot:
    shared_dovecot.empty(ALICE)
    return shared_dovecot


@pytest.fixture
def settings(dovecot: Dovecot, tmp_path: Path) -> Path:
    path = tmp_path / "outlook-settings.toml"
    path.write_text(
        f'[account]\naddress = "{ALICE}"\n[submission]\nhost = "127.0.0.1"\nport = 1\n'
        f'[mailbox]\nhost = "127.0.0.1"\nport = {dovecot.imap_port}\nuser = "{ALICE}"\npassword = "{PASSWORD}"\n'
    )
    return path


def client_of(dovecot: Dovecot, **more: str) -> ImapMailbox:
    return ImapMailbox(
        MailboxSettings(host="127.0.0.1", port=dovecot.imap_port, user=ALICE, password=PASSWORD, **more)  # type: ignore[arg-type]
    )


def addin_sim(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from addin_sim.cli import run; run()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def original(number: int = 1) -> bytes:
    return (
        f"From: {ALICE}\r\nTo: ime@imepseudodomain.local\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <m{number}@acme.example>\r\nSubject: s\r\n\r\nthe clear text {number}\r\n"
    ).encode()


def encrypted_copy(number: int = 1) -> bytes:
    return (
        f"From: {ALICE}\r\nTo: bob@acme.example\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <m{number}@acme.example>\r\n{COPY_HEADER}: yes\r\n"
        f"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nMIIB{number}\r\n"
    ).encode()


def assert_settled(dovecot: Dovecot, count: int = 1) -> None:
    sent = dovecot.mails(ALICE, SENT)
    assert sorted(mail.rsplit(b"\r\n\r\n", 1)[1] for mail in sent) == sorted(
        f"MIIB{number}\r\n".encode() for number in range(1, count + 1)
    )
    assert not any(COPY_HEADER.encode() in mail for mail in sent)
    assert all({"\\Seen", FILED} <= flags and MARKER not in flags for flags in dovecot.keywords(ALICE, SENT))
    assert dovecot.mails(ALICE) == []


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def save_original(dovecot: Dovecot, number: int = 1) -> None:
    mailbox = client_of(dovecot)
    mailbox.append_to_sent(original(number), ("\\Seen", MARKER))
    mailbox.close()


def test_sync_files_the_copy_and_removes_the_original(dovecot: Dovecot, settings: Path) -> None:
    save_original(dovecot)
    dovecot.deliver(ALICE, encrypted_copy(), sender=ALICE)
    delivered = dovecot.mails(ALICE)[0]
    done = addin_sim("sync", "--settings", settings, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "filed": 1, "originals_removed": 1, "duplicates_removed": 0, "waiting": 0, "problems": [],
    }  # fmt: skip
    assert_settled(dovecot)
    assert dovecot.mails(ALICE, SENT) == [delivered.replace(f"{COPY_HEADER}: yes\r\n".encode(), b"")]


def test_copy_before_original(dovecot: Dovecot, settings: Path) -> None:
    dovecot.deliver(ALICE, encrypted_copy())
    done = addin_sim("sync", "--settings", settings)
    assert "1 copies wait" in done.stdout
    save_original(dovecot)
    assert addin_sim("sync", "--settings", settings).returncode == 0
    assert_settled(dovecot)


def test_many_clients_at_once_on_one_mailbox(dovecot: Dovecot) -> None:
    count, clients = 6, 4
    for number in range(1, count + 1):
        save_original(dovecot, number)
        dovecot.deliver(ALICE, encrypted_copy(number))
    start = threading.Barrier(clients)
    failures: list[BaseException] = []

    def work() -> None:
        mailbox = client_of(dovecot)
        try:
            start.wait()
            while sync(mailbox, ALICE).changed:
                pass
        except (MailboxError, threading.BrokenBarrierError) as error:
            failures.append(error)
        finally:
            mailbox.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert_settled(dovecot, count)


def test_watch_sees_both_orders_and_stops_on_sigterm(dovecot: Dovecot, settings: Path) -> None:
    save_original(dovecot, 1)
    watcher = subprocess.Popen(
        [sys.executable, "-c", "from addin_sim.cli import run; run()", "watch", "--settings", str(settings)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert watcher.stderr is not None
        assert "watching" in watcher.stderr.readline()
        dovecot.deliver(ALICE, encrypted_copy(1))
        eventually(lambda: len(dovecot.mails(ALICE)) == 0, "the copy that came after its original")
        dovecot.deliver(ALICE, encrypted_copy(2))
        save_original(dovecot, 2)
        eventually(lambda: len(dovecot.mails(ALICE)) == 0, "the copy that came before its original")
        eventually(lambda: all(MARKER not in flags for flags in dovecot.keywords(ALICE, SENT)), "clear originals")
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(20) == 0
    finally:
        watcher.kill()
        watcher.wait()
        if watcher.stderr:
            watcher.stderr.close()
    assert_settled(dovecot, 2)


def test_idle_wakes_up_at_once(dovecot: Dovecot) -> None:
    mailbox = client_of(dovecot)
    mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    woken = threading.Event()

    def wait() -> None:
        mailbox.wait(60, lambda: False)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    dovecot.deliver(ALICE, encrypted_copy())
    assert woken.wait(20), "IDLE did not report the new mail"
    thread.join(20)
    assert [item.header.value("Message-ID") for item in mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")] == [
        "<m1@acme.example>"
    ]
    mailbox.close()


def test_waiting_without_idle_sees_new_mail(dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addin_sim.mailbox.imap._ASK_SECONDS", 0.1)
    mailbox = client_of(dovecot)
    mailbox._capabilities -= {"IDLE"}
    mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    thread = threading.Thread(target=mailbox.wait, args=(60, lambda: False))
    thread.start()
    dovecot.deliver(ALICE, encrypted_copy())
    thread.join(20)
    assert not thread.is_alive()
    mailbox.close()


def test_news_between_looking_and_waiting_is_not_missed(dovecot: Dovecot) -> None:
    mailbox = client_of(dovecot)
    mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    dovecot.deliver(ALICE, encrypted_copy())
    mailbox.wait(600, lambda: False)
    mailbox.close()


def test_waiting_ends_when_told_to_stop(dovecot: Dovecot) -> None:
    mailbox = client_of(dovecot)
    mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    mailbox.wait(600, lambda: True)
    mailbox._capabilities -= {"IDLE"}
    mailbox.wait(600, lambda: True)
    mailbox.close()


def test_without_uidplus_other_peoples_deleted_mail_is_spared(dovecot: Dovecot) -> None:
    mailbox = client_of(dovecot)
    mailbox._capabilities -= {"UIDPLUS"}
    doomed = mailbox.append_to_sent(original(1), (MARKER,))
    mailbox.append_to_sent(original(2), ("\\Deleted",))
    mailbox.append_to_sent(original(3), ())
    mailbox.delete(Folder.SENT, (doomed,))
    mailbox.close()
    assert dovecot.mails(ALICE, SENT) == [original(2), original(3)]
    assert ["\\Deleted" in flags for flags in dovecot.keywords(ALICE, SENT)] == [True, False]


def test_a_folder_can_be_named_and_must_exist(dovecot: Dovecot, settings: Path) -> None:
    mailbox = client_of(dovecot, sent="Drafts")
    assert mailbox.sent_name == "Drafts"
    mailbox.close()
    settings.write_text(settings.read_text() + 'sent = "Gesendet"\n')
    done = addin_sim("sync", "--settings", settings)
    assert done.returncode == 1
    assert "refused SELECT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["sync", "watch"])
def test_a_wrong_password_is_one_sentence(command: str, settings: Path) -> None:
    settings.write_text(settings.read_text().replace(PASSWORD, "wrong"))
    done = addin_sim(command, "--settings", settings)
    assert done.returncode == 1
    assert "cannot be used: the server refused the login ([AUTHENTICATIONFAILED] Authentication failed)" in done.stderr
    assert "; correct user and password" in done.stderr
    assert "wrong" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_is_lost_is_left_without_a_goodbye(dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch) -> None:
    goodbyes: list[imaplib.IMAP4] = []

    def goodbye(connection: imaplib.IMAP4) -> None:
        goodbyes.append(connection)
        connection.shutdown()

    monkeypatch.setattr(imaplib.IMAP4, "logout", goodbye)
    lost, refused = client_of(dovecot), client_of(dovecot)
    lost._connection.sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(MailboxError):
        lost.with_keyword(Folder.INBOX, MARKER)
    lost.close()
    assert goodbyes == [], "it would wait for an answer until the time limit"
    with pytest.raises(MailboxError):
        refused.with_keyword(Folder.INBOX, "(no keyword")
    refused.close()
    assert goodbyes == [refused._connection]


def test_a_password_with_letters_beyond_ascii(dovecot: Dovecot) -> None:
    settings = MailboxSettings(host="127.0.0.1", port=dovecot.imap_port, user=ERIKA, password=ERIKAS_PASSWORD)
    with contextlib.closing(ImapMailbox(settings)) as mailbox:
        assert mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes") == []


def test_mail_larger_than_a_line_and_8bit_survives(dovecot: Dovecot) -> None:
    mailbox = client_of(dovecot)
    data = original() + b"\xff\xfe\x00" * 10 + b"\r\n" + b"x" * 2_000_000 + b"\r\n.\r\n..\r\n"
    data = data.replace(b"\x00", b"\x01")  # IMAP literals hold no NUL (RFC 3501 section 4.3)
    uid = mailbox.append_to_sent(data, ())
    stored = mailbox.read(Folder.SENT, uid)
    assert stored is not None
    assert stored.data == data
    assert stored.arrived.startswith('"')
    assert mailbox.read(Folder.SENT, Uid(f"{uid}000")) is None
    mailbox.close()


@contextlib.contextmanager
def spoilt(target: int, spoil: Callable[[bytes], bytes]) -> Iterator[int]:
    """A port for one client of that server, with other words of the server's on the way back."""

    def serve() -> None:
        client, _ = listener.accept()
        with client, socket.create_connection(("127.0.0.1", target)) as server:
            there = threading.Thread(target=_pass, args=(client, server, bytes))
            there.start()
            _pass(server, client, spoil)
            there.join(timeout=20)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(timeout=20)


def _pass(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(change(data))
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (rb'(INTERNALDATE "..-)...', rb"\1Xyz"),
        (rb"(INTERNALDATE .*?)20\d\d", rb"\g<1>0000"),
        (rb"\* SEARCH \d", b"* SEARCH \xff"),
    ],
    ids=["a month that is none", "a year that is none", "an id that is none"],
)
def test_an_answer_that_makes_no_sense_is_told(dovecot: Dovecot, words: bytes, instead: bytes) -> None:
    dovecot.deliver(ALICE, f"From: {ALICE}\r\n{COPY_HEADER}: yes\r\n\r\nx\r\n".encode())
    with spoilt(dovecot.imap_port, lambda data: re.sub(words, instead, data)) as port:
        mailbox = ImapMailbox(MailboxSettings(host="127.0.0.1", port=port, user=ALICE, password=PASSWORD))
        with contextlib.closing(mailbox), pytest.raises(MailboxError, match=r"its answer makes no sense \("):
            mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
