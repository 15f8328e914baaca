"""What servers and strangers say is shown, and never obeyed by the terminal."""

import socket
import threading
from pathlib import Path

import pytest

from addin_sim import cli
from addin_sim.sent_items import SyncReport
from addin_sim.terminal import Screen

FORGED = "550 no\x1b[2K\r\n250 queued\x9b"
SHOWN = "550 no\\x1b[2K\\r\\n250 queued\\x9b"
SETTINGS = """
[account]
address = "alice@acme.example"
[submission]
host = "127.0.0.1"
port = {port}
starttls = false
"""


def test_problems_of_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False, ime=2)
    screen.passed(SyncReport(problems=[FORGED], remarks=[FORGED]))
    screen.failed(FORGED)
    assert capsys.readouterr().err.splitlines() == [SHOWN, SHOWN, f"{SHOWN} Trying again."]


def test_what_a_mail_server_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"554 \x1b[2K\x1b[A250 queued\r\n")

        greeter = threading.Thread(target=greet)
        greeter.start()
        settings, mail = tmp_path / "outlook.toml", tmp_path / "mail.eml"
        settings.write_text(SETTINGS.format(port=listening.getsockname()[1]))
        mail.write_text("To: bob@acme.example\n\nhello\n")
        monkeypatch.setattr("sys.argv", ["addin-sim", "send", "--settings", str(settings), "--eml", str(mail)])
        with pytest.raises(SystemExit):
            cli.run()
        greeter.join()
    assert "554 \\x1b[2K\\x1b[A250 queued" in capsys.readouterr().err
