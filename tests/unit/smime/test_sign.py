"""What our signatures are made of; whether they hold is for OpenSSL and GnuPG to say (tests/interop)."""

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.sign import SigningKey, multipart_signed, sign_detached, sign_opaque
from ime_gateway.smime.structures import Signed
from ime_gateway.smime.verify import verify
from tests.pki import Entity, key_usage, make_ca, make_user

ENTITY = b"Content-Type: text/plain\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca()


@pytest.fixture(scope="module")
def key(ca: Entity) -> SigningKey:
    person = make_user("alice@acme.example", ca)
    return SigningKey(person.certificate, person.key, (ca.certificate,))


def read(encoded: bytes) -> Signed:
    signed = read_cms(encoded)
    assert isinstance(signed, Signed)
    return signed


def test_the_object(key: SigningKey, ca: Entity) -> None:
    signed = read(sign_detached([ENTITY], key, moment=0.0))
    assert (signed.version, signed.content_type, signed.content) == (1, "1.2.840.113549.1.7.1", None)
    assert set(signed.certificates) == {key.certificate.der, ca.der}
    (signer,) = signed.signers
    assert signer.version == 1 and signer.issuer_and_serial is not None and not signer.unsigned_attributes


@pytest.mark.parametrize(("moment", "shown"), [(0.9, 0.0), (2_524_607_999.0, 2_524_607_999.0), (2_524_608_000.0,) * 2])
def test_the_time_in_whole_seconds_beyond_2049(key: SigningKey, moment: float, shown: float) -> None:
    made = sign_detached([ENTITY], key, moment=moment)
    assert (b"\x18\x0f20500101000000Z" in made) == (moment == 2_524_608_000.0)
    assert verify(read(made), (memoryview(ENTITY),)).signers[0].signing_time == shown


def test_content_in_pieces_is_one_content(key: SigningKey) -> None:
    pieces = [ENTITY[:5], bytearray(ENTITY[5:9]), memoryview(ENTITY)[9:]]
    assert verify(read(sign_detached(iter(pieces), key, moment=0.0)), (memoryview(ENTITY),)).signers[0].intact


def test_opaque_content_stands_inside(key: SigningKey) -> None:
    signed = read(sign_opaque(memoryview(ENTITY), key, moment=0.0))
    assert signed.content is not None and b"".join(signed.content) == ENTITY


def test_who_cannot_decrypt_asks_for_nothing(ca: Entity) -> None:
    person = make_user("alice@acme.example", ca, ku=key_usage(digital_signature=True))
    made = sign_detached([ENTITY], SigningKey(person.certificate, person.key), moment=0.0)
    assert verify(read(made), (memoryview(ENTITY),)).signers[0].preferred is None


def test_another_certificate_may_be_preferred(key: SigningKey, ca: Entity) -> None:
    other = make_user("alice@acme.example", ca).certificate
    signed = read(sign_detached([ENTITY], replace(key, encryption_certificate=other), moment=0.0))
    assert other.der in signed.certificates
    assert verify(signed, (memoryview(ENTITY),)).signers[0].preferred == other
    own = verify(read(sign_detached([ENTITY], key, moment=0.0)), (memoryview(ENTITY),)).signers[0]
    assert fitness_fault(key.certificate) is None and own.preferred == key.certificate


def test_multipart_signed(key: SigningKey) -> None:
    made = multipart_signed([ENTITY], key, moment=0.0, randomness=os.urandom)
    (field,) = made.fields
    assert field.name == "Content-Type" and b"micalg=sha-256" in field.raw
    assert b'protocol="application/pkcs7-signature"' in field.raw
    assert made.to_bytes().startswith(field.raw + b"\r\n--=_")
    assert made.to_bytes().count(ENTITY) == 1
    assert max(map(len, made.to_bytes().split(b"\r\n"))) <= 78
    assert made.to_bytes() != multipart_signed([ENTITY], key, moment=0.0, randomness=os.urandom).to_bytes()


@pytest.mark.parametrize(
    ("curve", "micalg"), [(ec.SECP256R1(), "sha-256"), (ec.SECP384R1(), "sha-384"), (ec.SECP521R1(), "sha-512")]
)
def test_the_digest_is_as_long_as_the_curve(ca: Entity, curve: ec.EllipticCurve, micalg: str) -> None:
    person = make_user("alice@acme.example", ca, key=ec.generate_private_key(curve))
    assert SigningKey(person.certificate, person.key).micalg == micalg


def test_keys_that_do_not_sign_here(key: SigningKey, ca: Entity) -> None:
    other = make_user("bob@acme.example", ca)
    with pytest.raises(UnreadableCertificate, match="belong together"):
        SigningKey(key.certificate, other.key)
    odd = make_user("bob@acme.example", ca, key=ec.generate_private_key(ec.SECP256K1()))
    with pytest.raises(UnreadableCertificate, match="secp256k1"):
        SigningKey(odd.certificate, odd.key)


def test_from_pkcs8(ca: Entity) -> None:
    person = make_user("bob@acme.example", ca)
    key = SigningKey.from_pkcs8(person.certificate, person.key_der, (ca.certificate,))
    assert verify(read(sign_detached([ENTITY], key, moment=0.0)), (memoryview(ENTITY),)).signers[0].intact
    with pytest.raises(UnreadableCertificate, match="cannot be read"):
        SigningKey.from_pkcs8(person.certificate, person.key_der[:-9])


def test_a_key_is_never_shown(key: SigningKey) -> None:
    assert "private_key" not in repr(key)
