"""Signed, compressed and other CMS objects built by hand, and what is refused."""

import pytest

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.read import CmsLimits, read_cms
from ime_gateway.smime.structures import (
    AlgorithmIdentifier,
    Attribute,
    Compressed,
    IssuerAndSerial,
    OtherContent,
    Signed,
)
from tests import cms_objects as cms
from tests.ber_forms import integer, oid, streamed, tlv

CERTIFICATE = tlv(0x30, tlv(0x30, integer(1)), tlv(0x30, oid("1.2.3")), tlv(0x03, b"\0sig"))
DIGEST = cms.attribute(cms.MESSAGE_DIGEST, tlv(0x04, bytes(32)))
TYPE = cms.attribute(cms.CONTENT_TYPE, oid(cms.DATA))


def read(data: bytes, **limits: int) -> Signed:
    found = read_cms(data, CmsLimits(**limits))
    assert isinstance(found, Signed)
    return found


def text(found: Signed) -> bytes | None:
    return None if found.content is None else b"".join(found.content)


def test_a_signer_with_attributes() -> None:
    unsigned = tlv(0xA1, cms.attribute("1.2.9", integer(4)))
    found = read(cms.signed(cms.signer_info(tlv(0xA0, DIGEST, TYPE), behind=unsigned)))
    signer = found.signers[0]
    assert (signer.version, signer.issuer_and_serial, signer.key_identifier) == (1, IssuerAndSerial(cms.NAME, 77), None)
    assert signer.digest_algorithm == AlgorithmIdentifier(cms.SHA_256, None)
    assert signer.signature_algorithm == AlgorithmIdentifier(cms.RSA, cms.NULL)
    assert signer.signature == bytes(256)
    assert signer.signed_attributes == (
        Attribute(cms.MESSAGE_DIGEST, (tlv(0x04, bytes(32)),)),
        Attribute(cms.CONTENT_TYPE, (oid(cms.DATA),)),
    )
    assert signer.signed_attributes_der == tlv(0x31, TYPE, DIGEST)
    assert signer.unsigned_attributes == (Attribute("1.2.9", (integer(4),)),)
    assert found.digest_algorithms == (AlgorithmIdentifier(cms.SHA_256, None),)
    assert (found.version, found.content_type, text(found), found.certificates) == (1, cms.DATA, b"Hello", ())


def test_signers_of_both_names_side_by_side() -> None:
    found = read(cms.signed(cms.signer_info(), cms.signer_info(who=tlv(0x80, cms.KEY_IDENTIFIER)), version=3))
    assert [signer.key_identifier for signer in found.signers] == [None, cms.KEY_IDENTIFIER]
    assert [signer.signed_attributes_der for signer in found.signers] == [None, None]
    assert [signer.signed_attributes for signer in found.signers] == [None, None]


def test_unsigned_values_stay_as_they_are() -> None:
    odd = tlv(0x30, b"\xbf\x81\x00\x00", tlv(0x01, b"\1"), length_octets=4)
    unsigned = tlv(0xA1, cms.attribute("1.2.9", odd))
    signer = read(cms.signed(cms.signer_info(behind=unsigned))).signers[0]
    assert signer.unsigned_attributes == (Attribute("1.2.9", (odd,)),)


def test_streamed_attributes_are_signed_as_der() -> None:
    digest = streamed(
        0x30, oid(cms.MESSAGE_DIGEST), streamed(0x31, streamed(0x24, tlv(0x04, bytes(30)), tlv(0x04, bytes(2))))
    )
    signer = read(cms.signed(cms.signer_info(streamed(0xA0, digest, TYPE)))).signers[0]
    assert signer.signed_attributes_der == tlv(0x31, TYPE, DIGEST)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (tlv(0xA0, tlv(0x04)), b""),
        (streamed(0xA0, streamed(0x24)), b""),
        (streamed(0xA0, streamed(0x24, tlv(0x04, b"Hel"), tlv(0x24, tlv(0x04, b"lo")))), b"Hello"),
        (tlv(0x80, b"Hello"), b"Hello"),
    ],
    ids=["detached", "empty", "empty-streamed", "streamed", "bare"],
)
def test_content_is_there_or_elsewhere(content: bytes, expected: bytes | None) -> None:
    assert text(read(cms.signed(cms.signer_info(), content=content))) == expected


def test_content_without_its_tag_is_pkcs7_of_type_data_only() -> None:
    for version, content_type in ((3, cms.DATA), (1, cms.ENVELOPED_DATA)):
        with pytest.raises(UnreadableCms):
            read(cms.signed(cms.signer_info(), version=version, content_type=content_type, content=tlv(0x80, b"x")))


def test_certificates_of_other_kinds_are_passed_over() -> None:
    others = tlv(0xA0, b"\xff\xff"), tlv(0xA1, integer(1)), streamed(0xA2, integer(1)), tlv(0xA3, oid("1.2.3"))
    certificates = streamed(0xA0, others[0], CERTIFICATE, *others[1:], streamed(0x30, CERTIFICATE[2:]))
    revocation = tlv(0xA1, tlv(0x30, integer(1)), tlv(0xA1, oid("1.2.3")))
    for crls in (b"", revocation, streamed(0xA1, tlv(0x30)), tlv(0xA1)):
        found = read(cms.signed(cms.signer_info(), version=5, certificates=certificates + crls))
        assert found.certificates == (CERTIFICATE, CERTIFICATE)


def test_certificates_only() -> None:
    found = read(cms.signed(content=b"", certificates=tlv(0xA0, CERTIFICATE)))
    assert found.signers == () and found.content is None and found.certificates == (CERTIFICATE,)


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_versions_of_signed_data(version: int) -> None:
    assert read(cms.signed(cms.signer_info(), version=version)).version == version


def test_counts_are_limited() -> None:
    full = cms.signed(*[cms.signer_info()] * 3, certificates=tlv(0xA0, CERTIFICATE * 2 + tlv(0xA1)))
    assert len(read(full, signers=3, certificates=3).signers) == 3
    for limits in ({"signers": 2}, {"certificates": 2}, {"elements": 20}, {"copied_bytes": 700}, {"small_bytes": 200}):
        with pytest.raises(UnreadableCms):
            read(full, **limits)
    digests = tlv(0x31, *[cms.algorithm(cms.SHA_256)] * 3)
    body = tlv(0x30, integer(1), digests, tlv(0x30, oid(cms.DATA)), tlv(0x31))
    assert len(read(cms.content_info(cms.SIGNED_DATA, body), attributes=3).digest_algorithms) == 3
    with pytest.raises(UnreadableCms):
        read(cms.content_info(cms.SIGNED_DATA, body), attributes=2)


def test_compressed() -> None:
    found = read_cms(cms.compressed(streamed(0xA0, streamed(0x24, tlv(0x04, b"ab"), tlv(0x04, b"c")))))
    assert isinstance(found, Compressed)
    assert found.algorithm == AlgorithmIdentifier("1.2.840.113549.1.9.16.3.8", None)
    assert found.content_type == cms.DATA and b"".join(found.content) == b"abc"


@pytest.mark.parametrize(
    "data",
    [
        cms.content_info(cms.DATA, tlv(0x04, b"Hello")),
        cms.content_info(cms.DATA, streamed(0x24, tlv(0x04, b"Hello"))),
        tlv(0x30, oid(cms.ENCRYPTED_DATA)),
        streamed(0x30, oid("1.2.840.113549.1.9.16.1.2"), streamed(0xA0, streamed(0x30, b"\xbf\x81\x01\x00"))),
    ],
)
def test_other_content_is_named(data: bytes) -> None:
    found = read_cms(data)
    assert isinstance(found, OtherContent) and oid(found.content_type) in data


@pytest.mark.parametrize("padding", [b"", b"\r\n", b"\n\n", b"\0", b"\r\n\0" * 5])
def test_padding_of_transports_is_ignored(padding: bytes) -> None:
    for data in (cms.compressed(), streamed(0x30, oid(cms.DATA))):
        assert read_cms(data + padding) == read_cms(data)


def test_all_kinds_of_buffers_are_read() -> None:
    data = cms.compressed()
    assert read_cms(bytearray(data)) == read_cms(memoryview(b"x" + data)[1:]) == read_cms(data)


def test_representations_show_no_content() -> None:
    secret = b"confidential"
    for data in (cms.signed(content=tlv(0xA0, tlv(0x04, secret))), cms.compressed(tlv(0xA0, tlv(0x04, secret)))):
        assert "memory" not in repr(read_cms(data)) and "confidential" not in repr(read_cms(data))


SIGNER = cms.signer_info(tlv(0xA0, TYPE, DIGEST))
REFUSED = {
    "empty": b"",
    "text": b"Content-Type: text/plain\r\n\r\nHello",
    "not a content info": SIGNER,
    "something behind": cms.signed(SIGNER) + b"x",
    "too much padding": cms.signed(SIGNER) + bytes(17),
    "a second object behind": cms.signed(SIGNER) * 2,
    "no content": tlv(0x30, oid(cms.SIGNED_DATA)),
    "empty content": tlv(0x30, oid(cms.SIGNED_DATA), tlv(0xA0)),
    "two contents": tlv(0x30, oid(cms.DATA), tlv(0xA0, tlv(0x04)), tlv(0xA0, tlv(0x04))),
    "two values": tlv(0x30, oid(cms.DATA), tlv(0xA0, tlv(0x04), tlv(0x04))),
    "no value": tlv(0x30, oid(cms.DATA), tlv(0xA0)),
    "another tag": tlv(0x30, oid(cms.DATA), tlv(0xA1, tlv(0x04))),
    "version 0": cms.signed(SIGNER, version=0),
    "version 6": cms.signed(SIGNER, version=6),
    "signed content twice": cms.signed(SIGNER, content=tlv(0xA0, tlv(0x04, b"a")) * 2),
    "signed content of two strings": cms.signed(SIGNER, content=tlv(0xA0, tlv(0x04, b"a"), tlv(0x04, b"b"))),
    "signed content that is no string": cms.signed(SIGNER, content=tlv(0xA0, tlv(0x30, tlv(0x04, b"a")))),
    "bare content twice": cms.signed(SIGNER, content=tlv(0x80, b"a") * 2),
    "certificates twice": cms.signed(SIGNER, certificates=tlv(0xA0, CERTIFICATE) * 2),
    "crls twice": cms.signed(SIGNER, certificates=tlv(0xA1) * 2),
    "crls before certificates": cms.signed(SIGNER, certificates=tlv(0xA1) + tlv(0xA0, CERTIFICATE)),
    "no certificate": cms.signed(SIGNER, certificates=tlv(0xA0, integer(1))),
    "signers twice": cms.signed(SIGNER, certificates=tlv(0x31, SIGNER)),
    "no signers": cms.content_info(cms.SIGNED_DATA, tlv(0x30, integer(1), tlv(0x31), tlv(0x30, oid(cms.DATA)))),
    "empty signed attributes": cms.signed(cms.signer_info(tlv(0xA0))),
    "empty streamed signed attributes": cms.signed(cms.signer_info(streamed(0xA0))),
    "signed attributes twice": cms.signed(cms.signer_info(tlv(0xA0, TYPE) + tlv(0xA0, DIGEST))),
    "signed attributes as a set": cms.signed(cms.signer_info(tlv(0x31, TYPE, DIGEST))),
    "unsigned attributes twice": cms.signed(cms.signer_info(behind=tlv(0xA1, TYPE) * 2)),
    "signer with more": cms.signed(cms.signer_info(behind=tlv(0x04, b"x"))),
    "signer named twice": cms.signed(cms.signer_info(who=cms.ISSUER_AND_SERIAL + tlv(0x80, b"id"))),
    "signer not named": cms.signed(cms.signer_info(who=b"")),
    "an attribute without value": cms.signed(cms.signer_info(tlv(0xA0, cms.attribute("1.2.3")))),
    "an attribute with two sets": cms.signed(
        cms.signer_info(tlv(0xA0, tlv(0x30, oid("1.2.3"), tlv(0x31, integer(1)), tlv(0x31, integer(2)))))
    ),
    "compressed without content": cms.compressed(b""),
    "compressed bare": cms.compressed(tlv(0x80, b"x")),
    "compressed of another version": cms.content_info(
        cms.COMPRESSED_DATA,
        tlv(0x30, integer(1), cms.algorithm("1.2.3"), tlv(0x30, oid(cms.DATA), tlv(0xA0, tlv(0x04)))),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(name: str) -> None:
    with pytest.raises(UnreadableCms) as refused:
        read_cms(REFUSED[name])
    assert str(refused.value) == "this is no S/MIME object that can be read safely"
    assert refused.value.evidence
