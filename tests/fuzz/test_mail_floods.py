"""Floods against the parsers of mail: each finishes, because each is linear in its input.

None of these is timed: with a parser that is quadratic they would run for hours, and the whole
suite has a limit on its running time.
"""

import base64
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import flatten, parse_address_list, parse_path
from ime_gateway.mail.author import read_author
from ime_gateway.mail.content_type import MAX_VALUE_BYTES, parse_content_type
from ime_gateway.mail.encoded_words import decode_words, encode_words
from ime_gateway.mail.headers import make_field, parse_fields
from ime_gateway.mail.markers import strip_markers
from ime_gateway.mail.message import parse_message
from ime_gateway.mail.mime_tree import walk
from ime_gateway.mail.recognise import is_calendar, is_tnef, protection_of
from ime_gateway.mail.transfer_encoding import decode_transfer

MANY = 100_000
FRAGMENTS = [
    *(b"--b", b"--b--", b"--c", b"\r\n", b"\r\n\r\n", b": ", b";", b'"', b"b", b"c", b"(", b"\\", b"\xff", b"\0", b" "),
    *(b"Content-Type: ", b"multipart/mixed; boundary=", b"message/rfc822", b"winmail.dat", b"*0*=", b"=3D", b"X-SMENC"),
    *(b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"From: ", b"a@x.example", b"=?utf-8?q?", b"?="),
]
MULTI = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


def look_at(data: bytes) -> bool:
    """Everything that runs over a mail of an outsider; True when it was read to the end."""
    try:
        message = parse_message(data)
        clean = strip_markers(message, exchange_headers=True)
        parts = walk(clean)
        is_tnef(clean, parts), is_calendar(clean, parts), protection_of(clean)
        read_author(clean.headers)
    except UnreadableMail:
        return False
    return True


@pytest.mark.parametrize(
    "text",
    [
        "(" * MANY,
        "(" * MANY + ")" * MANY + "a@x.example",
        "\\(" * MANY,
        '"' + "\\" * MANY,
        '"' + "a" * MANY,
        '"" ' * MANY,
        "a " * MANY,
        "a." * MANY + "@x.example",
        "<" * MANY,
        "<>" * MANY,
        "@" * MANY,
        "a@" * MANY,
        "," * MANY,
        ";" * MANY,
        ":" * MANY,
        "a:" * MANY,
        "a:;," * MANY,
        "[" * MANY,
        "[" + "\\[" * MANY,
        "=?utf-8?q?a?= " * MANY + "<a@x.example>",
        "=?" * MANY + "<a@x.example>",
        "(a)" * MANY + "a@x.example",
        "a@x.example(" + "()" * MANY + ")",
        "a@" + "xn--a." * MANY,
        "a@" + "ü" * MANY,
        " " * MANY,
    ],
    ids=lambda text: text[:6],
)
def test_address_lists(text: str) -> None:
    for semicolons in (False, True):
        try:
            parse_address_list(text, semicolons=semicolons)
        except UnreadableMail:
            continue
    with pytest.raises(UnreadableMail):
        parse_path(text)


def test_a_list_of_very_many_people_is_read() -> None:
    text = ", ".join(f'"Person (no. {n})" <p{n}@x.example>' for n in range(50_000))
    assert len(flatten(parse_address_list(text))) == 50_000


@pytest.mark.parametrize(
    "text",
    [
        "=?" * MANY,
        "=?a?" * MANY,
        "=?utf-8?q?" * MANY,
        "=?utf-8?b?" + "a" * MANY,
        "=?utf-8?q?" + "=C3" * MANY + "?=",
        "=?utf-8?q?a?= " * MANY,
        "=?punycode?q?" + "a" * MANY + "-" + "z" * MANY + "?=",
        "=?idna?q?" + "a" * MANY + "?=",
        " " * MANY + "=?utf-8?q?a?=",
    ],
    ids=lambda text: text[:12],
)
def test_encoded_words(text: str) -> None:
    decode_words(text)
    assert decode_words(" ".join(encode_words(text, 60))) == text
    assert decode_words(make_field("X", text).text) == text.strip()


@pytest.mark.parametrize(
    "value",
    [
        ";" * MANY,
        "a/b" + ";a=b" * MANY,
        "a/b" + ';a="' * MANY,
        "a/b; a=" + '"' + "\\" * MANY,
        "a/b; " + "x" * MANY,
        "a/b;" + " " * MANY,
        "(" * MANY,
        "a/b;" + "(" * MANY + ")" * MANY,
        "a/b" + "".join(f";boundary*{n}=x" for n in range(10_000)),
        "a/b" + ";x*" * MANY,
        "/" * MANY,
        "*" * MANY + "/",
        "a/b (" + '"\\' * MANY,
        "a/b " + "(\\" * MANY,
        'a/b "' + "(\\" * MANY,
        'a/b "' + '("\\' * MANY,
    ],
    ids=lambda value: value[:8],
)
def test_content_types(value: str) -> None:
    """Beyond the limit of one field, and as long as it allows, in many parts."""
    with suppress(UnreadableMail):
        parse_content_type(value)
    for _ in range(20):
        with suppress(UnreadableMail):
            parse_content_type(value[:MAX_VALUE_BYTES])


@pytest.mark.parametrize(
    "block",
    [
        b":" * MANY,
        b"\r\n " * MANY,
        b"A" * MANY,
        b" \r\n" * MANY,
        b"A\r\n" * 9000,
        b"a" + b"\r\n :" * MANY,
        b"A:\r\n\t" * 9000,
    ],
    ids=lambda block: repr(block[:5]),
)
def test_header_blocks(block: bytes) -> None:
    assert parse_fields(block).to_bytes() == block


@pytest.mark.parametrize(
    "data",
    [
        MULTI + b"--b\r\n" * MANY,
        MULTI + b"--b\r\n\r\n" * MANY,
        MULTI + b"--b--\r\n" * MANY,
        MULTI + b"--\r\n" * MANY,
        MULTI + b"--bb\r\n" * MANY,
        MULTI + b"-" * MANY,
        MULTI + b"--" + b"b" * MANY,
        MULTI + b"--b" + b" " * MANY + b"x",
        MULTI + b"\r\n" * MANY,
        MULTI + b"--b\r\nA: 1\r\n" * 9_000,
        MULTI + b"--b\r\n" + b"A: 1\r\n" * MANY,
        MULTI + (b"--b\r\n" + b"A:\r\n" * 90 + b"\r\n") * 9_000,
        MULTI + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" * 9_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 9_000,
        b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(9_000)),
        MULTI + b"".join(b"--b\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % n for n in range(9_000)),
        MULTI + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 9_000,
        b"Content-Type: multipart/digest; boundary=b\r\n\r\n" + b"--b\r\n\r\n\r\n" * 9_000,
        MULTI + b"--b\r\nX-SMENC: yes\r\n\r\n" * 9_000,
        b"X-SMENC: yes\r\n" * 9_000,
        b"\xff" * MANY + b": x\r\n\r\n",
        b"=?" * MANY + b": x\r\n\r\n",
        (b"\xff" * 400 + b": x\r\n") * 2_000,
    ],
    ids=lambda data: repr(data[-20:]),
)
def test_structures(data: bytes) -> None:
    look_at(b"From: a@x.example\r\n" + data)
    look_at(b"From: a@x.example\r\n" + data.replace(b"mixed", b"digest"))


def test_encoded_messages_in_encoded_messages_are_not_opened_again_and_again() -> None:
    header = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: %s\r\n\r\n"
    tail = b"Subject: x\r\n\r\n" + b"text\r\n" * 10_000
    assert not look_at(b"From: a@x.example\r\n" + header % b"quoted-printable" * 40 + tail)
    look_at(b"From: a@x.example\r\n" + header % b"base64" * 40 + tail)


def test_encoded_parts_side_by_side_are_each_opened_once() -> None:
    inside = base64.encodebytes(b"Subject: x\r\n\r\n" + b"text\r\n" * 100).replace(b"\n", b"\r\n")
    part = b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inside
    assert look_at(b"From: a@x.example\r\n" + MULTI + part * 2_000)


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-uuencode"])
@pytest.mark.parametrize("data", [b"=" * MANY, b"A" * MANY, b"=\r\n" * MANY, b"\xff\r" * MANY, b"A=" * MANY])
def test_transfer_encodings(encoding: str, data: bytes) -> None:
    assert len(decode_transfer(memoryview(data), encoding)) <= len(data)


def test_a_large_honest_mail_is_read() -> None:
    attachment = base64.encodebytes(bytes(range(256)) * 40_000).replace(b"\n", b"\r\n")
    part = b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + attachment
    assert look_at(b"From: a@x.example\r\n" + MULTI + part * 3 + b"--b--\r\n")


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(FRAGMENTS),
        max_size=60,
    ).map(b"".join)
)
def test_nothing_but_a_refusal_comes_out(data: bytes) -> None:
    look_at(data)
    look_at(b"From: a@x.example\r\n" + MULTI + data)
