"""RFC 9216, "S/MIME Example Keys and Certificates": Alice and Bob (RSA), Carlos and Dana (Ed25519 and X25519)."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

import pybase64

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.fault import Fault
from ime_gateway.certs.path import TrustedPath, find_path
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.signer import judge_signer
from ime_gateway.smime.decrypt import Undecryptable
from ime_gateway.smime.encrypt import CipherName, encrypt_entity
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.sign import SigningKey, sign_opaque
from ime_gateway.smime.structures import Enveloped, KeyAgreement
from tests.interop.conformance.judging import Case, Excuse
from tests.interop.conformance.objects import (
    certificate,
    joined,
    opened,
    openssl_output,
    owned,
    plaintext,
    report,
    signed,
)

CIPHERS: tuple[CipherName, ...] = ("aes-256-cbc", "aes-256-gcm")
SUITE = "RFC 9216"
PEOPLE = ("alice", "bob", "carlos", "dana")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
TEXT = b"Content-Type: text/plain\r\n\r\nHello from RFC 9216.\r\n"
HEADER = b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n"


@dataclass(frozen=True)
class Person:
    folder: Path
    name: str

    def path(self, use: str, kind: str) -> Path:
        return self.folder / f"{self.name}.{use}.{kind}"

    @property
    def uses_rsa(self) -> bool:
        """Alice and Bob. The CMS of OpenSSL 3.0 knows neither Ed25519 nor X25519, its primitives do."""
        return self.name in ("alice", "bob")

    @cached_property
    def _pair(self) -> tuple[OwnedKey, OwnedKey]:
        sign, encrypt = (owned(self.path(use, "crt"), self.path(use, "key")) for use in ("sign", "encrypt"))
        return sign, encrypt

    @property
    def signing(self) -> OwnedKey:
        return self._pair[0]

    @property
    def decrypting(self) -> OwnedKey:
        return self._pair[1]


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "rfc9216"
    people = [Person(folder, name) for name in PEOPLE]
    for person in people:
        for kind in ("p12", "der.p12"):
            yield Case(SUITE, f"import {person.name}.{kind}", partial(_import, person, kind))
        for use in ("sign", "encrypt"):
            yield Case(SUITE, f"chain {person.name}.{use}", partial(_chain, person, use))
        yield Case(SUITE, f"openssl verifies {person.name}", partial(_signed_by_us, person))
        if person.uses_rsa:
            yield Case(SUITE, f"openssl signs as {person.name}", partial(_signed_by_openssl, person))
        yield Case(SUITE, f"openssl opens for {person.name}", partial(_encrypted_by_us, person))
    for sender in people:
        for reader in people:
            if sender != reader:
                name = f"{sender.name} to {reader.name}"
                yield Case(SUITE, name, partial(_round_trip, sender, reader))
                if sender.uses_rsa and reader.uses_rsa:
                    yield Case(SUITE, f"{name} by openssl", partial(_from_openssl, sender, reader))


def _import(person: Person, kind: str) -> None:
    """Both key pairs of a person come out, each key with its certificate, told apart by their key usage."""
    bundle = read_bundle((person.folder / f"{person.name}.{kind}").read_bytes(), person.name)
    expected = {certificate(person.path(use, "crt")).thumbprint for use in ("sign", "encrypt")}
    assert {entry.thumbprint for entry in bundle.private_keys} == expected
    with contextlib.suppress(UnreadableCertificate):
        read_bundle((person.folder / f"{person.name}.{kind}").read_bytes(), "wrong")
        raise AssertionError("opened with a wrong password")


def _chain(person: Person, use: str) -> str | None:
    """Alice and Bob below the RSA CA, Carlos and Dana below the Ed25519 CA; each CA has certified the other."""
    cas = [certificate(person.folder / f"ca.{name}.crt") for name in ("rsa", "25519", "rsa.cross", "25519.cross")]
    verdict = find_path(certificate(person.path(use, "crt")), Anchors(cas[:2], cas[2:]), MOMENT)
    stranger = find_path(certificate(person.path(use, "crt")), Anchors([person.signing.certificate]), MOMENT)
    assert person.path(use, "crt") == person.path("sign", "crt") or isinstance(stranger, Fault)
    if isinstance(verdict, TrustedPath):
        return None
    assert person.name in ("carlos", "dana"), verdict
    return Excuse.ED25519_CA


def _signing_key(person: Person) -> SigningKey:
    return SigningKey(person.signing.certificate, person.signing.private_key)


def _signed_by_us(person: Person) -> None:
    made = sign_opaque(TEXT, _signing_key(person), moment=MOMENT, capabilities=None)
    if person.uses_rsa:
        command = ["cms", "-verify", "-inform", "DER", "-binary", "-CAfile", person.folder / "ca.rsa.crt"]
        assert openssl_output(command, made) == TEXT
    else:
        _verify_ed25519(person, made)
    signer, encrypter = (certificate(person.path(use, "crt")) for use in ("sign", "encrypt"))
    assert judge_signer(encrypter, Anchors([encrypter]), MOMENT).usable is False, "this one is for encryption only"
    assert judge_signer(signer, Anchors([signer]), MOMENT).usable


def _verify_ed25519(person: Person, made: bytes) -> None:
    """OpenSSL's Ed25519 over the signed attributes, in which OpenSSL's SHA-512 of the text stands (RFC 8419)."""
    (signer,) = signed(made).signers
    attributes = signer.signed_attributes_der
    assert attributes is not None and openssl_output(["dgst", "-sha512", "-binary"], TEXT) in attributes
    assert attributes[1:] in made, "what is signed stands in the message, but for its tag"
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / part for part in ("attributes", "signature")]
        for file, octets in zip(files, (attributes, signer.signature), strict=True):
            file.write_bytes(octets)
        key = ["-certin", "-inkey", person.path("sign", "crt")]
        openssl_output(["pkeyutl", "-verify", "-rawin", *key, "-in", files[0], "-sigfile", files[1]])
    openssl_output(["cms", "-cmsout", "-print", "-inform", "DER"], made)


def _by_openssl(person: Person, text: bytes) -> bytes:
    command = ["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", "sha512"]
    signer = ["-signer", person.path("sign", "crt"), "-inkey", person.path("sign", "key")]
    return openssl_output([*command, *signer], text)


def _signed_by_openssl(person: Person) -> None:
    made = _by_openssl(person, TEXT)
    (signer,) = report(made).signers
    assert signer.intact, signer.fault
    assert signer.certificate == person.signing.certificate
    assert joined(signed(made).content) == TEXT
    at = made.index(b"Hello")
    changed = made[:at] + b"J" + made[at + 1 :]
    assert not report(changed).signers[0].intact


def _encrypted_by_us(person: Person) -> None:
    for cipher in CIPHERS:
        body = b"".join(encrypt_entity([TEXT], len(TEXT), [person.decrypting.certificate], cipher, os.urandom))
        if person.uses_rsa:
            reader = ["-recip", person.path("encrypt", "crt"), "-inkey", person.path("encrypt", "key")]
            assert openssl_output(["cms", "-decrypt", "-binary", *reader], HEADER + body) == TEXT
        elif cipher == "aes-256-cbc":
            assert _open_x25519(person, pybase64.b64decode(body)) == TEXT


def _open_x25519(person: Person, made: bytes) -> bytes:
    """The steps of RFC 8418 by OpenSSL's own X25519, HKDF, key wrap and AES."""
    envelope = read_cms(made)
    assert isinstance(envelope, Enveloped)
    (info,) = envelope.recipients
    assert isinstance(info, KeyAgreement) and info.originator_key is not None and info.ukm is None
    assert info.algorithm.oid == "1.2.840.113549.1.9.16.3.19", "dhSinglePass-stdDH-hkdf-sha256-scheme"
    with tempfile.TemporaryDirectory() as name:
        peer = Path(name) / "peer.der"
        peer.write_bytes(info.originator_key)
        derive = ["pkeyutl", "-derive", "-inkey", person.path("encrypt", "key"), "-peerform", "DER", "-peerkey", peer]
        shared = openssl_output(derive)
    # ECC-CMS-SharedInfo: id-aes256-wrap, and 256 bits
    shared_info = "3015300b060960864801650304012da206040400000100"
    options = ["-kdfopt", "digest:SHA256", "-kdfopt", f"hexkey:{shared.hex()}", "-kdfopt", f"hexinfo:{shared_info}"]
    sealing = openssl_output(["kdf", "-binary", "-keylen", "32", *options, "HKDF"])
    wrap = ["enc", "-d", "-id-aes256-wrap", "-K", sealing.hex(), "-iv", "a6a6a6a6a6a6a6a6"]
    key = openssl_output(wrap, info.keys[0].encrypted_key)
    nonce = (envelope.algorithm.parameters or b"")[2:]
    return openssl_output(
        ["enc", "-d", "-aes-256-cbc", "-K", key.hex(), "-iv", nonce.hex()], joined(envelope.ciphertext)
    )


def _round_trip(sender: Person, reader: Person) -> None:
    """Signed by one and encrypted to the other by us, opened and verified by us."""
    inside = sign_opaque(TEXT, _signing_key(sender), moment=MOMENT, capabilities=None)
    body = b"".join(encrypt_entity([inside], len(inside), [reader.decrypting.certificate], "aes-256-gcm", os.urandom))
    _check(pybase64.b64decode(body), sender, reader)


def _from_openssl(sender: Person, reader: Person) -> None:
    inside = _by_openssl(sender, TEXT)
    command = ["cms", "-encrypt", "-binary", "-aes256", "-outform", "DER"]
    _check(openssl_output([*command, reader.path("encrypt", "crt")], inside), sender, reader)


def _check(made: bytes, sender: Person, reader: Person) -> None:
    inside = plaintext(made, [sender.decrypting, reader.decrypting])
    (signer,) = report(inside).signers
    assert signer.intact and signer.certificate == sender.signing.certificate
    assert joined(signed(inside).content) == TEXT
    assert isinstance(opened(made, [sender.decrypting, reader.signing]), Undecryptable)
