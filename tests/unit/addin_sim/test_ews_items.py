"""What Exchange tells of a mail's header, and when that is too little to decide by."""

from types import SimpleNamespace

import pytest

from addin_sim.mailbox.ews_items import header_field, header_of, told_header, with_header
from addin_sim.sent_items import COPY_HEADER

TOLD = {
    "Received": "from a by b",
    "From": "alice@acme.example",
    "Message-ID": "<m1@acme.example>",
    "Content-Type": 'application/pkcs7-mime;\r\n\tsmime-type="enveloped-data"',
    COPY_HEADER: "yes",
}


def headers(**without: str) -> list[SimpleNamespace]:
    left = {name: value for name, value in TOLD.items() if name not in without.values()}
    return [SimpleNamespace(name=name, value=value) for name, value in left.items()]


def test_what_is_looked_at_is_told() -> None:
    told = told_header(headers())
    assert told is not None
    assert told.value(COPY_HEADER) == "yes"
    assert told.value("Content-Type").split() == ["application/pkcs7-mime;", 'smime-type="enveloped-data"']
    assert not told.all("Received")


@pytest.mark.parametrize("missing", ["From", "Message-ID", "Content-Type"])
def test_a_header_that_is_told_in_part_is_none(missing: str) -> None:
    assert told_header(headers(without=missing)) is None


@pytest.mark.parametrize("nothing", [None, []])
def test_no_header_is_none(nothing: list[object] | None) -> None:
    assert told_header(nothing) is None


def test_the_same_from_the_mail_itself() -> None:
    mail = "".join(f"{name}: {value}\r\n" for name, value in TOLD.items()).encode() + b"\r\nFrom: in the body\r\n"
    told, read = told_header(headers()), header_of(mail)
    assert told is not None
    assert {one.name: one.value.split() for one in read.fields} == {one.name: one.value.split() for one in told.fields}


def test_only_the_gateways_own_header_fields_are_properties() -> None:
    assert header_field(COPY_HEADER.upper()) == "ime_copy_header"
    assert header_field("X-Other") is None
    assert with_header("X-Other", "yes") is None
