"""What only Exchange does: headers it has not noted, busy answers, ended tokens, closed streams."""

import contextlib
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from requests import get
from typer.testing import CliRunner

from addin_sim.cli import app
from addin_sim.handing_in import hand_in
from addin_sim.ime1 import MARKER
from addin_sim.mailbox import ews_news
from addin_sim.mailbox.ews import EwsMailbox
from addin_sim.mailbox.ews_news import InboxNews
from addin_sim.mailbox.ews_session import EwsSession
from addin_sim.mailbox.interface import SEEN, Folder, MailboxError, Uid
from addin_sim.outlook_settings import Account, MailboxSettings, OutlookSettings, Submission
from addin_sim.raw_mail import parse
from addin_sim.sent_items import COPY_HEADER, FILED, sync
from addin_sim.submission import Accepted, Refused
from tests.integration.addin_sim.mailbox_rigs import ALICE, DATE, INBOX, SENT, EwsRig, encrypted_copy, original
from tests.pki import Entity, make_user
from tests.servers.ews import sign_in
from tests.servers.ews.transport import NotDelivered, SentMail

IME1 = "ime@imepseudodomain.local"
DCA = "domain-confidentiality-authority@ime.acme.example"
CARRIER = (
    f"From: {ALICE}\r\nTo: {IME1}\r\nX-SM-ORIGTO: bob@acme.example\r\nDate: {DATE}\r\nMessage-ID: <m1@acme.example>\r\n"
    "Subject: s\r\nSensitivity: company-confidential\r\nImportance: high\r\n"
    f"Disposition-Notification-To: {ALICE}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nclear\r\n"
).encode()
pytestmark = pytest.mark.xdist_group("mailbox-scenarios")


@pytest.fixture
def rig() -> Iterator[EwsRig]:
    with EwsRig.running() as running:
        yield running


@pytest.fixture
def mailbox(rig: EwsRig) -> Iterator[EwsMailbox]:
    with contextlib.closing(rig.connect()) as opened:
        yield opened


@pytest.mark.parametrize(
    "mood", [{"headers_promoted": False}, {"header_promotion_seconds": 3600.0}], ids=["never noted", "noted late"]
)
def test_headers_that_exchange_has_not_noted_are_read(rig: EwsRig, mood: dict[str, object]) -> None:
    for name, value in mood.items():
        setattr(rig.server.quirks, name, value)
    with contextlib.closing(rig.connect()) as mailbox:
        mailbox.append_to_sent(original(), (SEEN, MARKER))
        rig.deliver(b"From: bob@acme.example\r\nSubject: lunch?\r\n\r\n\r\n")
        rig.deliver(encrypted_copy())
        assert look(mailbox) == 1, "the other mail came lately, too"
        report = sync(mailbox, ALICE)
        assert (report.filed, report.originals_removed) == (1, 1)
    assert rig.markers(SENT) == [{SEEN, FILED}]
    assert len(rig.mails(INBOX)) == 1
    assert rig.server.mails(ALICE, "deleteditems") == [], "the clear original lies nowhere"


@pytest.mark.parametrize(("days", "found"), [(29, 1), (31, 0)])
def test_headers_are_read_of_what_came_within_a_month(rig: EwsRig, days: int, found: int) -> None:
    rig.server.quirks.headers_promoted = False
    rig.deliver(encrypted_copy())
    (item,) = rig.server.items(ALICE, "inbox")
    item.fields["DateTimeReceived"].text = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"
    with contextlib.closing(rig.connect()) as mailbox:
        assert look(mailbox) == found


def test_headers_that_exchange_does_not_tell_are_read_in_the_mail(rig: EwsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addin_sim.mailbox.ews_items.told_header", lambda _: None)
    save_originals(rig, 1)
    rig.deliver(encrypted_copy())
    with contextlib.closing(rig.connect()) as mailbox:
        report = sync(mailbox, ALICE)
    assert (report.filed, report.originals_removed) == (1, 1)


def test_headers_are_read_once_for_each_mail(rig: EwsRig, mailbox: EwsMailbox) -> None:
    for number in range(1, 6):
        rig.deliver(encrypted_copy(number))
    sync(mailbox, ALICE)
    asked = len(rig.server.operations())
    sync(mailbox, ALICE)
    assert set(rig.server.operations()[asked:]) == {"FindItem"}


def test_a_busy_server_gets_the_pause_it_asks_for(
    rig: EwsRig, mailbox: EwsMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(EwsSession, "_rest", lambda _, seconds: pauses.append(seconds))
    rig.server.quirks.back_off_milliseconds = 1500
    rig.server.quirks.busy = 3
    mailbox.append_to_sent(original(), (SEEN, MARKER))
    assert pauses == [1.5] * 3
    assert len(rig.mails(SENT)) == 1


def test_a_pause_of_less_than_nothing_is_no_invitation_to_ask_for_ever(
    rig: EwsRig, mailbox: EwsMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(EwsSession, "_rest", lambda _, seconds: pauses.append(seconds))
    rig.server.quirks.back_off_milliseconds = -5000
    rig.server.quirks.busy = 3
    mailbox.append_to_sent(original(), (SEEN, MARKER))
    assert pauses == [0.2] * 3


def test_an_answer_that_makes_no_sense_is_told(
    rig: EwsRig, mailbox: EwsMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.server.quirks, "back_off_milliseconds", "soon")
    rig.server.quirks.busy = 1
    with pytest.raises(MailboxError, match="its answer makes no sense"):
        sync(mailbox, ALICE)


def test_a_server_that_stays_busy_is_left_alone(
    rig: EwsRig, mailbox: EwsMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(EwsSession, "_rest", lambda _, seconds: pauses.append(seconds))
    rig.server.quirks.back_off_milliseconds = 25_000
    rig.server.quirks.busy = 100
    with pytest.raises(MailboxError, match=r"is busy and asks to come back in 25 seconds$"):
        sync(mailbox, ALICE)
    assert pauses == [25.0] * 2, "a minute all in all, no more"


def with_token(rig: EwsRig, file: Path) -> MailboxSettings:
    return rig.settings.model_copy(update={"auth": "bearer", "password": "", "password_file": file})


def test_a_token_that_has_run_out_is_read_anew_at_the_next_login(rig: EwsRig, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(rig.server.sign_in.issue(ALICE).text + "\n")
    with contextlib.closing(EwsMailbox(with_token(rig, file), ALICE)) as mailbox:
        assert not sync(mailbox, ALICE).changed
        rig.server.sign_in.expire_tokens()
        with pytest.raises(MailboxError, match="refused the access token") as caught:
            sync(mailbox, ALICE)
        assert file.read_text().strip() not in str(caught.value)
    file.write_text(rig.server.sign_in.issue(ALICE).text)
    with contextlib.closing(EwsMailbox(with_token(rig, file), ALICE)) as mailbox:
        assert not sync(mailbox, ALICE).changed
    file.unlink()
    with pytest.raises(MailboxError, match="cannot be read"):
        EwsMailbox(with_token(rig, file), ALICE)


@pytest.mark.parametrize("text", ["", "two\nlines-0123", "Größe"])
def test_what_is_no_token_is_never_shown(
    rig: EwsRig, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(MailboxError, match=rf"^The access token of {ALICE} is none .*: renew it\.$") as refusal:
        EwsMailbox(with_token(rig, tmp_path / "token"), ALICE)
    assert not text or text not in str(refusal.value)
    assert capfd.readouterr().err == ""
    assert rig.server.operations() == []


def test_a_password_with_letters_beyond_latin(rig: EwsRig, capfd: pytest.CaptureFixture[str]) -> None:
    rig.server.sign_in.passwords[ALICE] = password = "Pä€ß"
    settings = rig.settings.model_copy(update={"password": password})
    with contextlib.closing(EwsMailbox(settings, ALICE)) as mailbox:
        assert look(mailbox) == 0
    with pytest.raises(MailboxError, match=f"refused the login of {ALICE}") as refusal:
        EwsMailbox(settings.model_copy(update={"password": "Pä€"}), ALICE)
    assert "Pä€" not in str(refusal.value)
    with pytest.raises(MailboxError, match="HTTP cannot carry these letters"):
        EwsMailbox(settings, "日本@acme.example")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "parameters", ["", ' client_id="0002", trusted_issuers="a@*, b", token_types="c_v1 d_v1", e = f']
)
def test_a_refused_login_says_what_the_server_takes(rig: EwsRig, parameters: str) -> None:
    rig.server.quirks.schemes = ("NTLM", f"Negotiate{parameters}")
    with pytest.raises(MailboxError, match=f"refused the login of {ALICE}; it takes NTLM, Negotiate$"):
        rig.connect()
    ntlm = rig.settings.model_copy(update={"auth": "ntlm"})
    with pytest.raises(MailboxError, match="refused the login"):
        EwsMailbox(ntlm, ALICE)


@pytest.mark.parametrize("spoil", [lambda _: b"!", lambda good: good[:-12] + b"\xff" * 8], ids=["cut off", "no date"])
def test_an_ntlm_challenge_that_makes_no_sense_is_told(
    rig: EwsRig, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[bytes], bytes]
) -> None:
    challenge = spoil(sign_in._challenge())
    monkeypatch.setattr(sign_in, "_challenge", lambda: challenge)
    rig.server.quirks.schemes = ("NTLM",)
    with pytest.raises(MailboxError, match="its answer makes no sense"):
        EwsMailbox(rig.settings.model_copy(update={"auth": "ntlm"}), ALICE)


def test_an_unknown_authority_is_refused(rig: EwsRig) -> None:
    stranger = rig.settings.model_copy(update={"ca_file": None})
    with pytest.raises(MailboxError, match="its certificate is not trusted"):
        EwsMailbox(stranger, ALICE)
    assert rig.server.operations() == []


def test_nobody_there_is_a_sentence(free_port: int) -> None:
    settings = MailboxSettings(protocol="ews", url=f"https://127.0.0.1:{free_port}/EWS/Exchange.asmx", user="alice")
    with pytest.raises(
        MailboxError, match=rf"^The mailbox of {ALICE} at 127.0.0.1:{free_port} cannot be used: .*refused"
    ):
        EwsMailbox(settings, ALICE)


@pytest.mark.parametrize("cut", ["cut_connections", "cut_in_the_middle"])
def test_a_cut_connection_is_a_sentence_and_the_next_pass_settles(rig: EwsRig, cut: str) -> None:
    with contextlib.closing(rig.connect()) as mailbox:
        mailbox.append_to_sent(original(), (SEEN, MARKER))
    rig.deliver(encrypted_copy())
    for requests in range(12):
        with contextlib.closing(rig.connect()) as mailbox:
            left = iter(range(requests))

            def cut_now(left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    setattr(rig.server.quirks, cut, 1)

            rig.before_each_request(mailbox, cut_now)
            try:
                while sync(mailbox, ALICE).changed:
                    pass
            except MailboxError as error:
                assert "Reraised" not in str(error)
    setattr(rig.server.quirks, cut, 0)
    with contextlib.closing(rig.connect()) as mailbox:
        while sync(mailbox, ALICE).changed:
            pass
    assert rig.markers(SENT) == [{SEEN, FILED}]
    assert not any(COPY_HEADER.encode() in mail for mail in rig.mails(SENT))
    assert rig.mails(INBOX) == []


def test_no_sync_state_can_expire(rig: EwsRig, mailbox: EwsMailbox) -> None:
    rig.server.quirks.expired_sync_states = True
    save_originals(rig, 1)
    for number in (1, 2):
        rig.deliver(encrypted_copy(number))
        sync(mailbox, ALICE)
    assert rig.markers(SENT) == [{SEEN, FILED}]
    assert "SyncFolderItems" not in rig.server.operations(), "each pass looks at the mailbox itself"


def test_a_stream_that_closes_is_opened_again(rig: EwsRig, mailbox: EwsMailbox) -> None:
    assert look(mailbox) == 0
    mailbox.wait(600, lambda: False)  # the first subscription
    assert look(mailbox) == 0
    until_it_streams(rig)
    rig.server.close_streams()
    mailbox.wait(600, lambda: False)  # the second
    assert look(mailbox) == 0
    rig.deliver(encrypted_copy())
    mailbox.wait(600, lambda: False)
    assert look(mailbox) == 1


def test_a_refusal_of_one_message_is_told(mailbox: EwsMailbox) -> None:
    """Only what is gone is no error; else a clear original would stay in Sent Items, and nobody would know."""
    nonsense = (Uid("nonsense"),)
    for question in (mailbox.delete, mailbox.mark_seen, lambda folder, uids: mailbox.read(folder, uids[0])):
        with pytest.raises(MailboxError, match=r"^The Exchange server refused a message: ErrorInvalidIdMalformed: "):
            question(Folder.SENT, nonsense)


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (503, {"Retry-After": "7"}, 7.0),
        (429, {}, 5.0),
        (503, {"Retry-After": "x"}, 5.0),
    ],
)
def test_a_proxy_that_asks_to_come_back_later_is_a_busy_server(
    rig: EwsRig, monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, str], pause: float
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(EwsSession, "_rest", lambda _, seconds: pauses.append(seconds) or True)
    with turned_away(status, headers) as url, pytest.raises(MailboxError, match=f"come back in {pause:.0f} seconds"):
        EwsMailbox(rig.settings.model_copy(update={"url": url}), ALICE)
    assert pauses == [pause]


def test_an_error_page_is_no_answer_in_soap(rig: EwsRig) -> None:
    with turned_away(500, {"Content-Type": "text/html"}) as url, pytest.raises(MailboxError, match="answers HTTP 500"):
        EwsMailbox(rig.settings.model_copy(update={"url": url}), ALICE)


def test_an_answer_may_take_as_long_as_the_settings_say(rig: EwsRig) -> None:
    with contextlib.closing(EwsMailbox(rig.settings.model_copy(update={"timeout_seconds": 7.0}), ALICE)) as mailbox:
        assert mailbox._session.account.protocol.TIMEOUT == 7.0


def test_what_is_stored_is_no_draft(rig: EwsRig, mailbox: EwsMailbox) -> None:
    mailbox.append_to_sent(original(1), (SEEN,))
    mailbox.append_to_sent(original(2), ())
    fields = [item.fields for item in rig.server.items(ALICE, "sentitems")]
    assert [(one["IsDraft"].text, one["IsRead"].text) for one in fields] == [("false", "true"), ("false", "false")]


def asked_to_stop(mailbox: EwsMailbox) -> int:
    """How often a wait asks whether it should stop; at the second time it is told so. Once: it had news at once."""
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 1

    mailbox.wait(600, stop)
    return len(asked)


def test_what_was_looked_at_is_no_news_any_more(rig: EwsRig, mailbox: EwsMailbox) -> None:
    """Else a watch would ask Exchange without a pause."""
    look(mailbox)
    mailbox.wait(600, lambda: False)  # the first subscription
    look(mailbox)
    assert asked_to_stop(mailbox) == 2


def test_news_between_two_looks_of_one_pass_is_not_missed(rig: EwsRig, mailbox: EwsMailbox) -> None:
    look(mailbox)
    mailbox.wait(600, lambda: False)
    look(mailbox)
    until_it_streams(rig)
    rig.deliver(encrypted_copy())
    assert mailbox._news is not None
    assert mailbox._news.within(600)
    mailbox.with_header(Folder.INBOX, "Message-ID", "another question of the same pass")
    assert asked_to_stop(mailbox) == 1


def test_closing_does_not_wait_for_a_server_that_does_not_begin_the_stream(
    rig: EwsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ews_news, "_CLOSING_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and answers nothing, as if frozen
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/EWS/Exchange.asmx"
        news = ews_news.InboxNews(rig.settings.model_copy(update={"url": url}), ALICE)
        connection, _ = silent.accept()
        with connection:
            news.close()
            assert news._thread.is_alive(), "else close has waited for the server"
    news._thread.join()


def test_a_stream_that_breaks_is_told_to_whoever_waits(rig: EwsRig, mailbox: EwsMailbox) -> None:
    look(mailbox)
    mailbox.wait(600, lambda: False)
    look(mailbox)
    until_it_streams(rig)
    rig.server.quirks.stream_cut = True
    rig.server.close_streams()
    with pytest.raises(MailboxError, match="cannot be used"):
        while True:
            mailbox.wait(600, lambda: False)
            look(mailbox)


@pytest.mark.parametrize(("long_enough", "expected"), [(60.0, [0.1, 0.2, 0.4, 0.8]), (0.0, [0.0] * 4)])
def test_streams_that_end_at_once_are_asked_for_ever_more_rarely(
    rig: EwsRig, monkeypatch: pytest.MonkeyPatch, long_enough: float, expected: list[float]
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(InboxNews, "_rest", lambda _, seconds: pauses.append(seconds), raising=False)
    monkeypatch.setattr("addin_sim.mailbox.ews_news._LONG_ENOUGH", long_enough, raising=False)
    rig.server.quirks.stream_seconds = 0.0
    with contextlib.closing(InboxNews(rig.settings, ALICE)):
        eventually(lambda: rig.server.operations().count("Subscribe") > 16, "many streams")
    assert (pauses[:4], max(pauses)) == (expected, 60.0 if long_enough else 0.0)


def outlook(rig: EwsRig) -> OutlookSettings:
    return OutlookSettings(account=Account(address=ALICE), submission=Submission(protocol="ews"), mailbox=rig.settings)


def test_a_mail_is_sent_as_it_is_and_saved_nowhere(rig: EwsRig) -> None:
    assert hand_in(outlook(rig), [IME1], CARRIER) == Accepted("Exchange has taken the mail.")
    rig.server.settle()
    (sent,) = rig.server.outgoing
    assert (sent.sender, sent.recipients) == (ALICE, (IME1,))
    header = parse(sent.mime)
    for name in ("Message-ID", "X-SM-ORIGTO", "Sensitivity", "Importance", "Disposition-Notification-To"):
        assert header.value(name) == parse(CARRIER).value(name), name
    (request,) = [dialogue.request for dialogue in rig.server.dialogues if dialogue.operation == "CreateItem"]
    for name in (b"Sensitivity", b"Importance", b"IsReadReceiptRequested"):
        assert b"<t:" + name not in request, "a property would overrule the mail's own header"
    assert rig.mails(SENT) == []


def test_nothing_is_sent_to_somebody_else(rig: EwsRig) -> None:
    refused = hand_in(outlook(rig), [IME1], CARRIER.replace(b"Subject", b"Cc: bob@acme.example\r\nSubject"))
    assert isinstance(refused, Refused)
    assert refused.for_good
    assert refused.sentence == f"Nothing was sent: Exchange would send the mail to bob@acme.example, {IME1}."
    assert rig.server.operations() == []


@pytest.mark.parametrize(
    ("mail", "code"),
    [
        (CARRIER.replace(f"From: {ALICE}".encode(), b"From: bob@acme.example"), "ErrorSendAsDenied"),
        (CARRIER + b"x" * 200_000, "ErrorMessageSizeExceeded"),
    ],
    ids=["another's name", "too large"],
)
def test_a_mail_that_exchange_refuses_is_refused_for_good(rig: EwsRig, mail: bytes, code: str) -> None:
    rig.server.quirks.largest_request = 100_000
    refused = hand_in(outlook(rig), [IME1], mail)
    assert isinstance(refused, Refused)
    assert refused.sentence.endswith(". Nothing was sent.")
    assert (refused.reply, refused.for_good) == (code, True), refused
    assert rig.server.outgoing == []


def test_after_a_cut_connection_nobody_says_that_nothing_was_sent(rig: EwsRig, monkeypatch: pytest.MonkeyPatch) -> None:
    send = EwsMailbox.send

    def cut(mailbox: EwsMailbox, data: bytes) -> None:
        rig.server.quirks.cut_connections = 1
        send(mailbox, data)

    monkeypatch.setattr(EwsMailbox, "send", cut)
    refused = hand_in(outlook(rig), [IME1], CARRIER)
    assert isinstance(refused, Refused)
    assert not refused.for_good
    assert refused.sentence.endswith(". Nobody knows whether Exchange has taken the mail.")
    rig.server.settle()
    assert len(rig.server.outgoing) == 1, "and it is not sent a second time"


@pytest.mark.parametrize(
    "code", ["ErrorInternalServerError", "ErrorInternalServerTransientError", "ErrorTimeoutExpired"]
)
def test_after_an_error_inside_exchange_nobody_says_that_nothing_was_sent(
    rig: EwsRig, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    send = EwsMailbox.send

    def failing(mailbox: EwsMailbox, data: bytes) -> None:
        rig.server.quirks.fail_operations = {"CreateItem": (code, "An internal server error occurred.")}
        send(mailbox, data)

    monkeypatch.setattr(EwsMailbox, "send", failing)
    refused = hand_in(outlook(rig), [IME1], CARRIER)
    assert isinstance(refused, Refused)
    assert not refused.for_good
    assert refused.sentence.endswith(". Nobody knows whether Exchange has taken the mail.")


def test_whoever_was_not_even_asked_has_done_nothing(rig: EwsRig, mailbox: EwsMailbox, free_port: int) -> None:
    for url in (f"https://127.0.0.1:{free_port}/", rig.server.url):  # nobody there; a certificate of a stranger
        with pytest.raises(MailboxError) as refused:
            mailbox._session.ask(lambda url=url: get(url, timeout=60))
        assert type(refused.value) is MailboxError, "an UncertainError says that it may have been done"


@pytest.mark.parametrize("trouble", ["busy", "token", "access"])
def test_a_request_that_was_turned_away_has_sent_nothing(
    rig: EwsRig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: str
) -> None:
    (tmp_path / "token").write_text(rig.server.sign_in.issue(ALICE).text)
    settings = with_token(rig, tmp_path / "token") if trouble == "token" else rig.settings
    send = EwsMailbox.send
    rests: list[float] = []

    def turned_away(mailbox: EwsMailbox, data: bytes) -> None:
        if trouble == "busy":
            rig.server.quirks.busy = 1000
        elif trouble == "token":
            rig.server.sign_in.expire_tokens()
        else:
            rig.server.quirks.fail_operations = {"CreateItem": ("ErrorAccessDenied", "Access is denied.")}
        send(mailbox, data)

    monkeypatch.setattr(EwsSession, "_rest", lambda _, seconds: rests.append(seconds))
    monkeypatch.setattr(EwsMailbox, "send", turned_away)
    refused = hand_in(outlook(rig).model_copy(update={"mailbox": settings}), [IME1], CARRIER)
    assert isinstance(refused, Refused)
    assert (refused.reply, refused.for_good) == ("", False), "it is tried again"
    assert refused.sentence.endswith(". Nothing was sent.")
    rig.server.settle()
    assert rig.server.outgoing == []


def test_a_server_that_is_gone_has_taken_nothing(free_port: int, rig: EwsRig) -> None:
    gone = rig.settings.model_copy(update={"url": f"https://127.0.0.1:{free_port}/EWS/Exchange.asmx"})
    refused = hand_in(outlook(rig).model_copy(update={"mailbox": gone}), [IME1], CARRIER)
    assert isinstance(refused, Refused)
    assert (refused.reply, refused.for_good) == ("", False)
    assert refused.sentence.endswith(" Nothing was sent.")


@pytest.fixture(scope="module")
def authority() -> Entity:
    return make_user(DCA)


@pytest.fixture
def settings(rig: EwsRig, authority: Entity, tmp_path: Path) -> Callable[[str], Path]:
    def write(more: str = "") -> Path:
        (tmp_path / "ime.pem").write_bytes(authority.pem)
        path = tmp_path / "alice.toml"
        path.write_text(f'[account]\naddress = "{ALICE}"\n[submission]\nprotocol = "ews"\n{more}{rig.table}')
        return path

    return write


IME2_SETTINGS = f'[registry]\nInternalRecipient = "{DCA}"\n[container]\nime_certificate = "ime.pem"\n'


def addin_sim(settings: Path, *arguments: object) -> dict[str, object]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--settings", str(settings), "--json"])
    assert done.stdout, (done.exception, done.stderr)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "mail.eml"
    path.write_bytes(b"Subject: Heliotrope\nTo: bob@acme.example\nBcc: dora@partner.example\n\nDear Bob,\n")
    return path


def test_ime1_from_sending_to_the_filed_copy(rig: EwsRig, settings: Callable[[str], Path], mail: Path) -> None:
    sent = addin_sim(settings(""), "send", "--eml", mail)
    assert (sent["accepted"], sent["saved_in"]) == (True, "Sent Items")
    assert rig.markers(SENT) == [{SEEN, MARKER}]
    rig.server.settle()
    (outgoing,) = rig.server.outgoing
    assert outgoing.recipients == (IME1,)
    assert parse(outgoing.mime).value("X-SM-ORIGBCC") == "dora@partner.example"
    rig.deliver(encrypted_copy(message_id=str(sent["message_id"])))
    report = addin_sim(settings(""), "sync")
    assert (report["filed"], report["originals_removed"]) == (1, 1)
    assert rig.markers(SENT) == [{SEEN, FILED}]


def test_ime2_from_sending_to_the_filed_copy(rig: EwsRig, settings: Callable[[str], Path], mail: Path) -> None:
    sent = addin_sim(settings(IME2_SETTINGS), "send", "--eml", mail)
    assert (sent["accepted"], sent["saved_in"]) == (True, None)
    assert rig.mails(SENT) == []
    rig.server.settle()
    (outgoing,) = rig.server.outgoing
    assert outgoing.recipients == (DCA,)
    assert b"Heliotrope" not in outgoing.mime
    rig.deliver(encrypted_copy(message_id=str(sent["message_id"])))
    report = addin_sim(settings(IME2_SETTINGS), "sync")
    assert (report["filed"], report["confirmed"]) == (1, [sent["message_id"]])
    assert rig.markers(SENT) == [{SEEN, FILED}]


def test_ime2_a_refusal_comes_back_as_exchanges_own_report(
    rig: EwsRig, settings: Callable[[str], Path], mail: Path
) -> None:
    def refuse(sent: SentMail) -> None:
        raise NotDelivered(sent.recipients, "554 5.7.1 the signature does not fit")

    rig.server.transport.on_send = refuse
    assert addin_sim(settings(IME2_SETTINGS), "send", "--eml", mail)["accepted"] is True
    rig.server.settle()
    report = addin_sim(settings(IME2_SETTINGS), "sync")
    assert report["refused"] == 1
    assert "554 5.7.1 the signature does not fit" in str(report["problems"])


@contextlib.contextmanager
def watching(settings: Path) -> Iterator[Callable[[], str]]:
    """`addin-sim watch` in a process; gives its next line on stderr, and ends it by SIGTERM."""
    command = [sys.executable, "-c", "from addin_sim.cli import run; run()", "watch", "--settings", str(settings)]
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert watcher.stderr is not None
    try:
        assert "watching" in watcher.stderr.readline()
        yield watcher.stderr.readline
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(20) == 0
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stderr.close()


def test_watch_files_what_comes_and_ends_on_sigterm(rig: EwsRig, settings: Callable[[str], Path]) -> None:
    save_originals(rig, 2)
    with watching(settings("")):
        rig.deliver(encrypted_copy(1))
        eventually(lambda: len(rig.mails(INBOX)) == 0, "the first copy")
        until_it_streams(rig)
        rig.server.forget_subscriptions()
        rig.deliver(encrypted_copy(2))
        eventually(lambda: rig.markers(SENT) == [{SEEN, FILED}] * 2, "the copy after the stream was lost")


def test_watch_ends_on_sigterm_while_it_leaves_a_busy_server_alone(
    rig: EwsRig, settings: Callable[[str], Path]
) -> None:
    with watching(settings("")):
        until_it_streams(rig)
        rig.server.quirks.back_off_milliseconds = 50_000
        rig.server.quirks.busy = 1
        rig.deliver(encrypted_copy(1))
        eventually(lambda: rig.server.quirks.busy == 0, "the answer that begins the pause")


def test_watch_goes_on_with_a_new_token(rig: EwsRig, settings: Callable[[str], Path], tmp_path: Path) -> None:
    save_originals(rig, 1)
    token = tmp_path / "token"
    token.write_text(rig.server.sign_in.issue(ALICE).text)
    file = settings("")
    file.write_text(file.read_text().replace('password = "secret"', f'auth = "bearer"\npassword_file = "{token.name}"'))
    with watching(file) as next_line:
        until_it_streams(rig)
        rig.server.sign_in.expire_tokens()
        rig.server.close_streams()
        assert "refused the access token" in next_line()
        rig.deliver(encrypted_copy(1))
        token.write_text(rig.server.sign_in.issue(ALICE).text)
        eventually(lambda: rig.markers(SENT) == [{SEEN, FILED}], "the copy")


@contextlib.contextmanager
def turned_away(status: int, headers: dict[str, str]) -> Iterator[str]:
    """An HTTP server that gives everybody this answer; without TLS, because that is not the question."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/EWS/Exchange.asmx"
        finally:
            server.shutdown()
            thread.join()


def save_originals(rig: EwsRig, count: int) -> None:
    with contextlib.closing(rig.connect()) as mailbox:
        for number in range(1, count + 1):
            mailbox.append_to_sent(original(number), (SEEN, MARKER))


def until_it_streams(rig: EwsRig) -> None:
    """Whoever closes streams before there is one closes none."""
    eventually(lambda: "GetStreamingEvents" in rig.server.operations(), "the stream")


def look(mailbox: EwsMailbox) -> int:
    return len(mailbox.with_header(Folder.INBOX, COPY_HEADER, "yes"))


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
