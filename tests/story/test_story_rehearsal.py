"""`addin-sim rehearse` through real servers: it finds nothing where all is well, and says what is broken on purpose."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from addin_sim.rehearsal.judgement import Kind
from tests.servers.gateway import COMMANDS
from tests.story.rehearsal_world import RehearsalWorld, open_rehearsal

USERS = 3
FIRST, SECOND, THIRD = (f"user00{number}@acme.example" for number in (1, 2, 3))
LOST = 4
"""This mail (IME 1.0) is thrown away by the mail server, which says that it took it."""
ASTRAY = 6
"""This one never reaches the gateway: a rule of the mail server takes it to somebody, as it was written."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RehearsalWorld]:
    folder = tmp_path_factory.mktemp("rehearsal")
    rules = folder / "rules"
    rules.touch()
    extra = folder / "extra"
    extra.touch()
    hooks = f"header_checks = regexp:{rules}\nrecipient_bcc_maps = texthash:{extra}\n"
    with open_rehearsal(folder, USERS, postfix=hooks) as opened:
        yield opened


def rehearse(world: RehearsalWorld, *options: str) -> subprocess.Popen[str]:
    people = ["--people", str(world.crowd.people_file), "--users", str(USERS), "--settings", str(world.settings)]
    command = [str(COMMANDS / "addin-sim"), "rehearse", *people, "--each", "0.2", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(program: "subprocess.Popen[str]") -> tuple[int, Any, str]:
    output, errors = program.communicate(timeout=120)
    assert output, errors
    return program.returncode, json.loads(output), errors


def test_where_all_is_well_it_finds_nothing(world: RehearsalWorld) -> None:
    status, report, errors = ended(rehearse(world, "--minutes", "0.035", "--linger", "0.5", "--json"))
    assert (status, report["details"]) == (0, []), errors
    assert set(report["deviations"]) == {kind.value for kind in Kind}
    mails = report["mails"]
    assert mails["ime1"] >= 5 and mails["ime2"] >= 5, mails
    assert mails["sent"] == mails["ime1"] + mails["ime2"] == report["copies_filed"]
    assert report["deliveries"]["arrived"] == report["deliveries"]["expected"] > mails["sent"]
    counts = {step: figures["count"] for step, figures in report["steps"].items()}
    assert counts["find"] == USERS
    assert counts["arrive"] == report["deliveries"]["arrived"]
    assert counts["open"] == counts["arrive"] + counts["file"]
    for figures in report["steps"].values():
        assert 0 <= figures["p50"] <= figures["p95"] <= figures["p99"] <= figures["longest"]
    for address in world.crowd.addresses:
        assert world.dovecot.mails(address) == world.dovecot.mails(address, "Sent Items") == []
    assert len(world.postfix.accepted_by(world.gateway.port)) >= mails["sent"], "all of it went through the gateway"


def test_ctrl_c_gives_the_report_so_far(world: RehearsalWorld) -> None:
    before = len(world.postfix.accepted_by(world.gateway.port))
    program = rehearse(world, "--minutes", "60", "--linger", "0")
    while len(world.postfix.accepted_by(world.gateway.port)) < before + 3:
        assert program.poll() is None
    program.send_signal(signal.SIGINT)
    output, errors = program.communicate(timeout=120)
    assert program.returncode == 0, errors
    assert "No more mails are sent" in errors
    assert re.match(r"3 users sent \d+ mails \(", output)
    assert "It was ended before its time; 0 mails were still under way" in output
    assert re.search(r"^arrive in a recipient's Inbox +\d", output, re.MULTILINE)
    assert output.endswith("No deviation.\n")


@pytest.fixture
def broken(world: RehearsalWorld) -> Iterator[RehearsalWorld]:
    """Two rules, and two mailboxes whose mail goes to a second place as well; mended and empty for the next test."""
    mail = r"/^Message-ID: <rehearsal-[0-9a-f]+-{}@/"
    rules = f"{mail.format(LOST)} DISCARD\n{mail.format(ASTRAY)} REDIRECT {THIRD}\n"
    set_rules(world, rules, f"{FIRST} {FIRST.replace('@', '+again@')}\n{SECOND} {THIRD}\n")
    yield world
    set_rules(world, "", "")
    world.postfix.wait_until_empty()
    world.gateway.wait_until_empty()
    world.postfix.wait_until_empty()
    for address in world.crowd.addresses:
        world.dovecot.empty(address)


def set_rules(world: RehearsalWorld, rules: str, extra: str) -> None:
    (world.folder / "rules").write_text(rules)
    (world.folder / "extra").write_text(extra)
    subprocess.run(["postfix", "-c", world.postfix.configuration, "reload"], check=True, capture_output=True)


def test_what_is_broken_is_said(broken: RehearsalWorld) -> None:
    world = broken
    options = ("--minutes", "0.035", "--patience", "5", "--linger", "0.5", "--json")
    status, report, errors = ended(rehearse(world, *options))
    assert status == 1
    assert re.search(r"The rehearsal found \d+ deviations\.$", errors.strip())
    told: dict[int, set[str]] = {}
    for detail in report["details"]:
        found = re.search(r"-(\d+)@", detail["message_id"])
        assert found, detail
        told.setdefault(int(found[1]), set()).add(detail["kind"])
    assert told[LOST] == {"missing", "copy-missing", "original-left"}
    assert {"clear", "copy-missing", "original-left"} <= told[ASTRAY]
    people = {(detail["kind"], detail["person"]) for detail in report["details"]}
    assert ("doubled", FIRST) in people, "a second delivery, or a second copy"
    assert ("wrong-recipient", THIRD) in people
    assert {detail["kind"] for detail in report["details"]} == {
        kind for kind, count in report["deviations"].items() if count
    }
    still = [mail for mail in world.dovecot.mails(THIRD) if b"canary-" in mail]
    assert still, "what deviates stays, to be looked at"
