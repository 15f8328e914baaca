"""Signed mail that shows more, or somebody else, than was signed: the signature may hold, the mail is not good.

The gateway itself is asked, by sending it the mail: is the whole body what was signed, does every signature hold, and
does the signer's certificate name everybody that the mail claims to be from? Everything else about the signer is right.
"""

import os
import re
import time
from collections.abc import Callable, Iterator

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.smime.sign import SigningKey, multipart_signed
from tests.core import close, person
from tests.incoming_world import BOB, KIM, Incoming, incoming

Verdict = Callable[[bytes], str]
TEXT = b"Content-Type: text/plain\r\n\r\npay 100 to Bob\r\n"
EVIL = b"Content-Type: text/plain\r\n\r\npay 900 to Mallory\r\n"


@pytest.fixture(scope="module")
def signed() -> bytes:
    """A multipart/signed entity of Kim's, whose certificate leads to a root of ours: fields and body."""
    kim = person(KIM)
    key = SigningKey(kim.certificate, kim.key)
    return multipart_signed([TEXT], key, moment=time.time(), randomness=os.urandom).to_bytes()


def mail(entity: bytes, sender: bytes = KIM.encode()) -> bytes:
    return b"From: " + sender + b"\r\nTo: " + BOB.encode() + b"\r\nMIME-Version: 1.0\r\n" + entity


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incoming]:
    made = incoming(tmp_path_factory.mktemp("spoofing"))
    yield made
    close(made.core)


@pytest.fixture
def verdict(world: Incoming) -> Verdict:
    """What the gateway says to the reader about a mail, in tag and evidence alike: `ok`, `invalid` or `no`."""

    def ask(wire: bytes) -> str:
        outcome, copies = world.arrive(wire)
        assert isinstance(outcome, Accepted), outcome
        head = copies[BOB].unfolded
        (said,) = re.findall(r"^X-IMEGW-Signed: (\w+)\r$", head, re.MULTILINE) or ["no"]
        assert ("[signed OK]" in head, "[signed INVALID]" in head) == (said == "ok", said == "invalid")
        return said

    return ask


def boundary_of(signed: bytes) -> bytes:
    found = re.search(rb'boundary="([^"]+)"', signed)
    assert found
    return found[1]


def test_the_honest_mail_is_good(verdict: Verdict, signed: bytes) -> None:
    assert verdict(mail(signed)) == "ok"


@pytest.mark.parametrize(
    "sender",
    [
        b"mallory@evil.example",
        b"kim@partner.example, mallory@evil.example\r\nSender: kim@partner.example",
        b'"kim@partner.example" <mallory@evil.example>',
        b"kim@partner.example.evil.example",
        b"mallory@evil.example\r\nSender: kim@partner.example",
        b"=?utf-8?q?kim=40partner=2Eexample?= <mallory@evil.example>",
        b"(kim@partner.example) mallory@evil.example",
    ],
)
def test_signed_by_another_than_it_shows(verdict: Verdict, signed: bytes, sender: bytes) -> None:
    assert verdict(mail(signed, sender)) == "invalid"


@pytest.mark.parametrize(
    "sender",
    [
        b"kim@partner.example, mallory@evil.example",
        b"kim@partner.example <mallory@evil.example>",
        b"kim@partner.example\r\nFrom: mallory@evil.example",
        b"kim@partner.example;",
        b"",
    ],
)
def test_a_from_that_readers_take_differently_comes_to_nobody(world: Incoming, signed: bytes, sender: bytes) -> None:
    outcome, copies = world.arrive(mail(signed, sender))
    assert isinstance(outcome, Refused) and outcome.reason is Reason.FROM_AMBIGUOUS and not copies


def test_whoever_sent_it_on_does_not_unsign_what_its_author_signed(verdict: Verdict, signed: bytes) -> None:
    """From names the author (RFC 5322 section 3.6.2); Sender may be a list or an assistant."""
    assert verdict(mail(signed, b"kim@partner.example\r\nSender: mallory@evil.example")) == "ok"


def around(kind: bytes, *parts: bytes) -> bytes:
    joined = b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: " + kind + b"; boundary=outer\r\n\r\n" + joined + b"--outer--\r\n"


@pytest.mark.parametrize("kind", [b"multipart/mixed", b"multipart/alternative", b"multipart/related"])
def test_her_mail_among_other_parts(verdict: Verdict, signed: bytes, kind: bytes) -> None:
    """A signed part among others is none of ours to judge."""
    for parts in ((EVIL, signed), (signed, EVIL), (signed,)):
        assert verdict(mail(around(kind, *parts))) == "no"


def test_her_mail_inside_a_mail(verdict: Verdict, signed: bytes) -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + mail(signed)
    assert verdict(mail(inner, b"mallory@evil.example")) == "no"
    assert verdict(mail(inner)) == "no"


def test_text_around_the_parts(verdict: Verdict, signed: bytes) -> None:
    boundary = boundary_of(signed)
    before = signed.replace(b"\r\n\r\n--" + boundary, b"\r\n\r\nPay 900 to Mallory\r\n--" + boundary, 1)
    assert before != signed and verdict(mail(before)) == "invalid"
    assert verdict(mail(signed + b"Pay 900 to Mallory\r\n")) == "invalid"


def test_a_third_part(verdict: Verdict, signed: bytes) -> None:
    boundary = boundary_of(signed)
    third = signed.replace(b"--" + boundary + b"--", b"--" + boundary + b"\r\n" + EVIL + b"\r\n--" + boundary + b"--")
    assert third != signed and verdict(mail(third)) == "invalid"


def test_another_first_part(verdict: Verdict, signed: bytes) -> None:
    boundary = boundary_of(signed)
    start = b"--" + boundary + b"\r\n"
    assert verdict(mail(signed.replace(start + TEXT, start + EVIL))) == "invalid"
    assert verdict(mail(signed.replace(start + TEXT, start + EVIL + b"\r\n" + start + TEXT))) == "invalid"


def test_fields_added_to_the_signed_part(verdict: Verdict, signed: bytes) -> None:
    start = b"--" + boundary_of(signed) + b"\r\n"
    assert verdict(mail(signed.replace(start, start + b"Content-Disposition: attachment\r\n", 1))) == "invalid"


def test_a_second_content_type(verdict: Verdict, signed: bytes) -> None:
    lie = b"Content-Type: text/plain\r\n"
    assert verdict(mail(lie + signed)) == "invalid"
    assert verdict(mail(signed.replace(b"\r\n\r\n", b"\r\n" + lie + b"\r\n", 1))) == "invalid"


def test_the_signature_taken_off_or_emptied(verdict: Verdict, signed: bytes) -> None:
    head, _, base64 = signed.rpartition(b"filename=smime.p7s\r\n\r\n")
    assert verdict(mail(head + b"filename=smime.p7s\r\n\r\n" + base64[base64.index(b"\r\n--") :])) == "invalid"
    assert verdict(mail(TEXT)) == "no"


def test_micalg_decides_nothing(verdict: Verdict, signed: bytes) -> None:
    """It is a hint for programs that read once (RFC 1847 section 2.1); the object says what was used."""
    assert verdict(mail(signed.replace(b"micalg=sha-256", b"micalg=md5"))) == "ok"
