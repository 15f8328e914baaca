"""What was written stays until its copy is there: on the disk, sealed, whoever is killed in between."""

import json
import os
import stat
from pathlib import Path

import pytest

from addin_sim.ime2 import Carrier
from addin_sim.outbox import Outbox, State
from addin_sim.own_keys import ProfileError
from addin_sim.raw_mail import parse
from tests.full_disk import FullDisk

MOMENT = 1_795_000_000.0
DCA = "dca@ime.acme.example"
MAIL = parse(b"Message-ID: <m1@acme.example>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nSubject: secret\r\n\r\nx\r\n")
CARRIER = Carrier(DCA, "<c1@acme.example>", b"Subject: Encrypted message\r\n\r\nMIIB\r\n")


def test_a_mail_is_kept_byte_for_byte_and_closed_to_others(tmp_path: Path) -> None:
    kept = Outbox(tmp_path).keep(MAIL, CARRIER, MOMENT)
    outbox = Outbox(tmp_path)  # another process
    assert outbox.items() == [kept]
    assert outbox.carrier(kept) == CARRIER.data
    assert (kept.state, kept.recipient, kept.carrier_id) == (State.WAITING, DCA, "<c1@acme.example>")
    assert kept.since == MOMENT
    assert (kept.header.value("Message-ID"), kept.header.value("Date")) == (
        "<m1@acme.example>",
        "Sun, 22 Nov 2026 10:00:00 +0000",
    )
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700
    for file in (tmp_path / "outbox").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"secret" not in file.read_bytes()


def test_marks_survive_and_dropping_forgets(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    kept = outbox.keep(MAIL, CARRIER, MOMENT)
    marked = outbox.mark(kept, State.REFUSED, "550 5.7.1 no")
    assert Outbox(tmp_path).find(kept.id) == marked
    assert (marked.state, marked.reply) == (State.REFUSED, "550 5.7.1 no")
    outbox.drop(marked)
    outbox.drop(marked)
    assert outbox.items() == []
    assert list((tmp_path / "outbox").iterdir()) == []
    assert outbox.carrier(marked) is None
    outbox.mark(marked, State.SENT, "too late")
    assert list((tmp_path / "outbox").iterdir()) == [], "what is gone does not come back"
    with pytest.raises(ProfileError, match="outbox list"):
        outbox.find(kept.id)


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    kept = [outbox.keep(MAIL, CARRIER, MOMENT) for _ in range(3)]
    for age, item in enumerate(kept):
        os.utime(tmp_path / "outbox" / f"{item.id}.eml", (1000 - age, 1000 - age))
    assert outbox.items() == kept[::-1]


def test_halves_of_a_mail_are_no_mail(tmp_path: Path) -> None:
    """A kill between the two files of a mail, while it is kept or dropped."""
    outbox = Outbox(tmp_path)
    kept, other = outbox.keep(MAIL, CARRIER, MOMENT), outbox.keep(MAIL, CARRIER, MOMENT)
    (tmp_path / "outbox" / f"{kept.id}.json").unlink()
    (tmp_path / "outbox" / f"{other.id}.eml").unlink()
    assert outbox.items() == []


def test_a_disk_that_takes_nothing_means_that_nothing_is_sent(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with pytest.raises(ProfileError, match="was not sent"):
        Outbox(tmp_path).keep(MAIL, CARRIER, MOMENT)


def test_a_description_of_old_is_as_old_as_its_mail(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    kept = outbox.keep(MAIL, CARRIER, MOMENT)
    description = tmp_path / "outbox" / f"{kept.id}.json"
    facts = json.loads(description.read_bytes())
    del facts["since"]
    description.write_text(json.dumps(facts))
    os.utime(tmp_path / "outbox" / f"{kept.id}.eml", (1000, 1000))
    assert [item.since for item in outbox.items()] == [1000]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"state": "lost"}'])
def test_a_broken_description_is_a_sentence(tmp_path: Path, text: str) -> None:
    outbox = Outbox(tmp_path)
    kept = outbox.keep(MAIL, CARRIER, MOMENT)
    (tmp_path / "outbox" / f"{kept.id}.json").write_text(text)
    with pytest.raises(ProfileError, match=kept.id):
        outbox.items()


def test_a_full_disk_is_a_sentence_and_what_was_noted_stands(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    kept = outbox.keep(MAIL, CARRIER, MOMENT)
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(ProfileError, match=r"outbox cannot be written: File too large.*stay as they are"):
            outbox.mark(kept, State.SENT, "250 Ok")
        with pytest.raises(ProfileError, match="was not sent"):
            outbox.keep(MAIL, CARRIER, MOMENT)
    assert outbox.items() == [kept]
    assert len(list((tmp_path / "outbox").iterdir())) == 2, "nothing unfinished takes room"


def test_a_folder_that_cannot_be_read_or_emptied_is_a_sentence(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    kept = outbox.keep(MAIL, CARRIER, MOMENT)
    description = tmp_path / "outbox" / f"{kept.id}.json"
    description.unlink()
    description.mkdir()
    with pytest.raises(ProfileError, match="cannot be read"):
        outbox.items()
    with pytest.raises(ProfileError, match="cannot be written"):
        outbox.drop(kept)
    assert outbox.carrier(kept) == CARRIER.data
