"""What servers and strangers say is printed, and steers no terminal."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from addin_sim.cli import run
from addin_sim.sent_items import SyncReport
from addin_sim.terminal import Screen, refuse

CLEAR_SCREEN = "\x1b[2J"


class Exchange:
    """Answers DATA as told."""

    reply = ""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        return self.reply


@pytest.fixture
def exchange(free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchange]:
    """It takes what `run` sends."""
    settings, eml = tmp_path / "s.toml", tmp_path / "mail.eml"
    submission = f"[submission]\nhost = '127.0.0.1'\nport = {free_port}\n"
    settings.write_text(f"[account]\naddress = 'alice@acme.example'\n{submission}")
    eml.write_bytes(b"To: bob@acme.example\r\n\r\nhello\r\n")
    monkeypatch.setattr(sys, "argv", ["addin-sim", "send", "--settings", str(settings), "--eml", str(eml)])
    controller = Controller(handler := Exchange(), hostname="127.0.0.1", port=free_port)
    controller.start()
    yield handler
    controller.stop()


@pytest.mark.parametrize(("reply", "status"), [("250 2.0.0 Ok", 0), ("550 5.7.1 never", 1)])
def test_the_reply_of_a_mail_server_steers_no_terminal(
    exchange: Exchange, capsys: pytest.CaptureFixture[str], reply: str, status: int
) -> None:
    exchange.reply = reply + CLEAR_SCREEN
    with pytest.raises(SystemExit) as ended:
        run()
    said = "".join(capsys.readouterr())
    assert (ended.value.code or 0) == status
    assert f"{reply}\\x1b[2J" in said and "\x1b" not in said


def test_what_was_sent_is_not_denied_by_a_full_disk(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange.reply = "250 2.0.0 Ok"
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            run()
    assert ended.value.code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(
        "Standard output cannot be written: No space left on device. What was done before that stands"
    )


def test_problems_of_a_pass_and_failures_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False, ime=1)
    screen.passed(SyncReport(problems=[f"bad{CLEAR_SCREEN}\nforged"], remarks=["odd\r"]))
    screen.failed("gone\x07.")
    screen.failed("no stop")
    assert capsys.readouterr().err.splitlines() == [
        "bad\\x1b[2J\\nforged",
        "odd\\r",
        "gone\\x07. Trying again.",
        "no stop. Trying again.",
    ]


def test_a_refusal_may_have_a_line_for_each_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        refuse(f"s.toml:1: a\ns.toml:2: b{CLEAR_SCREEN}")
    assert capsys.readouterr().err.splitlines() == ["s.toml:1: a", "s.toml:2: b\\x1b[2J"]
