"""Somebody sends us changed copies of a message that is for us and watches: always the same answer, for the same work.

Bleichenbacher and Manger (RSA paddings), Vaudenay (CBC padding), invalid curves, EFAIL (changed CBC), an AEAD made
CBC, cut tags, swapped keys, floods of recipient infos. What differs is `evidence`, which never leaves the log.
"""

import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ime_gateway.certs import der
from ime_gateway.certs.certificate import places
from ime_gateway.smime import decrypt as module
from ime_gateway.smime.content import CipherName, ContentEncryptor, ContentKey
from ime_gateway.smime.content_decrypt import ContentCipher, OpenedContent
from ime_gateway.smime.decrypt import MAXIMUM_KEY_OPERATIONS, Decrypted, OwnedKey, Undecryptable, decrypt
from ime_gateway.smime.encrypt import frame
from ime_gateway.smime.key_unwrap import TransportMethod
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import AlgorithmIdentifier, Enveloped, IssuerAndSerial, KeyAgreement, KeyTransport
from tests.pki import Entity, make_ca, make_user

SECRET = b"Content-Type: text/plain\r\n\r\nthe secret that somebody wants\r\n" * 20
KINDS = ("rsa", "oaep", "p256", "x25519")
CIPHERS: tuple[CipherName, ...] = ("aes-256-cbc", "aes-256-gcm")
Randomness = Callable[[int], bytes]


@pytest.fixture(scope="module")
def people() -> Mapping[str, Entity]:
    ca = make_ca(kind="ec")
    return {kind: make_user(f"{kind}@acme.example", ca, kind="rsa" if kind == "oaep" else kind) for kind in KINDS}


def sealed(person: Entity, cipher: CipherName, kind: str, text: bytes = SECRET) -> tuple[Enveloped, ContentKey]:
    key = ContentKey.generate(cipher, os.urandom)
    encryptor = ContentEncryptor(key)
    ciphertext = b"".join(encryptor.chunks([text]))
    oaep = [person.certificate.thumbprint] if kind == "oaep" else []
    made = frame([person.certificate], key, len(ciphertext), encryptor.tag, oaep=oaep)
    envelope = read_cms(made.prefix + ciphertext + made.suffix)
    assert isinstance(envelope, Enveloped)
    return envelope, key


def opened(envelope: Enveloped, *people: Entity, randomness: Randomness = os.urandom) -> Decrypted | Undecryptable:
    keys = [OwnedKey.from_pkcs8(person.certificate, person.key_der) for person in people]
    return decrypt(envelope, keys, randomness=randomness)


def with_key(envelope: Enveloped, encrypted: bytes) -> Enveloped:
    """The same message with another encryptedKey."""
    (info,) = envelope.recipients
    if isinstance(info, KeyTransport):
        return replace(envelope, recipients=(replace(info, encrypted_key=encrypted),))
    assert isinstance(info, KeyAgreement)
    return replace(envelope, recipients=(replace(info, keys=(replace(info.keys[0], encrypted_key=encrypted),)),))


def encrypted_key(envelope: Enveloped) -> bytes:
    (info,) = envelope.recipients
    if isinstance(info, KeyTransport):
        return info.encrypted_key
    assert isinstance(info, KeyAgreement)
    return info.keys[0].encrypted_key


def with_text(envelope: Enveloped, ciphertext: bytes) -> Enveloped:
    return replace(envelope, ciphertext=(memoryview(ciphertext),) if ciphertext else ())


def ciphertext_of(envelope: Enveloped) -> bytes:
    return b"".join(envelope.ciphertext)


def flipped(octets: bytes, at: int, bit: int = 1) -> bytes:
    changed = bytearray(octets)
    changed[at] ^= bit
    return bytes(changed)


def damaged_keys(envelope: Enveloped, stranger: Enveloped) -> Iterator[Enveloped]:
    right = encrypted_key(envelope)
    for at in (0, 1, len(right) // 2, len(right) - 1):
        yield with_key(envelope, flipped(right, at))
    for wrong in (b"", right[:-1], right[:-8], right + b"\0", bytes(len(right)), b"\xff" * len(right)):
        yield with_key(envelope, wrong)
    yield with_key(envelope, os.urandom(len(right)))
    yield with_key(envelope, encrypted_key(stranger))
    (info,) = envelope.recipients
    if isinstance(info, KeyAgreement):
        assert info.originator_key is not None
        point = info.originator_key
        (theirs,) = stranger.recipients
        assert isinstance(theirs, KeyAgreement)
        for originator in (flipped(point, -1), point[:-1], b"", theirs.originator_key, point[:-32] + bytes(32)):
            yield replace(envelope, recipients=(replace(info, originator_key=originator),))
        yield replace(envelope, recipients=(replace(info, ukm=b"one that was not there"),))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_wrong_with_the_key_it_is_one_answer(people: Mapping[str, Entity], kind: str) -> None:
    person = people[kind]
    envelope, _ = sealed(person, "aes-256-gcm", kind)
    stranger, _ = sealed(person, "aes-256-gcm", kind)
    results = [opened(one, person) for one in damaged_keys(envelope, stranger)]
    assert {(type(one), one.cause) for one in results if isinstance(one, Undecryptable)} == {(Undecryptable, "failed")}
    assert len(results) >= 12 and all(isinstance(one, Undecryptable) for one in results)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_content_is_the_same_answer_as_a_wrong_key(people: Mapping[str, Entity], kind: str) -> None:
    person = people[kind]
    envelope, _ = sealed(person, "aes-256-gcm", kind)
    text = ciphertext_of(envelope)
    wrong = [with_text(envelope, one) for one in (flipped(text, 0), flipped(text, -1), text[:-1], text + b"\0", b"")]
    wrong += [replace(envelope, tag=one) for one in (flipped(envelope.tag, 15), bytes(16), b"", envelope.tag[:12])]
    wrong += [replace(envelope, authenticated_attributes=b"\x31\x00")]
    by_key = opened(with_key(envelope, os.urandom(len(encrypted_key(envelope)))), person)
    for one in wrong:
        result = opened(one, person)
        assert result == by_key, "the same evidence, even"
    assert isinstance(by_key, Undecryptable) and by_key.cause == "failed"


class Work:
    """What private keys and content ciphers had to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys = 0
        self.passes: list[int] = []
        real_key, real_content = TransportMethod.unwrap, module.open_content

        def count_key(method: TransportMethod, key: rsa.RSAPrivateKey, encrypted: bytes) -> bytes | None:
            self.keys += 1
            return real_key(method, key, encrypted)

        def count_content(cipher: ContentCipher, keys: Sequence[bytes], envelope: Enveloped) -> OpenedContent | None:
            self.passes += [len(key) for key in keys]
            return real_content(cipher, keys, envelope)

        monkeypatch.setattr(TransportMethod, "unwrap", count_key)
        monkeypatch.setattr(module, "open_content", count_content)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("kind", ["rsa", "oaep"])
def test_a_key_that_fails_costs_what_a_right_one_costs(
    people: Mapping[str, Entity], kind: str, cipher: CipherName, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = people[kind]
    envelope, _ = sealed(person, cipher, kind)
    stranger, _ = sealed(person, cipher, kind)
    for one in (envelope, *damaged_keys(envelope, stranger)):
        with monkeypatch.context() as patch:
            work = Work(patch)
            opened(one, person)
            assert work.keys == 1 and work.passes == [32], (
                "one private operation, one pass with a key of the right size"
            )


def test_a_wrong_v1_5_padding_goes_on_with_a_random_key(people: Mapping[str, Entity]) -> None:
    """Else a guess with a right padding would be told by the garbage that one wrong key in 256 gives with CBC."""
    person = people["rsa"]
    envelope, key = sealed(person, "aes-256-cbc", "rsa")
    drawn: list[int] = []

    def substitute(count: int) -> bytes:
        drawn.append(count)
        return key.key  # as if the random key were, by chance, one that gives a right padding

    assert isinstance(person.key, rsa.RSAPrivateKey)
    guesses = (os.urandom(255).rjust(256, b"\0") for _ in range(100))
    unlike = next(one for one in guesses if len(person.key.decrypt(one, padding.PKCS1v15())) != 32)
    for wrong in (b"", bytes(255), b"\xff" * 256, unlike):
        result = opened(with_key(envelope, wrong), person, randomness=substitute)
        assert isinstance(result, Decrypted) and not result.integrity
    assert drawn == [32] * 4
    opened(envelope, person, randomness=substitute)
    assert len(drawn) == 5, "drawn whether it is needed or not"


@pytest.mark.parametrize("kind", ["oaep", "p256", "x25519"])
def test_the_random_key_opens_nothing_where_the_key_has_a_check_value(people: Mapping[str, Entity], kind: str) -> None:
    person = people[kind]
    for cipher in CIPHERS:
        envelope, key = sealed(person, cipher, kind)
        wrong = with_key(envelope, os.urandom(len(encrypted_key(envelope))))
        result = opened(wrong, person, randomness=lambda count, right=key.key: right)  # type: ignore[misc]
        assert isinstance(result, Undecryptable) and result.cause == "failed"


@pytest.mark.parametrize("kind", KINDS)
def test_cbc_paddings_are_one_answer_and_never_integrity(people: Mapping[str, Entity], kind: str) -> None:
    """All 255 other values of the octet that rules the padding (Vaudenay), and changes all over (EFAIL)."""
    person = people[kind]
    whole = SECRET + b"x" * (-len(SECRET) % 16) + b"four"
    envelope, _ = sealed(person, "aes-256-cbc", kind, whole)
    text = ciphertext_of(envelope)
    ruling = [flipped(text, len(text) - 17, bit) for bit in range(1, 256)]
    results = [opened(with_text(envelope, one), person) for one in ruling]
    shut = [one for one in results if isinstance(one, Undecryptable)]
    # Padding 12 became 1: cryptography cannot tell, so it must be said that nothing vouches for the text.
    assert len(shut) >= 253 and {(one.cause, one.evidence) for one in shut} == {("failed", shut[0].evidence)}
    for one in (with_text(envelope, flipped(text, at)) for at in range(0, len(text) - 32, 16)):
        result = opened(one, person)
        assert isinstance(result, Decrypted) and not result.integrity
        assert len(result.content) == len(whole) and result.content != whole
    for cut in (1, 15, 16, 17, len(text) - 16):
        result = opened(with_text(envelope, text[:-cut]), person)
        assert isinstance(result, (Undecryptable, Decrypted))
        assert not (isinstance(result, Decrypted) and result.integrity)


@pytest.mark.parametrize("kind", KINDS)
def test_an_aead_made_cbc_is_not_the_text_and_not_authentic(people: Mapping[str, Entity], kind: str) -> None:
    person = people[kind]
    envelope, _ = sealed(person, "aes-256-gcm", kind)
    text = ciphertext_of(envelope)
    for iv in (bytes(16), b"\x01" * 16):
        algorithm = AlgorithmIdentifier("2.16.840.1.101.3.4.1.42", der.octet_string(iv))
        lower = replace(
            with_text(envelope, text[: len(text) // 16 * 16]), authenticated=False, algorithm=algorithm, tag=b""
        )
        result = opened(lower, person)
        assert isinstance(result, Undecryptable) or (not result.integrity and b"secret" not in bytes(result.content))
        inside = opened(replace(lower, authenticated=True, tag=envelope.tag), person)
        assert isinstance(inside, Undecryptable) and inside.cause == "unsupported"
    bare = opened(replace(envelope, authenticated=False, tag=b""), person)
    assert isinstance(bare, Undecryptable) and bare.cause == "unsupported"


def transport(person: Entity, encrypted: bytes, serial: int | None = None) -> KeyTransport:
    certificate = person.certificate
    name = IssuerAndSerial(certificate.der[places(certificate.der).issuer], serial or certificate.serial)
    return KeyTransport(0, name, None, AlgorithmIdentifier("1.2.840.113549.1.1.1", der.NULL), encrypted)


def test_floods_of_infos_for_us_cost_sixteen_operations(
    people: Mapping[str, Entity], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = people["rsa"]
    envelope, _ = sealed(person, "aes-256-gcm", "rsa")
    (right,) = envelope.recipients
    junk = transport(person, bytes(range(256)))
    work = Work(monkeypatch)
    assert isinstance(opened(replace(envelope, recipients=(junk,) * 100_000 + (right,)), person), Undecryptable)
    assert work.keys == MAXIMUM_KEY_OPERATIONS and len(work.passes) <= MAXIMUM_KEY_OPERATIONS
    late = (junk,) * (MAXIMUM_KEY_OPERATIONS - 1) + (right,)
    result = opened(replace(envelope, recipients=late), person)
    assert isinstance(result, Decrypted) and result.content == SECRET


def test_sixteen_keys_that_unwrap_are_sixteen_passes_at_most(
    people: Mapping[str, Entity], monkeypatch: pytest.MonkeyPatch
) -> None:
    person = people["rsa"]
    envelope, _ = sealed(person, "aes-256-gcm", "rsa")
    assert isinstance(person.key, rsa.RSAPrivateKey)
    public = person.key.public_key()
    keys = [transport(person, public.encrypt(os.urandom(32), padding.PKCS1v15())) for _ in range(64)]
    work = Work(monkeypatch)
    assert isinstance(opened(replace(envelope, recipients=tuple(keys)), person), Undecryptable)
    assert work.keys == MAXIMUM_KEY_OPERATIONS and work.passes == [32] * MAXIMUM_KEY_OPERATIONS
    same = (keys[0],) * 64
    work.passes.clear()
    opened(replace(envelope, recipients=same), person)
    assert work.passes == [32], "one key, however often"


def test_a_million_recipients_are_a_million_look_ups(people: Mapping[str, Entity]) -> None:
    person = people["rsa"]
    envelope, _ = sealed(person, "aes-256-gcm", "rsa")
    (right,) = envelope.recipients
    strangers = (transport(person, b"", serial=person.certificate.serial + 1),) * 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = opened(replace(envelope, recipients=(*strangers, right)), person)
    assert isinstance(result, Decrypted) and result.content == SECRET
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB; most of it is the list itself


def test_evidence_tells_no_secret(people: Mapping[str, Entity]) -> None:
    for kind in KINDS:
        for cipher in CIPHERS:
            envelope, key = sealed(people[kind], cipher, kind)
            for wrong in (with_key(envelope, b"\xff" * 40), with_text(envelope, b"\0" * 48)):
                result = opened(wrong, people[kind])
                shown = repr(result)
                assert key.key.hex() not in shown and repr(key.key) not in shown and "secret" not in shown


def test_manger_needs_a_difference_that_is_not_there(people: Mapping[str, Entity]) -> None:
    """OAEP: a first octet other than zero, a wrong label hash, a missing separator: one answer, one evidence."""
    person = people["oaep"]
    assert isinstance(person.key, rsa.RSAPrivateKey)
    numbers = person.key.public_key().public_numbers()
    envelope, _ = sealed(person, "aes-256-gcm", "oaep")
    right = encrypted_key(envelope)
    labelled = person.key.public_key().encrypt(bytes(32), padding.OAEP(padding.MGF1(SHA256()), SHA256(), b"label"))
    first_octet = pow(numbers.n - 1 - (1 << 2000), numbers.e, numbers.n).to_bytes(256, "big")
    small = pow(1 << 100, numbers.e, numbers.n).to_bytes(256, "big")
    results = [opened(with_key(envelope, one), person) for one in (labelled, first_octet, small, flipped(right, 9))]
    assert all(one == two for one, two in pairwise(results))
    assert isinstance(results[0], Undecryptable) and results[0].cause == "failed"
