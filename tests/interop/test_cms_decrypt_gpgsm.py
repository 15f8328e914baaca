"""We open what GnuPG encrypts, and GnuPG finds itself among mixed recipients of ours.

GnuPG 2.2 (Debian 12) does key agreement in neither direction: it fails to write one ("Invalid S-expression") and
crashes when it imports a private key for one. It reads that there is one, and for whom.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes

from ime_gateway.smime.content import ContentEncryptor, ContentKey
from ime_gateway.smime.decrypt import Decrypted, OwnedKey, decrypt
from ime_gateway.smime.encrypt import frame
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import Enveloped
from tests.pki import Entity, key_usage, make_ca, make_user

PASSWORD = "secret"


@dataclass(frozen=True)
class Gnupg:
    """A home of GnuPG with two people: the secret key of the RSA one, the certificates of both."""

    home: Path
    people: dict[str, Entity]

    def run(self, *arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        secret = self.home / "password"
        secret.write_text(PASSWORD)
        with secret.open() as file:
            quiet = ["--batch", "--yes", "--no-tty", "--disable-crl-checks", "--pinentry-mode", "loopback"]
            command = ["gpgsm", "--homedir", self.home, *quiet, "--passphrase-fd", str(file.fileno()), *arguments]
            return subprocess.run(command, input=data, capture_output=True, timeout=120, pass_fds=[file.fileno()])


@pytest.fixture(scope="module")
def gnupg() -> Iterator[Gnupg]:
    ca = make_ca("GnuPG writer's CA")
    # GnuPG 2.2 asks keyEncipherment of every key.
    usage = key_usage(key_agreement=True, key_encipherment=True)
    people = {"rsa": make_user("rsa@acme.example", ca), "p256": make_user("p256@acme.example", ca, kind="ec", ku=usage)}
    with tempfile.TemporaryDirectory(prefix="gs", dir="/tmp") as folder:
        made = Gnupg(Path(folder), people)
        made.home.chmod(0o700)
        (made.home / "trustlist.txt").write_text(ca.x509.fingerprint(hashes.SHA1()).hex().upper() + " S relax\n")
        try:
            (made.home / "rsa.p12").write_bytes(people["rsa"].pkcs12(PASSWORD, [ca], old=True))
            made.run("--import", made.home / "rsa.p12")
            made.run("--import", data=ca.pem + people["p256"].pem)
            yield made
        finally:
            subprocess.run(["gpgconf", "--homedir", folder, "--kill", "all"], capture_output=True, timeout=60)


def encrypted(readers: list[Entity], content: bytes) -> bytes:
    key = ContentKey.generate("aes-256-cbc", os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([content]))
    made = frame([one.certificate for one in readers], key, len(ciphertext), encryptor.tag)
    return made.prefix + ciphertext + made.suffix


@pytest.mark.parametrize("size", [0, 1, 16, 100_000])
@pytest.mark.parametrize("cipher", ["AES", "AES192", "AES256", "3DES"])
def test_we_open_what_it_encrypts(gnupg: Gnupg, cipher: str, size: int) -> None:
    person, content = gnupg.people["rsa"], os.urandom(size)
    made = gnupg.run("--encrypt", "--cipher-algo", cipher, "--recipient", "rsa@acme.example", data=content)
    assert made.returncode == 0, made.stderr
    envelope = read_cms(made.stdout)
    assert isinstance(envelope, Enveloped)
    result = decrypt(envelope, [OwnedKey.from_pkcs8(person.certificate, person.key_der)], randomness=os.urandom)
    assert isinstance(result, Decrypted) and result.content == content
    assert result.legacy == (cipher == "3DES") and not result.integrity


def test_it_opens_ours_whoever_else_reads_it(gnupg: Gnupg) -> None:
    content = os.urandom(5_000)
    others = [make_user(f"{kind}@acme.example", make_ca(kind="ec"), kind=kind) for kind in ("p384", "p521", "x25519")]
    opened = gnupg.run("--decrypt", data=encrypted([*others, *gnupg.people.values()], content))
    assert opened.returncode == 0 and opened.stdout == content, opened.stderr


def test_it_reads_for_whom_a_key_agreement_is(gnupg: Gnupg) -> None:
    shown = gnupg.run("--decrypt", data=encrypted([gnupg.people["p256"]], b"text"))
    assert b"encrypted to nistp256 key" in shown.stderr and b"No secret key" in shown.stderr
