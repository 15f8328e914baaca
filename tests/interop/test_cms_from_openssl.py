"""The CMS reader on what `openssl cms` writes, streamed (BER) and whole (DER); `cryptography` says what it finds."""

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256

from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import (
    Enveloped,
    KeyAgreement,
    KeyTransport,
    OtherContent,
    OtherRecipient,
    Signed,
)
from tests.pki import Entity, make_ca, make_user

FORMS = pytest.mark.parametrize("form", ["-stream", "-nostream"])
CONTENT = b"Content-Type: text/plain\r\n\r\n" + b"0123456789\r\n" * 2_000


@pytest.fixture(scope="module")
def people() -> dict[str, Entity]:
    ca = make_ca("Reader Root")
    return {"rsa": make_user("rsa@acme.example", ca), "ec": make_user("ec@acme.example", ca, kind="ec"), "ca": ca}


def cms(folder: Path, people: dict[str, Entity], form: str, *arguments: str) -> bytes:
    for name, person in people.items():
        person.write(folder, name)
    (folder / "in").write_bytes(CONTENT)
    stream = [form] if form == "-stream" else []
    command = ["openssl", "cms", *arguments[:1], "-binary", *stream, "-outform", "DER", "-in", "in", *arguments[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (done.stdout[:2] == b"\x30\x80") == (form == "-stream")
    return done.stdout


def serial_and_issuer(person: Entity) -> tuple[int, bytes]:
    return person.x509.serial_number, person.x509.issuer.public_bytes()


@FORMS
def test_every_kind_of_recipient_of_one_message(tmp_path: Path, people: dict[str, Entity], form: str) -> None:
    secret = ("-secretkey", "00" * 32, "-secretkeyid", "01", "-pwri_password", "secret")
    data = cms(tmp_path, people, form, "-encrypt", "-aes-256-cbc", *secret, "rsa.pem", "ec.pem")
    found = read_cms(data)
    assert isinstance(found, Enveloped) and not found.authenticated
    transport = next(one for one in found.recipients if isinstance(one, KeyTransport))
    agreement = next(one for one in found.recipients if isinstance(one, KeyAgreement))
    others = sorted(one.kind for one in found.recipients if isinstance(one, OtherRecipient))
    assert others == ["kekri", "pwri"]
    for who, person in ((transport, people["rsa"]), (agreement.keys[0], people["ec"])):
        assert who.issuer_and_serial is not None
        assert (who.issuer_and_serial.serial, who.issuer_and_serial.issuer) == serial_and_issuer(person)
    key = people["rsa"].key
    assert isinstance(key, rsa.RSAPrivateKey)
    content_key = key.decrypt(transport.encrypted_key, padding.PKCS1v15())
    assert found.algorithm.parameters is not None
    decryptor = Cipher(AES(content_key), CBC(found.algorithm.parameters[2:])).decryptor()
    clear = b"".join(decryptor.update(piece) for piece in found.ciphertext) + decryptor.finalize()
    assert clear[: -clear[-1]] == CONTENT
    # openssl leaves out the curve: the recipient's certificate names it. 30 59 | 30 09 06 07 OID | 03 42 00 point
    assert agreement.originator_key is not None and agreement.originator_key[2:4] == b"\x30\x09"
    own = people["ec"].key
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(own.curve, agreement.originator_key[-65:])
    assert own.exchange(ec.ECDH(), ephemeral)


@FORMS
def test_recipients_by_key_identifier(tmp_path: Path, people: dict[str, Entity], form: str) -> None:
    found = read_cms(cms(tmp_path, people, form, "-encrypt", "-keyid", "-recip", "rsa.pem", "-recip", "ec.pem"))
    assert isinstance(found, Enveloped)
    named = {one if isinstance(one, KeyTransport) else one.keys[0] for one in found.recipients if not is_other(one)}
    wanted = {
        people[name].x509.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        for name in ("rsa", "ec")
    }
    assert {one.key_identifier for one in named} == wanted
    assert all(one.issuer_and_serial is None for one in named)


def is_other(one: object) -> bool:
    return isinstance(one, OtherRecipient)


@FORMS
def test_authenticated_encryption(tmp_path: Path, people: dict[str, Entity], form: str) -> None:
    found = read_cms(cms(tmp_path, people, form, "-encrypt", "-aes-128-gcm", "rsa.pem"))
    assert isinstance(found, Enveloped) and found.authenticated
    assert len(found.tag) == 16 and sum(len(piece) for piece in found.ciphertext) == len(CONTENT)


@FORMS
@pytest.mark.parametrize("name", ["-keyid", "-nodetach"])
def test_signed_attributes_are_what_was_signed(tmp_path: Path, people: dict[str, Entity], form: str, name: str) -> None:
    signers = ("-signer", "rsa.pem", "-inkey", "rsa.key", "-signer", "ec.pem", "-inkey", "ec.key")
    found = read_cms(cms(tmp_path, people, form, "-sign", "-nodetach", name, *signers, "-certfile", "ca.pem"))
    assert isinstance(found, Signed) and found.content is not None
    assert b"".join(found.content) == CONTENT
    assert set(found.certificates) == {person.der for person in people.values()}
    assert len(found.signers) == 2
    for signer in found.signers:
        person = people["rsa" if signer.signature_algorithm.oid.startswith("1.2.840.113549") else "ec"]
        public, covered = person.key.public_key(), signer.signed_attributes_der or b""
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signer.signature, covered, padding.PKCS1v15(), SHA256())
        else:
            assert isinstance(public, ec.EllipticCurvePublicKey)
            public.verify(signer.signature, covered, ec.ECDSA(SHA256()))
        assert (signer.key_identifier is None) == (name != "-keyid")


def test_a_detached_signature_has_no_content(tmp_path: Path, people: dict[str, Entity]) -> None:
    found = read_cms(cms(tmp_path, people, "-nostream", "-sign", "-signer", "rsa.pem", "-inkey", "rsa.key", "-noattr"))
    assert isinstance(found, Signed) and found.content is None
    (signer,) = found.signers
    assert signer.signed_attributes is None
    key = people["rsa"].key.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signer.signature, CONTENT, padding.PKCS1v15(), SHA256())


@pytest.mark.parametrize(
    ("arguments", "dotted"),
    [
        (("-data_create",), "1.2.840.113549.1.7.1"),
        (("-digest_create",), "1.2.840.113549.1.7.5"),
        (("-EncryptedData_encrypt", "-aes-256-cbc", "-secretkey", "00" * 32), "1.2.840.113549.1.7.6"),
    ],
)
@FORMS
def test_other_content(
    tmp_path: Path, people: dict[str, Entity], form: str, arguments: tuple[str, ...], dotted: str
) -> None:
    assert read_cms(cms(tmp_path, people, form, *arguments)) == OtherContent(dotted)


def test_certificates_only(tmp_path: Path, people: dict[str, Entity]) -> None:
    for name, person in people.items():
        person.write(tmp_path, name)
    command = ["openssl", "crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", "rsa.pem", "-certfile", "ca.pem"]
    found = read_cms(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert isinstance(found, Signed) and not found.signers
    assert found.certificates == (people["rsa"].der, people["ca"].der)
