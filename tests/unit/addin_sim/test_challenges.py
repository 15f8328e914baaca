"""The gateway's question: read as it is asked, answered only when it is about our key, signed as OpenSSL verifies."""

import subprocess
from pathlib import Path

import pytest

from addin_sim.challenges import Challenge, answer, may_answer, read_challenge
from addin_sim.outlook_settings import Account
from addin_sim.own_keys import OwnKeys, own_keys
from addin_sim.raw_mail import parse

MOMENT = 1_795_000_000.0
ACCOUNT = Account(address="alice@acme.example", display_name="Alice Ackermann")
DCA = "dca@ime.acme.example"
TOKEN = "imegw-0123456789abcdefghjkmnpqrstvwxyz"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> OwnKeys:
    return own_keys(tmp_path_factory.mktemp("profile"), ACCOUNT, MOMENT)


def question(keys: OwnKeys, **changes: str) -> bytes:
    fields = {
        "From": f"Internal encryption <{DCA}>",
        "To": "alice@acme.example",
        "Reply-To": DCA,
        "Message-ID": "<q1@gw.acme.example>",
        "X-IMEGW-Challenge": TOKEN,
        "X-IMEGW-Challenge-Certificate": keys.thumbprint,
    } | changes
    header = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"{header}Subject: Did you send this encrypted message?\r\n\r\nHello\r\n".encode()


def test_it_is_read_and_may_be_answered(keys: OwnKeys) -> None:
    challenge = read_challenge(question(keys))
    assert challenge == Challenge(TOKEN, (DCA,), (DCA,), (keys.thumbprint,), "<q1@gw.acme.example>")
    assert may_answer(challenge, "DCA@ime.acme.example", keys)


@pytest.mark.parametrize(
    "changes",
    [
        {"From": "Mallory <dca@ime.evil.example>"},
        {"From": f"{DCA}, mallory@evil.example"},
        {"Reply-To": "mallory@evil.example"},
        {"Reply-To": f"{DCA}, mallory@evil.example"},
        {"Reply-To": ""},
        {"From": "(" * 5000 + DCA},
        {"X-IMEGW-Challenge-Certificate": "sha256:" + "0" * 64},
        {"X-IMEGW-Challenge-Certificate": ""},
    ],
    ids=lambda changes: "-".join(changes.values())[:60] or "without",
)
def test_a_question_that_must_not_be_answered(keys: OwnKeys, changes: dict[str, str]) -> None:
    challenge = read_challenge(question(keys, **changes))
    assert challenge is not None
    assert not may_answer(challenge, DCA, keys)


def test_a_second_certificate_beside_ours_is_not_vouched_for(keys: OwnKeys) -> None:
    twice = question(keys).replace(b"Subject:", b"X-IMEGW-Challenge-Certificate: sha256:" + b"1" * 64 + b"\r\nSubject:")
    challenge = read_challenge(twice)
    assert challenge is not None
    assert not may_answer(challenge, DCA, keys)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "short",
        "with blank in the middle of it",
        "x" * 201,
        TOKEN.upper(),
        TOKEN + "0",
        TOKEN[:-1],
        TOKEN[:-1] + "u",
        "imegw-" + "l" * 32,
        "x" + TOKEN,
        "ümlaut-ümlaut-ümlaut",
    ],
)
def test_no_token_no_question(keys: OwnKeys, token: str) -> None:
    assert read_challenge(question(keys, **{"X-IMEGW-Challenge": token})) is None
    assert read_challenge(question(keys).replace(b"Subject:", b"X-IMEGW-Challenge: " + TOKEN.encode() + b"\r\nSubject:")
                          ) is None  # fmt: skip


def test_openssl_verifies_the_answer(keys: OwnKeys, tmp_path: Path) -> None:
    challenge = read_challenge(question(keys))
    assert challenge is not None
    mail = answer(challenge, ACCOUNT, DCA, keys, moment=MOMENT, unique="a1")
    header = parse(mail)
    assert header.value("From") == "Alice Ackermann <alice@acme.example>"
    assert header.value("To") == DCA
    assert header.value("In-Reply-To") == "<q1@gw.acme.example>"
    assert header.value("Auto-Submitted") == "auto-replied"
    assert header.value("Message-ID") == "<a1@acme.example>"
    (tmp_path / "own.pem").write_bytes(keys.certificate_pem)
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-CAfile", tmp_path / "own.pem", "-attime", str(int(MOMENT)),
         "-signer", tmp_path / "signer.pem"],
        input=mail, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert TOKEN.encode() in done.stdout.splitlines()
    assert (tmp_path / "signer.pem").read_bytes().strip() == keys.certificate_pem.strip()
