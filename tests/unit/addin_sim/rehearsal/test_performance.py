"""A whole rehearsal against a mail server that takes everything and delivers nothing: how it ends, what it says."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from addin_sim.mailbox.interface import LoginRefusedError, MailboxError, Uid
from addin_sim.mailbox.world_folder import WorldFolderMailbox
from addin_sim.outlook_settings import load
from addin_sim.rehearsal import performance as performance_module
from addin_sim.rehearsal.judgement import Kind
from addin_sim.rehearsal.people import players
from addin_sim.rehearsal.performance import Performance, Script
from addin_sim.rehearsal.player import PlayedOutlook
from addin_sim.rehearsal.timings import Step, Timings
from addin_sim.world.mail_server import MailServer
from tests.rehearsal_cast import ADA, cast

AT_ONCE = 2


class Black:
    """A mail server whose gateway is away for good, and the three of the cast as its users."""

    def __init__(self, folder: Path, free_port: int) -> None:
        self.server = MailServer(folder, ["acme.example"], retry_seconds=3600)
        self.server.route_to("127.0.0.1", free_port)
        self.server.start()
        self.mailboxes = self.server.mailboxes.folder
        self.mailboxes.mkdir(exist_ok=True)
        self.settings = folder / "outlook.toml"
        self.settings.write_text(
            f'[account]\naddress = "{ADA}"\n[submission]\nhost = "127.0.0.1"\nport = {self.server.port}\n'
            f'[world_mailbox]\nfolder = "{self.mailboxes}"\n'
        )

    def performance(self, timings: Timings, *, seconds: float, patience: float) -> Performance:
        script = Script(seconds, 0.05, AT_ONCE, patience, 30.0, 0.0, (1,))
        company = players(load(self.settings), cast().crowd.people_file, 2)
        return Performance(company, script, timings, lambda _: None)

    def saved(self) -> int:
        return len(list(self.mailboxes.glob("*/sent/*.eml")))


@pytest.fixture
def black(tmp_path: Path, free_port: int) -> Iterator[Black]:
    opened = Black(tmp_path, free_port)
    yield opened
    opened.server.stop()


def test_when_patience_ends_everything_is_missing(black: Black) -> None:
    timings = Timings()
    result = black.performance(timings, seconds=1.5, patience=0.2).play()
    sent = result.tally.sent
    assert 2 <= sent <= 2 * AT_ONCE, "two people write, and nobody has more under way at a time"
    kinds = [deviation.kind for deviation in result.deviations]
    assert set(kinds) == {Kind.MISSING, Kind.COPY_MISSING, Kind.ORIGINAL_LEFT}
    assert kinds.count(Kind.MISSING) == result.tally.deliveries
    assert kinds.count(Kind.COPY_MISSING) == kinds.count(Kind.ORIGINAL_LEFT) == sent == black.saved()
    assert (result.interrupted, result.tally.under_way) == (False, 0)
    assert timings.summaries()[Step.SUBMIT].count == sent
    assert Step.FIND not in timings.summaries(), "IME 1.0 needs no certificate"


def test_a_mistake_of_ours_ends_it_for_everybody(black: Black, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(outlook: PlayedOutlook, _: object) -> None:
        if outlook.address == ADA:
            raise ZeroDivisionError

    monkeypatch.setattr(PlayedOutlook, "look", look)
    with pytest.raises(ZeroDivisionError):
        black.performance(Timings(), seconds=3600, patience=3600).play()


def test_after_trouble_the_mailbox_is_opened_anew_and_the_same_is_told_once(
    black: Black, monkeypatch: pytest.MonkeyPatch
) -> None:
    performance = black.performance(Timings(), seconds=20, patience=20)
    seen: list[str] = []
    close = PlayedOutlook.close

    def look(outlook: PlayedOutlook, _: object) -> None:
        if outlook.address == ADA:
            seen.append("look")
            if seen.count("look") < 3:
                raise MailboxError("The mailbox is gone.")
            performance.interrupt()
            performance.interrupt()

    def closed(outlook: PlayedOutlook) -> None:
        if outlook.address == ADA:
            seen.append("close")
        close(outlook)

    monkeypatch.setattr("addin_sim.rehearsal.performance._AFTER_TROUBLE", 0.0)
    monkeypatch.setattr(PlayedOutlook, "look", look)
    monkeypatch.setattr(PlayedOutlook, "close", closed)
    told = [one.sentence for one in performance.play().deviations if one.kind is Kind.TROUBLE]
    assert told == ["The mailbox is gone."]
    assert seen[:5] == ["look", "close", "look", "close", "look"]


def test_ended_twice_it_ends_at_once_and_condemns_nothing(black: Black, monkeypatch: pytest.MonkeyPatch) -> None:
    performance = black.performance(Timings(), seconds=20, patience=20)

    ended = threading.Event()
    save = WorldFolderMailbox.append_to_sent

    def saved(mailbox: WorldFolderMailbox, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        """The first original lies in Sent Items: end it here, by the two signals of an impatient person."""
        uid = save(mailbox, data, flags, arrived)
        if not ended.is_set():
            ended.set()
            performance.interrupt()
            performance.interrupt()
        return uid

    monkeypatch.setattr(WorldFolderMailbox, "append_to_sent", saved)
    result = performance.play()
    assert result.interrupted
    assert result.deviations == []
    assert result.tally.under_way == result.tally.sent > 0


def test_ended_twice_nobody_waits_again_for_a_mailbox_that_did_not_answer(
    black: Black, monkeypatch: pytest.MonkeyPatch
) -> None:
    performance = black.performance(Timings(), seconds=20, patience=20)
    looks: list[str] = []

    def fail(outlook: PlayedOutlook, _: object) -> None:
        looks.append(outlook.address)
        performance.interrupt()
        performance.interrupt()
        raise MailboxError("timed out")

    monkeypatch.setattr(PlayedOutlook, "look", fail)
    assert {deviation.kind for deviation in performance.play().deviations} == {Kind.TROUBLE}
    assert len(looks) == len(set(looks)), "each asked once at most"


def test_whose_login_was_refused_is_not_logged_in_until_the_account_is_locked(
    black: Black, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []

    def refuse(outlook: PlayedOutlook, _: object) -> None:
        looks.append(outlook.address)
        raise LoginRefusedError("the server refused the login")

    monkeypatch.setattr(PlayedOutlook, "look", refuse)
    monkeypatch.setattr(performance_module, "_AFTER_TROUBLE", 0.01)
    result = black.performance(Timings(), seconds=0.3, patience=0.2).play()
    assert len(looks) == len(set(looks)) == 2
    assert [one.kind for one in result.deviations].count(Kind.TROUBLE) == 2


def test_ended_twice_it_says_whom_it_still_waits_for(black: Black, monkeypatch: pytest.MonkeyPatch) -> None:
    performance = black.performance(Timings(), seconds=20, patience=20)
    said = threading.Event()
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if "owes" in line:
            said.set()

    def wait_for_the_server(_: PlayedOutlook, __: object) -> None:
        performance.interrupt()
        performance.interrupt()
        assert said.wait(20), lines

    monkeypatch.setattr(performance, "_tell", hear)
    monkeypatch.setattr(PlayedOutlook, "look", wait_for_the_server)
    performance.play()
    assert "A server owes 2 of the users an answer: that is waited for, at most timeout_seconds." in lines
