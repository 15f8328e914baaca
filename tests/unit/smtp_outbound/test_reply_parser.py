"""Replies from bytes, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.smtp.outbound.capabilities import Capabilities, parse_capabilities
from ime_gateway.smtp.outbound.reply_parser import MAX_LINE_BYTES, MAX_REPLY_BYTES, GarbledReply, Reply, ReplyParser

STREAM = b"250-a\r\n250 b\r\n354\r\n550-5.1.1 no\n550 5.1.1 user\r\n220 x y\r\n"
EXPECTED = [
    Reply(250, (b"a", b"b")),
    Reply(354, (b"",)),
    Reply(550, (b"5.1.1 no", b"5.1.1 user")),
    Reply(220, (b"x y",)),
]


@given(places=st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_cuts_do_not_matter(places: list[int]) -> None:
    parser = ReplyParser()
    borders = [0, *sorted(places), len(STREAM)]
    found = [
        reply
        for start, end in zip(borders, borders[1:], strict=False)  # noqa: RUF007
        for reply in parser.feed(STREAM[start:end])
    ]
    assert found == EXPECTED
    assert not parser.in_reply


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 x\r\n",
        b"250x\r\n",
        b"150 no\r\n",
        b"650 no\r\n",
        b"250-a\r\n251 b\r\n",
        b"\xb2\xb50 x\r\n",
        b"x" * (MAX_LINE_BYTES + 1),
        b"250 " + b"x" * MAX_LINE_BYTES + b"\r\n",
        b"250-x\r\n" * MAX_REPLY_BYTES,
    ],
)
def test_what_is_no_reply(data: bytes) -> None:
    with pytest.raises(GarbledReply):
        ReplyParser().feed(data)


@given(st.binary(max_size=300))
def test_any_bytes_give_replies_or_the_one_error(data: bytes) -> None:
    try:
        replies = ReplyParser().feed(data)
    except GarbledReply:
        return
    assert all(200 <= reply.code <= 599 and reply.kind in (2, 3, 4, 5) for reply in replies)


def test_text_is_one_harmless_line() -> None:
    reply = Reply(550, (b"5.1.1 \x1b[31m\xffno", b"such\ruser " + b"x" * 2000))
    assert reply.text.startswith("5.1.1 ?[31m")
    assert reply.text.isascii() and reply.text.isprintable() and len(reply.text) <= 500


def test_keywords_count_in_any_case_and_with_blanks() -> None:
    lines = (
        b"peer hello",
        b"starttls  ",
        b"Size 1000",
        b"8bitMIME",
        b"",
        b"AUTH " + b"X " * 900,
        b"DSN",
        b"pipelining",
    )
    assert parse_capabilities(Reply(250, lines)) == Capabilities(
        starttls=True, size=True, size_limit=1000, eight_bit_mime=True, dsn=True, pipelining=True
    )


def test_the_first_line_is_no_keyword() -> None:
    assert parse_capabilities(Reply(250, (b"STARTTLS",))) == Capabilities()


@pytest.mark.parametrize("argument", [b"", b"0", b"-5", b"1e3", b"9" * 21, b"\xb2"])
def test_a_size_that_is_no_limit(argument: bytes) -> None:
    found = parse_capabilities(Reply(250, (b"x", b"SIZE " + argument)))
    assert found.size and found.size_limit is None
