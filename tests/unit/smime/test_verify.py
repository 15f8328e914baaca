"""What a verdict says beside intact, and what verification costs. Attacks: tests/attacks/test_signature_spoofing."""

import hashlib
from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.certs import der
from ime_gateway.smime import signature_algorithms
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.signature_report import SignatureFault as Fault
from ime_gateway.smime.structures import Attribute, Signed
from ime_gateway.smime.verify import MOST_SIGNERS, verify
from tests import forged_signatures as forge
from tests.forged_signatures import Forgery
from tests.pki import Entity, make_ca, make_user

TEXT = b"hello\r\n"
PIECES = (memoryview(TEXT),)
LIST = der.sequence(der.sequence(der.oid("2.16.840.1.101.3.4.1.46")))


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca()


@pytest.fixture(scope="module")
def alice(ca: Entity) -> Entity:
    return make_user("alice@acme.example", ca)


def read(forgery: Forgery) -> Signed:
    signed = read_cms(forgery.der())
    assert isinstance(signed, Signed)
    return signed


def test_what_a_verdict_tells(alice: Entity) -> None:
    extra = [forge.utc_time("260102030405Z"), forge.attribute(forge.CAPABILITIES, LIST)]
    (verdict,) = verify(read(Forgery(alice, TEXT, extra=extra)), PIECES).signers
    assert verdict.intact and verdict.attributes_signed
    assert verdict.signing_time == 1_767_323_045.0
    assert verdict.capabilities == LIST
    assert verdict.message_digest == hashlib.sha256(TEXT).digest()
    spki = alice.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert verdict.key_digest == hashlib.sha256(spki).hexdigest()


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        (der.tlv(0x17, b"491231235959Z"), 2_524_607_999.0),
        (der.tlv(0x17, b"500101000000Z"), -631_152_000.0),
        (der.tlv(0x18, b"20500101000000Z"), 2_524_608_000.0),
        (der.tlv(0x18, b"20260102030405Z"), 1_767_323_045.0),
    ],
)
def test_times(alice: Entity, time: bytes, moment: float) -> None:
    made = Forgery(alice, TEXT, extra=[forge.attribute(forge.SIGNING_TIME, time)])
    assert verify(read(made), PIECES).signers[0].signing_time == moment


@pytest.mark.parametrize("by", ["issuer", "identifier", "recipient", "microsoft"])
def test_the_preferred_certificate(alice: Entity, ca: Entity, by: str) -> None:
    other = make_user("alice@acme.example", ca)
    issuer = other.certificate.issuer_and_serial
    identifier = other.certificate.subject_key_identifier or b""
    element = der.read_element(issuer, 0, len(issuer))
    value = {
        "issuer": der.tlv(0xA0, issuer[element.content :]),
        "identifier": der.tlv(0x82, identifier),
        "recipient": der.tlv(0xA1, der.octet_string(identifier)),
        "microsoft": issuer,
    }[by]
    oid = "1.3.6.1.4.1.311.16.4" if by == "microsoft" else forge.PREFERENCE
    made = Forgery(alice, TEXT, extra=[forge.attribute(oid, value)], certificates=[alice, other])
    assert verify(read(made), PIECES).signers[0].preferred == other.certificate
    absent = replace(made, certificates=[alice])
    assert verify(read(absent), PIECES, [other.certificate]).signers[0].preferred is None, "carried ones only"
    assert verify(read(absent), PIECES).signers[0].intact


@pytest.mark.parametrize(
    "value", [b"\x05\x00", b"\xa0\x00", b"\xa1\x00", b"\x82\x00", b"\xa1\x02\x04\x00", b"\x04\x09x"]
)
def test_a_preference_that_means_nothing(alice: Entity, value: bytes) -> None:
    signed = read(Forgery(alice, TEXT))
    signer = signed.signers[0]
    attributes = (*(signer.signed_attributes or ()), Attribute(forge.PREFERENCE, (value,)))
    changed = replace(signed, signers=(replace(signer, signed_attributes=attributes),))
    verdict = verify(changed, PIECES).signers[0]
    assert verdict.intact and verdict.preferred is None


def test_content_is_hashed_once_for_each_algorithm(alice: Entity, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [Forgery(alice, TEXT, digest=name) for name in ("sha256", "sha256", "sha512", "sha512")]
    signed = read(Forgery(alice, TEXT, others=others))
    hashed: list[str] = []
    real = signature_algorithms.digest

    def counting(name: str, chunks: object) -> bytes:
        if chunks is PIECES:
            hashed.append(name)
        return real(name, chunks)  # type: ignore[arg-type]

    monkeypatch.setattr(signature_algorithms, "digest", counting)
    assert all(one.intact for one in verify(signed, PIECES).signers)
    assert sorted(hashed) == ["sha256", "sha512"]


def test_a_flood_of_signers_is_cut_off(alice: Entity) -> None:
    signed = read(Forgery(alice, TEXT))
    flood = replace(signed, signers=signed.signers * (MOST_SIGNERS + 500))
    verdicts = verify(flood, PIECES).signers
    assert [one.fault for one in verdicts[MOST_SIGNERS:]] == [Fault.TOO_MANY] * 500
    assert all(one.intact for one in verdicts[:MOST_SIGNERS])


def test_eddsa_over_the_whole_content_is_limited(ca: Entity) -> None:
    """Each such signature hashes all content again, twice; with attributes it costs nothing."""
    person = make_user("ed@acme.example", ca, kind="ed25519")
    bare = Forgery(person, TEXT, digest="sha512", attributes=None)
    signed = read(Forgery(person, TEXT, digest="sha512", attributes=None, others=[bare] * 3))
    faults = [one.fault for one in verify(signed, PIECES).signers]
    assert faults == [Fault.NONE, Fault.NONE, Fault.TOO_MANY, Fault.TOO_MANY]
    usual = Forgery(person, TEXT, digest="sha512")
    signed = read(replace(usual, others=[usual] * 9))
    assert all(one.intact for one in verify(signed, PIECES).signers)


def test_certificates_that_cannot_be_read_are_left_out(alice: Entity) -> None:
    signed = read(Forgery(alice, TEXT))
    odd = replace(signed, certificates=(b"", b"\x30\x00", alice.der[:-1], alice.der, alice.der))
    report = verify(odd, PIECES)
    assert report.certificates == (alice.certificate,) and report.signers[0].intact


def test_unknown_attributes_do_no_harm(alice: Entity) -> None:
    extra = [forge.attribute("1.2.3.4.5", der.integer(1), der.integer(2)), forge.attribute("1.2.3.4.6", b"\x30\x00")]
    assert verify(read(Forgery(alice, TEXT, extra=extra)), PIECES).signers[0].intact


@cache
def _sound() -> tuple[Entity, bytes]:
    alice = make_user("alice@acme.example", make_ca())
    return alice, Forgery(alice, TEXT, opaque=True, extra=[forge.utc_time()]).der()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_of_an_object_makes_another_text_good(data: st.DataObject) -> None:
    """Whatever happens to the octets: either they cannot be read, or the text that is good is the text signed."""
    alice, sound = _sound()
    octets = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        signed = read_cms(bytes(octets))
    except UnreadableCms:
        return
    if not isinstance(signed, Signed):
        return
    for verdict in verify(signed, None).signers:
        if verdict.intact:
            assert signed.content is not None and b"".join(signed.content) == TEXT
            assert verdict.certificate is not None
            assert verdict.certificate.x509.public_key() == alice.key.public_key()
