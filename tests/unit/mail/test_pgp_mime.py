"""PGP/MIME is what is encrypted to the letter; a clear text in its costume is a clear text."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from ime_gateway.mail.message import Message, parse_message
from ime_gateway.mail.pgp_mime import is_pgp_mime

CONTROL = "--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n"
TYPE = 'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b'


def mail(armor: str, control: str = CONTROL, content_type: str = TYPE, part: str = "", after: str = "") -> Message:
    sealed = f"--b\nContent-Type: application/octet-stream\n{part}\n{armor}\n{after}--b--\n"
    text = f"From: a@x\nContent-Type: {content_type}\n\n{control}{sealed}"
    return parse_message(text.replace("\n", "\r\n").encode())


def armor(first: int, *, head: str = "", size: int = 300, check: str = "=aB3/\n") -> str:
    lines = base64.encodebytes(bytes([first]) + b"\x01" * size).decode()
    return f"-----BEGIN PGP MESSAGE-----\n{head}\n{lines}{check}-----END PGP MESSAGE-----\n"


REAL = armor(0xC1)


@pytest.mark.parametrize("first", [0x84, 0x85, 0x8C, 0xC1, 0xC3, 0xD2, 0xD4], ids=hex)
@pytest.mark.parametrize("size", [0, 1, 2, 300])
def test_what_begins_like_an_encryption_is_one(first: int, size: int) -> None:
    assert is_pgp_mime(mail(armor(first, size=size)))


@pytest.mark.parametrize("first", [0x00, 0x41, 0x90, 0xC2, 0xC8, 0xCB, 0xA3], ids=hex)
def test_what_begins_like_something_else_is_none(first: int) -> None:
    """Signed, compressed, literal data, and what is no packet: every OpenPGP program shows it without a key."""
    assert not is_pgp_mime(mail(armor(first)))


@pytest.mark.parametrize(
    "message",
    [
        mail(REAL.replace("\n", "  \n")),
        mail(armor(0xC1, head="Version: GnuPG v2\nComment: for you only\n")),
        mail(armor(0xC1, check="")),
        mail("\n" + REAL + "\n\n"),
        mail(base64.encodebytes(REAL.encode()).decode(), part="Content-Transfer-Encoding: base64\n"),
        mail(REAL.replace("=", "=3D"), part="Content-Transfer-Encoding: quoted-printable\n"),
    ],
    ids=["blanks", "armor header", "no check", "empty lines", "base64", "quoted-printable"],
)
def test_as_programs_write_it(message: Message) -> None:
    assert is_pgp_mime(message)


COSTUMES = {
    "clear text in the armor": mail(REAL.replace("AQEBAQEB", "pay Mallory ", 1)),
    "clear text as armor header": mail(armor(0xC1, head="pay Mallory\n")),
    "before it": mail("pay Mallory\n" + REAL),
    "behind it": mail(REAL + "pay Mallory\n"),
    "no end": mail(REAL.replace("-----END PGP MESSAGE-----", "")),
    "two of them": mail(REAL + REAL),
    "empty": mail("-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n"),
    "not the octets that it says": mail(REAL.replace("AQEBAQEB", "AQEBAQE", 1)),
    "padding in the middle": mail(REAL.replace("AQEB\n", "AQE=\n", 1)),
    "a third part": mail(REAL, after="--b\n\npay Mallory\n"),
    "no control part": mail(REAL, control=""),
    "another control part": mail(REAL, control="--b\nContent-Type: text/plain\n\npay Mallory\n"),
    "not called encrypted": mail(REAL, content_type="multipart/mixed; boundary=b"),
    "base64 not said": mail(base64.encodebytes(REAL.encode()).decode()),
}


@pytest.mark.parametrize("message", COSTUMES.values(), ids=COSTUMES)
def test_a_costume_is_no_encryption(message: Message) -> None:
    assert not is_pgp_mime(message)


@pytest.mark.parametrize("line", ["AAAA\n", "A" * 60 + "\n", "A", " ", "\n", "Aa: b\n", "=\n"])
def test_very_much_of_anything_is_read(line: str) -> None:
    """A match that is not linear would not end."""
    for head in ("", "-----BEGIN PGP MESSAGE-----\n", "-----BEGIN PGP MESSAGE-----\n\nAAAA\n"):
        assert not is_pgp_mime(mail(head + line * ((2 << 20) // len(line)) + "!"))


def test_what_gnupg_makes_is_one(tmp_path: Path) -> None:
    command = [shutil.which("gpg") or "gpg", "--homedir", str(tmp_path), "--batch", "--pinentry-mode", "loopback"]
    command += ["--passphrase", "x", "--symmetric", "--armor"]
    made = subprocess.run(command, input=b"canary\n" * 500, capture_output=True, check=True).stdout.decode()
    subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=True)  # its agent stays otherwise
    assert is_pgp_mime(mail(made))
