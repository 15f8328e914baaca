"""Signatures that others published: RFC 4134, RFC 9216 and 9788, Thunderbird, asn1crypto, GnuPG."""

import base64
import csv
import subprocess
import time
from pathlib import Path

import pytest

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.signer import address_match, judge_signer, path_verdict
from ime_gateway.keys.usable import Anchors
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.entity import signed_entity
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.sign import SigningKey, sign_detached
from ime_gateway.smime.signature_report import SignatureFault as Fault
from ime_gateway.smime.signature_report import SignerVerdict
from ime_gateway.smime.structures import Pieces, Signed
from ime_gateway.smime.verify import verify

MOMENT = 1_790_000_000.0
"""September 2026: within the time of all these certificates that are still in time."""


def certificate(file: Path) -> Certificate:
    return read_bundle(file.read_bytes(), None).certificates[0]


def verdicts(encoded: bytes, content: Pieces | None = None) -> tuple[SignerVerdict, ...]:
    signed = read_cms(encoded)
    assert isinstance(signed, Signed)
    return verify(signed, content if signed.content is None else None).signers


def layers(file: Path) -> list[SignerVerdict]:
    """The signatures of a mail from outside to inside, down to what is no signature."""
    message = parse_message(bytearray(file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))
    found = []
    while (entity := signed_entity(message)) is not None:
        found.extend(verify(entity.signed, entity.content).signers)
        message = entity.entity
    return found


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 10])
def test_rfc4134_is_right_and_outdated(vectors: Path, number: int) -> None:
    """SHA-1, DSA and 1024 bits: every signature matches its content, and none is good any more."""
    folder = vectors / "rfc4134"
    content = (memoryview((folder / "ExContent.bin").read_bytes()),)
    found = verdicts((folder / f"4.{number}.bin").read_bytes(), content)
    assert found and {one.fault for one in found} == {Fault.WEAK_DIGEST}
    changed = verdicts((folder / f"4.{number}.bin").read_bytes().replace(b"sample", b"simple"), content)
    if number != 3:
        assert {one.fault for one in changed} <= {Fault.CONTENT_CHANGED, Fault.WRONG_SIGNATURE}


def test_rfc4134_two_signers_each_alone(vectors: Path) -> None:
    """Diane's key inherits its parameters from her CA, which no library here reads: hers is not judged at all."""
    alice, diane = verdicts((vectors / "rfc4134" / "4.6.bin").read_bytes())
    assert (alice.fault, diane.fault) == (Fault.WEAK_DIGEST, Fault.NO_CERTIFICATE)


def test_rfc4134_certificates_only(vectors: Path) -> None:
    signed = read_cms((vectors / "rfc4134" / "4.11.bin").read_bytes())
    assert isinstance(signed, Signed)
    report = verify(signed, None)
    assert report.signers == () and len(report.certificates) == 2


@pytest.mark.parametrize("name", ["4.8.eml", "4.9.eml"])
def test_rfc4134_mail(vectors: Path, name: str) -> None:
    (signer,) = layers(vectors / "rfc4134" / name)
    assert signer.fault is Fault.WEAK_DIGEST and signer.certificate is not None
    assert signer.certificate.addresses == ("alicedss@example.com",)


def test_thunderbird(vectors: Path) -> None:
    folder = vectors / "thunderbird-smime"
    anchors = Anchors([certificate(folder / "TestCA.pem")])
    with (folder / "expected.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    looked_at = 0
    for row in rows:
        outside = row["layers_outer_to_inner"].partition("enveloped")[0].split(" > ")
        people = [layer.partition("(")[2].rstrip(")") for layer in outside if layer]
        found = layers(folder / row["file"])
        assert len(found) == len(people), row["file"]
        for verdict, person in zip(found, people, strict=True):
            assert verdict.intact and verdict.certificate is not None
            assert address_match(verdict.certificate, [f"{person}@example.com"]).matches
            assert judge_signer(verdict.certificate, anchors, MOMENT).usable
        if found:
            assert address_match(_owner(found[0]), [row["from"]]).matches
        if len(set(people)) > 1:
            assert not address_match(_owner(found[-1]), [row["from"]]).matches, "an inner signer is no author"
        looked_at += len(found)
    assert looked_at >= 12


def _owner(verdict: SignerVerdict) -> Certificate:
    assert verdict.certificate is not None
    return verdict.certificate


@pytest.mark.parametrize("name", ["smime-multipart-hp.eml", "smime-one-part-hp.eml"])
def test_rfc9788(vectors: Path, name: str) -> None:
    (signer,) = layers(vectors / "rfc9788-rebuilt" / name)
    assert signer.intact
    anchors = Anchors([certificate(vectors / "rfc9216" / "ca.rsa.crt")])
    assert judge_signer(_owner(signer), anchors, MOMENT).usable
    assert address_match(_owner(signer), ["alice@smime.example"]).matches


@pytest.mark.parametrize("person", ["alice", "bob", "carlos", "dana"])
def test_rfc9216_people_sign(vectors: Path, person: str, tmp_path: Path) -> None:
    folder = vectors / "rfc9216"
    (key,) = read_bundle((folder / f"{person}.sign.key").read_bytes(), None).private_keys
    signing = SigningKey.from_pkcs8(certificate(folder / f"{person}.sign.crt"), key.pkcs8_der)
    text = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    made = sign_detached([text], signing, moment=time.time())
    (signer,) = verdicts(made, (memoryview(text),))
    assert signer.intact and address_match(_owner(signer), [f"{person}@smime.example"]).matches
    if person in ("alice", "bob"):
        (tmp_path / "text").write_bytes(text)
        command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-content", tmp_path / "text"]
        command += ["-CAfile", folder / "ca.rsa.crt", "-purpose", "smimesign"]
        checked = subprocess.run(command, input=made, capture_output=True, timeout=60)
        assert checked.returncode == 0, checked.stderr


def test_rfc9216_trust(vectors: Path) -> None:
    folder = vectors / "rfc9216"
    anchors = Anchors([certificate(folder / "ca.rsa.crt")])
    for person in ("alice", "bob"):
        assert judge_signer(certificate(folder / f"{person}.sign.crt"), anchors, MOMENT).usable
        encryption = certificate(folder / f"{person}.encrypt.crt")
        assert judge_signer(encryption, anchors, MOMENT).reason is Reason.CERTIFICATE_UNFIT
        assert not path_verdict(encryption, anchors, MOMENT).valid
    carlos = certificate(folder / "carlos.sign.crt")
    assert judge_signer(carlos, anchors, MOMENT).reason is Reason.CERTIFICATE_UNTRUSTED


def test_asn1crypto(vectors: Path) -> None:
    folder = vectors / "asn1crypto-cms"
    assert [one.intact for one in verdicts((folder / "cms-signed.der").read_bytes())] == [True]
    for name in ("cms-signed-digested.der", "cms-signed-indefinite-length.der"):
        assert not any(one.intact for one in verdicts((folder / name).read_bytes())), name


def test_gnupg(vectors: Path) -> None:
    """Made in 2001 with SHA-1 by a program that was not finished: good for nothing, the changed ones least of all."""
    folder = vectors / "gnupg-cms"
    content = (memoryview((folder / "text-1.txt").read_bytes()),)
    files = sorted(folder.glob("text-*sig*.pem"))
    assert len(files) >= 6
    for file in files:
        body = b"".join(
            line for line in file.read_bytes().splitlines() if line and b"-" not in line and b":" not in line
        )
        try:
            found = verdicts(base64.b64decode(body + b"=" * (-len(body) % 4)), content)
        except (UnreadableCms, ValueError):
            continue
        assert not any(one.intact for one in found), file.name
