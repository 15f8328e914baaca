"""OpenSSL checks what we sign, and we check whatever OpenSSL can sign."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448

from ime_gateway.certs.capabilities import own_capabilities, read_capabilities
from ime_gateway.smime.contact_blob import contact_blob
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.sign import SigningKey, multipart_signed, sign_detached, sign_opaque
from ime_gateway.smime.signature_report import SignatureFault as Fault
from ime_gateway.smime.signature_report import SignatureReport
from ime_gateway.smime.structures import Pieces, Signed
from ime_gateway.smime.verify import verify
from tests.pki import Entity, make_ca, make_user

ENTITY = b"Content-Type: text/plain\r\n\r\nDear Bob,\r\n\r\nas agreed.\r\n"
KINDS = ("rsa", "pss", "P-256", "P-384", "P-521")


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca("Signers' CA")


@pytest.fixture(scope="module")
def people(ca: Entity) -> dict[str, Entity]:
    keys = {
        "P-256": ec.generate_private_key(ec.SECP256R1()),
        "P-384": ec.generate_private_key(ec.SECP384R1()),
        "P-521": ec.generate_private_key(ec.SECP521R1()),
    }
    made = {name: make_user(f"{name}@acme.example", ca, key=key) for name, key in keys.items()}
    rsa = make_user("rsa@acme.example", ca)
    return {**made, "rsa": rsa, "pss": rsa, "ed25519": make_user("ed@acme.example", ca, kind="ed25519")}


def run(*command: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *command], input=data, capture_output=True, timeout=60)


def key_of(people: dict[str, Entity], ca: Entity, kind: str) -> SigningKey:
    person = people[kind]
    return SigningKey(person.certificate, person.key, (ca.certificate,), pss=kind == "pss")


@pytest.fixture
def root(tmp_path: Path, ca: Entity) -> Path:
    file = tmp_path / "root.pem"
    file.write_bytes(ca.pem)
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_believes_our_clear_signed_mail(people: dict[str, Entity], ca: Entity, root: Path, kind: str) -> None:
    key = key_of(people, ca, kind)
    halves = [ENTITY[:20], memoryview(ENTITY)[20:]]
    made = multipart_signed(
        halves, key, moment=time.time(), randomness=os.urandom, capabilities=own_capabilities()
    ).to_bytes()
    checked = run("cms", "-verify", "-CAfile", root, "-purpose", "smimesign", data=made)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == ENTITY
    changed = run("cms", "-verify", "-CAfile", root, data=made.replace(b"agreed", b"denied"))
    assert changed.returncode != 0


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_believes_our_opaque_objects(people: dict[str, Entity], ca: Entity, root: Path, kind: str) -> None:
    made = sign_opaque(ENTITY, key_of(people, ca, kind), moment=time.time())
    command = ("cms", "-verify", "-binary", "-inform", "DER", "-CAfile", root, "-purpose", "smimesign")
    checked = run(*command, data=made)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == ENTITY
    written = run("cms", "-cmsout", "-inform", "DER", "-outform", "DER", data=made)
    assert written.stdout == made, "OpenSSL writes other bytes for the same object: ours are not DER"


@pytest.mark.parametrize("kind", [*KINDS, "ed25519"])
def test_openssl_reads_our_attributes(people: dict[str, Entity], ca: Entity, kind: str) -> None:
    moment = 1_790_000_000.0
    key = key_of(people, ca, kind)
    made = sign_detached([ENTITY], key, moment=moment, capabilities=own_capabilities())
    shown = run("cms", "-cmsout", "-print", "-inform", "DER", data=made).stdout.decode()
    for name in (
        "contentType",
        "messageDigest",
        "signingTime",
        "S/MIME Capabilities",
        "id-smime-aa-signingCertificateV2",
    ):
        assert shown.count(f"object: {name} (") == 1, name
    assert "Sep 21 14:13:20 2026 GMT" in shown
    assert shown.count("d.certificate:") == 2
    if kind in ("rsa", "ed25519"):
        # A key that agrees on keys or wraps them can be preferred for encryption, one of Ed25519 only signs.
        assert ("id-smime-aa-encrypKeyPref" in shown) == (kind == "rsa")


def test_openssl_checks_our_ed25519_by_hand(tmp_path: Path, people: dict[str, Entity], ca: Entity) -> None:
    """OpenSSL 3.0 has no Ed25519 in CMS, but it can check the signature over the attributes that it finds."""
    made = sign_detached([ENTITY], key_of(people, ca, "ed25519"), moment=time.time())
    lines = run("asn1parse", "-inform", "DER", "-i", data=made).stdout.decode().splitlines()
    (start,) = [number for number, line in enumerate(lines) if "messageDigest" in line]
    opening = max(number for number in range(start) if ":d=5" in lines[number] and "cont [ 0 ]" in lines[number])
    offset, header, length = (int(part) for part in _numbers(lines[opening]))
    attributes = b"\x31" + made[offset + 1 : offset + header + length]
    offset, header, length = (int(part) for part in _numbers(lines[-1]))
    (tmp_path / "signature").write_bytes(made[offset + header : offset + header + length])
    (tmp_path / "attributes").write_bytes(attributes)
    public = (
        people["ed25519"]
        .key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "key").write_bytes(public)
    command = ("pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key", "-rawin", "-in", tmp_path / "attributes")
    checked = run(*command, "-sigfile", tmp_path / "signature")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _numbers(line: str) -> tuple[str, str, str]:
    offset, _, rest = line.strip().partition(":")
    return offset, rest.split("hl=")[1].split()[0], rest.split("l=")[2].split()[0]


def test_openssl_reads_the_address_list_value(
    tmp_path: Path, people: dict[str, Entity], ca: Entity, root: Path
) -> None:
    made = contact_blob(key_of(people, ca, "rsa"), time.time())
    command = ("cms", "-verify", "-inform", "DER", "-content", "/dev/null", "-CAfile", root)
    assert run(*command, data=made).returncode == 0
    shown = run("cms", "-cmsout", "-print", "-inform", "DER", data=made).stdout.decode()
    assert "eContent: <ABSENT>" in shown and "S/MIME Capabilities" in shown
    listed = run("pkcs7", "-inform", "DER", "-print_certs", data=made).stdout
    assert listed.count(b"BEGIN CERTIFICATE") == 2


def sign(folder: Path, signers: list[Entity], *arguments: str, chain: list[Entity] | None = None) -> Signed:
    """Sign ENTITY with OpenSSL; key options stand behind their signer."""
    file = folder / "entity"
    file.write_bytes(ENTITY)
    command: list[str | Path] = ["cms", "-sign", "-binary", "-in", file, "-outform", "DER"]
    for number, signer in enumerate(signers):
        certificate, key = signer.write(folder, f"signer-{number}")
        command += ["-signer", certificate, "-inkey", key]
    if chain:
        (folder / "chain").write_bytes(b"".join(one.pem for one in chain))
        command += ["-certfile", folder / "chain"]
    done = run(*command, *arguments)
    assert done.returncode == 0, done.stderr
    signed = read_cms(done.stdout)
    assert isinstance(signed, Signed)
    return signed


def pieces(text: bytes = ENTITY) -> Pieces:
    return (memoryview(text)[:7], memoryview(text)[7:])


def assert_truth(signed: Signed, report: SignatureReport) -> None:
    """Intact for the text; not for another one, by the same fault for everybody."""
    assert [one.fault for one in report.signers] == [Fault.NONE] * len(signed.signers)
    if signed.content is None:
        wrong = verify(signed, pieces(ENTITY.replace(b"agreed", b"denied")))
        assert {one.fault for one in wrong.signers} <= {Fault.CONTENT_CHANGED, Fault.WRONG_SIGNATURE}


FORMS = {
    "plain": (),
    "opaque": ("-nodetach",),
    "opaque, streamed": ("-nodetach", "-stream"),
    "without capabilities": ("-nosmimecap",),
    "without attributes": ("-noattr",),
    "opaque without attributes": ("-nodetach", "-noattr"),
    "named by key": ("-keyid",),
    "ESS": ("-cades",),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["rsa", "P-256", "P-384", "P-521"])
@pytest.mark.parametrize("digest", ["sha224", "sha256", "sha384", "sha512"])
def test_every_form_of_openssl(tmp_path: Path, people: dict[str, Entity], form: str, kind: str, digest: str) -> None:
    signed = sign(tmp_path, [people[kind]], *FORMS[form], "-md", digest)
    report = verify(signed, None if "-nodetach" in FORMS[form] else pieces())
    assert_truth(signed, report)
    (signer,) = report.signers
    assert signer.certificate == people[kind].certificate
    assert signer.digest_algorithm == digest
    assert signer.attributes_signed == ("-noattr" not in FORMS[form])
    assert (signer.signing_time is not None) == signer.attributes_signed
    assert (signer.capabilities is not None) == (signer.attributes_signed and "-nosmimecap" not in FORMS[form])
    if signer.capabilities:
        assert read_capabilities(signer.capabilities).ciphers == (
            "aes-256-cbc",
            "aes-192-cbc",
            "aes-128-cbc",
            "des-ede3-cbc",
        )


@pytest.mark.parametrize("digest", ["md5", "sha1"])
@pytest.mark.parametrize("form", ["plain", "without attributes"])
def test_outdated_digests_are_never_intact(tmp_path: Path, people: dict[str, Entity], digest: str, form: str) -> None:
    signed = sign(tmp_path, [people["rsa"]], *FORMS[form], "-md", digest)
    assert [one.fault for one in verify(signed, pieces()).signers] == [Fault.WEAK_DIGEST]


@pytest.mark.parametrize("salt", ["digest", "max", "0", "20", "-1"])
@pytest.mark.parametrize("mask", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("form", ["plain", "without attributes"])
def test_pss_with_its_parameters(tmp_path: Path, people: dict[str, Entity], salt: str, mask: str, form: str) -> None:
    options = [
        part
        for one in ("rsa_padding_mode:pss", f"rsa_pss_saltlen:{salt}", f"rsa_mgf1_md:{mask}")
        for part in ("-keyopt", one)
    ]
    signed = sign(tmp_path, [people["rsa"]], *options, "-md", "sha256", *FORMS[form])
    assert_truth(signed, verify(signed, pieces()))


def test_pss_over_sha1_is_outdated(tmp_path: Path, people: dict[str, Entity]) -> None:
    signed = sign(tmp_path, [people["rsa"]], "-keyopt", "rsa_padding_mode:pss", "-md", "sha1")
    assert [one.fault for one in verify(signed, pieces()).signers] == [Fault.WEAK_DIGEST]


def test_a_key_that_makes_pss_only(tmp_path: Path) -> None:
    made = run(
        "req", "-x509", "-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048", "-nodes", "-days", "9",
        "-subj", "/CN=pss", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (tmp_path / "entity").write_bytes(ENTITY)
    command = ("cms", "-sign", "-binary", "-in", tmp_path / "entity", "-signer", tmp_path / "certificate")
    command = (*command, "-inkey", tmp_path / "key", "-outform", "DER")
    signed = read_cms(run(*command, "-keyopt", "rsa_padding_mode:pss").stdout)
    assert isinstance(signed, Signed)
    assert_truth(signed, verify(signed, pieces()))
    # Without the option OpenSSL 3.0 writes PKCS#1 v1.5 beside such a key, which must not make it (RFC 4055 1.2).
    lied = read_cms(run(*command).stdout)
    assert isinstance(lied, Signed)
    assert [one.fault for one in verify(lied, pieces()).signers] == [Fault.NOT_THIS_KEY]


def test_several_signers_each_alone(tmp_path: Path, people: dict[str, Entity], ca: Entity) -> None:
    signers = [people["rsa"], people["P-256"], people["P-521"]]
    signed = sign(tmp_path, signers, chain=[ca])
    report = verify(signed, pieces())
    assert_truth(signed, report)
    assert {one.certificate for one in report.signers} == {one.certificate for one in signers}
    assert ca.certificate in report.certificates


def test_a_signature_that_is_added_later(tmp_path: Path, people: dict[str, Entity]) -> None:
    (tmp_path / "entity").write_bytes(ENTITY)
    first, key = people["rsa"].write(tmp_path, "first")
    command = ("cms", "-sign", "-binary", "-nodetach", "-in", tmp_path / "entity", "-outform", "DER")
    (tmp_path / "once").write_bytes(run(*command, "-signer", first, "-inkey", key).stdout)
    second, key = people["P-256"].write(tmp_path, "second")
    command = ("cms", "-resign", "-inform", "DER", "-in", tmp_path / "once", "-outform", "DER")
    again = run(*command, "-signer", second, "-inkey", key)
    signed = read_cms(again.stdout)
    assert isinstance(signed, Signed)
    report = verify(signed, None)
    assert_truth(signed, report)
    assert {one.certificate for one in report.signers} == {people[name].certificate for name in ("rsa", "P-256")}


def test_a_certificate_that_is_not_carried(tmp_path: Path, people: dict[str, Entity]) -> None:
    signed = sign(tmp_path, [people["rsa"]], "-nocerts")
    assert [one.fault for one in verify(signed, pieces()).signers] == [Fault.NO_CERTIFICATE]
    assert verify(signed, pieces(), [people["rsa"].certificate]).signers[0].intact


def test_a_large_text_in_many_pieces(tmp_path: Path, people: dict[str, Entity]) -> None:
    file = tmp_path / "large"
    file.write_bytes(os.urandom(1_000_003))
    certificate, key = people["rsa"].write(tmp_path, "signer")
    done = run(
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-stream",
        "-in",
        file,
        "-signer",
        certificate,
        "-inkey",
        key,
        "-outform",
        "DER",
    )
    signed = read_cms(done.stdout)
    assert isinstance(signed, Signed) and signed.content is not None and len(signed.content) > 100
    assert verify(signed, None).signers[0].intact


def test_ed448_between_us_alone() -> None:
    """No tool here makes it in CMS: RFC 8419 section 3.1 with the digest of RFC 8702."""
    person = make_user("ed448@acme.example", make_ca(), key=ed448.Ed448PrivateKey.generate())  # type: ignore[arg-type]
    key = SigningKey(person.certificate, person.key)
    signed = read_cms(sign_detached([ENTITY], key, moment=0.0))
    assert isinstance(signed, Signed)
    assert_truth(signed, verify(signed, pieces()))
