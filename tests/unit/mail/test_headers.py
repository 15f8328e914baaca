"""Header fields keep their bytes; edits touch whole fields; new fields are legal (judge: Python's email)."""

import email
import email.policy
import re
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import Address, Mailbox
from ime_gateway.mail.headers import (
    MAX_BLOCK_BYTES,
    MAX_FIELDS,
    Field,
    HeaderBlock,
    make_address_field,
    make_field,
    parse_fields,
)

BLOCK = (
    b"Received: from a\r\n\tby b;\r\n today\r\n"
    b"SUBJECT : Hello\r\n"
    b"no field at all\r\n"
    b"received: second\r\n"
    b"X-Folded\r\n : late colon\r\n"
    b"Subject: again\r\n"
    b"X-Caf\xc3\xa9: illegal name\r\n"
    b"Last:\r\n \r\n"
)


def test_fields_joined_are_the_block() -> None:
    assert parse_fields(BLOCK).to_bytes() == BLOCK


def test_names_are_read_as_written() -> None:
    assert [field.name for field in parse_fields(BLOCK).fields] == [
        "Received",
        "SUBJECT",
        "",
        "received",
        "X-Folded",
        "Subject",
        "",
        "Last",
    ]


def test_values_are_unfolded() -> None:
    block = parse_fields(BLOCK)
    assert [field.value for field in block.all("RECEIVED")] == [b"from a\tby b; today", b"second"]
    assert block.first("x-folded").text == "late colon"  # type: ignore[union-attr]
    assert block.first("last").value == b""  # type: ignore[union-attr]
    assert block.first("missing") is None
    assert block.all("missing") == ()


def test_text_is_utf8_or_else_latin1() -> None:
    assert Field("S", "S: ü\r\n".encode()).text == "ü"
    assert Field("S", b"S: \xfc\r\n").text == "ü"


def test_without_drops_names_and_prefixes_and_nothing_else() -> None:
    block = parse_fields(BLOCK)
    assert block.without({"missing"}) is block
    left = block.without({"subject"}, ("x-fol",))
    assert left.to_bytes() == BLOCK.replace(b"SUBJECT : Hello\r\n", b"").replace(
        b"X-Folded\r\n : late colon\r\nSubject: again\r\n", b""
    )


def test_replace_keeps_the_first_place() -> None:
    new = Field("Subject", b"Subject: new\r\n")
    block = parse_fields(BLOCK).replace("subject", new)
    assert [field.raw for field in block.all("subject")] == [b"Subject: new\r\n"]
    assert block.fields[1] == new
    assert parse_fields(b"A: 1\r\n").replace("subject", new).to_bytes() == b"A: 1\r\nSubject: new\r\n"


def test_prepend_and_append_keep_the_rest() -> None:
    block = HeaderBlock((Field("A", b"A: 1\r\n"),))
    assert block.prepend(Field("B", b"B: 2\r\n")).to_bytes() == b"B: 2\r\nA: 1\r\n"
    assert block.append(Field("B", b"B: 2\r\n")).to_bytes() == b"A: 1\r\nB: 2\r\n"
    assert block.to_bytes() == b"A: 1\r\n"


def test_append_never_runs_into_an_unfinished_field() -> None:
    assert parse_fields(b"A: 1").append(Field("B", b"B: 2\r\n")).to_bytes() == b"A: 1\r\nB: 2\r\n"


def test_lookups_after_an_edit_see_the_edit() -> None:
    block = parse_fields(b"A: 1\r\n")
    assert block.all("b") == ()
    assert len(block.append(Field("B", b"B: 2\r\n")).all("b")) == 1


def test_blocks_without_end_are_refused() -> None:
    with pytest.raises(UnreadableMail, match="larger"):
        parse_fields(b"A: " + b"x" * MAX_BLOCK_BYTES)
    with pytest.raises(UnreadableMail, match="more than"):
        parse_fields(b"A:\r\n" * (MAX_FIELDS + 1))
    assert len(parse_fields(b"A:\r\n" * MAX_FIELDS).fields) == MAX_FIELDS


def test_repr_shows_no_values() -> None:
    assert "secret" not in repr(HeaderBlock((Field("Subject", b"Subject: secret\r\n"),)))


def parsed(field: Field) -> str:
    """What Python's email package reads in the field."""
    message = email.message_from_bytes(field.raw + b"\r\n", policy=email.policy.default)
    assert len(message.keys()) == 1
    assert not message.defects
    return str(message[field.name])


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "words " * 60 + "end",
        "Grüße aus Zürich " * 20 + "x",
        "x" * 500,
        "日本語" * 60,
        "ends in ü",
        "tab\tinside",
    ],
)
def test_made_fields_are_folded_and_read_back(text: str) -> None:
    field = make_field("Subject", text)
    assert field.raw.endswith(b"\r\n")
    assert field.raw.isascii()
    assert all(len(line) <= 998 for line in field.raw.split(b"\r\n"))
    if max(map(len, text.split(" "))) < 60:
        assert all(len(line) <= 78 for line in field.raw.split(b"\r\n"))
    assert re.sub(r"\s+", " ", parsed(field)) == re.sub(r"\s+", " ", text)


def test_text_that_looks_like_an_encoded_word_comes_back_as_text() -> None:
    assert parsed(make_field("Subject", "=?utf-8?q?x?=")) == "=?utf-8?q?x?="


def test_a_word_longer_than_a_line_may_be_is_cut_legally() -> None:
    field = make_field("Subject", "x" * 3000)
    assert max(len(line) for line in field.raw.split(b"\r\n")) <= 998
    assert parsed(field) == "x" * 3000


def test_folding_leaves_no_line_of_blanks() -> None:
    field = make_field("Subject", "a" * 70 + " " * 90 + "b")
    assert all(line.strip() for line in field.raw.removesuffix(b"\r\n").split(b"\r\n"))


@pytest.mark.parametrize("bad", ["a\r\nBcc: x@y", "a\nb", "a\rb", "a\0b", "a\x7fb"])
def test_no_value_becomes_two_fields(bad: str) -> None:
    with pytest.raises(ValueError, match="control"):
        make_field("Subject", bad)
    with pytest.raises(ValueError, match="control"):
        make_address_field("To", [Mailbox(bad, Address("a", "x.example"))])


@pytest.mark.parametrize("bad", ["", "A B", "A:", "A\r\n", "Ä"])
def test_no_name_becomes_two_fields(bad: str) -> None:
    with pytest.raises(ValueError, match="name"):
        make_field(bad, "x")


def test_address_fields_are_legal_and_read_back() -> None:
    mailboxes = [
        Mailbox("", Address("bare", "x.example")),
        Mailbox("Alice Smith", Address("alice", "x.example")),
        Mailbox('Smith, "Al" \\ (x)', Address("al", "x.example")),
        Mailbox("Jürg Müller, Zürich", Address("j", "xn--bcher-kva.example")),
        Mailbox("=?utf-8?q?x?=", Address("e", "x.example")),
        Mailbox("Very long name " * 12 + "end", Address("long", "x.example")),
        Mailbox("x" * 300, Address("longer", "x.example")),
        Mailbox("", Address("two words", "x.example")),
    ] + [Mailbox(f"Person {n}", Address(f"person{n}", "x.example")) for n in range(200)]
    field = make_address_field("To", mailboxes)
    assert max(len(line) for line in field.raw.split(b"\r\n")) <= 100
    value = field.raw.decode("ascii").removeprefix("To:").replace("\r\n", "")
    read = [(str(make_header(decode_header(name))), address) for name, address in getaddresses([value])]
    assert read == [(m.display_name, str(m.address)) for m in mailboxes]


def test_address_field_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        make_address_field("To", [])
