"""The add-in's second half, the same stories over IMAP (Dovecot) and EWS: every order, restarts, NDRs."""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from addin_sim.ime1 import MARKER
from addin_sim.ime2 import Carrier
from addin_sim.ime2_pass import Ime2Addin
from addin_sim.mailbox.interface import SEEN, Folder, LoginRefusedError, MailboxBackend, MailboxError
from addin_sim.message_ids import is_used
from addin_sim.outbox import Outbox, State
from addin_sim.outlook_settings import Account, OutlookSettings, Registry, Submission
from addin_sim.own_keys import own_keys
from addin_sim.raw_mail import parse
from addin_sim.sent_items import COPY_HEADER, FILED, sync
from addin_sim.submission import Accepted
from tests.integration.addin_sim.mailbox_rigs import (
    ALICE,
    DATE,
    INBOX,
    SENT,
    DovecotRig,
    EwsRig,
    KilledError,
    Rig,
    encrypted_copy,
    original,
)
from tests.unit.addin_sim.test_challenges import DCA, question
from tests.unit.addin_sim.test_refusals import postfix_report

pytestmark = pytest.mark.xdist_group("mailbox-scenarios")


@pytest.fixture(scope="module", params=[DovecotRig, EwsRig], ids=["imap", "ews"])
def shared_rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with request.param.running() as rig:
        yield rig


@pytest.fixture
def rig(shared_rig: Rig) -> Rig:
    shared_rig.empty()
    return shared_rig


@pytest.fixture
def mailbox(rig: Rig) -> Iterator[MailboxBackend]:
    with contextlib.closing(rig.connect()) as opened:
        yield opened


def save_original(mailbox: MailboxBackend, number: int = 1) -> None:
    mailbox.append_to_sent(original(number), (SEEN, MARKER))


def settle(mailbox: MailboxBackend) -> None:
    while sync(mailbox, ALICE).changed:
        pass


def assert_settled(rig: Rig, count: int = 1) -> None:
    """Each mail has one encrypted copy in Sent Items, filed and read; nothing clear and no marker header is left."""
    sent = rig.mails(SENT)
    assert sorted(mail.rsplit(b"\r\n\r\n", 1)[1] for mail in sent) == sorted(
        b"MIIB%d\r\n" % number for number in range(1, count + 1)
    )
    assert not any(COPY_HEADER.lower().encode() in mail.lower() for mail in sent)
    assert rig.markers(SENT) == [{SEEN, FILED}] * count
    assert rig.mails(INBOX) == []


def test_the_copy_is_filed_and_the_clear_original_goes(rig: Rig, mailbox: MailboxBackend) -> None:
    save_original(mailbox)
    assert rig.markers(SENT) == [{SEEN, MARKER}]
    rig.deliver(encrypted_copy())
    report = sync(mailbox, ALICE)
    assert (report.filed, report.originals_removed, report.waiting, report.problems) == (1, 1, 0, [])
    assert_settled(rig)
    assert not sync(mailbox, ALICE).changed


def test_the_copy_comes_before_its_original_is_saved(rig: Rig, mailbox: MailboxBackend) -> None:
    rig.deliver(encrypted_copy())
    assert sync(mailbox, ALICE).waiting == 1
    save_original(mailbox)
    settle(mailbox)
    assert_settled(rig)


def test_a_sender_who_is_a_recipient_gets_a_copy_with_a_new_message_id(rig: Rig, mailbox: MailboxBackend) -> None:
    save_original(mailbox)
    rig.deliver(encrypted_copy(message_id="<new@gw>", references="<older@x> <m1@acme.example>"))
    settle(mailbox)
    assert_settled(rig)


@pytest.mark.parametrize(
    "copy",
    [
        encrypted_copy(sender="Mallory <mallory@evil.example>"),
        encrypted_copy(sender=f"{ALICE}, mallory@evil.example"),
        encrypted_copy(message_id="<never-sent@acme.example>"),
        encrypted_copy(media_type="text/plain"),
        encrypted_copy(media_type="application/pkcs7-mime; smime-type=signed-data"),
    ],
    ids=["foreign From", "two in From", "not sent here", "clear", "signed only"],
)
def test_somebody_elses_copy_moves_nothing(rig: Rig, mailbox: MailboxBackend, copy: bytes) -> None:
    save_original(mailbox)
    rig.deliver(copy)
    report = sync(mailbox, ALICE)
    assert (report.waiting, report.changed) == (1, False)
    assert rig.markers(SENT) == [{SEEN, MARKER}], "the original stays"
    assert len(rig.mails(INBOX)) == 1


def test_a_report_that_the_gateway_refused_leaves_the_original(rig: Rig, mailbox: MailboxBackend) -> None:
    save_original(mailbox)
    named = f"References: <m1@acme.example>\r\nDate: {DATE}\r\n".encode()
    report = named + postfix_report(message_id="<m1@acme.example>")
    rig.deliver(report)
    assert not sync(mailbox, ALICE).changed
    assert rig.markers(SENT) == [{SEEN, MARKER}]
    assert len(rig.mails(INBOX)) == 1, "reports are for their reader"


def test_a_second_delivery_of_the_same_copy_vanishes(rig: Rig, mailbox: MailboxBackend) -> None:
    save_original(mailbox)
    for _ in range(2):
        rig.deliver(encrypted_copy())
    settle(mailbox)
    rig.deliver(encrypted_copy())
    settle(mailbox)
    assert_settled(rig)


def test_a_hundred_mails_at_once(rig: Rig, mailbox: MailboxBackend) -> None:
    count = 100
    for number in range(1, count + 1):
        if number % 2:
            save_original(mailbox, number)
        rig.deliver(encrypted_copy(number))
    assert sync(mailbox, ALICE).filed == count // 2
    for number in range(2, count + 1, 2):
        save_original(mailbox, number)
    settle(mailbox)
    assert_settled(rig, count)


def test_a_program_that_ends_before_any_request_loses_nothing(rig: Rig) -> None:
    for requests in itertools.count():
        rig.empty()
        with contextlib.closing(rig.connect()) as mailbox:
            save_original(mailbox)
            rig.deliver(encrypted_copy())
            left = iter(range(requests))

            def end(left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    raise KilledError

            rig.before_each_request(mailbox, end)
            try:
                settle(mailbox)
            except KilledError:
                everything = [*rig.mails(INBOX), *rig.mails(SENT)]
                assert any(b"MIIB1" in mail for mail in everything), f"the copy is lost at request {requests}"
            else:
                assert requests > 5
                return
        with contextlib.closing(rig.connect()) as restarted:
            settle(restarted)
        assert_settled(rig)


def test_four_programs_on_one_mailbox(rig: Rig) -> None:
    count, programs = 8, 4
    with contextlib.closing(rig.connect()) as mailbox:
        for number in range(1, count + 1):
            save_original(mailbox, number)
            rig.deliver(encrypted_copy(number))
            rig.deliver(encrypted_copy(number))
    start = threading.Barrier(programs)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with contextlib.closing(rig.connect()) as own:
                start.wait(20)
                settle(own)
        except (MailboxError, threading.BrokenBarrierError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(programs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    with contextlib.closing(rig.connect()) as last:
        settle(last)
    assert_settled(rig, count)


def test_a_second_program_that_works_before_each_request_of_the_first(rig: Rig) -> None:
    with contextlib.closing(rig.connect()) as first, contextlib.closing(rig.connect()) as second:
        save_original(first)
        rig.deliver(encrypted_copy())
        rig.deliver(encrypted_copy())
        rig.before_each_request(first, lambda: settle(second))
        settle(first)
    assert_settled(rig)


def test_news_wakes_whoever_waits(rig: Rig, mailbox: MailboxBackend) -> None:
    look(mailbox)
    mailbox.wait(0.0, lambda: False)
    thread = threading.Thread(target=until_the_copy_is_seen, args=(mailbox,))
    thread.start()
    rig.deliver(encrypted_copy())
    thread.join(20)
    assert not thread.is_alive(), "nobody told of the new mail"
    assert look(mailbox) == ["<m1@acme.example>"]


def test_news_between_looking_and_waiting_is_not_missed(rig: Rig, mailbox: MailboxBackend) -> None:
    look(mailbox)
    rig.deliver(encrypted_copy())
    mailbox.wait(600, lambda: False)
    assert look(mailbox) == ["<m1@acme.example>"]
    rig.deliver(encrypted_copy(2))
    mailbox.wait(600, lambda: False)
    assert look(mailbox) == ["<m1@acme.example>", "<m2@acme.example>"]


def test_waiting_ends_when_told_to_stop_or_when_time_is_up(mailbox: MailboxBackend) -> None:
    for _ in range(2):
        look(mailbox)
        mailbox.wait(600, lambda: True)
        mailbox.wait(0.0, lambda: False)


def test_what_is_gone_is_no_error(rig: Rig, mailbox: MailboxBackend) -> None:
    uid = mailbox.append_to_sent(original(), (MARKER,))
    stored = mailbox.read(Folder.SENT, uid)
    assert stored is not None
    assert stored.data == original()
    assert stored.arrived
    mailbox.delete(Folder.SENT, (uid,))
    mailbox.delete(Folder.SENT, (uid,))
    mailbox.mark_seen(Folder.SENT, (uid,))
    assert mailbox.read(Folder.SENT, uid) is None
    rig.deliver(encrypted_copy())
    (item,) = mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    rig.empty()
    assert mailbox.file_copy(item.uid, COPY_HEADER, FILED) is False
    assert sync(mailbox, ALICE).changed is False


def test_flags_arrival_and_order(rig: Rig, mailbox: MailboxBackend) -> None:
    before = time.time()
    uids = [mailbox.append_to_sent(original(number), (MARKER,) if number % 2 else (MARKER, SEEN)) for number in (1, 2)]
    found = mailbox.with_keyword(Folder.SENT, MARKER)
    assert {item.uid for item in found} == set(uids)
    assert {item.uid: item.flags & {MARKER, SEEN} for item in found} == {uids[0]: {MARKER}, uids[1]: {MARKER, SEEN}}
    mailbox.mark_seen(Folder.SENT, (uids[0], uids[0]))
    with contextlib.closing(rig.connect()) as another:
        again = another.with_keyword(Folder.SENT, MARKER)
    assert [item.uid for item in again] == [item.uid for item in found], "everybody sees one order"
    assert all(item.flags >= {MARKER, SEEN} for item in again)
    assert all(before - 2 <= item.arrived <= time.time() + 2 for item in again)
    assert [item.header.value("From") for item in again] == [ALICE] * 2


def test_a_copy_keeps_the_time_of_its_delivery(rig: Rig, mailbox: MailboxBackend) -> None:
    save_original(mailbox)
    rig.deliver(encrypted_copy())
    (delivered,) = mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    settle(mailbox)
    (filed,) = mailbox.with_keyword(Folder.SENT, FILED)
    assert filed.arrived == delivered.arrived > 0


def test_filing_is_complete_in_itself(rig: Rig, mailbox: MailboxBackend) -> None:
    rig.deliver(encrypted_copy())
    (copy,) = mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    assert mailbox.file_copy(copy.uid, COPY_HEADER, FILED)
    assert_settled(rig)


def test_large_and_eight_bit_mail_survives(mailbox: MailboxBackend) -> None:
    data = original() + b"\xff\xfe\x01" * 10 + b"\r\n" + b"x" * 200_000 + b"\r\n.\r\n..\r\n"
    stored = mailbox.read(Folder.SENT, mailbox.append_to_sent(data, ()))
    assert stored is not None
    assert stored.data == data


def test_message_ids_that_were_used_are_found(rig: Rig, mailbox: MailboxBackend) -> None:
    save_original(mailbox, 1)
    rig.deliver(encrypted_copy(2, message_id="<new@gw>", references="<older@x> <m2@acme.example>"))
    used = [is_used(f"<{name}@acme.example>", mailbox) for name in ("m1", "m2", "m3")]
    assert used == [True, True, False]
    assert is_used("<new@gw>", mailbox)


@pytest.mark.parametrize("folder", list(Folder))
def test_a_part_of_a_message_id_finds_mail(rig: Rig, mailbox: MailboxBackend, folder: Folder) -> None:
    """So a rehearsal finds what of its mail is left anywhere."""
    if folder is Folder.SENT:
        save_original(mailbox, 12)
    else:
        rig.deliver(original(12))
    found = [
        len(mailbox.with_header(folder, "Message-ID", part)) for part in ("<m12@acme.example>", "m1", "M12@", "m3")
    ]
    assert found == [1, 1, 1, 0]


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


@pytest.fixture
def addin(outbox: Outbox, tmp_path: Path) -> tuple[Ime2Addin, list[tuple[str, bytes]]]:
    account = Account(address=ALICE, display_name="Alice")
    settings = OutlookSettings(
        account=account, submission=Submission(host="h"), registry=Registry(InternalRecipient=DCA)
    )
    submitted: list[tuple[str, bytes]] = []

    def submit(recipient: str, data: bytes) -> Accepted:
        submitted.append((recipient, data))
        return Accepted("250 2.0.0 Ok")

    keys = own_keys(tmp_path, account, time.time())
    unique = map(str, itertools.count())
    return Ime2Addin(settings, keys, outbox, submit, clock=time.time, unique=lambda: next(unique)), submitted


def keep(outbox: Outbox, number: int = 1) -> str:
    carrier = Carrier(DCA, f"<c{number}@acme.example>", b"Subject: Encrypted message\r\n\r\nMIIB\r\n")
    kept = outbox.keep(parse(original(number)), carrier, time.time())
    return outbox.mark(kept, State.SENT, "").id


def test_ime2_a_mail_leaves_the_outbox_when_its_copy_is_filed(
    rig: Rig, mailbox: MailboxBackend, outbox: Outbox, addin: tuple[Ime2Addin, object]
) -> None:
    keep(outbox)
    rig.deliver(encrypted_copy())
    report = addin[0].one_pass(mailbox, ALICE)
    assert (report.filed, report.confirmed) == (1, ["<m1@acme.example>"])
    assert outbox.items() == []
    assert_settled(rig)


def test_ime2_a_report_of_a_refusal_keeps_the_mail(
    rig: Rig, mailbox: MailboxBackend, outbox: Outbox, addin: tuple[Ime2Addin, object]
) -> None:
    kept = keep(outbox)
    rig.deliver(postfix_report(action="delayed"))
    rig.deliver(postfix_report())
    report = addin[0].one_pass(mailbox, ALICE)
    (problem,) = report.problems
    assert f"outbox show {kept}" in problem
    assert outbox.find(kept).state is State.REFUSED
    assert len(rig.mails(INBOX)) == 2, "reports are for their reader"


def test_ime2_the_gateways_question_is_answered_once(
    rig: Rig, mailbox: MailboxBackend, outbox: Outbox, addin: tuple[Ime2Addin, list[tuple[str, bytes]]]
) -> None:
    played, submitted = addin
    keep(outbox)
    rig.deliver(b"From: bob@acme.example\r\nMessage-ID: <x@acme.example>\r\nSubject: lunch?\r\n\r\n\r\n")
    rig.deliver(question(played.keys))
    assert played.one_pass(mailbox, ALICE).challenges_answered == 1
    assert played.one_pass(mailbox, ALICE).challenges_answered == 0
    assert [recipient for recipient, _ in submitted] == [DCA]
    assert len(rig.mails(INBOX)) == 1, "other mail stays"


def test_ime2_a_question_that_nobody_caused_is_told_once(
    rig: Rig, mailbox: MailboxBackend, addin: tuple[Ime2Addin, list[tuple[str, bytes]]]
) -> None:
    played, submitted = addin
    rig.deliver(question(played.keys))
    assert [len(played.one_pass(mailbox, ALICE).remarks) for _ in range(2)] == [1, 0]
    assert rig.markers(INBOX) == [{SEEN}]
    assert submitted == []


def test_the_command_says_what_it_did(rig: Rig, mailbox: MailboxBackend, tmp_path: Path) -> None:
    save_original(mailbox)
    rig.deliver(encrypted_copy())
    done = command("sync", rig, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "filed": 1, "originals_removed": 1, "duplicates_removed": 0, "waiting": 0, "problems": [],
    }  # fmt: skip
    assert_settled(rig)


def test_a_refused_login_is_told_apart_from_a_server_that_is_away(rig: Rig) -> None:
    right = rig.settings
    rig.settings = right.model_copy(update={"password": "a-wrong-one"})
    try:
        with pytest.raises(LoginRefusedError):
            rig.connect()
    finally:
        rig.settings = right


@pytest.mark.parametrize("name", ["sync", "watch"])
def test_a_wrong_password_is_one_sentence(rig: Rig, tmp_path: Path, name: str) -> None:
    done = command(name, rig, tmp_path, rig.settings.password, "a-wrong-one")
    assert done.returncode == 1
    assert "cannot be used: the server refused the login" in done.stderr
    assert "a-wrong-one" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def command(
    name: str, rig: Rig, folder: Path, password: str = "", instead: str = ""
) -> subprocess.CompletedProcess[str]:
    table = rig.table.replace(f'password = "{password}"', f'password = "{instead}"') if password else rig.table
    settings = folder / "outlook-settings.toml"
    settings.write_text(f'[account]\naddress = "{ALICE}"\n[submission]\nhost = "127.0.0.1"\nport = 1\n{table}')
    program = "from addin_sim.cli import run; run()"
    return subprocess.run(
        [sys.executable, "-c", program, name, "--settings", str(settings), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def look(mailbox: MailboxBackend) -> list[str]:
    found = mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes")
    return sorted(item.header.value("Message-ID") for item in found)


def until_the_copy_is_seen(mailbox: MailboxBackend) -> None:
    while not look(mailbox):
        mailbox.wait(600, lambda: False)
