"""Signed mail that shows more, or somebody else, than was signed: the signature may hold, the mail is not good.

`good` asks the questions that the gateway must ask: is the whole body what was signed, does every signature hold,
and does the signer's certificate name everybody that the mail claims to be from.
"""

import os
import re

import pytest

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.keys.signer import address_match
from ime_gateway.mail.address import flatten, parse_address_list
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.entity import signed_entity
from ime_gateway.smime.sign import SigningKey, multipart_signed
from ime_gateway.smime.verify import verify
from tests.pki import Entity, make_user

TEXT = b"Content-Type: text/plain\r\n\r\npay 100 to Bob\r\n"
EVIL = b"Content-Type: text/plain\r\n\r\npay 900 to Mallory\r\n"


@pytest.fixture(scope="module")
def alice() -> Entity:
    return make_user("alice@acme.example")


@pytest.fixture(scope="module")
def signed(alice: Entity) -> bytes:
    """A multipart/signed entity of Alice's: fields and body."""
    key = SigningKey(alice.certificate, alice.key)
    return multipart_signed([TEXT], key, moment=1_790_000_000.0, randomness=os.urandom).to_bytes()


def mail(entity: bytes, sender: bytes = b"alice@acme.example") -> bytes:
    return b"From: " + sender + b"\r\nTo: bob@acme.example\r\nMIME-Version: 1.0\r\n" + entity


def good(wire: bytes) -> bool:
    try:
        message = parse_message(bytearray(wire))
        entity = signed_entity(message)
        if entity is None or not entity.whole_body:
            return False
        report = verify(entity.signed, entity.content)
        authors = [
            box.address.key
            for field in message.headers.fields
            if field.key in ("from", "sender")
            for box in flatten(parse_address_list(field.text))
        ]
    except (UnreadableMail, UnreadableCms):
        return False
    return bool(report.signers) and all(
        one.intact and one.certificate is not None and address_match(one.certificate, authors).matches
        for one in report.signers
    )


def boundary_of(signed: bytes) -> bytes:
    found = re.search(rb'boundary="([^"]+)"', signed)
    assert found
    return found[1]


def test_the_honest_mail_is_good(signed: bytes) -> None:
    assert good(mail(signed))


@pytest.mark.parametrize(
    "sender",
    [
        b"mallory@evil.example",
        b"alice@acme.example, mallory@evil.example",
        b"alice@acme.example <mallory@evil.example>",
        b'"alice@acme.example" <mallory@evil.example>',
        b"alice@acme.example.evil.example",
        b"alice@acme.example\r\nFrom: mallory@evil.example",
        b"alice@acme.example\r\nSender: mallory@evil.example",
        b"=?utf-8?q?alice=40acme=2Eexample?= <mallory@evil.example>",
        b"(alice@acme.example) mallory@evil.example",
        b"alice@acme.example;",
        b"",
    ],
)
def test_signed_by_another_than_it_shows(signed: bytes, sender: bytes) -> None:
    assert not good(mail(signed, sender))


def around(kind: bytes, *parts: bytes) -> bytes:
    joined = b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: " + kind + b"; boundary=outer\r\n\r\n" + joined + b"--outer--\r\n"


@pytest.mark.parametrize("kind", [b"multipart/mixed", b"multipart/alternative", b"multipart/related"])
def test_her_mail_among_other_parts(signed: bytes, kind: bytes) -> None:
    for parts in ((EVIL, signed), (signed, EVIL), (signed,)):
        assert not good(mail(around(kind, *parts)))


def test_her_mail_inside_a_mail(signed: bytes) -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + mail(signed)
    assert not good(mail(inner, b"mallory@evil.example"))
    assert not good(mail(inner))


def test_text_around_the_parts(signed: bytes) -> None:
    boundary = boundary_of(signed)
    before = signed.replace(b"\r\n\r\n--" + boundary, b"\r\n\r\nPay 900 to Mallory\r\n--" + boundary, 1)
    assert before != signed and not good(mail(before))
    assert not good(mail(signed + b"Pay 900 to Mallory\r\n"))


def test_a_third_part(signed: bytes) -> None:
    boundary = boundary_of(signed)
    third = signed.replace(b"--" + boundary + b"--", b"--" + boundary + b"\r\n" + EVIL + b"\r\n--" + boundary + b"--")
    assert third != signed and not good(mail(third))


def test_another_first_part(signed: bytes) -> None:
    boundary = boundary_of(signed)
    start = b"--" + boundary + b"\r\n"
    assert not good(mail(signed.replace(start + TEXT, start + EVIL)))
    assert not good(mail(signed.replace(start + TEXT, start + EVIL + b"\r\n" + start + TEXT)))


def test_fields_added_to_the_signed_part(signed: bytes) -> None:
    start = b"--" + boundary_of(signed) + b"\r\n"
    assert not good(mail(signed.replace(start, start + b"Content-Disposition: attachment\r\n", 1)))


def test_a_second_content_type(signed: bytes) -> None:
    lie = b"Content-Type: text/plain\r\n"
    assert not good(mail(lie + signed)) and not good(mail(signed.replace(b"\r\n\r\n", b"\r\n" + lie + b"\r\n", 1)))


def test_the_signature_taken_off_or_emptied(signed: bytes) -> None:
    head, _, base64 = signed.rpartition(b"filename=smime.p7s\r\n\r\n")
    assert not good(mail(head + b"filename=smime.p7s\r\n\r\n" + base64[base64.index(b"\r\n--") :]))
    assert not good(mail(TEXT))


def test_micalg_decides_nothing(signed: bytes) -> None:
    """It is a hint for programs that read once (RFC 1847 section 2.1); the object says what was used."""
    assert good(mail(signed.replace(b"micalg=sha-256", b"micalg=md5")))
