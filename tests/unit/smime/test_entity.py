"""S/MIME entities however their makers label and encode them; openssl makes and signs them."""

import base64
import binascii
import subprocess
from pathlib import Path

import pytest

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.smime.entity import cms_object, read_entity, signed_entity
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import Signed
from ime_gateway.smime.verify import verify
from tests.pki import Entity, make_user

ENTITY = b"Content-Type: text/plain\r\n\r\nThe marker is orchid.\r\n"


@pytest.fixture(scope="module")
def anna() -> Entity:
    return make_user("anna@acme.example")


def openssl(folder: Path, person: Entity, content: bytes, *arguments: str) -> bytes:
    certificate, key = person.write(folder, "signer")
    command = ["openssl", "cms", "-sign", "-binary", "-signer", str(certificate), "-inkey", str(key), *arguments]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def opaque(anna: Entity, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return openssl(tmp_path_factory.mktemp("opaque"), anna, ENTITY, "-nodetach", "-outform", "DER")


@pytest.fixture(scope="module")
def detached(anna: Entity, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return openssl(tmp_path_factory.mktemp("detached"), anna, ENTITY, "-outform", "DER")


def labelled(octets: bytes, fields: str) -> Message:
    return parse_message(fields.encode() + b"\r\n" + octets)


def lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


LABELS = [
    "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n",
    "Content-Type: application/x-pkcs7-mime\r\n",
    "Content-Type: APPLICATION/PKCS7-MIME; smime-type=enveloped-data\r\n",
    "Content-Type: application/octet-stream; name=smime.p7m\r\n",
    'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="Re: x.P7M"\r\n',
    "Content-Type: application/octet-stream; name*=utf-8''smime.p7s\r\n",
    "Content-Type: application/octet-stream; name=smime.p7z\r\n",
]


@pytest.mark.parametrize("label", LABELS)
def test_every_label(label: str, opaque: bytes) -> None:
    fields = label + "Content-Transfer-Encoding: base64\r\n"
    assert cms_object(labelled(lines(opaque), fields)) == opaque
    found = signed_entity(labelled(lines(opaque), fields))
    assert found is not None and not found.detached and found.whole_body
    assert bytes(found.entity.body) == b"The marker is orchid.\r\n"


@pytest.mark.parametrize(
    ("encoding", "coded"),
    [
        ("base64", lines),
        (" BASE64 (as usual)", lines),
        ('"base64"', lines),
        ("7bit", lines),
        ("", lines),
        ("binary", bytes),
        ("BINARY", bytes),
        ("8bit", bytes),
        ("7bit", bytes),
        ("", bytes),
        ("quoted-printable", binascii.b2a_qp),
        ("x-strange", lines),
    ],
)
def test_every_transfer_encoding(encoding: str, coded: object, opaque: bytes) -> None:
    fields = LABELS[0] + (f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else "")
    assert callable(coded)
    octets = coded(opaque, istext=False) if coded is binascii.b2a_qp else coded(opaque)
    assert cms_object(labelled(octets, fields)) == opaque


def test_binary_is_not_copied(opaque: bytes) -> None:
    data = bytearray(LABELS[0].encode() + b"Content-Transfer-Encoding: binary\r\n\r\n" + opaque)
    found = cms_object(parse_message(data))
    assert found is not None and found.obj is data


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Type: text/plain; name=smime.p7m\r\n",
        "Content-Type: application/octet-stream; name=p7m.zip\r\n",
        "Content-Type: application/octet-stream\r\n",
        "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "",
    ],
)
def test_other_entities_are_no_cms_objects(fields: str, opaque: bytes) -> None:
    assert cms_object(labelled(lines(opaque), fields)) is None
    assert signed_entity(labelled(lines(opaque), fields)) is None


@pytest.mark.parametrize(
    "fields",
    [
        LABELS[0] + "Content-Type: text/html\r\n",
        "Content-Type: text/html\r\n" + LABELS[0],
        LABELS[3] + "Content-Type: text/plain\r\n",
        LABELS[0] + "Content-Type: multipart/signed; boundary=b\r\n",
        LABELS[0] + "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: binary\r\n",
    ],
)
def test_two_answers_are_none(fields: str, opaque: bytes) -> None:
    with pytest.raises(UnreadableMail):
        cms_object(labelled(lines(opaque), fields))
    with pytest.raises(UnreadableMail):
        signed_entity(labelled(lines(opaque), fields))


def multipart(content: bytes, signature: bytes, *, kind: str = "application/pkcs7-signature") -> Message:
    head = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=wrong; boundary=b\r\n'
    second = f"Content-Type: {kind}; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
    body = b"--b\r\n" + content + b"\r\n--b\r\n" + second + lines(signature) + b"--b--\r\n"
    return parse_message(head + b"\r\n" + body)


@pytest.mark.parametrize(
    "kind", ["application/pkcs7-signature", "application/x-pkcs7-signature", "application/octet-stream"]
)
def test_detached(kind: str, anna: Entity, detached: bytes) -> None:
    found = signed_entity(multipart(ENTITY, detached, kind=kind))
    assert found is not None and found.detached and found.whole_body
    assert b"".join(found.content) == ENTITY
    assert found.entity.headers.to_bytes() == b"Content-Type: text/plain\r\n"
    [verdict] = verify(found.signed, found.content).signers
    assert verdict.intact and verdict.certificate == anna.certificate


def test_detached_over_other_octets(detached: bytes) -> None:
    found = signed_entity(multipart(ENTITY + b"\r\n", detached))
    assert found is not None
    assert not verify(found.signed, found.content).signers[0].intact


def test_openssl_smime_as_it_comes(anna: Entity, tmp_path: Path) -> None:
    """Preamble, boundary and types are openssl's own; it signs text with CRLF line ends."""
    made = openssl(tmp_path, anna, ENTITY).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    found = signed_entity(parse_message(made))
    assert found is not None and found.whole_body
    assert verify(found.signed, found.content).signers[0].intact


def test_a_detached_signature_brings_no_content(opaque: bytes) -> None:
    with pytest.raises(UnreadableCms):
        signed_entity(multipart(b"Content-Type: text/plain\r\n\r\nForged.\r\n", opaque))


def test_a_signature_alone_is_no_mail(detached: bytes) -> None:
    with pytest.raises(UnreadableCms):
        signed_entity(labelled(lines(detached), LABELS[0]))


def test_the_second_part_must_be_a_signature(opaque: bytes, detached: bytes) -> None:
    with pytest.raises(UnreadableMail):
        signed_entity(multipart(ENTITY, detached, kind="text/plain"))
    with pytest.raises(UnreadableCms):
        signed_entity(multipart(ENTITY, b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"))


def test_other_protocols_are_not_ours() -> None:
    head = b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b\r\n\r\n'
    assert signed_entity(parse_message(head + b"--b\r\n\r\nx\r\n--b\r\n\r\nx\r\n--b--\r\n")) is None


def test_what_is_signed_must_be_mail(anna: Entity, tmp_path: Path) -> None:
    octets = openssl(tmp_path, anna, ENTITY, "-nodetach", "-outform", "DER", "-econtent_type", "1.2.840.113549.1.7.5")
    with pytest.raises(UnreadableCms):
        signed_entity(labelled(lines(octets), LABELS[0]))


def test_certificates_only_is_not_signed(anna: Entity, tmp_path: Path) -> None:
    certificate, _ = anna.write(tmp_path, "anna")
    command = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", str(certificate), "-outform", "DER"]
    octets = subprocess.run(command, capture_output=True, check=True).stdout
    assert isinstance(read_cms(octets), Signed)
    assert signed_entity(labelled(lines(octets), LABELS[0])) is None


def test_line_ends_inside() -> None:
    assert bytes(read_entity(memoryview(b"A: b\n\nText\n")).body) == b"Text\r\n"
    octets = b"A: b\r\n\r\n" + b"x" * 65_527 + b"\r\n" * 40_000
    found = read_entity(memoryview(octets))
    assert bytes(found.body) == octets[8:] and found.body.obj is octets
    for mixed, body in (
        (b"A: b\r\n\r\nx\n", b"x\r\n"),
        (b"A: b\r\n\r\nx\r", b"x\r\n"),
        (b"A: b\r\n\r\n" + b"x" * 65_527 + b"\rx", b"x" * 65_527 + b"\r\nx"),
    ):
        assert bytes(read_entity(memoryview(mixed)).body) == body
    for header in (b"A: b\n\nx\r", b"A: b\rC: d\r\n\r\nx", b"A: b\nC: d\r\n\r\nx"):
        with pytest.raises(UnreadableMail):
            read_entity(memoryview(header))
