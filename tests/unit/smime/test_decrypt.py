"""What comes of a whole envelope: who opens it, by what, and the three ways in which it stays closed."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ime_gateway.certs.certificate import places
from ime_gateway.smime.content import CipherName, ContentEncryptor, ContentKey
from ime_gateway.smime.decrypt import Decrypted, LegacyPolicy, OwnedKey, Undecryptable, decrypt
from ime_gateway.smime.encrypt import frame
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import (
    AlgorithmIdentifier,
    Enveloped,
    IssuerAndSerial,
    KeyAgreement,
    KeyTransport,
    OtherRecipient,
    Recipient,
)
from tests.pki import Entity, make_ca, make_user

TEXT = b"Subject: inside\r\n\r\nonly for you\r\n" * 30
KINDS = ("rsa", "p256", "p384", "p521", "x25519")
METHODS = {
    "rsa": "rsa-v1.5",
    "p256": "ecdh-p256-sha256",
    "p384": "ecdh-p384-sha384",
    "p521": "ecdh-p521-sha512",
    "x25519": "x25519-hkdf-sha256",
}
V1_5 = AlgorithmIdentifier("1.2.840.113549.1.1.1", b"\x05\x00")
OAEP_SHA256 = bytes.fromhex(
    "302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500"
)
OAEP = AlgorithmIdentifier("1.2.840.113549.1.1.7", OAEP_SHA256)


@pytest.fixture(scope="module")
def people() -> Mapping[str, Entity]:
    ca = make_ca(kind="ec")
    return {kind: make_user(f"{kind}@acme.example", ca, kind=kind) for kind in KINDS}


def sealed(readers: Sequence[Entity], cipher: CipherName = "aes-256-gcm") -> tuple[Enveloped, ContentKey]:
    key = ContentKey.generate(cipher, os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([TEXT]))
    made = frame([one.certificate for one in readers], key, len(ciphertext), encryptor.tag)
    envelope = read_cms(made.prefix + ciphertext + made.suffix)
    assert isinstance(envelope, Enveloped)
    return envelope, key


def owned(person: Entity) -> OwnedKey:
    return OwnedKey.from_pkcs8(person.certificate, person.key_der)


def opened(envelope: Enveloped, *people: Entity, legacy: LegacyPolicy | None = None) -> Decrypted | Undecryptable:
    keys = [owned(one) for one in people]
    if legacy is None:
        return decrypt(envelope, keys, randomness=os.urandom)
    return decrypt(envelope, keys, legacy=legacy, randomness=os.urandom)


def transport(person: Entity, encrypted: bytes, algorithm: AlgorithmIdentifier = V1_5) -> KeyTransport:
    certificate = person.certificate
    name = IssuerAndSerial(certificate.der[places(certificate.der).issuer], certificate.serial)
    return KeyTransport(0, name, None, algorithm, encrypted)


def wrapped(person: Entity, key: bytes, scheme: padding.AsymmetricPadding) -> bytes:
    assert isinstance(person.key, rsa.RSAPrivateKey)
    return person.key.public_key().encrypt(key, scheme)


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-cbc", "aes-192-gcm", "aes-256-gcm"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_told_of_an_opened_message(people: Mapping[str, Entity], kind: str, cipher: CipherName) -> None:
    envelope, _ = sealed([people[kind]], cipher)
    result = opened(envelope, people[kind])
    assert isinstance(result, Decrypted) and result.content == TEXT
    (info,) = envelope.recipients
    encrypted = info.keys[0].encrypted_key if isinstance(info, KeyAgreement) else info.encrypted_key  # type: ignore[union-attr]
    assert result == Decrypted(
        content=result.content,
        content_type="1.2.840.113549.1.7.1",
        integrity=cipher.endswith("gcm"),
        cipher=cipher,
        key_method=METHODS[kind],
        opened_with=people[kind].certificate.thumbprint,
        encrypted_key_digest=hashlib.sha256(encrypted).hexdigest(),
        legacy=False,
        encrypted_key_digests=(hashlib.sha256(encrypted).hexdigest(),),
    )
    assert "only for you" not in repr(result)


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_each_of_mixed_recipients_whoever_else_is_there(people: Mapping[str, Entity], cipher: CipherName) -> None:
    envelope, _ = sealed(list(people.values()), cipher)
    strange = (OtherRecipient("kekri"), *envelope.recipients, OtherRecipient("unknown"), OtherRecipient("ori"))
    for kind in KINDS:
        result = opened(replace(envelope, recipients=strange), people[kind])
        assert isinstance(result, Decrypted) and result.content == TEXT and result.key_method == METHODS[kind]


def test_a_message_for_others(people: Mapping[str, Entity]) -> None:
    envelope, _ = sealed([people["rsa"], people["p256"]])
    for keys in ((), (people["x25519"],), (people["p384"], make_user("x@acme.example"))):
        result = opened(envelope, *keys)
        assert isinstance(result, Undecryptable) and result.cause == "no-key"
        assert f"ktri serial {people['rsa'].certificate.serial:x} of " in result.evidence
        assert f"kari serial {people['p256'].certificate.serial:x} of " in result.evidence


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
@pytest.mark.parametrize("scheme", ["v1.5", "oaep"])
def test_each_info_for_us_is_tried(people: Mapping[str, Entity], cipher: CipherName, scheme: str) -> None:
    envelope, key = sealed([people["rsa"]], cipher)
    person = people["rsa"]
    by: padding.AsymmetricPadding = padding.PKCS1v15()
    algorithm = V1_5
    if scheme == "oaep":
        by, algorithm = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None), OAEP
    right = transport(person, wrapped(person, key.key, by), algorithm)
    junk = transport(person, os.urandom(256), replace(algorithm, oid="1.2.3"))
    short = transport(person, wrapped(person, b"too short", by), algorithm)
    broken = transport(person, b"\xff" * 256, algorithm)
    for order in ((junk, short, broken, right), (right, broken, short), (broken, right, right)):
        result = opened(replace(envelope, recipients=order), person)
        assert isinstance(result, Decrypted) and result.content == TEXT
        assert result.encrypted_key_digest == hashlib.sha256(right.encrypted_key).hexdigest()
        # Whichever opened it: the others would, too, in a copy without that one.
        assert set(result.encrypted_key_digests) == {hashlib.sha256(one.encrypted_key).hexdigest() for one in order}


def test_a_key_with_a_check_value_goes_before_a_guess(people: Mapping[str, Entity]) -> None:
    # The v1.5 info holds a real key of the right size that is not this message's, and happens to give a right padding.
    envelope, key = sealed([people["rsa"]], "aes-256-cbc")
    person = people["rsa"]
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    right = transport(person, wrapped(person, key.key, oaep), OAEP)
    for number in range(100_000):
        other = number.to_bytes(32, "big")
        guess = transport(person, wrapped(person, other, padding.PKCS1v15()))
        if isinstance(opened(replace(envelope, recipients=(guess,)), person), Decrypted):
            break
    result = opened(replace(envelope, recipients=(guess, right)), person)
    assert isinstance(result, Decrypted) and result.content == TEXT and result.key_method == "rsa-oaep-sha256"


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": AlgorithmIdentifier("1.2.3", None)},
        {"algorithm": AlgorithmIdentifier("2.16.840.1.101.3.4.1.42", b"\x04\x10" + bytes(16))},  # CBC, authenticated
        {"authenticated": False},
    ],
)
def test_content_that_we_do_not_open(people: Mapping[str, Entity], change: dict[str, object]) -> None:
    envelope, _ = sealed([people["p256"]])
    result = opened(replace(envelope, **change), people["p256"])  # type: ignore[arg-type]
    assert isinstance(result, Undecryptable) and result.cause == "unsupported" and result.evidence


def test_key_methods_that_we_do_not_open(people: Mapping[str, Entity]) -> None:
    envelope, _ = sealed([people["rsa"], people["p256"]])
    ktri = next(one for one in envelope.recipients if isinstance(one, KeyTransport))
    kari = next(one for one in envelope.recipients if isinstance(one, KeyAgreement))
    curve = make_user("k@acme.example", kind="p256")
    for_signing = make_user("s@acme.example", kind="ed25519")
    infos: list[tuple[Recipient, Entity]] = [
        (replace(ktri, algorithm=AlgorithmIdentifier("1.2.3", None)), people["rsa"]),
        (replace(ktri, algorithm=AlgorithmIdentifier(OAEP.oid, b"\x05\x00")), people["rsa"]),
        (replace(kari, algorithm=AlgorithmIdentifier("1.3.132.1.15.1", kari.algorithm.parameters)), people["p256"]),
        (replace(kari, algorithm=replace(kari.algorithm, parameters=None)), people["p256"]),
        (replace(kari, originator_key=None), people["p256"]),
        (transport(curve, b"x" * 256), curve),
        (transport(for_signing, b"x" * 256), for_signing),
        (replace(kari, keys=(replace(kari.keys[0], issuer_and_serial=ktri.issuer_and_serial),)), people["rsa"]),
    ]
    for info, person in infos:
        result = opened(replace(envelope, recipients=(info,)), person)
        assert isinstance(result, Undecryptable) and result.cause == "unsupported", info
    both = replace(envelope, recipients=(infos[0][0], ktri))
    assert isinstance(opened(both, people["rsa"]), Decrypted)


def test_parameters_without_sense_are_a_failure_like_others(people: Mapping[str, Entity]) -> None:
    envelope, _ = sealed([people["p256"]])
    damaged = replace(envelope, algorithm=replace(envelope.algorithm, parameters=b"\x30\x00"))
    result = opened(damaged, people["p256"])
    assert isinstance(result, Undecryptable) and result.cause == "failed"


def test_curves_that_mail_does_not_use_are_not_used() -> None:
    reader = make_user("b@acme.example", key=ec.generate_private_key(ec.SECP256K1()))
    envelope, _ = sealed([make_user("a@acme.example", kind="p256")])
    kari = envelope.recipients[0]
    assert isinstance(kari, KeyAgreement)
    name = transport(reader, b"").issuer_and_serial
    stolen = replace(kari, keys=(replace(kari.keys[0], issuer_and_serial=name),))
    result = opened(replace(envelope, recipients=(stolen,)), reader)
    assert isinstance(result, Undecryptable) and result.cause == "unsupported" and "curve" in result.evidence


def test_an_envelope_of_no_segments(people: Mapping[str, Entity]) -> None:
    for cipher in ("aes-256-cbc", "aes-256-gcm"):
        envelope, _ = sealed([people["p256"]], cipher)  # type: ignore[arg-type]
        result = opened(replace(envelope, ciphertext=()), people["p256"])
        assert isinstance(result, Undecryptable) and result.cause == "failed"
