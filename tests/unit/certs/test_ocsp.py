"""OCSP answers: who may give one, about whom, and for how long."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.ocsp import MAXIMUM_BYTES, OcspAnswer, ocsp_question, question_name
from ime_gateway.certs.revocation import Finding, Link
from tests.pki import DAY, NOW, Entity, make_ca, make_user
from tests.revocation import make_answer

MOMENT = NOW.timestamp()
GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN
NO_CHECK = [(x509.OCSPNoCheck(), False)]


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca("Issuing CA")


@pytest.fixture(scope="module")
def alice(ca: Entity) -> Link:
    return Link(make_user("alice@acme.example", ca).certificate, ca.certificate)


def appointed(ca: Entity, *, no_check: bool = True, **options: object) -> Entity:
    options = {"eku": (ExtendedKeyUsageOID.OCSP_SIGNING,), **options}
    return make_user("ocsp@ca.example", ca, san=False, extra=NO_CHECK if no_check else (), **options)  # type: ignore[arg-type]


def found(link: Link, answer: bytes, moment: float = MOMENT, stale: float = 0.0) -> Finding:
    return OcspAnswer.read(answer).finding(link, moment, stale)


@pytest.mark.parametrize(("status", "state"), [(GOOD, "good"), (REVOKED, "revoked"), (UNKNOWN, "unknown")])
def test_the_issuer_itself_answers(ca: Entity, alice: Link, status: ocsp.OCSPCertStatus, state: str) -> None:
    one = found(alice, make_answer(alice, signer=ca, status=status), stale=60.0)
    assert one.state == state and one.until == (NOW + DAY).timestamp() + 60.0
    assert state != "revoked" or "keyCompromise" in one.detail


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384()])
def test_issuers_are_named_by_any_digest(ca: Entity, alice: Link, digest: hashes.HashAlgorithm) -> None:
    assert found(alice, make_answer(alice, signer=ca, digest=digest)).state == "good"


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_keys_of_every_kind_answer(kind: str) -> None:
    ca = make_ca("Curve CA", kind=kind)
    link = Link(make_user("x@acme.example", ca).certificate, ca.certificate)
    assert found(link, make_answer(link, signer=ca)).state == "good"


def test_a_responder_that_the_issuer_appointed(ca: Entity, alice: Link) -> None:
    one = appointed(ca)
    assert found(alice, make_answer(alice, signer=one, certificates=[one])).state == "good"
    assert found(alice, make_answer(alice, signer=one)).state == "unknown", "its certificate must come along"


def test_a_responder_whose_own_revocation_is_open_may_only_accuse(ca: Entity, alice: Link) -> None:
    one = appointed(ca, no_check=False)
    told = found(alice, make_answer(alice, signer=one, certificates=[one]))
    assert told.state == "unknown" and "nocheck" in told.detail
    assert found(alice, make_answer(alice, signer=one, status=REVOKED, certificates=[one])).state == "revoked"


def test_nobody_else_may_answer(ca: Entity, alice: Link) -> None:
    stranger = make_ca("Other CA")
    usurpers = [
        stranger,
        make_ca("Issuing CA"),
        make_user("bob@acme.example", ca),
        appointed(stranger),
        appointed(make_ca("Below", ca)),
        appointed(ca, expired=True),
        appointed(ca, not_yet=True),
        appointed(ca, eku=None),
        appointed(ca, eku=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
        appointed(ca, key_bits=1024),
    ]
    for usurper in usurpers:
        for status in (GOOD, REVOKED):
            one = found(alice, make_answer(alice, signer=usurper, status=status, certificates=[usurper]))
            assert one.state == "unknown" and "nobody who may speak" in one.detail, usurper.x509.subject


def test_a_signature_that_does_not_hold(ca: Entity, alice: Link) -> None:
    damaged = bytearray(make_answer(alice, signer=ca))
    damaged[-3] ^= 1
    assert found(alice, bytes(damaged)).state == "unknown"


def test_answers_about_others_are_not_about_us(ca: Entity, alice: Link) -> None:
    bob = Link(make_user("bob@acme.example", ca).certificate, ca.certificate)
    assert "another certificate" in found(alice, make_answer(bob, signer=ca)).detail
    namesake = make_ca("Issuing CA")
    same_serial = Link(alice.certificate, namesake.certificate)
    assert found(same_serial, make_answer(alice, signer=ca)).state == "unknown"
    assert question_name(alice) not in (question_name(bob), question_name(same_serial))


@pytest.mark.parametrize(
    ("begins", "ends", "stale", "state"),
    [
        (-2 * DAY, -DAY / 24, 0.0, "unknown"),
        (-2 * DAY, -DAY / 24, 7200.0, "good"),
        (DAY / 24, DAY, 0.0, "unknown"),
        (DAY / 1440, DAY, 0.0, "good"),
        (-DAY / 48, None, 0.0, "good"),
        (-DAY / 12, None, 0.0, "unknown"),
    ],
)
def test_time(ca: Entity, alice: Link, begins: object, ends: object, stale: float, state: str) -> None:
    until = None if ends is None else NOW + ends  # type: ignore[operator]
    answer = make_answer(alice, signer=ca, this_update=NOW + begins, next_update=until)  # type: ignore[operator]
    assert found(alice, answer, stale=stale).state == state


def test_whom_an_answer_revoked_stays_so_when_the_responder_falls_silent(ca: Entity, alice: Link) -> None:
    old = make_answer(alice, signer=ca, status=REVOKED, this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY)
    told = found(alice, old)
    assert told.state == "revoked" and told.until > MOMENT
    assert found(alice, make_answer(alice, signer=ca, status=REVOKED, this_update=NOW + DAY)).state == "unknown"
    stranger = make_ca("Issuing CA")
    forged = make_answer(alice, signer=stranger, status=REVOKED, this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY)
    assert found(alice, forged).state == "unknown"


def test_a_revocation_outlives_the_certificate_of_the_responder_that_told_of_it(ca: Entity, alice: Link) -> None:
    past = {"not_before": NOW - 20 * DAY, "not_after": NOW - 5 * DAY}
    gone = appointed(ca, **past)
    told = {"signer": gone, "certificates": [gone], "next_update": NOW - 8 * DAY}
    assert found(alice, make_answer(alice, status=REVOKED, this_update=NOW - 9 * DAY, **told)).state == "revoked"  # type: ignore[arg-type]
    late = {"signer": gone, "certificates": [gone], "this_update": NOW - DAY}
    for status in (REVOKED, GOOD):
        assert found(alice, make_answer(alice, status=status, **late)).state == "unknown"  # type: ignore[arg-type]


def test_a_hold_ends_with_its_answer(ca: Entity, alice: Link) -> None:
    hold = x509.ReasonFlags.certificate_hold
    assert found(alice, make_answer(alice, signer=ca, status=REVOKED, reason=hold)).state == "revoked"
    old = make_answer(
        alice, signer=ca, status=REVOKED, this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY, reason=hold
    )
    assert "stale" in found(alice, old).detail and found(alice, old).state == "unknown"


def test_a_forgeable_answer_says_nothing(ca: Entity, alice: Link) -> None:
    """Signed by the CA's own key over SHA-1, as a made collision would be."""
    assert isinstance(ca.key, rsa.RSAPrivateKey)
    answer = make_answer(alice, signer=ca)
    parsed = ocsp.load_der_ocsp_response(answer)
    weak = ca.key.sign(parsed.tbs_response_bytes, padding.PKCS1v15(), hashes.SHA1())
    sha256_with_rsa, sha1_with_rsa = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    forged = answer.replace(parsed.signature, weak).replace(sha256_with_rsa, sha1_with_rsa)
    assert found(alice, forged).state == "unknown"
    assert found(alice, answer).state == "good"


def test_what_is_no_answer(ca: Entity, alice: Link) -> None:
    busy = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    from cryptography.hazmat.primitives.serialization import Encoding

    with pytest.raises(UnreadableCertificate, match="try later"):
        OcspAnswer.read(busy.public_bytes(Encoding.DER))
    whole = make_answer(alice, signer=ca)
    for bad in (b"", b"<html>", whole[:-9], bytes(MAXIMUM_BYTES + 1)):
        with pytest.raises(UnreadableCertificate):
            OcspAnswer.read(bad)


def test_the_question_names_certificate_and_issuer(ca: Entity, alice: Link) -> None:
    asked = ocsp.load_der_ocsp_request(ocsp_question(alice))
    assert asked.serial_number == alice.certificate.serial
    answer = ocsp.load_der_ocsp_response(make_answer(alice, signer=ca))
    assert (asked.issuer_name_hash, asked.issuer_key_hash) == (answer.issuer_name_hash, answer.issuer_key_hash)
