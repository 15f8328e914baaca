"""Where exactly the signed part begins and ends, and what else stands in a signed body."""

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.message import parse_message
from ime_gateway.mail.signed_multipart import SignedMultipart, split_signed

PART = b"Content-Type: text/plain\r\n\r\nYes.\r\n"
SIGNATURE = b"Content-Type: application/pkcs7-signature\r\n\r\nMII=\r\n"


def split(body: bytes, boundary: str = "b", fields: bytes = b"") -> SignedMultipart:
    head = f'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="{boundary}"\r\n'
    return split_signed(parse_message(head.encode() + fields + b"\r\n" + body))


def body(*parts: bytes, before: bytes = b"", behind: bytes = b"", boundary: bytes = b"b") -> bytes:
    opened = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return before + opened + b"--" + boundary + b"--\r\n" + behind


def test_two_parts() -> None:
    found = split(body(PART, SIGNATURE))
    assert bytes(found.content) == PART
    assert found.signature.headers.to_bytes() == b"Content-Type: application/pkcs7-signature\r\n"
    assert bytes(found.signature.body) == b"MII=\r\n"
    assert found.whole_body


def test_the_line_break_before_the_boundary_is_not_signed() -> None:
    assert bytes(split(body(b"\r\nx", SIGNATURE)).content) == b"\r\nx"
    assert bytes(split(body(b"\r\nx\r\n\r\n", SIGNATURE)).content) == b"\r\nx\r\n\r\n"
    assert bytes(split(b"--b\r\n--b\r\n" + SIGNATURE + b"\r\n--b--").content) == b""


@pytest.mark.parametrize(
    "notice",
    [
        b"This is an S/MIME signed message\r\n\r\n",
        b"\r\n",
        b" \r\n",
        b"This is a multi-part message in MIME format.\r\n",
        b"Dies ist eine Nachricht im MIME-Format.\r\n\r\n",
    ],
)
def test_customary_preambles_say_nothing(notice: bytes) -> None:
    assert split(body(PART, SIGNATURE, before=notice)).whole_body


@pytest.mark.parametrize(
    "text",
    [
        body(PART, SIGNATURE, before=b"Please pay.\r\n"),
        body(PART, SIGNATURE, before=b"MIME\r\nPlease pay.\r\n"),
        body(PART, SIGNATURE, before=b"<b>MIME</b>\r\n"),
        body(PART, SIGNATURE, before=b"MIME" + b"." * 2000 + b"\r\n"),
        body(PART, SIGNATURE, behind=b"Please pay.\r\n"),
        body(PART, SIGNATURE, behind=b"\r\n" * 70_000 + b"x"),
        body(PART, SIGNATURE, PART),
        body(PART, SIGNATURE, SIGNATURE),
        body(PART, SIGNATURE, behind=b"--b\r\n" + PART),
        body(PART + b"--bx\r\n\r\nmore\r\n", SIGNATURE),
        body(PART + b"--b--x\r\n\r\nmore\r\n", SIGNATURE),
        body(PART + b"x\n--b\r\n\r\nmore\r\n", SIGNATURE),
        body(PART + b"x\r--b\r\n\r\nmore\r\n", SIGNATURE),
    ],
)
def test_more_than_the_signed_part(text: bytes) -> None:
    found = split(text)
    assert not found.whole_body
    assert bytes(found.content).startswith(PART)


@pytest.mark.parametrize(
    "text",
    [b"", b"no boundary\r\n", body(PART), b"--b\r\n" + PART, b"--b\r\n" + PART + b"\r\n--b\r\n" + SIGNATURE,
     body(*[PART] * 65), b"--b--\r\n" + body(PART, SIGNATURE)],
)  # fmt: skip
def test_no_two_complete_parts(text: bytes) -> None:
    with pytest.raises(UnreadableMail):
        split(text)


def test_boundaries_that_look_like_each_other() -> None:
    inner = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n"
    assert bytes(split(body(inner, SIGNATURE)).content) == inner
    assert bytes(split(body(PART, SIGNATURE, boundary=b"--"), "--").content) == PART
    assert bytes(split(body(PART, SIGNATURE, boundary=b"a.*+?"), "a.*+?").content) == PART
    assert bytes(split(body(PART + b"mid --b\r\n", SIGNATURE)).content) == PART + b"mid --b\r\n"
    assert split(body(PART + b"mid --b\r\n", SIGNATURE)).whole_body


def test_blanks_behind_the_boundary() -> None:
    assert split(b"--b \t\r\n" + PART + b"\r\n--b \r\n" + SIGNATURE + b"\r\n--b-- \r\n").whole_body


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"x-other"])
def test_the_multipart_itself_is_not_encoded(encoding: bytes) -> None:
    with pytest.raises(UnreadableMail):
        split(body(PART, SIGNATURE), fields=b"Content-Transfer-Encoding: " + encoding + b"\r\n")
    assert split(body(PART, SIGNATURE), fields=b"Content-Transfer-Encoding: 8BIT\r\n").whole_body


def test_boundary_is_needed_once() -> None:
    with pytest.raises(UnreadableMail):
        split_signed(parse_message(b"Content-Type: multipart/signed\r\n\r\n" + body(PART, SIGNATURE)))
    with pytest.raises(UnreadableMail):
        split_signed(
            parse_message(b"Content-Type: multipart/signed; boundary=b; boundary=c\r\n\r\n" + body(PART, SIGNATURE))
        )


def test_a_flood_of_boundaries_ends() -> None:
    with pytest.raises(UnreadableMail):
        split(b"--b\r\n" + PART + b"x--b\r\n" * 200_000)
