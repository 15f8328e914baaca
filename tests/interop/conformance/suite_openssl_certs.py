"""OpenSSL's own S/MIME test certificates: RSA, EC, DSA, DH, and one with a damaged key."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.smime.decrypt import Undecryptable
from ime_gateway.smime.encrypt import encrypt_entity
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.sign import SigningKey, sign_opaque
from ime_gateway.smime.verify import SignatureFault
from tests.interop.conformance.judging import Case, Excuse
from tests.interop.conformance.objects import opened, openssl, openssl_output, owned, plaintext, report

SUITE = "OpenSSL S/MIME certificates"
TEXT = b"Content-Type: text/plain\r\n\r\nmade for OpenSSL\r\n"
HEADER = b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"
RSA, EC = ("smrsa1", "smrsa2", "smrsa3"), ("smec1", "smec2", "smec3")


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "openssl-smime-certs"
    for name in RSA + EC:
        yield Case(SUITE, f"sign {name}", partial(_sign, folder, name))
        yield Case(SUITE, f"verify {name}", partial(_verify, folder, name))
        for options in _recipient_options(name):
            words = " ".join(("open", name, *options))
            yield Case(SUITE, words, partial(_open, folder, name, options))
        yield Case(SUITE, f"encrypt {name}", partial(_encrypt, folder, name))
    for name in ("smdsa1", "smdsa2", "smdsa3", "smdh"):
        yield Case(SUITE, f"no recipient {name}", partial(_no_recipient, folder, name))
    for name in ("smdsa1", "smdsa2", "smdsa3"):
        yield Case(SUITE, f"verify {name}", partial(_verify, folder, name))
    yield Case(SUITE, "open smdh", partial(_open, folder, "smdh", ()))
    yield Case(SUITE, "badrsa", partial(_damaged, folder))
    yield Case(SUITE, "smroot", partial(_loads, folder, "smroot"))
    yield Case(SUITE, "smdsap", partial(_parameters_only, folder))


def _recipient_options(name: str) -> tuple[tuple[str, ...], ...]:
    """`-keyopt` values of `openssl cms -encrypt`."""
    if name in RSA:
        oaep = "rsa_padding_mode:oaep"
        hashes = (oaep, "rsa_oaep_md:sha256"), (oaep, "rsa_oaep_md:sha512", "rsa_mgf1_md:sha1")
        return ((), (oaep,), *hashes, (oaep, "rsa_oaep_label:6c6162656c"))
    return ((), ("ecdh_kdf_md:sha256",), ("ecdh_kdf_md:sha384",), ("ecdh_kdf_md:sha512",), ("ecdh_cofactor_mode:1",))


def _load(folder: Path, name: str) -> OwnedKey | None:
    """The key pair; None when the library has not its curve."""
    try:
        return owned(folder / f"{name}.pem")
    except UnreadableCertificate:
        assert name == "smec2", "only binary curves are missing"
        return None


def _loads(folder: Path, name: str) -> None:
    assert _load(folder, name) is not None


def _sign(folder: Path, name: str) -> str | None:
    key = _load(folder, name)
    if key is None:
        return Excuse.BINARY_CURVES
    made = sign_opaque(TEXT, SigningKey(key.certificate, key.private_key), moment=1_700_000_000.0, capabilities=None)
    assert openssl_output(["cms", "-verify", "-inform", "DER", "-binary", "-noverify"], made) == TEXT
    changed = made.replace(TEXT, TEXT.replace(b"made", b"Made"))
    assert openssl(["cms", "-verify", "-inform", "DER", "-binary", "-noverify"], changed).returncode != 0
    return None


def _verify(folder: Path, name: str) -> str | None:
    command = ["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", folder / f"{name}.pem"]
    (signer,) = report(openssl_output(command, TEXT)).signers
    if name == "smec2":
        assert signer.fault in (SignatureFault.UNKNOWN_KEY, SignatureFault.NO_CERTIFICATE)
        return Excuse.BINARY_CURVES
    assert signer.intact, signer.fault
    pss = openssl([*command, "-keyopt", "rsa_padding_mode:pss"], TEXT)
    if pss.returncode == 0:
        assert report(pss.stdout).signers[0].intact
    return None


def _open(folder: Path, name: str, options: tuple[str, ...]) -> str | None:
    keyopts = [word for option in options for word in ("-keyopt", option)]
    command = ["cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", "-recip", folder / f"{name}.pem", *keyopts]
    made = openssl_output(command, TEXT)
    key = _load(folder, name)
    if name == "smdh":
        assert key is not None and isinstance(opened(made, [key]), Undecryptable)
        return Excuse.DH
    if key is None:
        return Excuse.BINARY_CURVES
    assert plaintext(made, [key]) == TEXT
    return None


def _encrypt(folder: Path, name: str) -> str | None:
    """OpenSSL opens what we encrypt to its people."""
    key = _load(folder, name)
    if key is None:
        return Excuse.BINARY_CURVES
    for oaep in (False, True) if name in RSA else (False,):
        readers = {key.certificate.thumbprint} if oaep else set()
        body = b"".join(encrypt_entity([TEXT], len(TEXT), [key.certificate], "aes-256-cbc", os.urandom, oaep=readers))
        reader = ["-inkey", folder / f"{name}.pem", "-recip", folder / f"{name}.pem"]
        assert openssl_output(["cms", "-decrypt", "-binary", *reader], HEADER + body) == TEXT
    return None


def _no_recipient(folder: Path, name: str) -> None:
    (found, *_) = read_bundle((folder / f"{name}.pem").read_bytes(), None).certificates
    assert fitness_fault(found) is not None


def _damaged(folder: Path) -> None:
    """Refused when it is imported, so that nobody can encrypt to it."""
    try:
        (found,) = read_bundle((folder / "badrsa.pem").read_bytes(), None).certificates
    except UnreadableCertificate as error:
        assert str(error)
        return
    assert fitness_fault(found) is not None


def _parameters_only(folder: Path) -> None:
    try:
        read_bundle((folder / "smdsap.pem").read_bytes(), None)
    except UnreadableCertificate as error:
        assert "neither a certificate nor a private key" in str(error)
        return
    raise AssertionError("there is nothing in it that could be used")
