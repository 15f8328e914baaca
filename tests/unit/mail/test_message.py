"""Header and body are told apart without copying the body, and put together again unchanged."""

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.headers import MAX_BLOCK_BYTES, Field, HeaderBlock
from ime_gateway.mail.message import Message, parse_message


def whole(message: Message) -> bytes:
    return b"".join(message.chunks())


@pytest.mark.parametrize(
    ("data", "fields", "body"),
    [
        (b"A: 1\r\n\r\nbody\r\n", 1, b"body\r\n"),
        (b"A: 1\r\n\r\n", 1, b""),
        (b"A: 1\r\n", 1, b""),
        (b"A: 1", 1, b""),
        (b"\r\nbody", 0, b"body"),
        (b"\r\n", 0, b""),
        (b"\r\n\r\n", 0, b"\r\n"),
        (b"", 0, b""),
        (b"A: 1\r\n b\r\nC: 2\r\n\r\n\r\n", 2, b"\r\n"),
        (b" lost\r\nA: 1\r\n\r\nx", 2, b"x"),
        (b"A: 1\r\n\r\n" + b"\0\n\r8bit\xff", 1, b"\0\n\r8bit\xff"),
        (b"A: " + b"x" * 40_000 + b"\r\nB: 2\r\n\r\nbody", 2, b"body"),
    ],
)
def test_split_and_join(data: bytes, fields: int, body: bytes) -> None:
    for buffer in (data, bytearray(data), memoryview(data)):
        message = parse_message(buffer)
        assert len(message.headers.fields) == fields
        assert bytes(message.body) == body
        assert whole(message) == data
        assert message.size == len(data)


def test_body_is_a_view_on_what_was_received() -> None:
    data = bytearray(b"A: 1\r\n\r\nbody")
    message = parse_message(data)
    data[-4:] = b"BODY"
    assert bytes(message.body) == b"BODY"


@pytest.mark.parametrize("header", [b"A: 1\nB: 2", b"A: 1\rB: 2", b"A: 1\0", b"A: 1\r\r"])
def test_header_that_programs_cut_differently_is_refused(header: bytes) -> None:
    for end in (b"\r\n\r\nbody", b"\r\n", b""):
        with pytest.raises(UnreadableMail):
            parse_message(header + end)


def test_header_without_end_is_refused_without_reading_all() -> None:
    with pytest.raises(UnreadableMail, match="larger"):
        parse_message(b"A: 1\r\n" * (MAX_BLOCK_BYTES // 3))
    with pytest.raises(UnreadableMail, match="larger"):
        parse_message(b"A: " + b"x" * (MAX_BLOCK_BYTES + 9) + b"\r\n\r\n")


def test_new_headers_over_the_old_body() -> None:
    message = parse_message(b"A: 1\r\n\r\nbody").with_headers(HeaderBlock((Field("B", b"B: 2\r\n"),)))
    assert whole(message) == b"B: 2\r\n\r\nbody"


def test_a_body_never_runs_into_a_header_that_had_no_end() -> None:
    headers = parse_message(b"A: 1\r\n").headers
    assert whole(Message(headers, memoryview(b"body"), ends_in_header=True)) == b"A: 1\r\n\r\nbody"
    assert Message(headers, memoryview(b"body"), ends_in_header=True).size == 12
