"""The books of a rehearsal: what never came, came twice, came late or was refused, and what nobody can know yet."""

from addin_sim.rehearsal.judgement import Deviation, Kind
from addin_sim.rehearsal.ledger import Ledger
from addin_sim.rehearsal.letters import Letter
from addin_sim.rehearsal.timings import Step, Timings, summary
from tests.rehearsal_cast import ADA, BEAT, CHIARA, a_letter

SLOW = 30.0


def books(*letters: Letter, at: float = 100.0) -> Ledger:
    ledger = Ledger(Timings(), SLOW)
    for letter in letters:
        ledger.enter(letter)
        ledger.accepted(letter, at)
    return ledger


def shown(found: list[Deviation]) -> list[tuple[Kind, str]]:
    return [(deviation.kind, deviation.person) for deviation in found]


def test_everything_seen_is_no_deviation() -> None:
    letter = a_letter()
    ledger = books(letter)
    for reader in letter.readers:
        ledger.arrived(letter, reader, 101.0, [])
    assert (ledger.open_mails(), ledger.awaited(ADA)) == (1, [letter])
    ledger.filed(letter, 102.0, [])
    assert (ledger.open_mails(), ledger.open_mails(ADA), ledger.awaited(ADA)) == (0, 0, [])
    assert ledger.closed() == []
    tally = ledger.tally()
    assert (tally.sent, tally.deliveries, tally.arrived, tally.copies_filed, tally.deviations) == (1, 2, 2, 1, 0)


def test_a_mail_that_a_reader_never_got() -> None:
    letter = a_letter()
    ledger = books(letter)
    ledger.arrived(letter, BEAT, 101.0, [])
    ledger.filed(letter, 101.0, [])
    assert (ledger.open_mails(), ledger.awaited(ADA)) == (1, []), "nobody waits for the copy any more"
    (found,) = ledger.closed()
    assert (found.kind, found.person, found.message_id) == (Kind.MISSING, CHIARA, letter.message_id)


def test_a_mail_that_came_though_its_acceptance_was_never_told() -> None:
    """The connection broke before the reply: it is not called refused."""
    letter = a_letter()
    ledger = Ledger(Timings(), SLOW)
    ledger.enter(letter)
    ledger.arrived(letter, BEAT, 101.0, [])
    assert shown(ledger.closed()) == [(Kind.MISSING, CHIARA), (Kind.COPY_MISSING, ADA)]


def test_a_copy_that_was_never_filed() -> None:
    letter = a_letter(bcc=())
    ledger = books(letter)
    ledger.arrived(letter, BEAT, 101.0, [])
    assert shown(ledger.closed()) == [(Kind.COPY_MISSING, ADA)]


def test_a_mail_that_came_twice() -> None:
    letter = a_letter(bcc=())
    ledger = books(letter)
    assert [ledger.arrived(letter, BEAT, 101.0, []) for _ in range(2)] == [True, False]
    ledger.filed(letter, 101.0, [])
    assert shown(ledger.closed()) == [(Kind.DOUBLED, BEAT)]


def test_two_copies_are_told_once_whoever_notices() -> None:
    letter = a_letter(bcc=())
    ledger = books(letter)
    ledger.arrived(letter, BEAT, 101.0, [])
    ledger.two_copies(letter)
    for _ in range(3):
        ledger.filed(letter, 101.0, [])
    assert shown(ledger.closed()) == [(Kind.DOUBLED, ADA)]


def test_late_is_a_deviation_from_the_given_second_on() -> None:
    letter = a_letter()
    ledger = books(letter)
    ledger.arrived(letter, BEAT, 100.0 + SLOW, [])
    ledger.arrived(letter, CHIARA, 100.5 + SLOW, [])
    ledger.filed(letter, 107.0 + SLOW, [])
    found = ledger.closed()
    assert shown(found) == [(Kind.SLOW, CHIARA), (Kind.SLOW, ADA)]
    assert "after 37 s" in found[1].sentence


def test_what_a_reader_found_is_kept_and_a_wrong_reader_settles_nothing() -> None:
    letter = a_letter(bcc=())
    ledger = books(letter)
    wrong = Deviation(Kind.WRONG_RECIPIENT, CHIARA, "It is not for her.", letter.message_id)
    assert not ledger.arrived(letter, CHIARA, 101.0, [wrong])
    ledger.filed(letter, 101.0, [])
    assert shown(ledger.closed()) == [(Kind.WRONG_RECIPIENT, CHIARA), (Kind.MISSING, BEAT)]


def test_a_refused_mail_is_one_deviation_and_nothing_else_is_awaited() -> None:
    letter = a_letter()
    ledger = books(letter)
    for _ in range(2):
        ledger.refused(letter, "550 5.7.1 no certificate")
    assert shown(ledger.closed()) == [(Kind.REFUSED, ADA)]
    assert (ledger.open_mails(), ledger.awaited(ADA), ledger.tally().deliveries) == (0, [], 0)


def test_a_mail_that_no_server_ever_took() -> None:
    ledger = Ledger(Timings(), SLOW)
    ledger.enter(a_letter())
    (found,) = ledger.closed()
    assert (found.kind, found.person) == (Kind.REFUSED, ADA)
    assert ledger.tally().sent == 0


def test_an_early_end_judges_only_what_is_late() -> None:
    old, new, done = a_letter(1), a_letter(2), a_letter(3, bcc=())
    ledger = books(old, done)
    ledger.enter(new)
    ledger.accepted(new, 128.0)
    ledger.arrived(done, BEAT, 101.0, [])
    ledger.filed(done, 101.0, [])
    ledger.abandon(131.0)
    assert {deviation.message_id for deviation in ledger.closed()} == {old.message_id}
    assert [ledger.is_under_way(letter) for letter in (old, new, done)] == [False, True, False]
    assert ledger.tally().under_way == 1


def test_what_was_seen_everywhere_is_done_once_however_late_a_refusal_comes() -> None:
    letter, refused = a_letter(1, bcc=()), a_letter(2, bcc=())
    ledger = books(letter, refused)
    ledger.arrived(letter, BEAT, 101.0, [])
    ledger.filed(letter, 102.0, [])
    ledger.refused(letter, "554 5.7.1 and yet it came")
    ledger.refused(refused, "554 5.7.1 no")
    ledger.arrived(refused, BEAT, 103.0, [])
    assert (ledger.open_mails(), ledger.open_mails(ADA)) == (0, 0)
    ledger.abandon(104.0)
    assert not ledger.is_under_way(letter)


def test_without_an_early_end_nothing_is_under_way() -> None:
    letter = a_letter()
    ledger = books(letter)
    assert not ledger.is_under_way(letter)
    assert len(ledger.closed()) == 3


def test_times_run_from_acceptance() -> None:
    letter = a_letter(bcc=())
    timings = Timings()
    ledger = Ledger(timings, SLOW)
    ledger.enter(letter)
    ledger.accepted(letter, 100.0)
    ledger.accepted(letter, 200.0)
    ledger.arrived(letter, BEAT, 103.0, [])
    ledger.filed(letter, 104.0, [])
    steps = timings.summaries()
    assert (steps[Step.ARRIVE].p50, steps[Step.FILE].p50) == (3.0, 4.0)


def test_percentiles_are_times_that_were_measured() -> None:
    found = summary([float(number) for number in range(200, 0, -1)])
    assert found is not None
    assert (found.count, found.p50, found.p95, found.p99, found.longest) == (200, 100.0, 190.0, 198.0, 200.0)
    assert summary([]) is None
    only = summary([7.0])
    assert only is not None
    assert (only.p50, only.p99) == (7.0, 7.0)
