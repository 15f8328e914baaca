"""Values of userCertificate and userSMIMECertificate: every form in which directories keep certificates."""

import struct
import subprocess
from pathlib import Path

import pytest

from ime_gateway.certs import directory_values
from ime_gateway.certs.directory_values import certificates_in
from tests.pki import Entity, make_ca, make_user, pkcs7_bundle


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca("Value CA")


@pytest.fixture(scope="module")
def bob(ca: Entity) -> Entity:
    return make_user("bob@acme.example", ca)


def outlook(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<HH", tag, len(data) + 4) + data for tag, data in fields)


def test_plain_der(bob: Entity) -> None:
    assert certificates_in([bob.der, bob.der]) == (bob.certificate,)


def test_signed_by_its_owner_with_the_chain(tmp_path: Path, ca: Entity, bob: Entity) -> None:
    certificate, key = bob.write(tmp_path, "bob")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(ca.pem)
    command = ["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-in", "/dev/null", "-certfile", str(chain)]
    command += ["-signer", str(certificate), "-inkey", str(key)]
    value = subprocess.run(command, capture_output=True, check=True).stdout
    assert certificates_in([value]) == (bob.certificate,)


def test_certificates_only(ca: Entity, bob: Entity) -> None:
    assert certificates_in([pkcs7_bundle([ca, bob])]) == (bob.certificate,)


def test_outlooks_own_fields(bob: Entity) -> None:
    signing = make_user("bob@acme.example", None)
    fields = [(1, b"\1\0\0\0"), (2, b"0\0"), (3, bob.der), (8, signing.der), (0x20, b"\1\0\0\0")]
    assert certificates_in([outlook(*fields)]) == (bob.certificate, signing.certificate)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"0\x82",
        b"rubbish",
        b"\3\0\0\0rest",
        b"\3\0\xff\xffshort",
        b"\3\0\4\0" * 10,
        b"0\x80" * 2000,
        b"0\x03abc",
    ],
)
def test_rubbish_is_passed_over(value: bytes, bob: Entity) -> None:
    assert certificates_in([value, bob.der]) == (bob.certificate,)


def test_huge_values_and_endless_lists_are_cut_short(bob: Entity, monkeypatch: pytest.MonkeyPatch) -> None:
    assert certificates_in([bob.der + bytes(directory_values._LARGEST)]) == ()
    monkeypatch.setattr(directory_values, "_MOST", 2)
    many = [make_user(f"x{number}@acme.example", None).der for number in range(3)]
    assert len(certificates_in(many)) == 2


def test_a_damaged_certificate_inside_spoils_only_itself(bob: Entity) -> None:
    assert certificates_in([outlook((3, b"0\x03abc"), (8, bob.der))]) == (bob.certificate,)
