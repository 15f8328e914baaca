"""The machine-readable part of mail between gateways: read back as written, refused when it is anything else."""

import json
import os
from typing import Any

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.keys.domain_names import domain_of_authority
from ime_gateway.keys.exchange_mail import NOTE_TYPE, Letter, read_contents, write_mail
from ime_gateway.keys.exchange_note import (
    MOST_BYTES,
    Announcement,
    ExchangeNote,
    SelfTestAnswer,
    SelfTestRequest,
    decode_note,
    encode_note,
)
from ime_gateway.mail.address import parse_path
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.entity import signed_entity
from ime_gateway.smime.sign import SigningKey
from tests import openssl
from tests.pki import Entity, make_ca, make_user, pkcs7_bundle

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
TOKEN = "imegw-" + "0" * 32
NOTES: tuple[ExchangeNote, ...] = (
    Announcement("acme.example", ONE, TWO, 1_800_000_000.5),
    SelfTestRequest("acme.example", "bolt.example", TOKEN, 1_800_000_000.0),
    SelfTestAnswer("bolt.example", "acme.example", TOKEN, 1_800_000_000.0, ONE, "aes-256-gcm", TWO, True, "CN=Möller"),
    SelfTestAnswer("bolt.example", "acme.example", TOKEN, 1_800_000_000.0, "", "", TWO, False, "not trusted"),
)


@pytest.mark.parametrize("note", NOTES, ids=lambda note: type(note).__name__)
def test_notes_are_read_back(note: ExchangeNote) -> None:
    encoded = encode_note(note)
    assert encoded.isascii()
    assert decode_note(encoded) == note
    assert decode_note(json.dumps(json.loads(encoded) | {"later": [1, {}]}).encode()) == note


def changed(note: ExchangeNote, **changes: Any) -> bytes:
    said = json.loads(encode_note(note)) | changes
    return json.dumps({name: value for name, value in said.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 20_000,
        b"[" * 10_000,
        b'"' + b"x" * MOST_BYTES + b'"',
        changed(NOTES[0], imegw=2),
        changed(NOTES[0], imegw=...),
        changed(NOTES[0], kind="surprise"),
        changed(NOTES[0], kind=None),
        changed(NOTES[0], domain="*"),
        changed(NOTES[0], domain=["acme.example"]),
        changed(NOTES[0], domain="x" * 300),
        changed(NOTES[0], domain="acme.example\nBcc: x"),
        changed(NOTES[0], following=ONE[:-1]),
        changed(NOTES[0], following=ONE + "0"),
        changed(NOTES[0], current=...),
        changed(NOTES[0], at=True),
        changed(NOTES[0], at="now"),
        changed(NOTES[0], at=-1),
        changed(NOTES[0], at=10**400),
        changed(NOTES[0], at=...),
        changed(NOTES[1], token="imegw-" + "0" * 31),
        changed(NOTES[1], token=TOKEN + "\n"),
        changed(NOTES[1], partner=7),
        changed(NOTES[2], trusted="yes"),
        changed(NOTES[2], trusted=1),
        changed(NOTES[2], detail=[]),
        changed(NOTES[2], opened_with="all of it"),
        changed(NOTES[2], signed_by=""),
    ],
)
def test_everything_else_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableMail):
        decode_note(data)


def test_words_of_others_are_one_printable_line() -> None:
    note = decode_note(changed(NOTES[2], detail="a\r\nb\x1b[2J\u202e" + "x" * 5_000))
    assert isinstance(note, SelfTestAnswer)
    assert note.detail.isprintable() and len(note.detail) == 500


@pytest.fixture(scope="module")
def acme() -> Entity:
    return make_user("domain-confidentiality-authority@acme.example")


def letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "author": parse_path("key-exchange@acme.example"),
        "recipient": parse_path("key-exchange@bolt.example"),
        "subject": "New encryption certificate of acme.example",
        "text": "Hello,\nhere it is.\n",
        "unique": "abc",
        "hostname": "gw.acme.example",
        "moment": 1_800_000_000.0,
    }
    return Letter(**(values | changes))


def written(acme: Entity, readers: tuple[Entity, ...] = (), **changes: Any) -> bytes:
    key = SigningKey(acme.certificate, acme.key)  # type: ignore[arg-type]
    following = make_user("domain-confidentiality-authority@acme.example", kind="p256")
    certificates = tuple(one.certificate for one in readers)
    attached = (following.certificate,)
    head, body = write_mail(letter(**changes), NOTES[0], attached, key, certificates, "aes-256-cbc", os.urandom)
    return head + body


def test_openssl_verifies_what_we_write(acme: Entity) -> None:
    mail = written(acme)
    content = openssl.verify(mail, acme)
    assert content is not None
    assert b"certs-only" in content and NOTE_TYPE.encode() in content
    assert max(map(len, mail.split(b"\r\n"))) <= 998 and mail.isascii()


def test_openssl_opens_what_we_write(acme: Entity) -> None:
    bolt = make_user("domain-confidentiality-authority@bolt.example")
    opened = openssl.decrypt(written(acme, (bolt,)), bolt)
    assert opened is not None and b"multipart/signed" in opened


def test_contents_are_read_back(acme: Entity) -> None:
    signed = signed_entity(parse_message(written(acme)))
    assert signed is not None and signed.whole_body
    contents = read_contents(signed.entity)
    assert contents.note == NOTES[0]
    assert [one.addresses for one in contents.certificates] == [("domain-confidentiality-authority@acme.example",)]
    assert contents.fault == ""


def entity(*parts: bytes) -> Any:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return parse_message(b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + body)


def test_two_notes_are_none() -> None:
    note = b"Content-Type: " + NOTE_TYPE.encode() + b"\r\n\r\n" + encode_note(NOTES[0])
    assert read_contents(entity(note)).note == NOTES[0]
    twice = read_contents(entity(note, note))
    assert twice.note is None and "two machine-readable parts" in twice.fault


@pytest.mark.parametrize("form", ["der", "pem", "p7b", "pem p7b"])
def test_certificates_in_every_standard_form(form: str) -> None:
    """SMG-5: PKCS#7, PEM, DER."""
    bob, root = make_user("bob@partner.example"), make_ca("Root")
    data = {
        "der": bob.der,
        "pem": b"subject=bob\n" + bob.pem + root.pem,
        "p7b": pkcs7_bundle([root, bob]),
        "pem p7b": pkcs7_bundle([root, bob], pem=True),
    }[form]
    import base64

    part = b"Content-Type: application/octet-stream; name=x.p7b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    contents = read_contents(entity(part + base64.encodebytes(data).replace(b"\n", b"\r\n")))
    assert contents.certificates[0] == bob.certificate
    assert contents.fault == ""


@pytest.mark.parametrize("data", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_damaged_certificates_are_named(data: bytes) -> None:
    part = b"Content-Type: application/pkix-cert\r\n\r\n" + data
    contents = read_contents(entity(part))
    assert contents.certificates == () and contents.fault


def test_private_keys_and_passwords_are_not_looked_into() -> None:
    bob = make_user("bob@partner.example")
    part = b"Content-Type: application/octet-stream; name=x.pem\r\n\r\n" + bob.key_pem.replace(b"\n", b"\r\n")
    assert read_contents(entity(part)).certificates == ()


def attached(number: int, data: bytes) -> bytes:
    head = f"Content-Type: application/octet-stream; name={number}.pem\r\n\r\n"
    return head.encode() + data.replace(b"\n", b"\r\n")


def test_very_many_certificates_are_not_all_read() -> None:
    """Each costs time before anybody knows whose mail it is; people's come before CAs'."""
    users = [make_user(f"p{number}@partner.example", kind="p256") for number in range(12)]
    one_file = read_contents(entity(attached(0, b"".join(one.pem for one in users)))).certificates
    assert list(one_file) == [one.certificate for one in users[:10]]
    root = make_ca("Root", kind="p256")
    pairs = [attached(number, users[number].pem + root.pem) for number in range(8)]
    assert list(read_contents(entity(*pairs)).certificates) == [
        *(one.certificate for one in users[:5]),
        root.certificate,
    ]
    many = [attached(number, b"".join(one.pem for one in users[number * 4 : number * 4 + 4])) for number in range(3)]
    assert len(read_contents(entity(*many)).certificates) == 10


@pytest.mark.parametrize("note", [False, True])
def test_a_very_large_attachment_is_not_read(note: bool) -> None:
    bob, size = make_user("bob@partner.example", kind="p256"), 2 * MOST_BYTES if note else 262_144
    small = encode_note(NOTES[0]) if note else bob.pem.replace(b"\n", b"\r\n")
    head = b"Content-Type: " + (NOTE_TYPE.encode() if note else b"application/x; name=x.pem") + b"\r\n\r\n"
    fits, large = (read_contents(entity(head + small.ljust(size + more))) for more in (0, 1))
    assert large.fault == "an attachment is too large"
    assert (large.note, large.certificates) == (None, ())
    assert note or fits.certificates == (bob.certificate,)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("domain-confidentiality-authority@acme.example", "acme.example"),
        ("Domain-Signing-Authority@acme.example", "acme.example"),
        ("anna@acme.example", ""),
        ("domain-confidentiality-authority.x@acme.example", ""),
    ],
)
def test_names_of_domains(address: str, domain: str) -> None:
    assert domain_of_authority(make_user(address, kind="p256").certificate) == domain


def test_name_of_two_domains_is_none() -> None:
    both = make_user(
        "domain-confidentiality-authority@acme.example",
        kind="p256",
        dn_addresses=["domain-confidentiality-authority@evil.example"],
    )
    assert len(both.certificate.addresses) == 2
    assert domain_of_authority(both.certificate) == ""
