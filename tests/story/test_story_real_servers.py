"""The main job through real servers: add-in, Postfix as Exchange, gateway, Dovecot, openssl."""

import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.openssl import decrypt
from tests.servers.dovecot import PASSWORD
from tests.servers.gateway import COMMANDS
from tests.story.world import World, open_world, subject_of

MARKER = "saffron-lantern-2208"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("story")) as opened:
        yield opened


def addin(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    settings = world.folder / "outlook.toml"
    settings.write_text(
        f"""[account]
address = "anna@acme.example"
display_name = "Anna Adler"
[submission]
host = "127.0.0.1"
port = {world.postfix.port}
[mailbox]
host = "127.0.0.1"
port = {world.dovecot.imap_port}
user = "anna@acme.example"
password = "{PASSWORD}"
tls = "off"
"""
    )
    return subprocess.run(
        [str(COMMANDS / "addin-sim"), *words, "--settings", str(settings)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def wait_for_sent_copies(world: World, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        found = [mail for mail in world.dovecot.mails("anna@acme.example") if b"-sentcopy: yes" in mail]
        if len(found) == wanted:
            return
        assert time.monotonic() < deadline, f"{len(found)} sent copies, not {wanted}"
        time.sleep(0.2)


def test_from_outlook_to_everybody_and_back_into_sent_items(world: World) -> None:
    (world.folder / "mail.eml").write_text(f"Subject: numbers\nContent-Type: text/plain\n\nThe code is {MARKER}.\n")
    sent = addin(
        world, "send", "--eml", str(world.folder / "mail.eml"), "--ime", "1", "--to", "bob@acme.example",
        "--cc", "carol@acme.example", "--bcc", "dora@acme.example",
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    for name in ("bob", "carol", "dora"):
        mail = world.inbox(name, 1)[0]
        assert MARKER.encode() not in mail
        clear = decrypt(mail, world.people[name])
        assert clear is not None and MARKER.encode() in clear
        for other in {"anna", "bob", "carol", "dora"} - {name} - ({"bob", "carol"} if name != "dora" else set()):
            assert decrypt(mail, world.people[other]) is None, f"{other} reads the mail of {name}"
        assert b"dora" not in mail.partition(b"\r\n\r\n")[0].lower() or name == "dora"
        assert not re.search(rb"(?im)^x-sm-orig", mail)
    wait_for_sent_copies(world, 1)
    assert addin(world, "sync").returncode == 0
    wait_for_sent_copies(world, 0)
    filed = [mail for mail in world.dovecot.mails("anna@acme.example", "Sent Items") if subject_of(mail) == "numbers"]
    assert len(filed) == 1
    assert MARKER.encode() not in filed[0] and b"sentcopy" not in filed[0].lower()
    clear = decrypt(filed[0], world.people["anna"])
    assert clear is not None and MARKER.encode() in clear
    world.gateway.wait_until_empty()
    story = world.gateway.json("track", "--to", "dora@acme.example")
    assert [(line["event"], line["reason"]) for line in story] == [
        ("accepted", "personal-certificate"),
        ("delivered", "personal-certificate"),
    ]


def test_a_refusal_reaches_the_sender_as_a_report_and_nobody_gets_anything(world: World) -> None:
    before = {name: len(world.dovecot.mails(world.address(name))) for name in ("bob", "anna")}
    (world.folder / "refused.eml").write_text(f"Subject: refused\n\n{MARKER}-refused\n")
    sent = addin(
        world, "send", "--eml", str(world.folder / "refused.eml"), "--to", "bob@acme.example",
        "--to", "nobody@acme.example",
    )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    reports = world.inbox("anna", before["anna"] + 1)
    report = next(mail for mail in reports if b"delivery-status" in mail)
    assert b"550 5.7.1" in report and b"nobody@acme.example" in re.sub(rb"\s+", b"", report)
    assert len(world.dovecot.mails("bob@acme.example")) == before["bob"]
    assert not [mail for mail in world.dovecot.mails("bob@acme.example") if subject_of(mail) == "refused"]
    refused = world.gateway.json("track", "--to", "nobody@acme.example")
    assert [(line["event"], line["reason"]) for line in refused] == [("refused", "no-certificate")]
