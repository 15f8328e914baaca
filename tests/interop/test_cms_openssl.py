"""OpenSSL opens what we encrypt, with the right key and with no other."""

import os
import subprocess
from pathlib import Path

import pytest

from ime_gateway.smime.encrypt import CipherName, ContentEncryptor, ContentKey, encrypt_entity, frame
from tests.pki import Entity, make_ca, make_user

HEADER = (
    b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n"
)
CIPHERS: tuple[CipherName, ...] = ("aes-256-cbc", "aes-256-gcm")


@pytest.fixture(scope="module")
def people() -> list[Entity]:
    ca = make_ca()
    return [make_user(f"person-{number}@acme.example", ca) for number in range(3)]


def decrypt(folder: Path, message: bytes, person: Entity, form: str = "SMIME") -> subprocess.CompletedProcess[bytes]:
    certificate, key = person.write(folder, "person")
    file = folder / "message"
    file.write_bytes(message)
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", form, "-in", file]
    return subprocess.run([*command, "-recip", certificate, "-inkey", key], capture_output=True, timeout=60)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("oaep", [False, True])
@pytest.mark.parametrize("size", [0, 1, 16, 4096, 29_184, 300_001])
def test_smime_text(tmp_path: Path, people: list[Entity], cipher: CipherName, oaep: bool, size: int) -> None:
    entity = os.urandom(size)
    readers = [one.certificate for one in people[:2]]
    known = [one.thumbprint for one in readers] if oaep else []
    halves = [entity[: size // 3], memoryview(entity)[size // 3 :]]
    body = b"".join(encrypt_entity(halves, size, readers, cipher, os.urandom, oaep=known))
    for person in people[:2]:
        result = decrypt(tmp_path, HEADER + body, person)
        assert result.returncode == 0, result.stderr
        assert result.stdout == entity
    outsider = decrypt(tmp_path, HEADER + body, people[2])
    assert outsider.returncode != 0
    assert not entity or outsider.stdout != entity


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("use_ski", [False, True])
def test_one_ciphertext_in_two_frames(tmp_path: Path, people: list[Entity], cipher: CipherName, use_ski: bool) -> None:
    entity = b"Content-Type: text/plain\r\n\r\nfor all of you\r\n" * 50
    key = ContentKey.generate(cipher, os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([entity]))
    visible = frame([one.certificate for one in people[:2]], key, len(ciphertext), encryptor.tag, use_ski=use_ski)
    blind = frame([people[2].certificate], key, len(ciphertext), encryptor.tag, use_ski=use_ski)
    for made, readers, others in ((visible, people[:2], people[2:]), (blind, people[2:], people[:2])):
        message = made.prefix + ciphertext + made.suffix
        for person in readers:
            assert decrypt(tmp_path, message, person, "DER").stdout == entity
        for person in others:
            assert decrypt(tmp_path, message, person, "DER").returncode != 0


@pytest.mark.parametrize("cipher", CIPHERS)
def test_openssl_finds_the_structure_without_fault(tmp_path: Path, people: list[Entity], cipher: CipherName) -> None:
    key = ContentKey.generate(cipher, os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([b"x" * 1000]))
    made = frame([one.certificate for one in people], key, len(ciphertext), encryptor.tag)
    file = tmp_path / "object.der"
    file.write_bytes(made.prefix + ciphertext + made.suffix)
    shown = subprocess.run(
        ["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", file],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0, shown.stderr
    kind = "id-smime-ct-authEnvelopedData" if cipher == "aes-256-gcm" else "pkcs7-envelopedData"
    assert kind in shown.stdout
    assert shown.stdout.count("d.ktri") == 3
    written = subprocess.run(
        ["openssl", "cms", "-cmsout", "-inform", "DER", "-outform", "DER", "-in", file], capture_output=True, timeout=60
    )
    assert written.stdout == file.read_bytes(), "OpenSSL writes other bytes for the same object: ours are not DER"


def test_a_changed_gcm_message_is_refused(tmp_path: Path, people: list[Entity]) -> None:
    key = ContentKey.generate("aes-256-gcm", os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([b"pay 100"]))
    made = frame([people[0].certificate], key, len(ciphertext), encryptor.tag)
    changed = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    assert decrypt(tmp_path, made.prefix + ciphertext + made.suffix, people[0], "DER").stdout == b"pay 100"
    assert decrypt(tmp_path, made.prefix + changed + made.suffix, people[0], "DER").returncode != 0
    cut = frame([people[0].certificate], key, len(ciphertext), bytes(16))
    assert decrypt(tmp_path, cut.prefix + ciphertext + cut.suffix, people[0], "DER").returncode != 0


@pytest.mark.parametrize("cipher", CIPHERS)
def test_the_people_of_others(tmp_path: Path, vectors: Path, cipher: CipherName) -> None:
    from ime_gateway.certs.bundle import read_bundle

    folder = vectors / "rfc9216"
    (bob,) = read_bundle((folder / "bob.encrypt.crt").read_bytes(), None).certificates
    body = b"".join(encrypt_entity([b"hello Bob"], 9, [bob], cipher, os.urandom))
    file = tmp_path / "message"
    file.write_bytes(HEADER + body)
    command = ["openssl", "cms", "-decrypt", "-binary", "-in", file, "-recip", folder / "bob.encrypt.crt"]
    result = subprocess.run([*command, "-inkey", folder / "bob.encrypt.key"], capture_output=True, timeout=60)
    assert result.stdout == b"hello Bob", result.stderr
