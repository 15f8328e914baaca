"""What the users of a rehearsal write: varied, known again by its number, and the same each time."""

import base64

from addin_sim.raw_mail import make_field, parse
from addin_sim.rehearsal.letters import number_of, pieces_of, plan_letter, written
from tests.rehearsal_cast import ADA, BEAT, CHIARA, RUN, a_letter

PEOPLE = (ADA, BEAT, CHIARA, "user004@acme.example", "user005@acme.example")


def test_a_run_has_everything_that_a_roll_out_meets() -> None:
    letters = [plan_letter(RUN, number, ADA, PEOPLE, (1, 2)) for number in range(1, 200)]
    assert {letter.ime for letter in letters} == {1, 2}
    for version in (1, 2):
        of_version = [letter for letter in letters if letter.ime == version]
        assert any(letter.bcc for letter in of_version)
        assert any(len(letter.bcc) > 1 for letter in letters)
        assert any(letter.cc for letter in of_version)
        assert any(letter.attached for letter in of_version)
        assert any(len(letter.attached) > 1 for letter in of_version)
        assert any(letter.sender in letter.to for letter in of_version)
    for letter in letters:
        assert letter.to
        assert len(set(letter.readers)) == len(letter.readers), "nobody is named twice"
        assert set(letter.readers) <= set(PEOPLE)


def test_alone_one_writes_to_oneself() -> None:
    assert plan_letter(RUN, 1, ADA, (ADA,), (1,)).readers == (ADA,)


def test_it_is_known_again_by_message_id_or_references_of_this_run() -> None:
    letter = a_letter(12)
    mail = parse(written(letter))
    assert number_of(mail, RUN) == 12
    assert number_of(mail, "0ther") is None
    renamed = mail.put(make_field("Message-ID", "<new@gw>")).put(make_field("References", f"<a@b> {letter.message_id}"))
    assert number_of(renamed, RUN) == 12
    assert number_of(mail.without("Message-ID"), RUN) is None


def test_text_and_attachments_stand_in_what_is_written_and_hold_the_word() -> None:
    letter = a_letter(attached=(5000, 900))
    mail = written(letter)
    text, *attachments = pieces_of(letter)
    assert len(attachments) == 2
    assert all(piece in mail for piece in (text, *attachments))
    assert letter.secret.encode() in text
    assert all(letter.secret.encode() in base64.b64decode(piece) for piece in attachments)
    assert written(letter) == mail
    assert a_letter(8).secret != letter.secret


def test_the_header_keeps_the_word_to_itself() -> None:
    letter = a_letter()
    header = written(letter).partition(b"\r\n\r\n")[0]
    assert letter.secret.encode() not in header
    assert f"Bcc: {CHIARA}".encode() in header
