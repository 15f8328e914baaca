"""How envelopes name their readers, and who opens them: judged by openssl, which made them."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from addin_sim.own_keys import OwnKeys
from addin_sim.raw_mail import RawMail, make_field
from addin_sim.rehearsal.letters import written
from addin_sim.rehearsal.opening import Opener, UnreadableError, names_of
from tests.rehearsal_cast import a_letter

CLEAR = written(a_letter())


@dataclass(frozen=True)
class Pair:
    file: Path
    """Key and certificate in PEM."""

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.file.read_bytes())

    @property
    def opener(self) -> Opener:
        key = load_pem_private_key(self.file.read_bytes(), None)
        return Opener(OwnKeys(self.certificate, key), self.file)  # type: ignore[arg-type]

    def sealed(self, *how: str) -> bytes:
        """An envelope for this one alone, in DER."""
        return openssl("cms", "-encrypt", "-binary", *how, "-outform", "DER", str(self.file), data=CLEAR)


def openssl(*words: str, data: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=True).stdout


def pair(folder: Path, serial: str) -> Pair:
    file = folder / f"{serial}.pem"
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "-", "-out", "-")
    file.write_bytes(openssl(*words, "-subj", "/CN=reader", "-set_serial", serial))
    return Pair(file)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Its serial number begins with a bit that DER gives a zero before (X.690 section 8.3)."""
    return pair(tmp_path_factory.mktemp("reader"), "0x80f1a2")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("other"), "0x7f")


def mail(envelope: bytes) -> RawMail:
    fields = (
        make_field("Content-Type", "application/pkcs7-mime; smime-type=enveloped-data"),
        make_field("Content-Transfer-Encoding", "base64"),
    )
    return RawMail(fields, openssl("base64", data=envelope))


@pytest.mark.parametrize("how", [(), ("-keyid",)], ids=["by serial number", "by key identifier"])
def test_an_envelope_names_its_reader(reader: Pair, other: Pair, how: tuple[str, ...]) -> None:
    envelope = reader.sealed(*how)
    assert [name in envelope for name in names_of(reader.certificate)] == [not how, bool(how)]
    assert not any(name in envelope for name in names_of(other.certificate))


@pytest.mark.parametrize("cipher", ["-aes-256-cbc", "-aes-256-gcm"])
@pytest.mark.parametrize("how", [(), ("-keyid",)], ids=["by serial number", "by key identifier"])
def test_its_reader_opens_it(reader: Pair, cipher: str, how: tuple[str, ...]) -> None:
    assert reader.opener.open(mail(reader.sealed(cipher, *how))) == CLEAR


@pytest.mark.parametrize("cipher", ["-aes-256-cbc", "-aes-256-gcm", "-aes-128-cfb"])
def test_nobody_else_opens_it(reader: Pair, other: Pair, cipher: str) -> None:
    """With a cipher in which any key gives some text, too."""
    with pytest.raises(UnreadableError, match="openssl does not open it"):
        other.opener.open(mail(reader.sealed(cipher)))
