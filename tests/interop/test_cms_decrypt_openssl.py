"""We open whatever `openssl cms -encrypt` can make, and OpenSSL opens what we make for curves and mixed recipients."""

import itertools
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ime_gateway.smime.content import CipherName, ContentEncryptor, ContentKey
from ime_gateway.smime.decrypt import Decrypted, LegacyPolicy, OwnedKey, Undecryptable, decrypt
from ime_gateway.smime.encrypt import frame
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import Enveloped, OtherRecipient
from tests.pki import Entity, make_ca, make_user

TEXT = b"Content-Type: text/plain\r\n\r\n" + b"made by another hand\r\n" * 400
KINDS = ("rsa", "p256", "p384", "p521")
CIPHERS: tuple[CipherName, ...] = (
    *("aes-128-cbc", "aes-192-cbc", "aes-256-cbc"),
    *("aes-128-gcm", "aes-192-gcm", "aes-256-gcm"),
)
USUAL = LegacyPolicy()
SHARED_KEY = ("-secretkey", "00" * 32, "-secretkeyid", "01")
PASSWORD = ("-pwri_password", "x")
DIGESTS = ("sha1", "sha224", "sha256", "sha384", "sha512")


@pytest.fixture(scope="module")
def people() -> Mapping[str, Entity]:
    ca = make_ca(kind="ec")
    return {kind: make_user(f"{kind}@acme.example", ca, kind=kind) for kind in (*KINDS, "x25519")}


def owned(person: Entity) -> OwnedKey:
    return OwnedKey.from_pkcs8(person.certificate, person.key_der)


def made(
    folder: Path, readers: Sequence[Entity], *options: str, keyopts: Sequence[str] = (), text: bytes = TEXT
) -> bytes:
    """A message by OpenSSL; the key options are those of the last reader."""
    files = [str(person.write(folder, f"reader-{number}")[0]) for number, person in enumerate(readers)]
    recipients = [word for file in files for word in ("-recip", file)]
    behind = [word for option in keyopts for word in ("-keyopt", option)]
    command = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", *options, *recipients, *behind]
    return subprocess.run(command, input=text, capture_output=True, check=True, timeout=60).stdout


def read(message: bytes) -> Enveloped:
    envelope = read_cms(message)
    assert isinstance(envelope, Enveloped)
    return envelope


def opened(message: bytes, *people: Entity, legacy: LegacyPolicy = USUAL) -> Decrypted | Undecryptable:
    return decrypt(read(message), [owned(one) for one in people], legacy=legacy, randomness=os.urandom)


@pytest.mark.parametrize("form", [(), ("-stream",), ("-keyid",)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_cipher(tmp_path: Path, people: Mapping[str, Entity], kind: str, form: tuple[str, ...]) -> None:
    for cipher in CIPHERS:
        result = opened(made(tmp_path, [people[kind]], f"-{cipher}", *form), people[kind])
        assert isinstance(result, Decrypted), (cipher, result)
        assert result.content == TEXT
        assert (result.cipher, result.integrity, result.legacy) == (cipher, cipher.endswith("gcm"), False)
        assert result.opened_with == people[kind].certificate.thumbprint


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 200_000])
def test_every_size(tmp_path: Path, people: Mapping[str, Entity], size: int) -> None:
    text = os.urandom(size)
    for cipher in ("-aes256", "-aes-256-gcm", "-des3"):
        # OpenSSL 3.0 fails at an empty AuthEnvelopedData in its streaming form.
        for form in ((), ("-stream",)) if size or cipher != "-aes-256-gcm" else ((),):
            result = opened(made(tmp_path, [people["p256"]], cipher, *form, text=text), people["p256"])
            assert isinstance(result, Decrypted) and result.content == text


def test_oaep_with_every_digest_mask_and_label(tmp_path: Path, people: Mapping[str, Entity]) -> None:
    for digest, mask in itertools.product(DIGESTS, DIGESTS):
        options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{mask}"]
        for label in ([], ["rsa_oaep_label:6c6162656c"]):
            message = made(tmp_path, [people["rsa"]], "-aes256", keyopts=[*options, *label])
            result = opened(message, people["rsa"])
            assert isinstance(result, Decrypted), (digest, mask, label)
            assert result.content == TEXT
            assert result.key_method == f"rsa-oaep-{digest}" + ("" if mask == digest else f"-mgf-{mask}")
    defaults = opened(made(tmp_path, [people["rsa"]], keyopts=["rsa_padding_mode:oaep"]), people["rsa"])
    assert isinstance(defaults, Decrypted) and defaults.key_method == "rsa-oaep-sha1"


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
def test_key_agreement_with_every_derivation_and_wrap(tmp_path: Path, people: Mapping[str, Entity], kind: str) -> None:
    for digest, cofactor in itertools.product(DIGESTS, ("0", "1")):
        keyopts = [f"ecdh_kdf_md:{digest}", f"ecdh_cofactor_mode:{cofactor}"]
        for cipher in ("-aes128", "-aes192", "-aes-256-gcm"):
            message = made(tmp_path, [people[kind]], cipher, keyopts=keyopts)
            result = opened(message, people[kind])
            assert isinstance(result, Decrypted), (digest, cofactor, cipher)
            assert result.content == TEXT and result.key_method == f"ecdh-{kind}-{digest}"


def test_triple_des_by_leave_of_the_policy(tmp_path: Path, people: Mapping[str, Entity]) -> None:
    for kind in ("rsa", "p256"):
        message = made(tmp_path, [people[kind]], "-des3")
        result = opened(message, people[kind])
        assert isinstance(result, Decrypted) and result.content == TEXT
        assert result.legacy and not result.integrity and result.cipher == "3des-cbc"
        refused = opened(message, people[kind], legacy=LegacyPolicy(triple_des=False))
        assert isinstance(refused, Undecryptable) and refused.cause == "unsupported"


def test_rc2_by_leave_of_the_policy_and_never_with_export_keys(tmp_path: Path, people: Mapping[str, Entity]) -> None:
    providers = ["-provider", "legacy", "-provider", "default"]
    message = made(tmp_path, [people["rsa"]], "-rc2-128", *providers)
    allowed = opened(message, people["rsa"], legacy=LegacyPolicy(rc2=True))
    assert isinstance(allowed, Decrypted) and allowed.content == TEXT and allowed.legacy
    for cipher in ("-rc2-128", "-rc2-40", "-rc2-64"):
        for policy in (LegacyPolicy(), LegacyPolicy(rc2=cipher != "-rc2-128")):
            message = made(tmp_path, [people["rsa"]], cipher, *providers)
            refused = opened(message, people["rsa"], legacy=policy)
            assert isinstance(refused, Undecryptable) and refused.cause == "unsupported", cipher


def test_short_rsa_keys_by_leave_of_the_policy(tmp_path: Path) -> None:
    person = make_user("old@acme.example", key_bits=1024)
    message = made(tmp_path, [person], "-aes256")
    result = opened(message, person)
    assert isinstance(result, Decrypted) and result.content == TEXT and result.legacy
    refused = opened(message, person, legacy=LegacyPolicy(short_rsa=False))
    assert isinstance(refused, Undecryptable) and refused.cause == "unsupported"


def test_each_of_several_recipients_and_nobody_else(tmp_path: Path, people: Mapping[str, Entity]) -> None:
    readers = [people[kind] for kind in KINDS]
    # OpenSSL 3.0 makes no password recipients in AuthEnvelopedData.
    for cipher, others, kinds in (
        ("-aes256", (*SHARED_KEY, *PASSWORD), {"kekri", "pwri"}),
        ("-aes-256-gcm", SHARED_KEY, {"kekri"}),
    ):
        message = made(tmp_path, readers, cipher, *others)
        assert {one.kind for one in read(message).recipients if isinstance(one, OtherRecipient)} == kinds
        for person in readers:
            result = opened(message, people["x25519"], person)
            assert isinstance(result, Decrypted) and result.content == TEXT
            assert result.opened_with == person.certificate.thumbprint
        stranger = opened(message, people["x25519"], make_user("x@acme.example", kind="ec"))
        assert isinstance(stranger, Undecryptable) and stranger.cause == "no-key"


def test_keys_that_we_never_hold(tmp_path: Path, people: Mapping[str, Entity]) -> None:
    for options in (SHARED_KEY, PASSWORD):
        result = opened(made(tmp_path, [], "-aes256", *options), people["rsa"])
        assert isinstance(result, Undecryptable) and result.cause == "no-key"


def ours(readers: Sequence[Entity], cipher: CipherName, **options: bool) -> bytes:
    key = ContentKey.generate(cipher, os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([TEXT]))
    made = frame([one.certificate for one in readers], key, len(ciphertext), encryptor.tag, **options)  # type: ignore[arg-type]
    return made.prefix + ciphertext + made.suffix


def by_openssl(folder: Path, message: bytes, person: Entity) -> subprocess.CompletedProcess[bytes]:
    certificate, key = person.write(folder, "person")
    command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-recip", certificate, "-inkey", key]
    return subprocess.run(command, input=message, capture_output=True, timeout=60)


@pytest.mark.parametrize("use_ski", [False, True])
@pytest.mark.parametrize("cipher", CIPHERS)
def test_openssl_opens_ours_for_mixed_recipients(
    tmp_path: Path, people: Mapping[str, Entity], cipher: CipherName, use_ski: bool
) -> None:
    message = ours(list(people.values()), cipher, use_ski=use_ski)
    for kind in KINDS:
        result = by_openssl(tmp_path, message, people[kind])
        assert result.returncode == 0 and result.stdout == TEXT, (kind, result.stderr)
    stranger = by_openssl(tmp_path, message, make_user("x@acme.example", kind="ec"))
    assert stranger.returncode != 0 and stranger.stdout != TEXT
    mine = opened(message, people["x25519"])  # OpenSSL 3.0 has no X25519 in CMS
    assert isinstance(mine, Decrypted) and mine.content == TEXT and mine.key_method == "x25519-hkdf-sha256"


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_openssl_writes_the_same_octets(tmp_path: Path, people: Mapping[str, Entity], cipher: CipherName) -> None:
    message = ours(list(people.values()), cipher)
    command = ["openssl", "cms", "-cmsout", "-inform", "DER", "-outform", "DER"]
    written = subprocess.run(command, input=message, capture_output=True, timeout=60)
    assert written.stdout == message, written.stderr
    shown = subprocess.run([*command[:3], "-print", "-noout", "-inform", "DER"], input=message, capture_output=True)
    assert shown.stdout.count(b"d.ktri") == 1 and shown.stdout.count(b"d.kari") == 4
    assert shown.stdout.count(b"dhSinglePass-stdDH-sha256kdf-scheme") == 1


def test_the_wrap_is_as_strong_as_the_content_key(people: Mapping[str, Entity]) -> None:
    for cipher, wrap in (
        ("aes-128-cbc", "aes128-wrap"),
        ("aes-192-gcm", "aes192-wrap"),
        ("aes-256-cbc", "aes256-wrap"),
    ):
        command = ["openssl", "cms", "-cmsout", "-print", "-noout", "-inform", "DER"]
        shown = subprocess.run(command, input=ours([people["p384"]], cipher), capture_output=True, check=True)  # type: ignore[arg-type]
        # The wrap's AlgorithmIdentifier is the parameter of the scheme; OpenSSL shows it as a dump.
        assert f"id-{wrap}".encode() in shown.stdout
