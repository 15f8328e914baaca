"""What an unforeseen error leaves in the log: where it happened, and nothing that it quotes."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from ime_gateway.app.logs import configure_logs
from ime_gateway.base.errors import StoreUnavailable
configure_logs()
try:
    raise {error}
except Exception:
    structlog.get_logger("x").exception("unexpected error", subject_like="a\\nb")
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ValueError('the clear text kumquat')", False),
        ("UnicodeDecodeError('utf-8', b'kumquat', 0, 1, 'bad')", False),
        ("KeyError('kumquat')", False),
        ("StoreUnavailable('kumquat')", True),
        ("OSError(28, 'kumquat')", True),
    ],
)
def test_words_of_foreign_errors_stay_out(error: str, said: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(error=error)], capture_output=True, text=True, check=True, timeout=60
    )
    (line,) = done.stderr.splitlines()
    entry = json.loads(line)
    assert entry["event"] == "unexpected error" and entry["at"].endswith("Z")
    assert error.partition("(")[0] in entry["exception"] and "<string>:7" in entry["exception"]
    assert ("kumquat" in line) is said
