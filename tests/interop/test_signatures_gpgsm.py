"""GnuPG's S/MIME program believes what we sign, reads the certificate that we issue, and signs for us to check."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1

from ime_gateway.certs.capabilities import own_capabilities
from ime_gateway.certs.issue import self_signed
from ime_gateway.smime.contact_blob import contact_blob
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.sign import SigningKey, sign_detached, sign_opaque
from ime_gateway.smime.structures import Signed
from ime_gateway.smime.verify import verify
from tests.pki import Entity, make_ca, make_user, rsa_key

PASSWORD = "import"
TEXT = b"Content-Type: text/plain\r\n\r\nhello from here\r\n"


def gpgsm(home: Path, *arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    secret = home / "password"
    secret.write_text(PASSWORD)
    with secret.open() as file:
        quiet = ["--batch", "--yes", "--no-tty", "--disable-crl-checks", "--pinentry-mode", "loopback"]
        command = [
            "gpgsm",
            "--homedir",
            home,
            *quiet,
            "--status-fd",
            "2",
            "--passphrase-fd",
            str(file.fileno()),
            *arguments,
        ]
        return subprocess.run(command, input=data, capture_output=True, timeout=120, pass_fds=[file.fileno()])


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca("GnuPG signers' CA")


@pytest.fixture(scope="module")
def person(ca: Entity) -> Entity:
    return make_user("signer@acme.example", ca)


@pytest.fixture(scope="module")
def home(ca: Entity, person: Entity) -> Iterator[Path]:
    # The agent's socket lies in this folder: its path must be short.
    with tempfile.TemporaryDirectory(prefix="gs", dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o700)
        (place / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        print_of = ca.x509.fingerprint(SHA1())
        (place / "trustlist.txt").write_text(print_of.hex().upper() + " S relax\n")
        try:
            (place / "person.p12").write_bytes(person.pkcs12(PASSWORD, [ca], old=True))
            imported = gpgsm(place, "--import", place / "person.p12")
            assert b"secret keys imported: 1" in imported.stderr, imported.stderr
            yield place
        finally:
            subprocess.run(["gpgconf", "--homedir", folder, "--kill", "all"], capture_output=True, timeout=60)


def test_it_believes_our_detached_signature(home: Path, person: Entity, ca: Entity) -> None:
    key = SigningKey(person.certificate, person.key, (ca.certificate,))
    made = sign_detached([TEXT], key, moment=time.time(), capabilities=own_capabilities())
    (home / "signature").write_bytes(made)
    (home / "text").write_bytes(TEXT)
    checked = gpgsm(home, "--verify", home / "signature", home / "text")
    assert b"[GNUPG:] GOODSIG" in checked.stderr and checked.returncode == 0, checked.stderr
    (home / "text").write_bytes(TEXT.replace(b"here", b"elsewhere"))
    changed = gpgsm(home, "--verify", home / "signature", home / "text")
    assert b"[GNUPG:] BADSIG" in changed.stderr and changed.returncode != 0


def test_it_believes_our_opaque_signature(home: Path, person: Entity) -> None:
    made = sign_opaque(TEXT, SigningKey(person.certificate, person.key), moment=time.time())
    checked = gpgsm(home, "--verify", "--output", "-", data=made)
    assert b"[GNUPG:] GOODSIG" in checked.stderr, checked.stderr


@pytest.mark.parametrize("detached", [True, False])
def test_we_believe_its_signatures(home: Path, person: Entity, detached: bool) -> None:
    form = ("--detach-sign",) if detached else ("--sign",)
    done = gpgsm(home, *form, "--local-user", "signer@acme.example", data=TEXT)
    assert done.returncode == 0, done.stderr
    signed = read_cms(done.stdout)
    assert isinstance(signed, Signed)
    content = (memoryview(TEXT),) if detached else None
    (verdict,) = verify(signed, content).signers
    assert verdict.intact and verdict.certificate == person.certificate, verdict
    assert detached or (signed.content is not None and b"".join(signed.content) == TEXT)


def test_it_imports_the_certificate_of_an_ime_address(home: Path) -> None:
    address = "domain-confidentiality-authority@ime.acme.example"
    made = self_signed(address, "", rsa_key(2), moment=time.time(), days=700, randomness=os.urandom)
    imported = gpgsm(home, "--import", data=made.der)
    assert b"IMPORT_OK" in imported.stderr, imported.stderr
    shown = gpgsm(home, "--dump-cert", address).stdout.decode()
    assert address in shown and "digitalSignature keyEncipherment" in shown
    assert "extKeyUsage: emailProtection" in shown


def test_it_finds_the_certificate_in_the_address_list_value(home: Path) -> None:
    address = "topsecret@ime.acme.example"
    key = rsa_key(3)
    made = self_signed(address, "", key, moment=time.time(), days=700, randomness=os.urandom)
    imported = gpgsm(home, "--import", data=contact_blob(SigningKey(made, key), time.time()))
    assert b"IMPORT_OK" in imported.stderr, imported.stderr
    assert address in gpgsm(home, "--list-keys", address).stdout.decode()
