"""Who wrote it: one readable From, or a refusal (threats 61: hostile address syntax)."""

import csv
from pathlib import Path

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.author import read_author
from ime_gateway.mail.headers import parse_fields
from ime_gateway.mail.message import parse_message


def keys(block: bytes) -> list[str]:
    return sorted(read_author(parse_fields(block)).keys)


def test_one_from() -> None:
    author = read_author(parse_fields(b'FROM: "Alice" <Alice@Acme.Example>\r\nTo: b@x.example\r\n'))
    assert [m.display_name for m in author.from_] == ["Alice"]
    assert author.sender is None
    assert author.keys == {"alice@acme.example"}


def test_sender_beside_from() -> None:
    assert keys(b"From: boss@acme.example\r\nSender: office@acme.example\r\n") == [
        "boss@acme.example",
        "office@acme.example",
    ]


def test_several_authors_with_a_sender() -> None:
    assert len(keys(b"From: a@x.example, b@x.example\r\nSender: c@x.example\r\n")) == 3


def test_name_in_an_old_charset_does_not_hide_the_address() -> None:
    assert keys(b"From: J\xfcrg \x92 <j@x.example>\r\n") == ["j@x.example"]


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (b"To: a@x.example\r\n", "no From"),
        (b"From:\r\n", "empty"),
        (b"From: a@x.example\r\nFrom: b@x.example\r\n", "2 From fields"),
        (b"From: a@x.example\r\nfrom : a@x.example\r\n", "2 From fields"),
        (b"From: a@x.example, b@x.example\r\n", "several people"),
        (b"From: a@x.example\r\nSender: b@x.example, c@x.example\r\n", "Sender field names several"),
        (b"From: a@x.example\r\nSender: b@x.example\r\nSender: b@x.example\r\n", "2 Sender fields"),
        (b"From: a@x.example\r\nSender: nobody\r\n", "Sender field cannot be read"),
        (b"From: Team: a@x.example;\r\n", "group"),
        (b"From: undisclosed:;\r\n", "group"),
        (b"From: ceo@bank.example <a@x.example>\r\n", "cannot be read"),
        (b"From: j\xfcrg@x.example\r\n", "cannot be read"),
        (b" From: ceo@bank.example\r\nFrom: a@x.example\r\n", "looks like a second From"),
        (b"From: a@x.example\r\n\xe2\x80\x8bFrom: ceo@bank.example\r\n", "looks like a second From"),
        (b"From: a@x.example\r\n\x0bFrom: ceo@bank.example\r\n", "looks like a second From"),
        (b"From: a@x.example\r\nFr om: ceo@bank.example\r\n", "looks like a second From"),
        ("From: a@x.example\r\n\uff26\uff52\uff4f\uff4d: ceo@bank.example\r\n".encode(), "looks like a second From"),
        (b"From: a@x.example\r\n\x00Sender: ceo@bank.example\r\n", "looks like a second From"),
        (b"From: a@x.example\r\n=?utf-8?q?From?= x: ceo@bank.example\r\n", ""),
    ],
)
def test_ambiguous_authors_are_refused(block: bytes, says: str) -> None:
    if not says:  # another name altogether
        assert keys(block) == ["a@x.example"]
        return
    with pytest.raises(UnreadableMail, match=says):
        read_author(parse_fields(block))


def test_mailsploit_never_makes_the_ceo(vectors: Path) -> None:
    with (vectors / "mailsploit" / "expected.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 13
    for row in rows:
        headers = parse_message((vectors / "mailsploit" / f"{row['id']}.eml").read_bytes()).headers
        if row["true_author_address"].startswith("none"):
            with pytest.raises(UnreadableMail):
                read_author(headers)
        else:
            author = read_author(headers)
            assert author.keys == {row["true_author_address"]}
            assert all(mailbox.display_name.isprintable() for mailbox in author.from_)


def test_two_people_in_one_from_without_comma_are_no_author(vectors: Path) -> None:
    path = vectors / "mail-gem" / "plain_emails" / "raw_email_multiple_from.eml"
    with pytest.raises(UnreadableMail):
        read_author(parse_message(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")).headers)
