"""Files as administrators get them: every container, mixed, armoured, damaged, with wrong passwords."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.bundle import MAXIMUM_BYTES, Bundle, read_bundle
from tests.pki import Entity, make_ca, make_user, pkcs7_bundle


@pytest.fixture(scope="module")
def people() -> tuple[Entity, Entity, Entity]:
    ca = make_ca()
    return ca, make_user("alice@acme.example", ca), make_user("bob@acme.example", ca)


def thumbprints(bundle: Bundle) -> list[str]:
    return [certificate.thumbprint for certificate in bundle.certificates]


def test_pem_in_any_order_with_text_around_and_duplicates(people: tuple[Entity, Entity, Entity]) -> None:
    ca, alice, bob = people
    text = b"Subject: certificates\r\n\r\nBag Attributes\r\n" + alice.key_pem.replace(b"\n", b"\r\n")
    text += bob.pem + b"Regards\n" + alice.pem.replace(b"\n", b"\r\n") + ca.pem + bob.pem + bob.key_pem
    bundle = read_bundle(text, None)
    assert thumbprints(bundle) == [one.certificate.thumbprint for one in (bob, alice, ca)]
    assert {(key.thumbprint, key.pkcs8_der) for key in bundle.private_keys} == {
        (alice.certificate.thumbprint, alice.key_der),
        (bob.certificate.thumbprint, bob.key_der),
    }


def test_der_alone_and_one_behind_the_other(people: tuple[Entity, Entity, Entity]) -> None:
    ca, alice, _ = people
    assert thumbprints(read_bundle(alice.der, "unneeded")) == [alice.certificate.thumbprint]
    assert len(read_bundle(alice.der + ca.der, None).certificates) == 2


@pytest.mark.parametrize("pem", [True, False])
def test_pkcs7(people: tuple[Entity, Entity, Entity], pem: bool) -> None:
    bundle = read_bundle(pkcs7_bundle(people, pem=pem), None)
    assert set(thumbprints(bundle)) == {one.certificate.thumbprint for one in people}
    assert bundle.private_keys == ()


def test_pkcs12_with_chain(people: tuple[Entity, Entity, Entity]) -> None:
    ca, alice, _ = people
    data = alice.pkcs12("correct horse", [ca])
    bundle = read_bundle(data, "correct horse")
    assert thumbprints(bundle) == [alice.certificate.thumbprint, ca.certificate.thumbprint]
    (key,) = bundle.private_keys
    assert (key.thumbprint, key.pkcs8_der) == (alice.certificate.thumbprint, alice.key_der)
    armoured = b"-----BEGIN PKCS12-----\n" + base64.encodebytes(data) + b"-----END PKCS12-----\n"
    assert read_bundle(armoured, "correct horse") == bundle


@pytest.mark.parametrize("password", ["", "s3cret"])
@pytest.mark.parametrize("options", [[], ["-legacy"], ["-keypbe", "NONE"]], ids=" ".join)
def test_pkcs12_of_openssl(
    tmp_path: Path, people: tuple[Entity, Entity, Entity], password: str, options: list[str]
) -> None:
    _, alice, _ = people
    certificate, key = alice.write(tmp_path, "alice")
    command = ["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-passout", f"pass:{password}"]
    data = subprocess.run([*command, *options], capture_output=True, check=True).stdout
    (found,) = read_bundle(data, password or None).private_keys
    assert (found.thumbprint, found.pkcs8_der) == (alice.certificate.thumbprint, alice.key_der)


@pytest.mark.parametrize("name", ["alice", "bob", "carlos", "dana"])
def test_a_person_with_two_keys(vectors: Path, name: str) -> None:
    """One signs, one decrypts (RFC 9216); X25519 among them, which the library does not read in such a file."""
    data = (vectors / "rfc9216" / f"{name}.der.p12").read_bytes()
    bundle = read_bundle(data, name)
    own = {key.thumbprint for key in bundle.private_keys}
    assert len(own) == 2 and own <= set(thumbprints(bundle))
    with pytest.raises(UnreadableCertificate, match="password is wrong"):
        read_bundle(data, "wrong")
    with pytest.raises(UnreadableCertificate, match="password is wrong"):
        changed = bytearray(data)
        changed[len(data) // 2] ^= 1
        read_bundle(bytes(changed), name)


@pytest.mark.parametrize(("password", "words"), [("wrong", "password is wrong"), (None, "needs a password")])
def test_a_closed_file_says_what_to_do(people: tuple[Entity, Entity, Entity], password: str | None, words: str) -> None:
    _, alice, _ = people
    encrypted = alice.key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for data in (alice.pkcs12("secret"), encrypted):
        with pytest.raises(UnreadableCertificate, match=words) as caught:
            read_bundle(data, password)
        assert "wrong'" not in caught.value.evidence
    assert len(read_bundle(encrypted, "secret").private_keys) == 1


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_a_request_is_called_one(people: tuple[Entity, Entity, Entity], encoding: serialization.Encoding) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "alice")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(people[1].key, hashes.SHA256())
    with pytest.raises(UnreadableCertificate, match="certificate request"):
        read_bundle(request.public_bytes(encoding), None)


def test_a_key_without_its_certificate_and_one_shared_by_two(people: tuple[Entity, Entity, Entity]) -> None:
    _, alice, _ = people
    (lonely,) = read_bundle(alice.key_der, None).private_keys
    assert lonely.thumbprint is None
    renewed = make_user("alice@acme.example", key=alice.key)
    keys = read_bundle(alice.pem + alice.key_pem + renewed.pem, None).private_keys
    assert {key.thumbprint for key in keys} == {alice.certificate.thumbprint, renewed.certificate.thumbprint}


def test_private_keys_are_not_shown(people: tuple[Entity, Entity, Entity]) -> None:
    _, alice, _ = people
    assert "pkcs8" not in repr(read_bundle(alice.pem + alice.key_pem, None))


def test_an_unreadable_certificate_beside_others_is_named(people: tuple[Entity, Entity, Entity]) -> None:
    _, alice, _ = people
    broken = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(alice.der[:-9]) + b"-----END CERTIFICATE-----\n"
    bundle = read_bundle(broken + alice.pem, None)
    assert thumbprints(bundle) == [alice.certificate.thumbprint]
    assert len(bundle.skipped) == 1
    with pytest.raises(UnreadableCertificate):
        read_bundle(broken, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
        b"0\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
        b"0\x82\xff\xff\x02\x01\x03",
        b"0\x03\x02\x01\x00",
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableCertificate):
        read_bundle(data, None)


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(UnreadableCertificate, match="larger"):
        read_bundle(bytes(MAXIMUM_BYTES + 1), None)


PASSWORDS = {
    "gnupg-cms/samplekeys/ov-user.p12": "start",
    "gnupg-cms/samplekeys/t6752-ov-user-ff.p12": "start",
    "gnupg-cms/samplekeys/opensc-test.p12": "password",
    "gnupg-cms/samplekeys/t5793-openssl.pfx": "test",
    "gnupg-cms/samplekeys/nistp256-openssl-self-signed.p12": "abc",
    "gnupg-cms/samplekeys/credential_private_encrypted_AES256.p12": "qeFGds84/Sf0eKkJwcp6",
    "gnupg-cms/samplekeys/credential_private_encrypted_3DES.p12": "qeFGds84/Sf0eKkJwcp6",
    "rfc9216/alice.p12": "alice",
    "rfc9216/bob.der.p12": "bob",
    "thunderbird-smime/Alice.p12": "nss",
    "thunderbird-smime/Bob.p12": "nss",
    "thunderbird-smime/Dave.p12": "nss",
    "openssl-smime-certs/smrsa1.pem": None,
    "openssl-smime-certs/smec1.pem": None,
}


@pytest.mark.parametrize("name", PASSWORDS)
def test_files_of_many_makers_open_with_their_key(vectors: Path, name: str) -> None:
    bundle = read_bundle((vectors / name).read_bytes(), PASSWORDS[name])
    owners = {key.thumbprint for key in bundle.private_keys}
    assert owners and owners <= set(thumbprints(bundle))


def test_every_file_of_the_corpora_is_read_or_refused_in_words(vectors: Path) -> None:
    folders = ("asn1crypto-cms", "gnupg-cms", "openssl-smime-certs", "rfc9216", "dane-recorded")
    seen = 0
    for file in (one for folder in folders for one in sorted((vectors / folder).rglob("*")) if one.is_file()):
        seen += 1
        try:
            read_bundle(file.read_bytes(), "test")
        except UnreadableCertificate as error:
            assert str(error).isprintable()
    assert seen > 50
