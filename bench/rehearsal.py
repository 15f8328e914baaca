"""How many mails a second one rehearsal drives through a whole company: asked are 50 on two cores.

Everything runs on the same cores: the played Outlooks (find, sign, encrypt, decrypt, compare, file), Postfix as
Exchange, Dovecot with a mailbox each, the gateway with two workers, slapd. A mail has 1.7 recipients and a sent copy
on average, half are IME 1.0, every fourth has attachments (25 KB a mail). First at the rate that is asked, then without
a pause. The processor's time for a mail, of all processes together, depends least on what else the machine does.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import psutil

from addin_sim.outlook_settings import load
from addin_sim.rehearsal.people import players
from addin_sim.rehearsal.performance import Performance, Result, Script
from addin_sim.rehearsal.report import seen_rate, sent_rate
from addin_sim.rehearsal.timings import Step, Timings
from tests.story.rehearsal_world import RehearsalWorld, open_rehearsal

USERS = 20
SECONDS = 20.0
ASKED = 50
"""Mails per second."""
_PACES = {f"{ASKED} a second": USERS / ASKED, "no pause": 0.0}
"""Seconds between two mails of one user."""


def run() -> list[dict[str, object]]:
    """The rows of the table; a deviation ends it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with open_rehearsal(folder, USERS) as world:
            _played(world, 5.0, USERS / ASKED)  # the gateway comes to know the signers, caches are filled
            return [_row(world, pace, each) for pace, each in _PACES.items()]


def _row(world: RehearsalWorld, pace: str, each: float) -> dict[str, object]:
    before = _processor()
    result, timings = _played(world, SECONDS, each)
    spent = _processor() - before + result.processor
    steps = timings.summaries()
    arrive, filed = steps[Step.ARRIVE], steps[Step.FILE]
    return {
        "pace": pace,
        "mails": result.tally.sent,
        "sent/s": f"{sent_rate(result):.1f}",
        "all seen/s": f"{seen_rate(result):.1f}",
        "asked": ASKED,
        "arrive p50/p95/p99 s": "/".join(f"{each:.2f}" for each in (arrive.p50, arrive.p95, arrive.p99)),
        "filed p50/p99 s": f"{filed.p50:.2f}/{filed.p99:.2f}",
        "cpu ms a mail": f"{1000 * spent / result.tally.sent:.0f}",
        "of it ours": f"{1000 * result.processor / result.tally.sent:.0f}",
    }


def _played(world: RehearsalWorld, seconds: float, each: float) -> tuple[Result, Timings]:
    timings = Timings()
    script = Script(seconds, each, at_once=20, patience=120, slow=120, linger=0, versions=(1, 2))
    company = players(load(world.settings), world.crowd.people_file, USERS)
    result = Performance(company, script, timings, lambda line: print(line, file=sys.stderr)).play()
    if result.deviations:
        raise SystemExit(f"the rehearsal found {len(result.deviations)} deviations: {result.deviations[0].sentence}")
    return result, timings


def _processor() -> float:
    """Seconds of processor time of everything that was started here, ended processes included."""
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent
