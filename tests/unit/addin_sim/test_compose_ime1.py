"""What the add-in submits: recipients in headers of their own, one recipient on the envelope."""

import pytest

from addin_sim.compose import compose
from addin_sim.ime1 import for_ime1
from addin_sim.outlook_settings import IME1_RECIPIENT, Account
from addin_sim.raw_mail import RawMail, UnusableMailError, parse

ACCOUNT = Account(address="alice@acme.example", display_name="Alice Ackermann, Dr.")
WRITTEN = b"To: Bob <bob@acme.example>\nCc: carol@acme.example\nBcc: dora@partner.example\nSubject: Plan\n\nHello\n"


def composed(eml: bytes = WRITTEN, **recipients: list[str]) -> RawMail:
    return compose(eml, ACCOUNT, moment=1_795_000_000.0, unique="abc", **recipients)  # type: ignore[arg-type]


def test_what_is_missing_is_added_and_the_rest_kept() -> None:
    mail = composed()
    assert mail.value("From") == '"Alice Ackermann, Dr." <alice@acme.example>'
    assert mail.value("Date") == "Wed, 18 Nov 2026 11:06:40 +0000"
    assert mail.value("Message-ID") == "<abc@acme.example>"
    assert mail.value("To") == "Bob <bob@acme.example>"
    assert mail.body == b"Hello\r\n"


def test_what_is_there_stays() -> None:
    eml = b"From: other@acme.example\r\nDate: yesterday\r\nMessage-ID: <mine@x>\r\n" + WRITTEN.replace(b"\n", b"\r\n")
    assert composed(eml).to_bytes() == eml


def test_recipients_on_the_command_line_replace_the_field_of_that_name() -> None:
    mail = composed(to=["x@a.example", "Y <y@a.example>"], bcc=["z@a.example"])
    assert mail.value("To") == "x@a.example, Y <y@a.example>"
    assert mail.value("Cc") == "carol@acme.example"
    assert mail.value("Bcc") == "z@a.example"


@pytest.mark.parametrize("address", ["nobody", "a@b.example\r\nBcc: c@d.example"])
def test_bad_recipients_are_refused(address: str) -> None:
    with pytest.raises(UnusableMailError):
        composed(to=[address])


def test_a_file_without_header_is_no_mail() -> None:
    with pytest.raises(UnusableMailError):
        composed(b"just text\n")


def test_ime1_moves_every_recipient() -> None:
    outgoing = for_ime1(composed(), IME1_RECIPIENT)
    mail = parse(outgoing.data)
    assert outgoing.recipient == IME1_RECIPIENT
    assert mail.value("To") == IME1_RECIPIENT
    assert not mail.all("Cc")
    assert not mail.all("Bcc")
    assert mail.value("X-SM-ORIGTO") == "Bob <bob@acme.example>"
    assert mail.value("X-SM-ORIGCC") == "carol@acme.example"
    assert mail.value("X-SM-ORIGBCC") == "dora@partner.example"
    assert mail.value("Subject") == "Plan"
    assert mail.body == b"Hello\r\n"


def test_ime1_with_blind_recipients_only() -> None:
    mail = parse(for_ime1(composed(b"Bcc: dora@partner.example\n\nx\n"), IME1_RECIPIENT).data)
    assert mail.value("To") == IME1_RECIPIENT
    assert not mail.all("X-SM-ORIGTO")
    assert mail.value("X-SM-ORIGBCC") == "dora@partner.example"


def test_ime1_joins_fields_and_drops_forged_ones() -> None:
    eml = b"To: a@x.example\nTo: b@x.example\nX-SM-ORIGBCC: spy@evil.example\n\nx\n"
    mail = parse(for_ime1(composed(eml), IME1_RECIPIENT).data)
    assert mail.value("X-SM-ORIGTO") == "a@x.example, b@x.example"
    assert not mail.all("X-SM-ORIGBCC")


def test_ime1_without_recipients_is_refused() -> None:
    with pytest.raises(UnusableMailError, match="no recipient"):
        for_ime1(composed(b"Subject: x\n\nx\n"), IME1_RECIPIENT)
