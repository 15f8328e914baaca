"""What a rehearsal tells at its end, for people and for programs, and when it refuses to begin."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from addin_sim.cli import app
from addin_sim.outlook_settings import SettingsError, load
from addin_sim.rehearsal.judgement import Deviation, Kind
from addin_sim.rehearsal.ledger import Tally
from addin_sim.rehearsal.people import players
from addin_sim.rehearsal.performance import Result, Script
from addin_sim.rehearsal.report import as_object, as_text
from addin_sim.rehearsal.timings import Step, Timings
from tests.rehearsal_cast import ADA, BEAT, RUN

SCRIPT = Script(60.0, 1.0, 20, 60.0, 30.0, 2.0, (1, 2))
TALLY = Tally(120, {1: 60, 2: 60}, 1, 200, 199, 118, 0, 0)


def result(*deviations: Deviation, interrupted: bool = False, tally: Tally = TALLY) -> Result:
    return Result(RUN, tally, 60.0, 15.0, 3.25, interrupted, list(deviations))


def steps() -> Timings:
    timings = Timings()
    for hundredths in range(1, 101):
        timings.add(Step.ARRIVE, hundredths / 100)
    return timings


def test_programs_read_every_number() -> None:
    deviations = [
        Deviation(Kind.CLEAR, BEAT, "It can be read.", "<m@acme.example>"),
        Deviation(Kind.TROUBLE, ADA, "No."),
    ]
    told = json.loads(json.dumps(as_object(result(*deviations), SCRIPT, 5, steps().summaries())))
    assert (told["run"], told["users"], told["ime"], told["interrupted"]) == (RUN, 5, ["1.0", "2.0"], False)
    assert told["mails"] == {"sent": 120, "ime1": 60, "ime2": 60, "refused": 1, "under_way": 0, "per_second": 2.0}
    assert told["deliveries"] == {"expected": 200, "arrived": 199}
    assert (told["copies_filed"], told["seen_per_second"], told["slow_seconds"]) == (118, 1.6, 30.0)
    assert told["steps"] == {"arrive": {"count": 100, "p50": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}}
    assert told["deviations"] == {kind.value: int(kind in (Kind.CLEAR, Kind.TROUBLE)) for kind in Kind}
    assert told["details"][0] == {
        "kind": "clear",
        "person": BEAT,
        "message_id": "<m@acme.example>",
        "sentence": "It can be read.",
    }
    assert told["details"][1]["message_id"] is None


def test_people_read_a_page() -> None:
    lines = as_text(result(), 5, steps().summaries()).splitlines()
    assert lines[0] == "5 users sent 120 mails (60 IME 1.0 and 60 IME 2.0) in 60 s: 2.0 a second."
    assert lines[1].startswith("199 of 200 expected deliveries arrived, 118 encrypted copies were filed;")
    assert "15.0 s after the last mail (1.6 mails a second in all)" in lines[1]
    assert lines[3].split() == ["milliseconds", "count", "p50", "p95", "p99", "longest"]
    assert lines[4].split()[-5:] == ["100", "500", "950", "990", "1,000"]
    assert lines[-1] == "No deviation."


def test_people_read_a_few_of_many_deviations() -> None:
    many = [Deviation(Kind.MISSING, BEAT, f"Mail {number} did not arrive.") for number in range(9)]
    text = as_text(result(*many, Deviation(Kind.CLEAR, ADA, "It can be read.")), 1, {})
    assert "10 deviations:\n  missing: 9\n    user002@acme.example: Mail 0 did not arrive.\n" in text
    assert "    and 4 more (--json lists all)\n  clear: 1\n    user001@acme.example: It can be read." in text
    assert "1 deviation:\n" in as_text(result(many[0]), 1, {})


def test_an_early_end_is_said() -> None:
    tally = Tally(3, {1: 3}, 0, 3, 1, 1, 2, 0)
    assert "ended before its time; 2 mails were still under way" in as_text(
        result(interrupted=True, tally=tally), 1, {}
    )


def refused(folder: Path, *options: str, registry: str = "") -> "tuple[int, str]":
    file = folder / "outlook.toml"
    file.write_text(f'[account]\naddress = "{ADA}"\n[submission]\nhost = "127.0.0.1"\n{registry}')
    done = CliRunner().invoke(app, ["rehearse", "--settings", str(file), *options])
    if isinstance(done.exception, SettingsError):
        return 1, str(done.exception)
    return done.exit_code, " ".join(done.output.replace("│", " ").split())


def test_what_cannot_begin_says_why(tmp_path: Path) -> None:
    assert refused(tmp_path, "--users", "3")[1].startswith("3 users need a file that names them")
    status, said = refused(tmp_path, "--ime", "2")
    assert (status, "which means IME 1.0" in said) == (2, True)
    status, said = refused(tmp_path, "--ime", "3")
    assert (status, "must be 1 or 2" in said) == (2, True)
    status, said = refused(tmp_path, registry='[registry]\nInternalRecipient = "dca@ime.acme.example"\n')
    assert (status, "needs the certificate of the IME address" in said) == (1, True)
    status, said = refused(tmp_path)
    assert (status, "The settings have no [mailbox]" in said) == (1, True)


def test_the_people_file_is_explained_where_it_is_asked_for() -> None:
    said = CliRunner().invoke(app, ["rehearse", "--help"]).output
    for word in ("[[person]]", "certificate =", "password_env =", "addin-sim world crowd DIR", "Ctrl-C"):
        assert word in said


@pytest.mark.parametrize("command", ["crowd", "people"])
def test_the_world_writes_people_who_can_play(tmp_path: Path, command: str) -> None:
    words = ["world", command, str(tmp_path / "w"), *(["--users", "3"] if command == "crowd" else [])]
    assert CliRunner().invoke(app, words).exit_code == 0
    people = tmp_path / "w" / "people.toml"
    assert people.stat().st_mode & 0o777 == 0o600
    file = tmp_path / "outlook.toml"
    file.write_text('[account]\naddress = "x@acme.example"\n[submission]\nhost = "127.0.0.1"\n')
    assert all(player.has_key for player in players(load(file), people, 3))
