"""GnuPG's S/MIME program, a reader with no line of code in common with OpenSSL, opens what we encrypt."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ime_gateway.certs.certificate import Certificate
from ime_gateway.smime.encrypt import CipherName, ContentEncryptor, ContentKey, frame
from tests.pki import Entity, make_ca, make_user

PASSWORD = "import"


def gpgsm(home: Path, *arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # With loopback every question for a password is answered from the descriptor, none by a window.
    secret = home / "password"
    secret.write_text(PASSWORD)
    with secret.open() as file:
        quiet = ["--batch", "--yes", "--no-tty", "--disable-crl-checks", "--pinentry-mode", "loopback"]
        command = ["gpgsm", "--homedir", home, *quiet, "--passphrase-fd", str(file.fileno()), *arguments]
        return subprocess.run(command, input=data, capture_output=True, timeout=120, pass_fds=[file.fileno()])


@pytest.fixture(scope="module")
def reader() -> Iterator[tuple[Path, Entity]]:
    ca = make_ca("GnuPG reader's CA")
    person = make_user("reader@acme.example", ca)
    # The agent's socket lies in this folder: its path must be short.
    with tempfile.TemporaryDirectory(prefix="gs", dir="/tmp") as folder:
        home = Path(folder)
        home.chmod(0o700)
        try:
            (home / "person.p12").write_bytes(person.pkcs12(PASSWORD, [ca], old=True))
            imported = gpgsm(home, "--import", home / "person.p12")
            assert b"secret keys imported: 1" in imported.stderr, imported.stderr
            yield home, person
        finally:
            subprocess.run(["gpgconf", "--homedir", folder, "--kill", "all"], capture_output=True, timeout=60)


def message(
    cipher: CipherName, content: bytes, readers: list[Certificate], oaep: bool = False, use_ski: bool = False
) -> bytes:
    key = ContentKey.generate(cipher, os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([content]))
    thumbprints = [one.thumbprint for one in readers] if oaep else []
    made = frame(readers, key, len(ciphertext), encryptor.tag, oaep=thumbprints, use_ski=use_ski)
    return made.prefix + ciphertext + made.suffix


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000])
def test_our_default_form_opens_for_its_readers_only(reader: tuple[Path, Entity], size: int) -> None:
    home, person = reader
    content = os.urandom(size)
    stranger = make_user("stranger@acme.example").certificate
    result = gpgsm(home, "--decrypt", data=message("aes-256-cbc", content, [stranger, person.certificate]))
    assert result.returncode == 0, result.stderr
    assert result.stdout == content
    assert gpgsm(home, "--decrypt", data=message("aes-256-cbc", content, [stranger])).returncode != 0


FORMS: dict[str, tuple[CipherName, dict[str, bool], list[str]]] = {
    "cbc": ("aes-256-cbc", {}, []),
    "gcm": ("aes-256-gcm", {}, []),
    "key identifier": ("aes-256-cbc", {"use_ski": True}, ["-keyid"]),
    "oaep": (
        "aes-256-cbc",
        {"oaep": True},
        ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_opens_ours_wherever_it_opens_those_of_openssl(reader: tuple[Path, Entity], form: str) -> None:
    # GnuPG 2.2 opens neither GCM, nor key identifiers, nor OAEP, whoever made them; later ones may.
    home, person = reader
    cipher, options, arguments = FORMS[form]
    certificate, _ = person.write(home, "person")
    content = b"the same for both"
    command = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", f"-{cipher}", "-recip", certificate]
    theirs = subprocess.run([*command, *arguments], input=content, capture_output=True, timeout=60, check=True).stdout
    ours = message(cipher, content, [person.certificate], **options)
    opened = [gpgsm(home, "--decrypt", data=data).stdout == content for data in (theirs, ours)]
    assert opened[0] == opened[1]
    assert opened[1] or form != "cbc"
