"""Path, trust and identity: three questions about a signer, and no answer to one answers another."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.signer import address_match, judge_signer, path_verdict
from ime_gateway.keys.usable import Anchors
from ime_gateway.ports.directory import TrustEntry
from tests.pki import DAY, NOW, Entity, key_usage, make_ca, make_user

MOMENT = NOW.timestamp()


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca("Known Root")


@pytest.fixture(scope="module")
def stranger() -> Entity:
    return make_ca("Unknown Root")


def anchors(*roots: Entity, trust: dict[Certificate, str] | None = None, between: tuple[Entity, ...] = ()) -> Anchors:
    lines = {one.thumbprint: TrustEntry(one.thumbprint, verdict) for one, verdict in (trust or {}).items()}  # type: ignore[arg-type]
    return Anchors([one.certificate for one in roots], [one.certificate for one in between], lines)


def test_trusted_and_valid(ca: Entity) -> None:
    alice = make_user("alice@acme.example", ca).certificate
    assert judge_signer(alice, anchors(ca), MOMENT).usable
    assert path_verdict(alice, anchors(ca), MOMENT).valid


def test_a_valid_path_to_nobody_we_know(ca: Entity, stranger: Entity) -> None:
    mallory = make_user("alice@acme.example", stranger).certificate
    carried = [stranger.certificate]
    path = path_verdict(mallory, anchors(ca), MOMENT, carried)
    assert path.valid and "Unknown Root" in path.detail
    trust = judge_signer(mallory, anchors(ca), MOMENT, carried)
    assert (trust.usable, trust.reason) == (False, Reason.CERTIFICATE_UNTRUSTED)
    assert address_match(mallory, ["alice@acme.example"]).matches


def test_a_self_signed_one_is_valid_and_not_trusted(ca: Entity) -> None:
    alice = make_user("alice@acme.example").certificate
    assert path_verdict(alice, anchors(ca), MOMENT).valid
    assert judge_signer(alice, anchors(ca), MOMENT).reason is Reason.CERTIFICATE_UNTRUSTED
    assert judge_signer(alice, anchors(ca, trust={alice: "allow"}), MOMENT).usable
    assert judge_signer(alice, anchors(ca), MOMENT, [alice]).reason is Reason.CERTIFICATE_UNTRUSTED


def test_a_trusted_end_and_a_broken_path(ca: Entity) -> None:
    expired = make_user("alice@acme.example", ca, expired=True).certificate
    assert not path_verdict(expired, anchors(ca), MOMENT).valid
    assert judge_signer(expired, anchors(ca), MOMENT).reason is Reason.CERTIFICATE_EXPIRED
    forged = make_user("alice@acme.example", make_ca("Known Root")).certificate
    assert not path_verdict(forged, anchors(ca), MOMENT).valid
    assert judge_signer(forged, anchors(ca), MOMENT).reason is Reason.CERTIFICATE_UNTRUSTED


def test_a_path_without_an_end(ca: Entity) -> None:
    between = make_ca("Between", make_ca("Absent Root"))
    alice = make_user("alice@acme.example", between).certificate
    verdict = path_verdict(alice, anchors(ca), MOMENT, [between.certificate])
    assert not verdict.valid and "Absent Root" in verdict.detail


def test_links_may_come_along_but_anchors_may_not(ca: Entity) -> None:
    between = make_ca("Between", ca)
    alice = make_user("alice@acme.example", between).certificate
    assert not judge_signer(alice, anchors(ca), MOMENT).usable
    verdict = judge_signer(alice, anchors(ca), MOMENT, [between.certificate])
    assert verdict.usable and verdict.valid_until <= MOMENT, "what this message carried must not serve the next"
    assert judge_signer(alice, anchors(ca, between=(between,)), MOMENT).valid_until > MOMENT


def test_other_peoples_certificates_do_not_crowd_a_link_out(ca: Entity) -> None:
    between = make_ca("Between", ca)
    alice = make_user("alice@acme.example", between).certificate
    crowd = [make_user(f"user-{number}@acme.example", ca).certificate for number in range(20)]
    assert judge_signer(alice, anchors(ca), MOMENT, [*crowd, between.certificate]).usable


def test_an_end_entity_is_no_link(ca: Entity) -> None:
    user = make_user("user@acme.example", ca)
    forged = make_user("boss@acme.example", user).certificate
    assert not judge_signer(forged, anchors(ca), MOMENT, [user.certificate]).usable
    assert not path_verdict(forged, anchors(ca), MOMENT, [user.certificate]).valid


def test_a_denied_link_that_came_along_denies(ca: Entity) -> None:
    between = make_ca("Hacked", ca)
    alice = make_user("alice@acme.example", between).certificate
    known = anchors(ca, trust={between.certificate: "deny"}, between=(between,))
    assert judge_signer(alice, known, MOMENT).reason is Reason.CERTIFICATE_DENIED
    only_carried = Anchors(known.roots, (), known.trust)
    assert judge_signer(alice, only_carried, MOMENT, [between.certificate]).reason is Reason.CERTIFICATE_DENIED


def test_many_links_of_one_name_cost_no_more_than_one(ca: Entity) -> None:
    """Eight equally named CAs that all certify each other make 8^8 paths; only one of them is walked."""
    key = ec.generate_private_key(ec.SECP256R1())
    first = make_ca("Maze", ca, key=key)
    maze = [make_ca("Maze", Entity(key, first.x509), key=key) for _ in range(12)]
    alice = make_user("alice@acme.example", Entity(key, first.x509)).certificate
    for place in (0, 6, 12):
        carried = [one.certificate for one in (*maze[:place], first, *maze[place:])]
        assert judge_signer(alice, anchors(ca), MOMENT, carried).usable, "the one that leads to our root is taken"
    assert not judge_signer(alice, anchors(ca), MOMENT, [one.certificate for one in maze]).usable


@pytest.mark.parametrize(
    ("usage", "good"),
    [
        ({"digital_signature": True}, True),
        ({"content_commitment": True}, True),
        ({"key_encipherment": True}, False),
        ({"key_agreement": True, "data_encipherment": True}, False),
    ],
)
def test_key_usage(ca: Entity, usage: dict[str, bool], good: bool) -> None:
    """RFC 8550 section 4.4.2."""
    alice = make_user("alice@acme.example", ca, ku=key_usage(**usage)).certificate
    verdict = judge_signer(alice, anchors(ca, trust={alice: "allow"}), MOMENT)
    assert verdict.usable is good and path_verdict(alice, anchors(ca), MOMENT).valid is good
    assert good or verdict.reason is Reason.CERTIFICATE_UNFIT


def test_no_usage_said_means_every_usage(ca: Entity) -> None:
    alice = make_user("alice@acme.example", ca, ku=None, eku=None).certificate
    assert judge_signer(alice, anchors(ca), MOMENT).usable


def test_extended_key_usage(ca: Entity) -> None:
    for purposes, good in (((Purpose.SERVER_AUTH,), False), ((Purpose.ANY_EXTENDED_KEY_USAGE,), True)):
        alice = make_user("alice@acme.example", ca, eku=purposes).certificate
        assert judge_signer(alice, anchors(ca), MOMENT).usable is good


def test_weak_keys(ca: Entity) -> None:
    short = make_user("alice@acme.example", ca, key_bits=1024).certificate
    assert judge_signer(short, anchors(ca, trust={short: "allow"}), MOMENT).reason is Reason.CERTIFICATE_WEAK


def test_an_issuer_that_signs_with_sha1(ca: Entity) -> None:
    strong, weak = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    alice = Certificate.from_der(make_user("alice@acme.example", ca).der.replace(strong, weak))
    assert judge_signer(alice, anchors(ca), MOMENT).reason is Reason.CERTIFICATE_WEAK


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_every_kind_of_key_may_sign(ca: Entity, kind: str) -> None:
    assert judge_signer(make_user("alice@acme.example", ca, kind=kind).certificate, anchors(ca), MOMENT).usable


def test_curves_that_do_not_sign_mail(ca: Entity) -> None:
    odd = make_user("alice@acme.example", ca, key=ec.generate_private_key(ec.SECP192R1())).certificate
    assert judge_signer(odd, anchors(ca), MOMENT).reason is Reason.CERTIFICATE_UNFIT


def test_an_allowed_one_may_be_late_only_when_the_list_says_so(ca: Entity) -> None:
    alice = make_user("alice@acme.example", ca, expired=True).certificate
    assert not judge_signer(alice, anchors(ca, trust={alice: "allow"}), MOMENT).usable
    line = TrustEntry(alice.thumbprint, "allow", allow_expired=True)
    assert judge_signer(alice, Anchors([ca.certificate], [], {alice.thumbprint: line}), MOMENT).usable


def test_the_moment_decides(ca: Entity) -> None:
    alice = make_user("alice@acme.example", ca, not_before=NOW - DAY, not_after=NOW + DAY).certificate
    for offset, good in ((-2 * DAY, False), (timedelta(0), True), (2 * DAY, False)):
        moment = (NOW + offset).timestamp()
        assert path_verdict(alice, anchors(ca), moment).valid is good
        assert judge_signer(alice, anchors(ca), moment).usable is good


@pytest.mark.parametrize(
    ("addresses", "matches"),
    [
        (["alice@acme.example"], True),
        (["Alice@ACME.example"], True),
        (["alice@acme.example", "a.second@acme.example"], True),
        (["alice@acme.example", "mallory@evil.example"], False),
        (["mallory@evil.example"], False),
        (["alice@acme.example.evil.example"], False),
        (["malice@acme.example"], False),
        (["alice"], False),
        (["alice@acme.example "], False),
        (["alice@acme.example\x00.evil.example"], False),
        ([""], False),
        ([], False),
    ],
)
def test_who_a_certificate_speaks_for(addresses: list[str], matches: bool) -> None:
    alice = make_user("alice@acme.example", dn_addresses=["a.second@acme.example"]).certificate
    verdict = address_match(alice, addresses)
    assert verdict.matches is matches
    assert bool(verdict.detail) is not matches


def test_a_name_is_no_address() -> None:
    """A common name or a display name that looks like an address proves nothing."""
    alice = make_user("alice@acme.example", san=False, common_name="boss@acme.example").certificate
    assert not address_match(alice, ["boss@acme.example"]).matches


def test_a_line_of_the_list_excuses_lateness_and_not_earliness(ca: Entity) -> None:
    early = make_user("alice@acme.example", ca, not_before=NOW + DAY, not_after=NOW + 9 * DAY).certificate
    line = TrustEntry(early.thumbprint, "allow", allow_expired=True)
    verdict = judge_signer(early, Anchors([ca.certificate], [], {early.thumbprint: line}), MOMENT)
    assert (verdict.usable, verdict.reason) == (False, Reason.CERTIFICATE_NOT_YET_VALID)


def test_of_two_links_of_one_name_the_one_in_its_time_is_taken(ca: Entity) -> None:
    """A CA certificate that was renewed ahead of time ends later and does not serve yet."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = make_ca("Between", ca, key=key)
    ahead = make_ca("Between", ca, key=key, not_before=NOW + DAY, not_after=NOW + 9999 * DAY)
    alice = make_user("alice@acme.example", now).certificate
    for carried in ([now.certificate, ahead.certificate], [ahead.certificate, now.certificate]):
        assert judge_signer(alice, anchors(ca), MOMENT, carried).usable


def test_sixteen_links_are_looked_at(ca: Entity) -> None:
    between = make_ca("Between", ca)
    alice = make_user("alice@acme.example", between).certificate
    crowd = [make_ca(f"CA {number}", ca, kind="ec").certificate for number in range(16)]
    assert judge_signer(alice, anchors(ca), MOMENT, [*crowd[:15], between.certificate]).usable
    assert not judge_signer(alice, anchors(ca), MOMENT, [*crowd, between.certificate]).usable
