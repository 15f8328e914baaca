"""Encrypted CMS objects built by hand: every kind of recipient, and what is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.read import CmsLimits, read_cms
from ime_gateway.smime.structures import (
    AgreementKey,
    AlgorithmIdentifier,
    Enveloped,
    IssuerAndSerial,
    KeyAgreement,
    KeyTransport,
    OtherRecipient,
)
from tests import cms_objects as cms
from tests.ber_forms import integer, oid, streamed, tlv

WHO = IssuerAndSerial(cms.NAME, 77)
KEY = tlv(0x04, bytes(40))
POINT = tlv(0x03, b"\0\4" + bytes(64))
STATIC = cms.ISSUER_AND_SERIAL


def read(data: bytes, **limits: int) -> Enveloped:
    found = read_cms(data, CmsLimits(**limits))
    assert isinstance(found, Enveloped)
    return found


def agreed(who: bytes = cms.ISSUER_AND_SERIAL) -> bytes:
    return tlv(0x30, who, KEY)


def test_key_transport_by_issuer_or_key_identifier() -> None:
    segmented = tlv(0xA0, tlv(0x04, cms.KEY_IDENTIFIER[:7]), tlv(0x04, cms.KEY_IDENTIFIER[7:]))
    found = read(
        cms.enveloped(
            cms.key_transport(),
            cms.key_transport(tlv(0x80, cms.KEY_IDENTIFIER), b"k"),
            cms.key_transport(segmented, b"k"),
        )
    )
    rsa = AlgorithmIdentifier(cms.RSA, cms.NULL)
    assert found.recipients == (
        KeyTransport(0, WHO, None, rsa, bytes(256)),
        KeyTransport(0, None, cms.KEY_IDENTIFIER, rsa, b"k"),
        KeyTransport(0, None, cms.KEY_IDENTIFIER, rsa, b"k"),
    )
    assert not found.authenticated and found.version == 2
    assert found.content_type == cms.DATA and found.tag == b"" and found.authenticated_attributes is None
    assert found.algorithm == AlgorithmIdentifier(cms.AES_256_CBC, tlv(0x04, bytes(16)))
    assert b"".join(found.ciphertext) == bytes(32)


@pytest.mark.parametrize("parameters", [b"", cms.NULL, oid(cms.P_256)], ids=["absent", "null", "named-curve"])
def test_key_agreement_with_an_ephemeral_key(parameters: bytes) -> None:
    originator = tlv(0xA1, cms.algorithm(cms.EC, parameters), POINT)
    identified = tlv(0x30, tlv(0xA0, tlv(0x04, cms.KEY_IDENTIFIER)), KEY)
    ukm = tlv(0xA1, streamed(0x24, tlv(0x04, b"uk"), tlv(0x04, b"m")))
    found = read(cms.enveloped(cms.key_agreement(originator, agreed(), identified, ukm=ukm)))
    assert found.recipients == (
        KeyAgreement(
            3,
            tlv(0x30, cms.algorithm(cms.EC, parameters), POINT),
            b"ukm",
            AlgorithmIdentifier(cms.ECDH_SHA256, cms.algorithm(cms.AES_256_WRAP)),
            (AgreementKey(WHO, None, bytes(40)), AgreementKey(None, cms.KEY_IDENTIFIER, bytes(40))),
        ),
    )


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), x25519.X25519PrivateKey.generate()])
def test_the_originator_key_is_one_that_others_read(key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> None:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    implicit = streamed(0xA1, public[2 + (public[1] & 0x80 > 0) :])
    found = read(cms.enveloped(cms.key_agreement(implicit, agreed())))
    recipient = found.recipients[0]
    assert isinstance(recipient, KeyAgreement) and recipient.originator_key == public
    assert load_der_public_key(recipient.originator_key)


@pytest.mark.parametrize("originator", [STATIC, tlv(0x80, cms.KEY_IDENTIFIER), tlv(0xA0, tlv(0x04, b"id"))])
def test_static_originators_are_named_and_not_given(originator: bytes) -> None:
    recipient = read(cms.enveloped(cms.key_agreement(originator, agreed()))).recipients[0]
    assert isinstance(recipient, KeyAgreement) and recipient.originator_key is None and recipient.ukm is None


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        tlv(0x18, b"20260101000000Z"),
        tlv(0x38, tlv(0x04, b"20260101000000Z")),
        tlv(0x30, oid("1.2.3"), integer(1)),
        tlv(0x18, b"20260101000000Z") + streamed(0x30, oid("1.2.3")),
    ],
)
def test_recipient_key_identifiers_may_say_more(behind: bytes) -> None:
    who = tlv(0xA0, tlv(0x04, cms.KEY_IDENTIFIER), behind)
    recipient = read(cms.enveloped(cms.key_agreement(STATIC, agreed(who)))).recipients[0]
    assert isinstance(recipient, KeyAgreement)
    assert recipient.keys == (AgreementKey(None, cms.KEY_IDENTIFIER, bytes(40)),)


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (tlv(0xA2, integer(4), tlv(0x30, tlv(0x04, b"id")), b"anything"), "kekri"),
        (streamed(0xA3, integer(0)), "pwri"),
        (tlv(0xA4, oid("1.2.840.113549.1.9.16.13.3"), tlv(0x30, integer(0))), "ori"),
        (tlv(0xA5, b"anything"), "unknown"),
        (tlv(0x04, b"anything"), "unknown"),
        (b"\xbf\x81\x01\x02ab", "unknown"),
        (streamed(0xA9, streamed(0x30, tlv(0x0C, b"x")), tlv(0xA0, b"\xff\xff\xff")), "unknown"),
    ],
)
def test_other_recipients_do_no_harm(other: bytes, kind: str) -> None:
    found = read(cms.enveloped(other, cms.key_transport(), other))
    assert found.recipients[0] == found.recipients[2] == OtherRecipient(kind)
    assert isinstance(found.recipients[1], KeyTransport)


def test_originator_information_and_unprotected_attributes_are_passed_over() -> None:
    attributes = tlv(0xA1, cms.attribute("1.2.3", integer(1)))
    for originator in (tlv(0xA0), streamed(0xA0, tlv(0xA0, cms.NAME)), tlv(0xA0, b"\xff\xff")):
        data = cms.enveloped(cms.key_transport(), before=originator, after=attributes)
        assert len(read(data).recipients) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tlv(0x80, b"abcd"), [b"abcd"]),
        (tlv(0xA0, tlv(0x04, b"ab"), tlv(0x04), tlv(0x04, b"cd")), [b"ab", b"cd"]),
        (streamed(0xA0, streamed(0x24, tlv(0x04, b"ab")), tlv(0x04, b"cd")), [b"ab", b"cd"]),
        (tlv(0x80), []),
    ],
)
def test_ciphertext_stays_in_its_segments(content: bytes, expected: list[bytes]) -> None:
    data = cms.enveloped(cms.key_transport(), content=cms.encrypted_content(content))
    found = read(data)
    assert [bytes(piece) for piece in found.ciphertext] == expected
    assert all(piece.obj is data for piece in found.ciphertext)


def test_authenticated_attributes_become_the_der_that_is_authenticated() -> None:
    late, early = cms.attribute("1.2.4", integer(1)), cms.attribute("1.2.3", integer(1))
    tag = streamed(0x24, tlv(0x04, b"T" * 12), tlv(0x04, b"AAAA"))
    unauthenticated = tlv(0xA2, cms.attribute("1.2.5", integer(1)))
    for behind in (streamed(0xA1, late, early) + tag, tlv(0xA1, early, late) + tag + unauthenticated):
        found = read(cms.auth_enveloped(cms.key_transport(), behind=behind))
        assert found.authenticated and found.version == 0
        assert found.authenticated_attributes == tlv(0x31, early, late)
        assert found.tag == b"T" * 12 + b"AAAA"
    assert read(cms.auth_enveloped(cms.key_transport())).authenticated_attributes is None


def test_recipients_are_limited_however_they_are_grouped() -> None:
    one, two = cms.key_transport(), cms.key_agreement(STATIC, agreed(), agreed())
    assert len(read(cms.enveloped(one, two), recipients=3).recipients) == 2
    for many in ((one, one, two), (two, two), (one,) * 4, (cms.key_agreement(STATIC, *[agreed()] * 4),)):
        with pytest.raises(UnreadableCms):
            read(cms.enveloped(*many), recipients=3)


def test_thousands_of_recipients_are_read() -> None:
    assert len(read(cms.enveloped(*[cms.key_transport()] * 4_096)).recipients) == 4_096


RECIPIENT = cms.key_transport()
REFUSED = {
    "no recipients": cms.enveloped(),
    "version": cms.content_info(
        cms.ENVELOPED_DATA, tlv(0x30, integer(5), tlv(0x31, RECIPIENT), cms.encrypted_content())
    ),
    "no version": cms.content_info(cms.ENVELOPED_DATA, tlv(0x30, tlv(0x31, RECIPIENT), cms.encrypted_content())),
    "recipients in a sequence": cms.content_info(
        cms.ENVELOPED_DATA, tlv(0x30, integer(0), tlv(0x30, RECIPIENT), cms.encrypted_content())
    ),
    "recipients twice": cms.enveloped(RECIPIENT, before=tlv(0x31, RECIPIENT)),
    "originator twice": cms.enveloped(RECIPIENT, before=tlv(0xA0) * 2),
    "no content": cms.enveloped(RECIPIENT, content=cms.encrypted_content(b"")),
    "content twice": cms.enveloped(RECIPIENT, content=cms.encrypted_content(tlv(0x80, bytes(16)) * 2)),
    "content info twice": cms.enveloped(RECIPIENT, content=cms.encrypted_content() * 2),
    "content of another tag": cms.enveloped(RECIPIENT, content=cms.encrypted_content(tlv(0x81, bytes(16)))),
    "content with a foreign segment": cms.enveloped(
        RECIPIENT, content=cms.encrypted_content(tlv(0xA0, tlv(0x80, bytes(16))))
    ),
    "attributes twice": cms.enveloped(RECIPIENT, after=tlv(0xA1) * 2),
    "something behind": cms.enveloped(RECIPIENT, after=tlv(0x04, bytes(16))),
    "two names": cms.enveloped(cms.key_transport(STATIC + tlv(0x80, cms.KEY_IDENTIFIER))),
    "no name": cms.enveloped(cms.key_transport(b"")),
    "name with a third part": cms.enveloped(cms.key_transport(tlv(0x30, cms.NAME, integer(1), integer(2)))),
    "issuer that is no name": cms.enveloped(cms.key_transport(tlv(0x30, integer(1), integer(2)))),
    "recipient with more": cms.enveloped(tlv(0x30, integer(0), STATIC, cms.algorithm(cms.RSA), KEY, KEY)),
    "recipient version": cms.enveloped(tlv(0x30, integer(9), STATIC, cms.algorithm(cms.RSA), KEY)),
    "two originators": cms.enveloped(cms.key_agreement(STATIC * 2, agreed())),
    "originator key without bits": cms.enveloped(cms.key_agreement(tlv(0xA1, cms.algorithm(cms.EC)), agreed())),
    "originator key without algorithm": cms.enveloped(cms.key_agreement(tlv(0xA1, POINT), agreed())),
    "originator key with a number for its algorithm": cms.enveloped(
        cms.key_agreement(tlv(0xA1, integer(1), POINT), agreed())
    ),
    "originator key with more": cms.enveloped(
        cms.key_agreement(tlv(0xA1, cms.algorithm(cms.EC), POINT, POINT), agreed())
    ),
    "ukm twice": cms.enveloped(cms.key_agreement(STATIC, agreed(), ukm=tlv(0xA1, tlv(0x04, b"u")) * 2)),
    "ukm with two strings": cms.enveloped(cms.key_agreement(STATIC, agreed(), ukm=tlv(0xA1, tlv(0x04, b"u") * 2))),
    "agreed key with more": cms.enveloped(cms.key_agreement(STATIC, tlv(0x30, STATIC, KEY, KEY))),
    "key identifier with more": cms.enveloped(
        cms.key_agreement(STATIC, agreed(tlv(0xA0, tlv(0x04, b"k"), tlv(0x30), tlv(0x30))))
    ),
    "authenticated without tag": cms.auth_enveloped(RECIPIENT, behind=b""),
    "authenticated with an empty tag": cms.auth_enveloped(RECIPIENT, behind=tlv(0x04)),
    "authenticated with an endless tag": cms.auth_enveloped(RECIPIENT, behind=tlv(0x04, bytes(65))),
    "authenticated with two tags": cms.auth_enveloped(RECIPIENT, behind=tlv(0x04, bytes(16)) * 2),
    "authenticated with no attributes": cms.auth_enveloped(RECIPIENT, behind=tlv(0xA1) + tlv(0x04, bytes(16))),
    "attributes behind the tag": cms.auth_enveloped(
        RECIPIENT, behind=tlv(0x04, bytes(16)) + tlv(0xA1, cms.attribute("1.2.3", integer(1)))
    ),
    "authenticated version": cms.content_info(
        cms.AUTH_ENVELOPED_DATA,
        tlv(0x30, integer(1), tlv(0x31, RECIPIENT), cms.encrypted_content(), tlv(0x04, bytes(16))),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(name: str) -> None:
    with pytest.raises(UnreadableCms) as refused:
        read_cms(REFUSED[name])
    assert str(refused.value) == "this is no S/MIME object that can be read safely"
    assert refused.value.evidence
