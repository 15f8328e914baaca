"""Header fields are exchanged one by one; every other byte stays."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addin_sim.raw_mail import UnusableMailError, canonical_newlines, make_field, parse

MAIL = (
    b"Received: from a\r\n\tby b\r\nTo: bob@x.example,\r\n  carol@x.example\r\nX-Odd:no space\r\nthis is no field\r\n"
    b"to: third@x.example\r\nSubject: \xe9t\xe9\r\n\r\nbody\r\n\r\n.\r\n\0\xff end without newline"
)


def test_unchanged_mail_is_identical() -> None:
    assert parse(MAIL).to_bytes() == MAIL


@given(st.binary(max_size=200).map(lambda data: b"A: b\r\n" + canonical_newlines(data) + b"\r\n\r\nbody"))
def test_any_mail_is_identical(data: bytes) -> None:
    assert parse(data).to_bytes() == data


@given(st.binary(max_size=200))
def test_newlines_become_crlf(data: bytes) -> None:
    changed = canonical_newlines(data)
    assert changed.replace(b"\r\n", b"").count(b"\n") == changed.replace(b"\r\n", b"").count(b"\r") == 0
    assert changed.replace(b"\r\n", b"\n") == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def test_values_are_unfolded_and_names_ignore_case() -> None:
    mail = parse(MAIL)
    assert mail.value("TO") == "bob@x.example,  carol@x.example"
    assert [field.value for field in mail.all("To")] == ["bob@x.example,  carol@x.example", "third@x.example"]
    assert mail.value("Subject").encode("utf-8", "surrogateescape") == b"\xe9t\xe9"
    assert mail.value("Bcc") == ""


def test_put_replaces_in_place_and_drops_further_ones() -> None:
    changed = parse(MAIL).put(make_field("To", "ime@imepseudodomain.local")).to_bytes()
    assert changed == MAIL.replace(
        b"To: bob@x.example,\r\n  carol@x.example\r\n", b"To: ime@imepseudodomain.local\r\n"
    ).replace(b"to: third@x.example\r\n", b"")


def test_without_cuts_folded_fields_whole() -> None:
    assert parse(MAIL).without("received").to_bytes() == MAIL.removeprefix(b"Received: from a\r\n\tby b\r\n")


def test_mail_without_body_or_header() -> None:
    assert parse(b"Subject: x\r\n").to_bytes() == b"Subject: x\r\n\r\n"
    assert parse(b"\r\nbody").body == b"body"


@pytest.mark.parametrize("value", ["a\r\nBcc: b@x.example", "a\nb", "a\0b", "a\x7fb"])
def test_a_value_cannot_smuggle_a_field(value: str) -> None:
    with pytest.raises(UnusableMailError):
        make_field("To", value)


def test_long_lists_are_folded_and_read_the_same() -> None:
    addresses = [f"person-number-{number}@acme.example" for number in range(200)]
    field = make_field("X-SM-ORIGTO", ", ".join(addresses))
    assert max(len(line) for line in field.raw.split(b"\r\n")) <= 100
    read = email.message_from_bytes(field.raw + b"\r\n", policy=email.policy.SMTP)["X-SM-ORIGTO"]
    assert [word.strip() for word in str(read).split(",")] == addresses
    assert field.value == ", ".join(addresses)
