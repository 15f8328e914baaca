"""Outlook's own format, meetings, and mail that is protected already."""

import csv
import subprocess
from pathlib import Path

import pytest

from ime_gateway.mail.message import Message, parse_message
from ime_gateway.mail.mime_tree import walk
from ime_gateway.mail.recognise import is_calendar, is_tnef, protection_of

CALENDAR = b"Content-Type: text/calendar\r\n"


def mixed(part: bytes) -> Message:
    return parse_message(
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n" + part + b"\r\n--b--\r\n"
    )


@pytest.mark.parametrize(
    ("part", "tnef"),
    [
        (b"Content-Type: application/ms-tnef\r\n\r\nx", True),
        (b"Content-Type: Application/VND.ms-tnef; name=x\r\n\r\nx", True),
        (b"Content-Type: application/octet-stream; name=WINMAIL.DAT\r\n\r\nx", True),
        (b'Content-Disposition: attachment; filename="winmail.dat"\r\n\r\nx', True),
        (b"Content-Disposition: attachment; filename*=utf-8''winmail%2Edat\r\n\r\nx", True),
        (b"Content-Type: text/plain\r\nContent-Type: application/ms-tnef\r\n\r\nx", True),
        (b"Content-Type: message/rfc822\r\n\r\nContent-Type: application/ms-tnef\r\n\r\nx", True),
        (b"Content-Type: application/octet-stream; name=notwinmail.dat\r\n\r\nx", False),
        (b"Content-Type: text/plain\r\n\r\napplication/ms-tnef winmail.dat", False),
    ],
)
def test_tnef(part: bytes, tnef: bool) -> None:
    message = mixed(part)
    assert is_tnef(message) is tnef
    assert is_tnef(message, walk(message)) is tnef
    assert is_tnef(parse_message(part)) is tnef


@pytest.mark.parametrize(
    ("part", "calendar"),
    [
        (b"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\nx", True),
        (CALENDAR + b"\r\nBEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\n", True),
        (
            CALENDAR + b"Content-Transfer-Encoding: base64\r\n\r\nQkVHSU46VkNBTEVOREFSDQpNRVRIT0Q6UkVRVUVTVA0K",
            True,
        ),
        (
            CALENDAR + b"Content-Transfer-Encoding: quoted-printable\r\n\r\nMETH=\r\nOD:REQUEST\r\n",
            True,
        ),
        (b"Content-Class: urn:content-classes:CalendarMessage\r\n\r\nx", True),
        (CALENDAR + b"\r\nBEGIN:VCALENDAR\r\nX-METHOD:PUBLISH\r\n", False),
        (b"Content-Type: text/plain\r\n\r\nMETHOD:REQUEST\r\n", False),
        (b"Content-Type: text/plain; method=REQUEST\r\n\r\nx", False),
    ],
)
def test_calendar(part: bytes, calendar: bool) -> None:
    message = mixed(part)
    assert is_calendar(message) is calendar
    assert is_calendar(message, walk(message)) is calendar
    assert is_calendar(parse_message(part)) is calendar


@pytest.mark.parametrize(
    ("data", "protection"),
    [
        (b"\r\nx", "none"),
        (b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx", "smime-encrypted"),
        (b"Content-Type: application/x-pkcs7-mime; smime-type=authEnveloped-data\r\n\r\nx", "smime-encrypted"),
        (b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nx", "smime-signed"),
        (b"Content-Type: application/pkcs7-mime\r\n\r\nx", "none"),
        (b"Content-Type: multipart/signed; protocol=application/pkcs7-signature; boundary=b\r\n\r\nx", "smime-signed"),
        (b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b\r\n\r\nx', "pgp-signed"),
        (b"Content-Type: multipart/signed; boundary=b\r\n\r\nx", "none"),
        (
            b"Content-Type: multipart/encrypted; protocol=application/pgp-encrypted\r\n\r\nx",
            "pgp-encrypted",
        ),
        (b"Content-Type: multipart/encrypted; boundary=b\r\n\r\nx", "none"),
        (b"\r\n-----BEGIN PGP MESSAGE-----\r\n", "pgp-encrypted"),
        (b"\r\nHello\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n", "pgp-signed"),
        (b"\r\n> -----BEGIN PGP MESSAGE-----\r\n", "none"),
        (b"Content-Type: text/html\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n", "none"),
    ],
)
def test_protection(data: bytes, protection: str) -> None:
    assert protection_of(parse_message(data)) == protection


def test_a_protected_part_is_not_a_protected_mail() -> None:
    assert protection_of(mixed(b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx")) == "none"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("cms")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        key,
        "-out",
        cert,
    ]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


@pytest.mark.parametrize(
    ("arguments", "protection"),
    [
        (["-encrypt", "-aes-256-cbc"], "smime-encrypted"),
        (["-encrypt", "-aes-256-gcm"], "smime-encrypted"),
        (["-sign", "-nodetach"], "smime-signed"),
        (["-sign"], "smime-signed"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_what_openssl_protects(
    certificate: tuple[Path, Path], arguments: list[str], protection: str, named: bool
) -> None:
    key, cert = certificate
    who = [str(cert)] if "-encrypt" in arguments else ["-signer", str(cert), "-inkey", str(key)]
    made = subprocess.run(
        ["openssl", "cms", "-crlfeol", *arguments, *who], input=b"hi\r\n", check=True, capture_output=True
    )
    data = made.stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if not named and b"multipart" not in data:  # smime-type is optional, RFC 8551 section 3.2.2
        message = parse_message(data)
        encoding = (
            b"Content-Type: application/octet-stream; name=SMIME.P7M\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        )
        data = encoding + bytes(message.body)
    assert protection_of(parse_message(data)) == protection


def test_thunderbird_samples(vectors: Path) -> None:
    """The outermost layer is how the mail as a whole is protected."""
    folder = vectors / "thunderbird-smime"
    with (folder / "expected.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 12
    for row in rows:
        data = (folder / row["file"]).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        enveloped = row["layers_outer_to_inner"].startswith("enveloped")
        assert protection_of(parse_message(data)) == ("smime-encrypted" if enveloped else "smime-signed"), row["file"]
