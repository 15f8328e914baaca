"""Each kind of deviation that one mail can show is planted, and found; the right mail shows none."""

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from addin_sim.raw_mail import RawMail, make_field, parse
from addin_sim.rehearsal.judgement import Deviation, Kind, judge_copy, judge_delivery
from addin_sim.rehearsal.letters import Letter, written
from tests.rehearsal_cast import ADA, BEAT, CHIARA, a_letter, cast


def judged(letter: Letter, mail: RawMail | bytes, reader: str = BEAT, *, has_key: bool = True) -> list[Deviation]:
    data = mail if isinstance(mail, bytes) else mail.to_bytes()
    return judge_delivery(letter, data, cast().reader(reader, has_key=has_key), cast().names)


def kinds(found: list[Deviation]) -> list[Kind]:
    return [deviation.kind for deviation in found]


def test_the_right_mail_shows_nothing() -> None:
    letter = a_letter()
    assert judged(letter, cast().sealed(letter, [BEAT])) == []
    assert judged(letter, cast().sealed(letter, [CHIARA]), CHIARA) == []


def test_the_right_copy_shows_nothing_and_may_name_blind_readers() -> None:
    letter = a_letter()
    copy = cast().sealed(letter, [ADA], inner=written(letter), copy=True)
    assert judge_copy(letter, copy.to_bytes(), cast().reader(ADA)) == []


def test_a_mail_for_somebody_else() -> None:
    letter = a_letter(bcc=())
    (found,) = judged(letter, cast().sealed(letter, [CHIARA]), CHIARA)
    assert (found.kind, found.person, found.message_id) == (Kind.WRONG_RECIPIENT, CHIARA, letter.message_id)
    assert BEAT in found.sentence
    assert kinds(judged(letter, in_clear(letter), CHIARA)) == [Kind.WRONG_RECIPIENT, Kind.CLEAR]


def in_clear(letter: Letter) -> bytes:
    return parse(written(letter)).without("Bcc").to_bytes()


def hidden_by(encoding: str, letter: Letter) -> bytes:
    """The text part in base64 or quoted-printable, as a server may convert it: the word stands there, not its bytes."""
    if encoding == "base64":
        text = base64.encodebytes(f"Word: {letter.secret}".encode()).replace(b"\n", b"\r\n")
    else:
        text = f"Word: {letter.secret.replace('canary', 'can=61ry')}\r\n".encode()
    return (
        (
            f"Message-ID: {letter.message_id}\r\nContent-Type: multipart/mixed; boundary=edge\r\n\r\n"
            f"--edge\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        ).encode()
        + text.rstrip(b"\r\n")
        + b"\r\n--edge--\r\n"
    )


def posing_as_encrypted(letter: Letter) -> bytes:
    """The media type says enveloped, the base64 holds the mail itself."""
    mail = replace(parse(written(letter)).without("Bcc", "Content-Type"), body=base64.encodebytes(written(letter)))
    mail = mail.put(make_field("Content-Type", "application/pkcs7-mime; smime-type=enveloped-data"))
    return mail.put(make_field("Content-Transfer-Encoding", "base64")).to_bytes()


def only_signed(letter: Letter) -> bytes:
    """Opaque signed: base64 too, and readable by everybody."""
    keys = cast().keys[ADA]
    builder = pkcs7.PKCS7SignatureBuilder().set_data(written(letter))
    builder = builder.add_signer(keys.certificate, keys.private_key, hashes.SHA256())
    signed = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    head = f"Message-ID: {letter.message_id}\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\n"
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(signed)


CLEAR = {
    "as it was written": in_clear,
    "in base64": lambda letter: hidden_by("base64", letter),
    "quoted-printable": lambda letter: hidden_by("quoted-printable", letter),
    "posing as encrypted": posing_as_encrypted,
    "only signed": only_signed,
}


@pytest.mark.parametrize("has_key", [True, False], ids=["with a key", "without a key"])
@pytest.mark.parametrize("way", CLEAR)
def test_the_word_in_clear_is_found_however_it_is_dressed(way: str, has_key: bool) -> None:
    letter = a_letter()
    data = CLEAR[way](letter)
    (found,) = [each for each in judged(letter, data, has_key=has_key) if each.kind is not Kind.BCC_VISIBLE]
    assert (found.kind, found.sentence.endswith("can be read without a key.")) == (Kind.CLEAR, True)
    assert Kind.CLEAR in kinds(judge_copy(letter, data, cast().reader(ADA, has_key=has_key)))


def test_not_encrypted_is_clear_even_without_the_word() -> None:
    letter = a_letter(bcc=())
    mail = f"Message-ID: {letter.message_id}\r\nContent-Type: text/plain\r\n\r\nremoved by a filter\r\n".encode()
    (found,) = judged(letter, mail)
    assert found.kind is Kind.CLEAR
    assert "text/plain" in found.sentence
    assert judged(letter, mail, has_key=False) == [], "nobody expects encryption to somebody without a key"


def test_a_blind_copy_in_the_header() -> None:
    letter = a_letter()
    for name in ("Bcc", "X-SM-ORIGBCC", "Received"):
        mail = cast().sealed(letter, [BEAT]).add(make_field(name, f"for <{CHIARA.upper()}>; today"))
        (found,) = judged(letter, mail)
        assert found.kind is Kind.BCC_VISIBLE
        assert f"{CHIARA} shows in its header" in found.sentence


def test_a_blind_copy_in_an_encoded_word_of_the_header() -> None:
    letter = a_letter()
    word = base64.b64encode(CHIARA.encode()).decode()
    mail = cast().sealed(letter, [BEAT]).add(make_field("X-Note", f"=?utf-8?b?{word}?="))
    assert kinds(judged(letter, mail)) == [Kind.BCC_VISIBLE]


def test_a_blind_copy_in_the_encrypted_part() -> None:
    letter = a_letter()
    (found,) = judged(letter, cast().sealed(letter, [BEAT], inner=written(letter)))
    assert found.kind is Kind.BCC_VISIBLE
    assert "the encrypted part" in found.sentence


def test_a_blind_copy_in_the_list_of_keys() -> None:
    letter = a_letter()
    (found,) = judged(letter, cast().sealed(letter, [BEAT, CHIARA]))
    assert found.kind is Kind.BCC_VISIBLE
    assert "the list of keys" in found.sentence


def test_a_blind_copy_in_a_text_that_nobody_has_a_key_for() -> None:
    letter = a_letter()
    mail = f"Message-ID: {letter.message_id}\r\nContent-Type: text/plain\r\n\r\nAlso to {CHIARA}.\r\n".encode()
    (found,) = judged(letter, mail, has_key=False)
    assert found.sentence.endswith(f"The blind copy to {CHIARA} shows in its text.")


def test_a_blind_copy_to_the_sender_is_no_secret() -> None:
    letter = a_letter(bcc=(ADA,))
    assert judged(letter, cast().sealed(letter, [BEAT]).put(make_field("From", ADA))) == []


def test_of_two_blind_readers_each_may_see_the_own_address_only() -> None:
    letter = a_letter(bcc=(CHIARA, "user004@acme.example"))
    own = cast().sealed(letter, [CHIARA]).add(make_field("Received", f"for <{CHIARA}>; today"))
    assert judged(letter, own, CHIARA) == []
    (found,) = judged(letter, own.add(make_field("Bcc", ", ".join(letter.bcc))), CHIARA)
    assert found.sentence.endswith("user004@acme.example shows in its header.")


def test_a_longer_address_is_not_the_blind_one() -> None:
    letter = a_letter()
    longer = f"x{CHIARA}, x.{CHIARA}, {CHIARA}.test"
    assert judged(letter, cast().sealed(letter, [BEAT]).add(make_field("X-Note", longer))) == []


def test_a_mail_that_another_key_opens() -> None:
    letter = a_letter(bcc=())
    (found,) = judged(letter, cast().sealed(letter, [CHIARA]))
    assert found.kind is Kind.UNREADABLE


def test_a_broken_envelope() -> None:
    letter = a_letter(bcc=())
    mail = cast().sealed(letter, [BEAT])
    assert kinds(judged(letter, replace(mail, body=mail.body[:200]))) == [Kind.UNREADABLE]


def test_openssl_that_does_not_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addin_sim.rehearsal.opening._OPENSSL_SECONDS", 0.0)
    letter = a_letter(bcc=())
    mail = cast().sealed(letter, [BEAT])
    (found,) = judged(letter, replace(mail, body=mail.body[:200]))
    assert (found.kind, "openssl took longer" in found.sentence) == (Kind.UNREADABLE, True)


def test_a_changed_text_or_attachment_and_another_mail() -> None:
    letter = a_letter(bcc=())
    right = written(letter)
    for wrong in (right.replace(b"Line 07", b"Line 77"), right.replace(b"base64\r\n", b"base64\r\n", 1)[:-120]):
        (found,) = judged(letter, cast().sealed(letter, [BEAT], inner=wrong))
        assert (found.kind, "differ" in found.sentence) == (Kind.CHANGED, True)
    other = written(a_letter(8, bcc=()))
    (found,) = judged(letter, cast().sealed(letter, [BEAT], inner=other))
    assert (found.kind, "another mail" in found.sentence) == (Kind.CHANGED, True)


def test_a_copy_for_another_key() -> None:
    letter = a_letter()
    found = judge_copy(letter, cast().sealed(letter, [BEAT], copy=True).to_bytes(), cast().reader(ADA))
    assert kinds(found) == [Kind.UNREADABLE]
