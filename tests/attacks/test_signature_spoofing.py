"""Signatures that lie: each confusion has its own fault, and none of them is ever intact."""

import hashlib
import math
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ime_gateway.certs import der
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.signature_report import SignatureFault as Fault
from ime_gateway.smime.signature_report import SignerVerdict
from ime_gateway.smime.structures import Signed
from ime_gateway.smime.verify import verify
from tests import forged_signatures as forge
from tests.forged_signatures import Forgery
from tests.pki import NOW, Entity, build, make_ca, make_user

TEXT = b"Content-Type: text/plain\r\n\r\npay 100 to Bob\r\n"
OTHER = TEXT.replace(b"100", b"900")


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca()


@pytest.fixture(scope="module")
def alice(ca: Entity) -> Entity:
    return make_user("alice@acme.example", ca)


@pytest.fixture(scope="module")
def mallory(ca: Entity) -> Entity:
    return make_user("mallory@evil.example", ca)


def read(encoded: bytes) -> Signed:
    signed = read_cms(encoded)
    assert isinstance(signed, Signed)
    return signed


def judge(forgery: Forgery, content: bytes | None = TEXT, **options: object) -> SignerVerdict:
    pieces = None if content is None else (memoryview(content),)
    report = verify(read(forgery.der()), pieces, **options)  # type: ignore[arg-type]
    for verdict in report.signers:
        assert verdict.intact == (verdict.fault is Fault.NONE)
        if not verdict.intact:
            assert verdict.signing_time is verdict.capabilities is verdict.preferred is None
    return report.signers[0]


def test_the_honest_one_is_intact(alice: Entity) -> None:
    verdict = judge(Forgery(alice, TEXT))
    assert verdict.intact and verdict.certificate == alice.certificate
    assert judge(Forgery(alice, TEXT, attributes=None)).intact
    assert judge(Forgery(alice, TEXT, opaque=True), None).intact
    assert judge(Forgery(alice, TEXT, name=forge.by_identifier(alice))).intact


def test_tampered_text(alice: Entity) -> None:
    assert judge(Forgery(alice, TEXT), OTHER).fault is Fault.CONTENT_CHANGED
    assert judge(Forgery(alice, TEXT, attributes=None), OTHER).fault is Fault.WRONG_SIGNATURE
    assert judge(Forgery(alice, TEXT, inside=OTHER), None).fault is Fault.CONTENT_CHANGED


@pytest.mark.parametrize("content", [TEXT[:-1], TEXT + b"x", b"", TEXT.replace(b"\r\n", b"\n")])
def test_less_more_or_other_line_ends(alice: Entity, content: bytes) -> None:
    assert judge(Forgery(alice, TEXT), content).fault is Fault.CONTENT_CHANGED


def test_signed_by_somebody_else_in_her_name(alice: Entity, mallory: Entity) -> None:
    stolen = Forgery(mallory, TEXT, name=forge.issuer_and_serial(alice), certificates=[alice])
    assert judge(stolen).fault is Fault.WRONG_SIGNATURE


def test_her_attributes_over_other_text(alice: Entity, mallory: Entity) -> None:
    """The digest is right for the text, the signature is the one over her own text."""
    hers = Forgery(alice, TEXT)
    signature = forge.raw_signature(alice, hers.signed_set() or b"", "sha256")
    assert judge(Forgery(alice, OTHER, signature=signature), OTHER).fault is Fault.WRONG_SIGNATURE


def test_attributes_that_are_not_signed(alice: Entity) -> None:
    """Good things in the unsigned attributes count for nothing."""
    unsigned = [forge.attribute(forge.CAPABILITIES, der.sequence()), forge.utc_time()]
    verdict = judge(Forgery(alice, TEXT, unsigned=unsigned))
    assert verdict.intact and verdict.capabilities is None and verdict.signing_time is None
    empty = Forgery(alice, TEXT, attributes=None, covered=b"something else", unsigned=[forge.digest_of(TEXT)])
    assert judge(empty).fault is Fault.WRONG_SIGNATURE


def test_content_beside_the_content(alice: Entity) -> None:
    """multipart/signed whose signature brings signed content of its own: some programs check that and show the part."""
    assert judge(Forgery(alice, TEXT, opaque=True), OTHER).fault is Fault.TWO_CONTENTS
    assert judge(Forgery(alice, TEXT, opaque=True), TEXT).intact
    assert judge(Forgery(alice, b"", opaque=True), TEXT).fault is Fault.TWO_CONTENTS


def test_no_content_at_all(alice: Entity) -> None:
    assert judge(Forgery(alice, b""), None).fault is Fault.NO_CONTENT
    assert judge(Forgery(alice, b""), b"").intact


@pytest.mark.parametrize(
    ("attributes", "fault"),
    [
        ([forge.type_of()], Fault.NO_MESSAGE_DIGEST),
        ([forge.digest_of(TEXT)], Fault.NO_CONTENT_TYPE),
        ([forge.utc_time()], Fault.NO_CONTENT_TYPE),
        ([forge.type_of(), forge.digest_of(TEXT), forge.digest_of(OTHER)], Fault.DUPLICATE_ATTRIBUTE),
        ([forge.type_of(), forge.digest_of(TEXT), forge.digest_of(TEXT)], Fault.DUPLICATE_ATTRIBUTE),
        ([forge.type_of(), forge.type_of("1.2.3"), forge.digest_of(TEXT)], Fault.DUPLICATE_ATTRIBUTE),
        ([forge.type_of(), forge.digest_of(TEXT), forge.utc_time(), forge.utc_time()], Fault.DUPLICATE_ATTRIBUTE),
        ([forge.type_of("1.2.840.113549.1.7.5"), forge.digest_of(TEXT)], Fault.OTHER_CONTENT_TYPE),
        ([forge.type_of(), forge.digest_of(TEXT, "sha512")], Fault.CONTENT_CHANGED),
        ([forge.type_of(), forge.attribute(forge.MESSAGE_DIGEST, der.octet_string(b""))], Fault.CONTENT_CHANGED),
        ([forge.type_of(), forge.attribute(forge.MESSAGE_DIGEST, der.integer(1))], Fault.MALFORMED_ATTRIBUTE),
        ([forge.type_of(), forge.digest_of(TEXT), forge.utc_time("991301000000Z")], Fault.MALFORMED_ATTRIBUTE),
        ([forge.type_of(), forge.digest_of(TEXT), forge.utc_time("2601011200Z")], Fault.MALFORMED_ATTRIBUTE),
        ([forge.type_of(), forge.digest_of(TEXT), forge.utc_time("260101120000+0100")], Fault.MALFORMED_ATTRIBUTE),
    ],
)
def test_attributes_that_are_wrong(alice: Entity, attributes: list[bytes], fault: Fault) -> None:
    assert judge(Forgery(alice, TEXT, attributes=attributes)).fault is fault


def test_an_attribute_with_two_values(alice: Entity) -> None:
    digests = [der.octet_string(hashlib.sha256(text).digest()) for text in (TEXT, OTHER)]
    twice = [forge.type_of(), forge.attribute(forge.MESSAGE_DIGEST, *sorted(digests))]
    assert judge(Forgery(alice, TEXT, attributes=twice)).fault is Fault.DUPLICATE_ATTRIBUTE
    both = [forge.attribute(forge.CONTENT_TYPE, der.oid(forge.DATA), der.oid("1.2.3.4.5.6")), forge.digest_of(TEXT)]
    assert judge(Forgery(alice, TEXT, attributes=both)).fault is Fault.DUPLICATE_ATTRIBUTE


def test_attributes_sold_as_content(alice: Entity) -> None:
    """Without its attributes, a signature covers them as "content": what she signed then is no mail of hers."""
    hers = Forgery(alice, TEXT)
    attributes = hers.signed_set() or b""
    sold = Forgery(alice, attributes, attributes=None, opaque=True)
    assert sold.signer_info()[-256:] == hers.signer_info()[-256:], "the very same signature"
    assert judge(sold, None).fault is Fault.ATTRIBUTES_AS_CONTENT
    assert judge(Forgery(alice, attributes, attributes=None), attributes).fault is Fault.ATTRIBUTES_AS_CONTENT
    long = der.set_of([forge.type_of(), forge.attribute("1.2.3", der.octet_string(bytes(70_000)))])
    assert judge(Forgery(alice, long, attributes=None), long).fault is Fault.ATTRIBUTES_AS_CONTENT


def test_a_text_that_begins_like_a_set_is_only_a_text(alice: Entity) -> None:
    for text in (b"1", b"10: x\r\n\r\n", b"12345", b"1\x84\xff\xff\xff\xff"):
        assert judge(Forgery(alice, text, attributes=None), text).intact


@pytest.mark.parametrize("kind", ["1.2.840.113549.1.9.16.1.4", "1.2.840.113549.1.7.2", "1.2.3.4"])
def test_signatures_about_something_else(alice: Entity, kind: str) -> None:
    """A time stamp or a receipt, signed by a machine that signs everything, is no signature over a mail."""
    assert judge(Forgery(alice, TEXT, content_type=kind)).fault is Fault.NOT_MAIL_CONTENT
    bare = Forgery(alice, TEXT, content_type=kind, attributes=None, opaque=True)
    assert judge(bare, None).fault is Fault.ATTRIBUTES_NEEDED


def test_no_certificate(alice: Entity, mallory: Entity) -> None:
    assert judge(Forgery(alice, TEXT, certificates=[])).fault is Fault.NO_CERTIFICATE
    assert judge(Forgery(alice, TEXT, certificates=[mallory])).fault is Fault.NO_CERTIFICATE
    assert judge(Forgery(alice, TEXT, certificates=[]), known=[alice.certificate]).intact
    unnamed = Forgery(alice, TEXT, name=b"\x80\x00")
    assert judge(unnamed).fault is Fault.NO_CERTIFICATE


def twin_of(entity: Entity, ca: Entity, key: Entity, *, same_serial: bool) -> Entity:
    """Another certificate by the same CA with the same names: serial number or key identifier."""
    original = entity.x509
    builder = (
        x509.CertificateBuilder()
        .subject_name(original.subject)
        .issuer_name(original.issuer)
        .public_key(key.key.public_key())
        .serial_number(original.serial_number if same_serial else x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=3))
        .not_valid_after(NOW + timedelta(days=3))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(entity.key.public_key()), critical=False)
    )
    return Entity(key.key, builder.sign(ca.key, hashes.SHA256()), ca)  # type: ignore[arg-type]


def test_two_certificates_with_one_name(alice: Entity, mallory: Entity, ca: Entity) -> None:
    twin = twin_of(alice, ca, mallory, same_serial=True)
    for carried in ([alice, twin], [twin, alice]):
        assert judge(Forgery(alice, TEXT, certificates=carried)).fault is Fault.AMBIGUOUS_CERTIFICATE
        assert judge(Forgery(twin, TEXT, certificates=carried)).fault is Fault.AMBIGUOUS_CERTIFICATE
    known = [alice.certificate]
    assert judge(Forgery(twin, TEXT), known=known).fault is Fault.AMBIGUOUS_CERTIFICATE
    assert judge(Forgery(alice, TEXT, certificates=[alice, alice]), known=known).intact, "the same one twice is one"


def named(entity: Entity, *, version: int = 2, serial: int | None = None, digest: bytes | None = None) -> bytes:
    hashed = digest or hashlib.new("sha256" if version == 2 else "sha1", entity.der).digest()
    issuer = entity.x509.issuer.public_bytes()
    place = der.sequence(der.sequence(der.tlv(0xA4, issuer)), der.integer(serial or entity.x509.serial_number))
    value = der.sequence(der.sequence(der.sequence(der.octet_string(hashed), place)))
    return forge.attribute(forge.SIGNING_CERTIFICATE_V2 if version == 2 else forge.SIGNING_CERTIFICATE, value)


def test_one_key_identifier_for_two(alice: Entity, mallory: Entity, ca: Entity) -> None:
    """Identifiers are free text. Only the hash that is signed along says which certificate was meant."""
    twin = twin_of(alice, ca, mallory, same_serial=False)
    name = forge.by_identifier(alice)
    both = [twin, alice]
    assert judge(Forgery(alice, TEXT, name=name, certificates=both)).fault is Fault.AMBIGUOUS_CERTIFICATE
    meant = judge(Forgery(alice, TEXT, name=name, certificates=both, extra=[named(alice)]))
    assert meant.intact and meant.certificate == alice.certificate
    lied = judge(Forgery(mallory, TEXT, name=name, certificates=both, extra=[named(alice)]))
    assert lied.fault is Fault.WRONG_SIGNATURE


def test_a_signed_hash_does_not_excuse_two_certificates_of_one_serial_number(
    alice: Entity, mallory: Entity, ca: Entity
) -> None:
    twin = twin_of(alice, ca, mallory, same_serial=True)
    made = Forgery(alice, TEXT, certificates=[alice, twin], extra=[named(alice)])
    assert judge(made).fault is Fault.AMBIGUOUS_CERTIFICATE


@pytest.mark.parametrize("version", [1, 2])
def test_signed_for_another_certificate(alice: Entity, mallory: Entity, ca: Entity, version: int) -> None:
    """The same key in a second certificate, with other rights or another name (RFC 5035 section 1)."""
    second = make_user("alice.private@acme.example", ca, key=alice.key)
    assert judge(Forgery(alice, TEXT, extra=[named(alice, version=version)])).intact
    for lie in (
        named(second, version=version),
        named(alice, version=version, serial=5),
        named(mallory, version=version),
    ):
        assert judge(Forgery(alice, TEXT, extra=[lie])).fault is Fault.OTHER_CERTIFICATE
    both = [named(alice, version=version), named(second, version=3 - version)]
    assert judge(Forgery(alice, TEXT, extra=both)).fault is Fault.OTHER_CERTIFICATE


@pytest.mark.parametrize("value", [b"\x30\x00", b"\x05\x00", b"\x30\x04\x30\x02\x30\x00", b"\x04\x01x"])
def test_a_signing_certificate_that_cannot_be_read(alice: Entity, value: bytes) -> None:
    lie = forge.attribute(forge.SIGNING_CERTIFICATE_V2, value)
    assert judge(Forgery(alice, TEXT, extra=[lie])).fault is Fault.MALFORMED_ATTRIBUTE


@pytest.mark.parametrize("digest", ["md5", "sha1"])
@pytest.mark.parametrize("attributes", ["usual", None])
def test_digests_that_can_be_forged(alice: Entity, digest: str, attributes: str | None) -> None:
    made = Forgery(alice, TEXT, digest=digest, attributes=attributes)
    assert judge(made).fault is Fault.WEAK_DIGEST
    wrong = Fault.CONTENT_CHANGED if attributes else Fault.WRONG_SIGNATURE
    assert judge(made, OTHER).fault is wrong, "an outdated signature and a wrong one are two things"


@pytest.mark.parametrize("digest", ["sha224", "sha256", "sha384", "sha512"])
def test_digests_that_are_good(alice: Entity, digest: str) -> None:
    verdict = judge(Forgery(alice, TEXT, digest=digest))
    assert verdict.intact
    assert verdict.digest_algorithm == digest
    assert verdict.message_digest == hashlib.new(digest, TEXT).digest()


def pss(*, digest: str = "sha256", mask: str = "sha256", salt: int = 32, tail: bytes = b"") -> bytes:
    inner = der.sequence(der.oid(forge.DIGESTS[mask]), der.NULL)
    return der.sequence(
        der.oid("1.2.840.113549.1.1.10"),
        der.sequence(
            der.tlv(0xA0, der.sequence(der.oid(forge.DIGESTS[digest]), der.NULL)),
            der.tlv(0xA1, der.sequence(der.oid("1.2.840.113549.1.1.8"), inner)),
            der.tlv(0xA2, der.integer(salt)),
            tail,
        ),
    )


ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))
ED25519 = der.sequence(der.oid("1.3.101.112"))


@pytest.mark.parametrize(
    ("algorithm", "fault"),
    [
        (der.sequence(der.oid("1.2.840.113549.1.1.13"), der.NULL), Fault.ALGORITHMS_DISAGREE),
        (der.sequence(der.oid("1.2.840.113549.1.1.5"), der.NULL), Fault.ALGORITHMS_DISAGREE),
        (der.sequence(der.oid("1.2.840.113549.1.1.11"), der.integer(3)), Fault.BAD_PARAMETERS),
        (ECDSA_SHA256, Fault.NOT_THIS_KEY),
        (der.sequence(der.oid("1.2.840.10045.4.3.4")), Fault.ALGORITHMS_DISAGREE),
        (ED25519, Fault.ALGORITHMS_DISAGREE),
        (der.sequence(der.oid("1.2.3.4")), Fault.UNKNOWN_SIGNATURE),
        (pss(), Fault.WRONG_SIGNATURE),
        (pss(digest="sha512"), Fault.ALGORITHMS_DISAGREE),
        (pss(tail=der.tlv(0xA3, der.integer(2))), Fault.BAD_PARAMETERS),
        (pss(tail=der.tlv(0xA2, der.integer(2))), Fault.BAD_PARAMETERS),
        (pss(salt=-1), Fault.BAD_PARAMETERS),
        (pss(salt=1 << 40), Fault.BAD_PARAMETERS),
        (pss(salt=1 << 30), Fault.WRONG_SIGNATURE),
        (der.sequence(der.oid("1.2.840.113549.1.1.10")), Fault.BAD_PARAMETERS),
        (der.sequence(der.oid("1.2.840.113549.1.1.10"), der.NULL), Fault.BAD_PARAMETERS),
        (der.sequence(der.oid("1.2.840.113549.1.1.10"), der.sequence()), Fault.ALGORITHMS_DISAGREE),
    ],
)
def test_algorithms_that_do_not_fit(alice: Entity, algorithm: bytes, fault: Fault) -> None:
    assert judge(Forgery(alice, TEXT, algorithm=algorithm)).fault is fault


@pytest.mark.parametrize(
    ("digest_algorithm", "fault"),
    [
        (der.sequence(der.oid("1.2.840.113549.2.2")), Fault.UNKNOWN_DIGEST),
        (der.sequence(der.oid(forge.DIGESTS["sha256"]), der.integer(1)), Fault.BAD_PARAMETERS),
        (der.sequence(der.oid(forge.DIGESTS["sha512"])), Fault.CONTENT_CHANGED),
        (der.sequence(der.oid("2.16.840.1.101.3.4.2.12")), Fault.ALGORITHMS_DISAGREE),
    ],
)
def test_a_digest_algorithm_that_lies(alice: Entity, digest_algorithm: bytes, fault: Fault) -> None:
    assert judge(Forgery(alice, TEXT, digest_algorithm=digest_algorithm)).fault is fault


def test_ed25519_wants_sha512(ca: Entity) -> None:
    """RFC 8419 section 3.1, for signed attributes; without them the digest means nothing (section 3.2)."""
    carlos = make_user("carlos@acme.example", ca, kind="ed25519")
    assert judge(Forgery(carlos, TEXT, digest="sha512")).intact
    assert judge(Forgery(carlos, TEXT, digest="sha256")).fault is Fault.ALGORITHMS_DISAGREE
    assert judge(Forgery(carlos, TEXT, digest="sha256", attributes=None)).intact
    assert judge(Forgery(carlos, TEXT, attributes=None), OTHER).fault is Fault.WRONG_SIGNATURE


def weak_person(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Entity:
    return build(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")]),
        key,
        None,
        [],
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=1),
    )


def test_keys_that_are_too_weak() -> None:
    short = weak_person(rsa.generate_private_key(65537, 1024))
    assert judge(Forgery(short, TEXT)).fault is Fault.WEAK_KEY
    assert judge(Forgery(short, TEXT), OTHER).fault is Fault.CONTENT_CHANGED
    cheap = weak_person(rsa.generate_private_key(3, 2048))
    assert judge(Forgery(cheap, TEXT)).fault is Fault.WEAK_KEY
    odd = weak_person(ec.generate_private_key(ec.SECP192R1()))
    assert judge(Forgery(odd, TEXT)).fault is Fault.UNKNOWN_KEY


def test_keys_that_keep_us_busy(alice: Entity) -> None:
    """A public exponent as long as the modulus makes each check as slow as making a signature."""
    p, q = alice.key.private_numbers().p, alice.key.private_numbers().q  # type: ignore[union-attr]
    phi, long = (p - 1) * (q - 1), (1 << 1999) + 1
    while math.gcd(long, phi) != 1:
        long += 2
    private = pow(long, -1, phi)
    numbers = rsa.RSAPrivateNumbers(p, q, private, private % (p - 1), private % (q - 1), pow(q, -1, p),
                                    rsa.RSAPublicNumbers(long, p * q))  # fmt: skip
    slow = weak_person(numbers.private_key())
    assert judge(Forgery(slow, TEXT)).fault is Fault.UNKNOWN_KEY


def test_attributes_in_any_order(alice: Entity) -> None:
    """Programs that sign their attributes unsorted, as they send them: OpenSSL and GnuPG check those, too."""
    made = sorted([forge.type_of(), forge.digest_of(TEXT), forge.utc_time()], reverse=True)
    unsorted = der.tlv(der.SET, b"".join(made))
    usual = Forgery(alice, TEXT, attributes=made, covered=unsorted)
    assert usual.signed_set() != unsorted
    sent = usual.der().replace((usual.signed_set() or b"")[2:], unsorted[2:])
    assert sent != usual.der()
    for content, fault in ((TEXT, Fault.NONE), (OTHER, Fault.CONTENT_CHANGED)):
        assert verify(read(sent), (memoryview(content),)).signers[0].fault is fault
    assert verify(read(usual.der()), (memoryview(TEXT),)).signers[0].fault is Fault.WRONG_SIGNATURE


def test_each_signer_stands_alone(alice: Entity, mallory: Entity) -> None:
    """A good signature beside a bad one makes neither good nor bad."""
    wrong = Forgery(alice, TEXT, signature=bytes(256))
    both = Forgery(mallory, TEXT, others=[wrong])
    report = verify(read(both.der()), (memoryview(TEXT),))
    assert [(one.certificate, one.fault) for one in report.signers] == [
        (mallory.certificate, Fault.NONE),
        (alice.certificate, Fault.WRONG_SIGNATURE),
    ]


def test_no_signer_is_no_signature(alice: Entity) -> None:
    signed = read(Forgery(alice, TEXT).der())
    report = verify(replace(signed, signers=()), (memoryview(TEXT),))
    assert report.signers == () and report.certificates == (alice.certificate,)


def test_dated_in_the_future(alice: Entity) -> None:
    made = Forgery(alice, TEXT, extra=[forge.utc_time("270101000000Z")])
    new_year = 1_798_761_600.0
    assert judge(made, moment=new_year - 86_401).fault is Fault.FROM_THE_FUTURE
    kept = judge(made, moment=new_year - 86_399)
    assert kept.intact and kept.signing_time == new_year
    assert judge(made).intact


@pytest.mark.parametrize("flip", range(-256, 0, 37))
def test_every_octet_of_the_signature_counts(alice: Entity, flip: int) -> None:
    signature = bytearray(forge.raw_signature(alice, Forgery(alice, TEXT).signed_set() or b"", "sha256"))
    signature[flip] ^= 1
    assert judge(Forgery(alice, TEXT, signature=bytes(signature))).fault is Fault.WRONG_SIGNATURE


@pytest.mark.parametrize("signature", [b"", b"\x00", bytes(255), bytes(256), b"\xff" * 256, bytes(70_000)])
@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_signatures_of_nothing(ca: Entity, signature: bytes, kind: str) -> None:
    person = make_user("x@acme.example", ca, kind=kind)
    digest = "sha512" if kind == "ed25519" else "sha256"
    assert judge(Forgery(person, TEXT, digest=digest, signature=signature)).fault is Fault.WRONG_SIGNATURE


def test_ecdsa_with_zeros(ca: Entity) -> None:
    """Psychic signatures (CVE-2022-21449)."""
    person = make_user("x@acme.example", ca, kind="ec")
    for signature in (der.sequence(der.integer(0), der.integer(0)), der.sequence(der.integer(1), der.integer(0))):
        assert judge(Forgery(person, TEXT, signature=signature)).fault is Fault.WRONG_SIGNATURE
