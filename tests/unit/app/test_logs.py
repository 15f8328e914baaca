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


def test_what_libraries_say_is_json_too() -> None:
    program = (
        "import logging\nfrom ime_gateway.app.logs import configure_logs\nconfigure_logs()\n"
        "logging.getLogger('waitress.queue').warning('Task queue depth is %d', 7)\n"
        "try:\n    raise ValueError('kumquat')\n"
        "except ValueError:\n    logging.getLogger('waitress').exception('while serving')\n"
        "logging.getLogger('waitress').info('nothing')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    depth, error = (json.loads(line) for line in done.stderr.splitlines())
    assert (depth["event"], depth["level"], depth["logger"]) == ("Task queue depth is 7", "warning", "waitress.queue")
    assert depth["at"].endswith("Z")
    assert error["event"] == "while serving" and error["exception"].endswith("ValueError")
    assert "kumquat" not in done.stderr


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
