"""What a played Outlook makes of a mail server's answers: taken, refused for good, or not just now."""

from pathlib import Path

import pytest

from addin_sim.outbox import Outbox, State
from addin_sim.outlook_settings import load
from addin_sim.rehearsal import sender as rehearsal_sender
from addin_sim.rehearsal.judgement import Kind
from addin_sim.rehearsal.ledger import Ledger
from addin_sim.rehearsal.people import players
from addin_sim.rehearsal.sender import Sender
from addin_sim.rehearsal.timings import Step, Timings
from addin_sim.submission import Accepted, Refused
from tests.doubles.memory_mailbox import MemoryMailbox
from tests.ime_contact import ADDRESS, contact_of
from tests.pki import make_user
from tests.rehearsal_cast import ADA, a_letter, cast

IME_ADDRESS = "dca@ime.acme.example"
LATER, NEVER = Refused("451", "451 4.3.2 later", for_good=False), Refused("550", "550 5.7.1 never", for_good=True)


class Writing:
    """Ada's sender, before a mail server that gives these answers in turn."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *answers: Accepted | Refused) -> None:
        (folder / "ime.pem").write_bytes(make_user(IME_ADDRESS).pem)
        settings = folder / "outlook.toml"
        settings.write_text(
            f'[account]\naddress = "{ADA}"\n[submission]\nhost = "127.0.0.1"\nport = 9\n'
            f'[registry]\nInternalRecipient = "{IME_ADDRESS}"\n[container]\nime_certificate = "ime.pem"\n'
        )
        outlook = load(settings)
        self.timings = Timings()
        self.ledger = Ledger(self.timings, 30.0)
        self.outbox = Outbox(outlook.profile)
        self.mailbox = MemoryMailbox()
        self.handed_in: list[tuple[str, bytes]] = []
        left = list(answers)

        def hand_in(_: object, recipients: list[str], data: bytes) -> Accepted | Refused:
            self.handed_in.append((recipients[0], data))
            return left.pop(0)

        monkeypatch.setattr(rehearsal_sender, "hand_in", hand_in)
        self.sender = Sender(
            outlook, cast().keys[ADA], self.outbox, self.ledger, self.timings, lambda: self.mailbox
        )  # fmt: skip
        self.sender.find()

    def deviations(self) -> list[Kind]:
        return [deviation.kind for deviation in self.ledger.closed()]


def test_ime_2_that_no_server_takes_at_once_waits_and_counts_when_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Writing(tmp_path, monkeypatch, LATER, Accepted("250 ok"))
    writing.sender.send(a_letter(1, ime=2))
    assert (writing.ledger.open_mails(), writing.ledger.tally().sent, writing.ledger.tally().refused) == (1, 0, 0)
    assert len(writing.outbox.items()) == 1
    writing.sender.hand_in(*writing.handed_in[0])  # as the add-in's pass does
    assert writing.ledger.tally().sent == 1
    assert Kind.REFUSED not in writing.deviations()


def test_ime_1_has_no_outbox_so_later_is_never(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(tmp_path, monkeypatch, LATER)
    writing.sender.send(a_letter(1))
    assert writing.ledger.tally().refused == 1, "now, and not only when the books are closed"
    assert writing.deviations() == [Kind.REFUSED]


def test_refused_for_good_leaves_nothing_in_the_outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(tmp_path, monkeypatch, NEVER)
    writing.sender.send(a_letter(1, ime=2))
    assert writing.ledger.tally().refused == 1
    assert writing.deviations() == [Kind.REFUSED]
    assert writing.outbox.items() == []


def test_what_is_taken_waits_for_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(tmp_path, monkeypatch, Accepted("250 ok"))
    writing.sender.send(a_letter(1, ime=2))
    assert [kept.state for kept in writing.outbox.items()] == [State.SENT]
    assert writing.timings.summaries()[Step.SUBMIT].count == writing.ledger.tally().sent == 1


def test_a_mail_that_no_server_takes_is_told_with_the_reason(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "ime.der").write_bytes(contact_of().certificate)
    settings = tmp_path / "outlook.toml"
    settings.write_text(
        f'[account]\naddress = "{ADA}"\n[submission]\nhost = "127.0.0.1"\nport = {free_port}\n'
        f'[registry]\nInternalRecipient = "{ADDRESS}"\n[container]\nime_certificate = "ime.der"\n'
    )
    outlook = players(load(settings), None, 1)[0].outlook
    ledger, timings, outbox = Ledger(Timings(), 30.0), Timings(), Outbox(outlook.profile)
    sender = Sender(outlook, cast().keys[ADA], outbox, ledger, timings, lambda: None)  # type: ignore[arg-type,return-value]
    sender.find()
    sender.send(a_letter(ime=2))
    (kept,) = outbox.items()
    told = [ledger.closed()]
    carrier = outbox.carrier(kept)
    assert carrier is not None
    sender.hand_in(ADDRESS, carrier)
    told.append(ledger.closed())
    for (deviation,) in told:
        assert (deviation.kind, deviation.person) == (Kind.REFUSED, ADA)
        assert f"before the end. The mail server 127.0.0.1:{free_port} cannot be used: " in deviation.sentence
        assert "Connection refused" in deviation.sentence
