"""What is not edited leaves byte for byte as it came (P7), over random mail and over the corpora of others."""

import email
import email.policy
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.author import read_author
from ime_gateway.mail.headers import Field, HeaderBlock, parse_fields
from ime_gateway.mail.markers import strip_markers
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.mail.mime_tree import walk
from ime_gateway.mail.recognise import is_calendar, is_tnef, protection_of
from ime_gateway.mail.secure_parts import split_for_encryption

CORPORA = {
    "flanker": 40,
    "cpython-email": 45,
    "mime-tools": 3,
    "mail-gem": 90,
    "mailsploit": 13,
    "autocrypt-protected-headers": 7,
    "rfc9788-rebuilt": 2,
    "thunderbird-smime": 12,
    "rfc4134": 3,
}
MAIL_ENDINGS = (".eml", ".msg", ".txt", "")

LINES = st.sampled_from(
    [
        b"",
        b"--b",
        b"--b--",
        b"--c",
        b"--c--",
        b"-- ",
        b"text",
        b" folded",
        b"\tfolded",
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: multipart/digest; boundary=c",
        b"Content-Type: message/rfc822",
        b"Content-Type: text/plain",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Subject: x",
        b"no field",
        b"\xff\x00\x0b",
    ]
)
MARKERS = st.sampled_from([b"X-SMENC: yes", b"X-SM-ORIGTO: a@x.example,\r\n b@x.example", b"x-smenc\x0b: yes"])


def whole(message: Message) -> bytes:
    return b"".join(message.chunks())


def canonical(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def mails(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in MAIL_ENDINGS and path.name != "SOURCE.txt":
            yield path, canonical(path.read_bytes())


@pytest.mark.parametrize("corpus", CORPORA)
def test_corpora_pass_unchanged_and_are_looked_at_without_harm(vectors: Path, corpus: str) -> None:
    count = 0
    for path, data in mails(vectors / corpus):
        message = parse_message(data)
        assert whole(message) == data, path
        parts = walk(message)
        assert strip_markers(message, exchange_headers=False) is message, path
        is_tnef(message, parts), is_calendar(message, parts), protection_of(message)
        outer, inner = split_for_encryption(message.headers)
        moved = [field for field in message.headers.fields if field.key != "mime-version"]
        assert sorted((*outer.fields, *inner.fields)) == sorted(moved), path
        for part in parts[1:]:
            block = part.headers.to_bytes()
            assert bytes(message.body[part.header_start : part.header_start + len(block)]) == block, path
        count += 1
    assert count >= CORPORA[corpus]


@pytest.mark.parametrize("corpus", sorted(CORPORA.keys() - {"mailsploit"}))  # that one makes Python fail
def test_corpora_have_the_author_that_python_reads_or_none(vectors: Path, corpus: str) -> None:
    read = 0
    for path, data in mails(vectors / corpus):
        try:
            author = read_author(parse_message(data).headers)
        except UnreadableMail:
            continue
        theirs = email.message_from_bytes(data, policy=email.policy.SMTP)["from"]
        if theirs is None or not all(key.isascii() for key in author.keys):
            # Python ends the header at a line that is no field, and knows no UTF-8 in addresses.
            continue
        assert [str(m.address).lower() for m in author.from_] == [a.addr_spec.lower() for a in theirs.addresses], path
        read += 1
    assert read >= CORPORA[corpus] // 2


@given(st.binary(max_size=300))
def test_any_bytes_are_kept_or_refused(data: bytes) -> None:
    try:
        message = parse_message(data)
    except UnreadableMail:
        return
    assert whole(message) == data
    assert message.size == len(data)


@given(st.lists(st.sampled_from([b"A: 1", b" x", b"\t", b"B", b":", b"C:", b"\r\n", b"\r\n", b"x"]), max_size=30))
def test_any_header_block_is_the_sum_of_its_fields(pieces: list[bytes]) -> None:
    block = b"".join(pieces)
    assert parse_fields(block).to_bytes() == block


@given(
    st.lists(st.sampled_from([b"A: 1\r\n", b"B : 2\r\n x\r\n", b"junk\r\n", b"a:\r\n"])),
    st.sampled_from(["a", "B", "z"]),
)
def test_edits_touch_only_what_they_name(raws: list[bytes], name: str) -> None:
    block = parse_fields(b"".join(raws))
    new = Field("New", b"New: x\r\n")
    others = [field.raw for field in block.fields if field.key != name.lower()]
    assert [field.raw for field in block.without({name.lower()}).fields] == others
    replaced = block.replace(name, new)
    assert [field.raw for field in replaced.fields if field != new] == others
    assert replaced.all("new") == (new,)
    assert block.prepend(new).to_bytes() == new.raw + block.to_bytes()
    assert block.append(new).to_bytes() == block.to_bytes() + new.raw
    assert HeaderBlock(block.fields) == block


@settings(max_examples=400)
@given(st.lists(LINES, max_size=40))
def test_parts_lie_in_order_inside_their_parents(lines: list[bytes]) -> None:
    message = parse_message(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n".join(lines))
    try:
        parts = walk(message)
    except UnreadableMail:
        return
    assert (parts[0].start, parts[0].end, parts[0].parent) == (0, len(message.body), None)
    for before, part in pairwise(parts):
        assert part.parent is not None
        assert part.parent.start <= part.header_start <= part.start <= part.end <= max(part.parent.end, part.start)
        assert before.header_start <= part.header_start
        assert part.depth == part.parent.depth + 1
        block = part.headers.to_bytes()
        assert bytes(message.body[part.header_start : part.header_start + len(block)]) == block


@settings(max_examples=400)
@given(st.lists(LINES | MARKERS, max_size=40))
def test_stripping_removes_whole_lines_only_and_once_is_enough(lines: list[bytes]) -> None:
    data = b"From: a@x.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    data += b"".join(line + b"\r\n" for line in lines)
    message = parse_message(data)
    try:
        clean = strip_markers(message, exchange_headers=True)
    except UnreadableMail:
        return
    rest = iter(data.split(b"\r\n"))
    assert all(line in rest for line in whole(clean).split(b"\r\n"))  # a subsequence of the lines that came
    assert strip_markers(parse_message(whole(clean)), exchange_headers=True).body == clean.body
    if clean is not message:
        assert clean.size < len(data)


@given(st.lists(LINES, max_size=20), st.binary(max_size=40))
def test_without_markers_the_same_message_comes_back(lines: list[bytes], tail: bytes) -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n".join(lines) + tail
    message = parse_message(data)
    try:
        assert strip_markers(message, exchange_headers=True) is message
    except UnreadableMail as error:
        assert "hides" in str(error) or "contradict" in str(error)
