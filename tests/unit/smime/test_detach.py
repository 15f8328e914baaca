"""An opaque signature moved beside its text: openssl and our own reader find the same signature over the same text."""

import subprocess
from pathlib import Path

import pytest

from ime_gateway.mail.message import Message, parse_message
from ime_gateway.smime.detach import detached
from ime_gateway.smime.entity import signed_entity
from ime_gateway.smime.sign import SigningKey, sign_opaque
from ime_gateway.smime.structures import CmsLimits
from ime_gateway.smime.verify import verify
from tests.pki import Entity, make_user
from tests.smime_mail import signed, text_entity


@pytest.fixture(scope="module", params=["rsa", "p256"])
def anna(request: pytest.FixtureRequest) -> Entity:
    return make_user("anna@acme.example", kind=request.param)


def message(entity: bytes) -> Message:
    return parse_message(bytearray(entity.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))


def opaque(content: bytes, signer: Entity) -> Message:
    der = sign_opaque(content, SigningKey(signer.certificate, signer.key), moment=1_790_000_000.0)
    return parse_message(
        bytearray(b"X-Kept: 1\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\n" + der)
    )


def wire(made: Message) -> bytes:
    return b"".join(bytes(chunk) for chunk in made.chunks())


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_openssl_checks_what_openssl_signed(anna: Entity, digest: str, tmp_path: Path) -> None:
    made = detached(message(signed(text_entity("hello"), anna, opaque=True, digest=digest)), CmsLimits())
    assert made is not None and b"\r\nhello\r\n" in bytes(made.body)
    (tmp_path / "ca.pem").write_bytes(anna.pem)
    command = ["openssl", "cms", "-verify", "-CAfile", str(tmp_path / "ca.pem"), "-purpose", "any"]
    done = subprocess.run(command, input=wire(made), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == text_entity("hello").replace(b"\n", b"\r\n")
    assert digest[3:] in made.headers.to_bytes().decode()


def test_our_own_reader_finds_the_same(anna: Entity) -> None:
    content = b"Content-Type: text/plain\r\n\r\nhello \r\nFrom me\r\n\r\n"
    made = detached(opaque(content, anna), CmsLimits())
    assert made is not None
    assert made.headers.first("x-kept") is not None and len(made.headers.all("content-type")) == 1
    found = signed_entity(made)
    assert found is not None and found.whole_body and found.detached
    assert b"".join(found.content) == content
    (verdict,) = verify(found.signed, found.content).signers
    assert verdict.intact and verdict.certificate == anna.certificate


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: text/plain\n\nunix lines\n",
        b"Content-Type: text/plain\r\n\r\nlone \r return\r\n",
        b"Content-Type: text/plain\r\n\r\nnul \0\r\n",
        b"Content-Type: text/plain\r\n\r\n" + b"x" * 1001 + b"\r\n",
        b"",
    ],
)
def test_what_would_not_survive_stays_opaque(anna: Entity, content: bytes) -> None:
    assert detached(opaque(content, anna), CmsLimits()) is None


@pytest.mark.parametrize(
    "entity",
    [
        b"Content-Type: text/plain\r\n\r\nhello\r\n",
        b"Content-Type: application/pkcs7-mime\r\n\r\nAAAA\r\n",
        b"Content-Type: application/pkcs7-mime\r\n\r\n" + bytes(range(3, 250, 5)),
    ],
)
def test_what_is_not_opaquely_signed_stays(entity: bytes) -> None:
    assert detached(parse_message(bytearray(entity)), CmsLimits()) is None
