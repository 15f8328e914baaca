"""Which key a recipient info names: by octets, by both halves of a name, and nothing else."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.certificate import Certificate, places
from ime_gateway.smime.owned_key import Addressed, OwnedKey, addressed, described
from ime_gateway.smime.structures import (
    AgreementKey,
    AlgorithmIdentifier,
    IssuerAndSerial,
    KeyAgreement,
    KeyTransport,
    OtherRecipient,
    Recipient,
)
from tests.pki import Entity, make_ca, make_user

RSA = AlgorithmIdentifier("1.2.840.113549.1.1.1", b"\x05\x00")


@pytest.fixture(scope="module")
def people() -> list[Entity]:
    ca = make_ca(kind="ec")
    return [make_user(f"person-{number}@acme.example", ca, kind="ec") for number in range(2)]


def owned(person: Entity) -> OwnedKey:
    return OwnedKey.from_pkcs8(person.certificate, person.key_der)


def name_of(certificate: Certificate) -> IssuerAndSerial:
    return IssuerAndSerial(certificate.der[places(certificate.der).issuer], certificate.serial)


def transport(name: IssuerAndSerial | None = None, identifier: bytes | None = None) -> KeyTransport:
    return KeyTransport(0, name, identifier, RSA, b"key")


def found(recipients: Sequence[Recipient], *keys: OwnedKey) -> list[Addressed]:
    return list(addressed(recipients, keys))


def test_issuer_and_serial_must_both_be_right(people: list[Entity]) -> None:
    mine, other = (owned(one) for one in people)
    name = name_of(mine.certificate)
    info = transport(name)
    assert found([info], other, mine) == [Addressed(info, None, mine)]
    for wrong in (
        replace(name, serial=name.serial + 1),
        replace(name, issuer=name.issuer + b"\0"),
        replace(name, issuer=name.issuer[:-1]),
        replace(name, issuer=name.issuer.upper()),
    ):
        assert not found([transport(wrong)], mine, other)
    assert not found([transport()], mine, other)


def test_the_identifier_of_the_extension(people: list[Entity]) -> None:
    mine, other = (owned(one) for one in people)
    identifier = mine.certificate.subject_key_identifier
    assert identifier is not None
    assert [one.owned for one in found([transport(None, identifier)], other, mine)] == [mine]
    assert not found([transport(None, identifier + b"\0")], mine)
    assert not found([transport(None, b"")], mine)


def test_without_the_extension_the_sha1_of_the_key(people: list[Entity]) -> None:
    person = people[0]
    identifier = person.certificate.subject_key_identifier
    assert identifier is not None
    # The extension stays where it is but gets a name that nobody knows: 2.5.29.14 becomes 2.5.29.99.
    bare = Certificate.from_der(person.der.replace(b"\x06\x03\x55\x1d\x0e", b"\x06\x03\x55\x1d\x63"))
    assert bare.subject_key_identifier is None
    point = person.x509.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    computed = hashlib.sha1(point, usedforsecurity=False).digest()
    assert found([transport(None, computed)], OwnedKey.from_pkcs8(bare, person.key_der))
    other = Certificate.from_der(person.der.replace(identifier, bytes(20)))
    assert not found([transport(None, computed)], OwnedKey.from_pkcs8(other, person.key_der))
    assert found([transport(None, bytes(20))], OwnedKey.from_pkcs8(other, person.key_der))


def test_all_that_is_ours_in_the_order_of_the_message_and_nothing_else(people: list[Entity]) -> None:
    first, second = (owned(one) for one in people)
    names = [name_of(one.certificate) for one in (first, second)]
    parts = (
        AgreementKey(replace(names[0], serial=1), None, b"stranger"),
        AgreementKey(names[1], None, b"second"),
        AgreementKey(None, first.certificate.subject_key_identifier, b"first"),
    )
    agreement = KeyAgreement(3, b"", None, RSA, parts)
    infos = [OtherRecipient("kekri"), transport(names[0]), OtherRecipient("unknown"), agreement, transport(names[0])]
    assert found(infos, second, first) == [
        Addressed(infos[1], None, first),  # type: ignore[arg-type]
        Addressed(agreement, parts[1], second),
        Addressed(agreement, parts[2], first),
        Addressed(infos[4], None, first),  # type: ignore[arg-type]
    ]
    assert not found(infos)


def test_a_certificate_given_twice_is_one_key(people: list[Entity]) -> None:
    mine = owned(people[0])
    assert len(found([transport(name_of(mine.certificate))], mine, owned(people[0]))) == 1


def test_a_key_must_belong_to_its_certificate(people: list[Entity]) -> None:
    with pytest.raises(UnreadableCertificate, match="does not belong"):
        OwnedKey.from_pkcs8(people[0].certificate, people[1].key_der)
    for damaged in (b"", b"\x30\x00", people[0].key_der[:-1], people[0].der):
        with pytest.raises(UnreadableCertificate, match="cannot be read") as caught:
            OwnedKey.from_pkcs8(people[0].certificate, damaged)
        assert "0x" not in caught.value.evidence and caught.value.__cause__ is None


def test_the_private_key_is_in_no_text(people: list[Entity]) -> None:
    shown = repr(owned(people[0]))
    assert "private_key" not in shown and people[0].certificate.thumbprint in shown


def test_described_for_the_log(people: list[Entity]) -> None:
    """As the certificate says it, five at most, on one line, whatever a sender wrote as a name."""
    person = people[0].certificate
    by_name = KeyTransport(0, name_of(person), None, RSA, b"")
    by_identifier = KeyAgreement(3, None, None, RSA, (AgreementKey(None, b"\xab\xcd", b""),))
    said = described([by_name, by_identifier, OtherRecipient("pwri")])
    common_name = person.issuer.partition("CN=")[2].partition(",")[0]
    assert common_name and said == f"ktri serial {person.serial:x} of {common_name}; kari ski abcd; pwri"
    assert described([by_name] * 9).count("ktri") == 5 and "9 recipient infos" in described([by_name] * 9)
    assert described([]) == "nobody"
    for odd in (b"", b"\x30", b"\x30\x00", b"\x30\x80\x00\x00", b"\x30\x03\x0c\x01\n", bytes(100_000), b"\x30" * 5_000):
        line = described([replace(by_name, issuer_and_serial=IssuerAndSerial(odd, 1 << 4_000))] * 9)
        assert len(line) < 700 and line.isprintable() and line.isascii()
