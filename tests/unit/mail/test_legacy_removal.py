"""The Legacy Display Element goes in again what way it came, and nothing else does."""

import email
import email.policy

import pytest

from ime_gateway.mail.header_protection import hide_subject
from ime_gateway.mail.legacy_removal import without_legacy_display
from ime_gateway.mail.message import Message, parse_message

SUBJECT = "Quarterly numbers"


def entity(text: bytes) -> Message:
    return parse_message(bytearray(text.replace(b"\n", b"\r\n")))


def hidden(mail: bytes) -> Message:
    """The entity that our own `hide_subject` would encrypt."""
    made = hide_subject(entity(mail))
    return parse_message(bytearray(made.inner.to_bytes() + b"\r\n" + b"".join(made.body)))


def shown(message: Message) -> list[tuple[str, str]]:
    """Type and text of each part, as a foreign parser reads them."""
    parsed = email.message_from_bytes(b"".join(bytes(chunk) for chunk in message.chunks()), policy=email.policy.default)
    return [(part.get_content_type(), part.get_content()) for part in parsed.walk() if not part.is_multipart()]


MAILS = {
    "plain": b"Subject: Quarterly numbers\nContent-Type: text/plain; charset=utf-8\n\nHello\n",
    "base64": b"Subject: Quarterly numbers\nContent-Type: text/plain\n"
    b"Content-Transfer-Encoding: base64\n\nSGVsbG8NCg==\n",
    "quoted": b"Subject: Quarterly numbers\nContent-Type: text/plain; charset=utf-8\n"
    b"Content-Transfer-Encoding: quoted-printable\n\nHello =C3=A4\n",
    "html": b"Subject: Quarterly numbers\nContent-Type: text/html\n\n<html><body>\n<p>Hello</p></body></html>\n",
    "both": b"Subject: Quarterly numbers\nContent-Type: multipart/alternative; boundary=b\n\n--b\n"
    b"Content-Type: text/plain\n\nHello\n--b\nContent-Type: text/html\n\n<p>Hello</p>\n--b--\n",
}


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_what_we_put_in_is_taken_out(mail: bytes) -> None:
    made = hidden(mail)
    assert b"hp-legacy-display" in made.headers.to_bytes() + bytes(made.body)
    bare = without_legacy_display(made)
    whole = bare.headers.without({"subject", "hp-outer"}).to_bytes() + bytes(bare.body)
    assert b"legacy-display" not in whole and SUBJECT.encode() not in whole
    assert shown(bare) == shown(entity(mail))
    again = without_legacy_display(bare)
    assert again is bare


@pytest.mark.parametrize(
    "text",
    [
        b"Content-Type: text/plain\n\nSubject: x\n\nHello\n",
        b'Content-Type: text/plain; hp-legacy-display="0"\n\nSubject: x\n\nHello\n',
        b'Content-Type: text/plain; hp-legacy-display="1"\n\nHello\n\nSubject: x\n',
        b'Content-Type: text/plain; hp-legacy-display="1"\n\nSubject: x\nHello\n\nmore\n',
        b'Content-Type: text/plain; hp-legacy-display="1"\n\nX-Note: x\n\nHello\n',
        b'Content-Type: text/plain; charset=utf-16; hp-legacy-display="1"\n\nSubject: x\n\nHello\n',
        b'Content-Type: text/html; hp-legacy-display="1"\n\n<div class="other">Subject: x</div>Hello\n',
        b'Content-Type: text/html; hp-legacy-display="1"\n\n<div class="header-protection-legacy-display">Hello\n',
        b'Content-Type: text/plain; hp-legacy-display="1"\nContent-Transfer-Encoding: base64\n\n!!!\n',
        b'Content-Type: text/plain; hp-legacy-display="1"\nContent-Type: text/html\n\nSubject: x\n\nHello\n',
        b'Content-Type: text/plain; name="a; hp-legacy-display=1"; hp-legacy-display=1\n\nSubject: x\n\nHello\n',
    ],
)
def test_nothing_else_is(text: bytes) -> None:
    made = entity(text)
    assert without_legacy_display(made) is made


def test_many_marked_parts_are_one_pass() -> None:
    part = b'--b\nContent-Type: text/plain; hp-legacy-display="1"\n\nSubject: x\n\nHello\n'
    made = entity(b"Content-Type: multipart/mixed; boundary=b\n\n" + part * 300 + b"--b--\n")
    bare = without_legacy_display(made)
    assert bytes(bare.body).count(b"Hello") == 300 and b"Subject" not in bytes(bare.body)
