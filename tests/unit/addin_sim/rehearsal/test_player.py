"""One played Outlook over a mailbox of files: what is planted there by hand is found, what is right is tidied up."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from addin_sim.ime1 import MARKER, for_ime1
from addin_sim.mailbox.interface import Uid
from addin_sim.mailbox.world_folder import WorldFolderMailbox
from addin_sim.outlook_settings import IME1_RECIPIENT, WorldMailbox, load
from addin_sim.raw_mail import RawMail, make_field, parse
from addin_sim.rehearsal.judgement import Kind
from addin_sim.rehearsal.ledger import Ledger
from addin_sim.rehearsal.letters import Letter, written
from addin_sim.rehearsal.people import Player, players
from addin_sim.rehearsal.player import PlayedOutlook
from addin_sim.rehearsal.timings import Step, Timings
from tests.rehearsal_cast import ADA, BEAT, CHIARA, RUN, a_letter, cast

DATE = "Mon, 23 Nov 2026 10:00:00 +0000"


@functools.cache
def everybody() -> tuple[Player, ...]:
    """Read once: keys are slow."""
    settings = cast().folder / "outlook.toml"
    settings.write_text(f'[account]\naddress = "{ADA}"\n[submission]\nhost = "127.0.0.1"\nport = 9\n')
    return tuple(players(load(settings), cast().crowd.people_file, 3))


class Stage:
    """The outlooks of the cast, and their mailboxes as folders of files."""

    def __init__(self, folder: Path, *, keep: bool = False) -> None:
        self.folder = folder / "mail"
        for address in (ADA, BEAT, CHIARA):
            (self.folder / address).mkdir(parents=True)
        self.timings = Timings()
        self.ledger = Ledger(self.timings, slow=1e9)
        place = {"world_mailbox": WorldMailbox(folder=self.folder)}
        company = [replace(player, outlook=player.outlook.model_copy(update=place)) for player in everybody()]
        self.outlooks = {
            player.address: PlayedOutlook(player, RUN, self.ledger, self.timings, keep=keep) for player in company
        }

    def sent(self, letter: Letter) -> None:
        """Ada has sent it: taken by the server, its marked original in Sent Items."""
        self.ledger.enter(letter)
        self.ledger.accepted(letter, 0.0)
        mail = parse(written(letter)).add(make_field("From", ADA), make_field("Date", DATE))
        original = for_ime1(mail, IME1_RECIPIENT).data
        WorldFolderMailbox(self.folder, ADA).append_to_sent(original, ("\\Seen", MARKER))

    def delivered(self, address: str, mail: RawMail) -> None:
        """Into that Inbox, as the world's mail server names its files."""
        inbox = self.folder / address
        given = sum(file.suffix in (".eml", ".gone") for file in inbox.iterdir())
        (inbox / f"{given + 1:04}.eml").write_bytes(mail.add(make_field("Date", DATE)).to_bytes())

    def copied(self, letter: Letter, address: str = ADA, message_id: str = "") -> None:
        """The sender's own copy, as the gateway sends it."""
        copy = cast().sealed(letter, [ADA], inner=written(letter), copy=True)
        if message_id:
            copy = copy.put(make_field("Message-ID", message_id)).add(make_field("References", letter.message_id))
        self.delivered(address, copy)

    def end(self) -> list[tuple[Kind, str]]:
        """Everybody looks twice and is audited; every deviation, sorted."""
        names = cast().names
        for outlook in self.outlooks.values():
            outlook.look(names)
            outlook.look(names)
            outlook.audit()
        return sorted((deviation.kind, deviation.person) for deviation in self.ledger.closed())

    def left(self, address: str) -> int:
        return len(list((self.folder / address).rglob("*.eml")))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    yield Stage(tmp_path)


def play_well(stage: Stage, letter: Letter) -> None:
    stage.sent(letter)
    for reader in letter.readers:
        stage.delivered(reader, cast().sealed(letter, [reader]))
    stage.copied(letter)


def test_what_is_right_is_no_deviation_and_leaves_nothing(stage: Stage) -> None:
    play_well(stage, a_letter(1))
    play_well(stage, a_letter(2, bcc=()))
    assert stage.end() == []
    assert [stage.left(address) for address in (ADA, BEAT, CHIARA)] == [0, 0, 0]
    steps = stage.timings.summaries()
    assert (steps[Step.ARRIVE].count, steps[Step.FILE].count, steps[Step.OPEN].count) == (3, 2, 5)


def test_everything_stays_when_it_is_to_be_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path, keep=True)
    play_well(stage, a_letter(1))
    assert stage.end() == []
    assert [stage.left(address) for address in (ADA, BEAT, CHIARA)] == [1, 1, 1], "the copy, and what each reader got"


def test_mail_of_others_is_not_touched(stage: Stage) -> None:
    play_well(stage, a_letter(1))
    stage.delivered(BEAT, parse(b"From: a@b.example\r\nMessage-ID: <other@b.example>\r\n\r\nhello\r\n"))
    assert stage.end() == []
    assert stage.left(BEAT) == 1


def test_a_mail_taken_from_a_mailbox_is_missing(stage: Stage) -> None:
    letter = a_letter(1)
    stage.sent(letter)
    stage.delivered(BEAT, cast().sealed(letter, [BEAT]))
    stage.copied(letter)
    assert stage.end() == [(Kind.MISSING, CHIARA)]


def test_a_mail_delivered_twice_is_doubled_and_stays_to_be_looked_at(stage: Stage) -> None:
    letter = a_letter(1, bcc=())
    play_well(stage, letter)
    stage.outlooks[BEAT].look(cast().names)
    stage.delivered(BEAT, cast().sealed(letter, [BEAT]))
    assert stage.end() == [(Kind.DOUBLED, BEAT)]
    assert stage.left(BEAT) == 1


def test_a_mail_that_cannot_be_opened_stays_to_be_looked_at(stage: Stage) -> None:
    letter = a_letter(1, bcc=())
    stage.sent(letter)
    stage.delivered(BEAT, cast().sealed(letter, [CHIARA]))
    stage.copied(letter)
    assert stage.end() == [(Kind.UNREADABLE, BEAT)]
    assert stage.left(BEAT) == 1


def test_a_copy_that_cannot_be_opened_stays_to_be_looked_at(stage: Stage) -> None:
    letter = a_letter(1, bcc=())
    stage.sent(letter)
    stage.delivered(BEAT, cast().sealed(letter, [BEAT]))
    stage.delivered(ADA, cast().sealed(letter, [CHIARA], inner=written(letter), copy=True))
    assert stage.end() == [(Kind.UNREADABLE, ADA)]
    assert stage.left(ADA) == 1


def test_what_the_pass_could_not_do_is_trouble(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    play_well(stage, a_letter(1, bcc=()))
    store = WorldFolderMailbox.append_to_sent

    def changed(mailbox: WorldFolderMailbox, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        return store(mailbox, data + b"a footer\r\n", flags, arrived)

    monkeypatch.setattr(WorldFolderMailbox, "append_to_sent", changed)
    stage.outlooks[ADA].look(cast().names)
    (found,) = [one for one in stage.ledger.closed() if one.kind is Kind.TROUBLE]
    assert found.person == ADA
    assert "the server stored a changed copy" in found.sentence


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "tidied"])
def test_two_copies_at_once_and_one_after_the_other(tmp_path: Path, keep: bool) -> None:
    stage = Stage(tmp_path, keep=keep)
    together, later = a_letter(1, bcc=()), a_letter(2, bcc=())
    for letter in (together, later):
        play_well(stage, letter)
    stage.copied(together)
    stage.outlooks[ADA].look(cast().names)
    stage.copied(later)
    assert stage.end() == [(Kind.DOUBLED, ADA)] * 2


def test_two_copies_under_different_new_names_are_doubled(stage: Stage) -> None:
    letter = a_letter(1, to=(ADA,), bcc=())
    stage.sent(letter)
    stage.delivered(ADA, cast().sealed(letter, [ADA]))
    for name in ("<c1@gw.example>", "<c2@gw.example>"):
        stage.copied(letter, message_id=name)
    assert stage.end() == [(Kind.DOUBLED, ADA)]


def test_an_original_whose_copy_never_came_is_left(stage: Stage) -> None:
    letter = a_letter(1, bcc=())
    stage.sent(letter)
    stage.delivered(BEAT, cast().sealed(letter, [BEAT]))
    assert stage.end() == [(Kind.COPY_MISSING, ADA), (Kind.ORIGINAL_LEFT, ADA)]


def test_an_original_without_its_marker_is_left_too(stage: Stage) -> None:
    letter = a_letter(1, bcc=())
    play_well(stage, letter)
    clear = parse(written(letter)).add(make_field("From", ADA)).to_bytes()
    WorldFolderMailbox(stage.folder, ADA).append_to_sent(clear, ("\\Seen",))
    assert stage.end() == [(Kind.ORIGINAL_LEFT, ADA)]


def test_a_copy_in_clear_is_not_filed_and_is_told(stage: Stage) -> None:
    letter = a_letter(1, bcc=())
    stage.sent(letter)
    stage.delivered(BEAT, cast().sealed(letter, [BEAT]))
    clear = parse(written(letter)).add(make_field("From", ADA), make_field("X-ESWmail-InternalEncrypt-sentcopy", "yes"))
    stage.delivered(ADA, clear)
    assert stage.end() == sorted([(Kind.CLEAR, ADA), (Kind.COPY_MISSING, ADA), (Kind.ORIGINAL_LEFT, ADA)])


def test_somebody_elses_copy_is_a_wrong_recipient_under_either_name(stage: Stage) -> None:
    for number, renamed in ((1, ""), (2, "<c1@gw.example>")):
        letter = a_letter(number, bcc=())
        play_well(stage, letter)
        stage.copied(letter, CHIARA, renamed)
    assert stage.end() == [(Kind.WRONG_RECIPIENT, CHIARA)] * 2


def test_an_early_end_says_nothing_of_what_is_under_way(stage: Stage) -> None:
    stage.sent(a_letter(1))
    stage.ledger.abandon(5.0)
    assert stage.end() == []
