"""Whatever is signed in the open survives what mail servers do to it, and decodes to what it was."""

import email
import email.policy
import re
from email.message import Message as ReadMail

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.mail.message import parse_message
from ime_gateway.mail.stable import StableEntity, stable_entity

PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n"


def stable(entity: bytes) -> tuple[StableEntity, bytes]:
    message = parse_message(entity)
    made = stable_entity(message.headers, message.body)
    return made, made.headers.to_bytes() + b"\r\n" + b"".join(made.body)


def read(entity: bytes) -> ReadMail:
    return email.message_from_bytes(entity, policy=email.policy.compat32)


def leaves(entity: bytes) -> list[tuple[str, bytes]]:
    """Type and decoded content of every part, as the standard library's parser sees them."""
    return [
        (part.get_content_type(), part.get_payload(decode=True) or b"")
        for part in read(entity).walk()
        if not part.is_multipart()
    ]


def mangled(entity: bytes) -> bytes:
    """What servers do on the way: blanks at line ends go, `From ` gets its mark, 8 bits are cut, lines are broken."""
    lines = [line.rstrip(b" \t") for line in entity.split(b"\r\n")]
    lines = [b">" + line if line.startswith(b"From ") else line for line in lines]
    lines = [piece for line in lines for piece in re.findall(rb".{1,998}", line, re.DOTALL) or [b""]]
    return bytes(byte & 0x7F for byte in b"\r\n".join(lines))


@pytest.mark.parametrize(
    "body",
    [
        "Grüße aus Zürich\r\n".encode(),
        b"a line with a blank at its end \r\nand a tab\t\r\n",
        b"From here on\r\nFrom From there\r\n",
        b"From " + b"x" * 71 + b"\r\nFrom " + b"y" * 200,
        b"x" * 2000 + b"\r\n",
        b"no line end at the end ",
        b".\r\n..\r\n.From \r\n",
        b"format=flowed \r\ngoes on \r\n-- \r\nsignature",
        "€".encode() * 500,
        b"=46rom = is text here\xe4\r\n",
        b"nul \0 inside",
    ],
)
def test_text_survives_the_way_and_says_the_same(body: bytes) -> None:
    made, entity = stable(PLAIN + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + body)
    assert made.stable
    assert mangled(entity) == entity
    assert leaves(entity) == [("text/plain", body)]
    if "quoted-printable" in str(read(entity)["content-transfer-encoding"]):
        assert max(map(len, entity.split(b"\r\n"))) <= 76


def test_what_is_stable_keeps_every_byte() -> None:
    entity = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n--b\r\n\r\ntext\r\n--b--\r\n'
    made, after = stable(entity)
    assert made.stable and after == entity


def test_an_entity_without_any_header() -> None:
    made, entity = stable(b"\r\nplain words\r\n")
    assert made.stable and entity == b"\r\nplain words\r\n"
    made, entity = stable(b"\r\nGr\xfc\xdfe\r\n")
    assert made.stable and mangled(entity) == entity and leaves(entity) == [("text/plain", b"Gr\xfc\xdfe\r\n")]


MIXED = b"".join(
    (
        b"Content-Type: multipart/mixed; \r\n boundary=outer\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        b"--outer\r\n",
        b"Content-Type: multipart/alternative; boundary=inner\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        b"--inner \r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        "Zürich \r\n".encode(),
        b"\r\n--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        b"<p>Z=C3=BCrich</p>=20 \r\n",
        b"\r\n--inner--\r\n",
        b"--outer\r\nContent-Type: image/png;\r\n \r\n name=a.png\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        b"\x89PNG\x00\x01 \r\n",
        b"\r\n--outer\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        b"Subject: forwarded \r\nContent-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        b"caf\xe9\r\n",
        b"\r\n--outer\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        b"AAEC \r\nAwQ=\r\n",
        b"\r\n--outer--  \r\n",
    )
)


def test_a_tree_of_all_encodings() -> None:
    made, entity = stable(MIXED)
    assert made.stable
    assert mangled(entity) == entity
    assert leaves(entity) == [
        ("text/plain", "Zürich \r\n".encode()),
        ("text/html", "<p>Zürich</p> ".encode() + b"\r\n"),
        ("image/png", b"\x89PNG\x00\x01 \r\n"),
        ("text/plain", b"caf\xe9\r\n"),
        ("application/octet-stream", bytes(range(5))),
    ]
    assert b"8bit" not in entity and b"binary" not in entity


SIGNED_INSIDE = (
    b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: text/plain\r\n\r\nGr\xfc\xdfe \r\n--o\r\n"
    b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=s\r\n\r\n'
    b"--s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nsigned with a blank \r\n--s\r\n"
    b"Content-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n--o--\r\n"
)


def test_a_signed_part_keeps_its_bytes_and_the_whole_is_not_called_stable() -> None:
    made, entity = stable(SIGNED_INSIDE)
    inner = SIGNED_INSIDE[SIGNED_INSIDE.index(b"--s\r\n") : SIGNED_INSIDE.index(b"--s--")]
    assert inner in entity
    assert not made.stable
    made, entity = stable(SIGNED_INSIDE.replace(b"with a blank \r\n", b"without\r\n"))
    assert made.stable and mangled(entity) == entity


@pytest.mark.parametrize(
    "entity",
    [
        b"Content-Type: text/plain; name=\xfc.txt\r\n\r\ntext\r\n",
        b"Subject: " + b"x" * 1200 + b"\r\n\r\ntext\r\n",
        b"Content-Transfer-Encoding: x-unknown\r\n\r\nGr\xfc\xdfe\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\nno base64! \r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n\xfc\r\n--b--\r\n",
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; \xfc\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--b--\r\n",
    ],
)
def test_what_cannot_be_made_stable_is_said_and_left_alone(entity: bytes) -> None:
    made, after = stable(entity)
    assert not made.stable
    assert after == entity


def test_a_part_that_ends_in_its_header() -> None:
    entity = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-Only: header \r\n--b--\r\n"
    made, after = stable(entity)
    assert made.stable and after == entity.replace(b"header \r\n", b"header\r\n")


LINE = b"A" * 76 + b"\r\n"


@pytest.mark.parametrize("place", [0, 5, 13_443, 13_444, 20_000, 26_886, 26_887, 30_000])
@pytest.mark.parametrize(
    "odd", [b"x" * 998, b"x" * 999, b"blank ", b"tab\t", b"From me", b"a\rb", b"a\nb", b"\xfc", b"\0"]
)
def test_large_bodies_are_judged_as_small_ones_are(place: int, odd: bytes) -> None:
    """A large attachment is looked at in blocks of a mebibyte; the odd line stands near and at their borders."""
    body = LINE * place + odd + b"\r\n" + LINE * (30_000 - place)
    kept = odd == b"x" * 998
    made, _ = stable(b"Content-Type: text/plain\r\n\r\n" + body)
    assert made.stable
    assert (made.body[0][:20_000] == memoryview(body)[:20_000] and len(made.body[0]) == len(body)) is kept
    made, _ = stable(b"Content-Type: message/delivery-status\r\n\r\n" + body)
    assert made.stable is kept


@pytest.mark.parametrize("rest", [0, 1, 998])
def test_a_large_body_whose_last_line_does_not_end(rest: int) -> None:
    body = LINE * 13_443 + b"x" * rest
    made, entity = stable(b"Content-Type: text/plain\r\n\r\n" + body)
    assert made.stable and entity.endswith(b"\r\n\r\n" + body)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_octets_decode_to_themselves(content: bytes) -> None:
    for kind in (b"text/plain; charset=utf-8", b"application/octet-stream"):
        body = content.replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
        made, entity = stable(b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body)
        assert made.stable
        assert mangled(entity) == entity
        assert leaves(entity)[0][1] == body
