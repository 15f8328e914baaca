"""CMS objects as structures; whether others can open them is for tests/interop."""

import os
import tracemalloc
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate
from ime_gateway.smime.encrypt import CipherName, ContentEncryptor, ContentKey, ciphertext_size, encrypt_entity, frame
from tests.pki import Entity, make_ca, make_user

ODD_CURVE = ec.generate_private_key(ec.SECP256K1())


@pytest.fixture(scope="module")
def people() -> list[Entity]:
    ca = make_ca()
    return [make_user(f"person-{number}@acme.example", ca) for number in range(3)]


def sealed(cipher: CipherName, content: bytes) -> tuple[ContentKey, bytes, bytes]:
    key = ContentKey.generate(cipher, os.urandom)
    encryptor = ContentEncryptor(key)
    return key, b"".join(encryptor.chunks([content])), encryptor.tag


def recipient_infos(encoded: bytes) -> tuple[int, list[bytes]]:
    """Version of the envelope, and the encodings of its RecipientInfos."""
    content_info = der.read_element(encoded, 0, len(encoded))
    assert content_info.end == len(encoded)
    explicit = der.children(encoded, content_info)[1]
    (envelope,) = der.children(encoded, explicit)
    version, infos = der.children(encoded, envelope)[:2]
    return encoded[version.content], [encoded[one.start : one.end] for one in der.children(encoded, infos)]


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
@pytest.mark.parametrize("size", [0, 100, 127, 128, 255, 256, 65_535, 65_536, 1_000_000])
def test_every_length_is_right_at_every_size(people: list[Entity], cipher: CipherName, size: int) -> None:
    key, ciphertext, tag = sealed(cipher, bytes(size))
    made = frame([people[0].certificate], key, len(ciphertext), tag)
    encoded = made.prefix + ciphertext + made.suffix
    version, infos = recipient_infos(encoded)
    assert version == 0 and len(infos) == 1
    envelope = der.children(encoded, der.children(encoded, der.read_element(encoded, 0, len(encoded)))[1])[0]
    parts = der.children(encoded, envelope)
    content = der.children(encoded, parts[2])[2]
    assert content.tag == 0x80 and encoded[content.content : content.end] == ciphertext
    macs = [encoded[one.content : one.end] for one in parts[3:]]
    assert macs == ([tag] if cipher == "aes-256-gcm" else [])


@pytest.mark.parametrize("who", [(), (0,), (1, 2), (0, 1, 2)])
def test_each_gets_the_key_by_the_padding_it_is_known_to_read(people: list[Entity], who: tuple[int, ...]) -> None:
    key, ciphertext, tag = sealed("aes-256-cbc", b"secret")
    known = {people[number].certificate.thumbprint for number in who}
    made = frame([one.certificate for one in people], key, len(ciphertext), tag, oaep=known)
    _, infos = recipient_infos(made.prefix + ciphertext)
    assert infos == sorted(infos) and len(infos) == 3
    for number, person in enumerate(people):
        (mine,) = (info for info in infos if person.certificate.issuer_and_serial in info)
        encrypted = mine[-256:]
        assert isinstance(person.key, rsa.RSAPrivateKey)
        scheme = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None) if number in who else padding.PKCS1v15()
        assert person.key.decrypt(encrypted, scheme) == key.key


def test_key_identifiers_raise_the_version(people: list[Entity]) -> None:
    key, ciphertext, tag = sealed("aes-256-cbc", b"secret")
    certificate = people[0].certificate
    made = frame([certificate], key, len(ciphertext), tag, use_ski=True)
    version, (info,) = recipient_infos(made.prefix + ciphertext)
    assert version == 2
    assert certificate.subject_key_identifier is not None
    assert der.tlv(0x80, certificate.subject_key_identifier) in info
    assert certificate.issuer_and_serial not in info


def test_a_certificate_given_twice_is_served_once(people: list[Entity]) -> None:
    key, ciphertext, tag = sealed("aes-256-cbc", b"secret")
    made = frame([people[0].certificate, people[1].certificate, people[0].certificate], key, len(ciphertext), tag)
    assert len(recipient_infos(made.prefix + ciphertext)[1]) == 2


def test_frames_over_one_ciphertext_do_not_know_of_each_other(people: list[Entity]) -> None:
    key, ciphertext, tag = sealed("aes-256-gcm", b"secret")
    visible = frame([people[0].certificate, people[1].certificate], key, len(ciphertext), tag)
    blind = frame([people[2].certificate], key, len(ciphertext), tag)
    for name in (people[2].certificate.issuer_and_serial, people[2].certificate.subject_key_identifier):
        assert name is not None and name not in visible.prefix
    assert people[0].certificate.issuer_and_serial not in blind.prefix
    assert visible.suffix == blind.suffix


def test_misuse_is_refused(people: list[Entity]) -> None:
    key, ciphertext, tag = sealed("aes-256-gcm", b"secret")
    with pytest.raises(ValueError, match="at least one recipient"):
        frame([], key, len(ciphertext), tag)
    with pytest.raises(ValueError, match="does not go with a tag"):
        frame([people[0].certificate], key, len(ciphertext), b"")
    with pytest.raises(ValueError, match="does not go with a tag"):
        frame([people[0].certificate], ContentKey.generate("aes-256-cbc", os.urandom), 16, tag)
    for unserved in (make_user("a@acme.example", kind="ed25519"), make_user("a@acme.example", key=ODD_CURVE)):
        with pytest.raises(UnreadableCertificate, match="not supported"):
            frame([unserved.certificate], key, len(ciphertext), tag)


def test_a_point_of_low_order_is_a_damaged_key() -> None:
    key, ciphertext, tag = sealed("aes-256-gcm", b"secret")
    person = make_user("a@acme.example", make_ca(kind="ec"), kind="x25519")
    point = person.key.public_key().public_bytes_raw()  # type: ignore[union-attr]
    damaged = Certificate.from_der(person.der.replace(point, bytes(32)))
    with pytest.raises(UnreadableCertificate, match="damaged"):
        frame([damaged], key, len(ciphertext), tag)


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "x25519"])
def test_key_agreement_raises_the_version_and_every_ephemeral_key_is_new(kind: str) -> None:
    key, ciphertext, tag = sealed("aes-256-cbc", b"secret")
    certificate = make_user("a@acme.example", make_ca(kind="ec"), kind=kind).certificate
    seen = set()
    for _ in range(3):
        version, (info,) = recipient_infos(frame([certificate], key, len(ciphertext), tag).prefix + ciphertext)
        assert version == 2 and info[0] == 0xA1
        inner = der.children(info, der.read_element(info, 0, len(info)))
        assert info[inner[0].content : inner[0].end] == b"\x03" and inner[1].tag == 0xA0
        seen.add(info[inner[1].start : inner[1].end])
        assert certificate.issuer_and_serial in info
    assert len(seen) == 3


def test_mixed_recipients_raise_the_version_of_enveloped_data_only(people: list[Entity]) -> None:
    agreeing = make_user("a@acme.example", kind="ec").certificate
    for cipher, expected in (("aes-256-cbc", 2), ("aes-256-gcm", 0)):
        key, ciphertext, tag = sealed(cipher, b"secret")  # type: ignore[arg-type]
        made = frame([people[0].certificate, agreeing], key, len(ciphertext), tag)
        version, infos = recipient_infos(made.prefix + ciphertext + made.suffix)
        assert version == expected and [info[0] for info in infos] == [0x30, 0xA1]


@pytest.mark.parametrize("wrong", [-1, 1])
def test_an_entity_of_another_size_is_never_finished(people: list[Entity], wrong: int) -> None:
    with pytest.raises(ValueError, match="announced"):
        list(encrypt_entity([b"x" * 1000], 1000 + wrong, [people[0].certificate], "aes-256-gcm", os.urandom))


def test_no_clear_text_and_no_key_comes_out(people: list[Entity]) -> None:
    secret = b"the plain secret of this message"
    drawn: list[bytes] = []

    def randomness(count: int) -> bytes:
        drawn.append(os.urandom(count))
        return drawn[-1]

    import base64

    body = b"".join(encrypt_entity([secret * 3], 96, [people[0].certificate], "aes-256-cbc", randomness))
    binary = base64.b64decode(body)
    assert secret not in binary and drawn[0] not in binary
    assert drawn[1] in binary  # the initialisation vector is public


def test_memory_does_not_grow_with_the_message(people: list[Entity]) -> None:
    chunk = os.urandom(65_536)

    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield chunk

    def peak(count: int) -> int:
        tracemalloc.start()
        size = count * len(chunk)
        lines = encrypt_entity(chunks(count), size, [people[0].certificate], "aes-256-gcm", os.urandom)
        total = sum(len(piece) for piece in lines)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert total > ciphertext_size("aes-256-gcm", size)
        return found

    peak(8)
    assert peak(160) < peak(8) + 200_000
