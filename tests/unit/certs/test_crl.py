"""Certificate revocation lists: which one may speak about whom, and when it may not."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.crl import Crl, crl_finding
from ime_gateway.certs.revocation import Finding, Link
from tests.pki import DAY, NOW, Entity, key_usage, make_ca, make_user
from tests.revocation import make_crl, points, scope

MOMENT = NOW.timestamp()
HOUR = 3600.0
URL = "http://crl.example/a.crl"


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca("Issuing CA")


@pytest.fixture(scope="module")
def alice(ca: Entity) -> Entity:
    return make_user("alice@acme.example", ca)


def link(leaf: Entity, ca: Entity) -> Link:
    return Link(leaf.certificate, ca.certificate)


def about(leaf: Entity, ca: Entity, *lists: bytes, moment: float = MOMENT, stale: float = 0.0) -> Finding:
    return crl_finding(link(leaf, ca), [Crl.read(one) for one in lists], moment, stale)


def test_who_is_not_listed_is_good_until_the_next_list(ca: Entity, alice: Entity) -> None:
    found = about(alice, ca, make_crl(ca, [7]), stale=HOUR)
    assert found.state == "good" and found.until == (NOW + 7 * DAY).timestamp() + HOUR
    assert "not in the CRL of" in found.detail


def test_who_is_listed_is_revoked_with_day_and_reason(ca: Entity, alice: Entity) -> None:
    found = about(alice, ca, make_crl(ca, [alice, 9], reason=x509.ReasonFlags.key_compromise))
    assert found.state == "revoked" and "keyCompromise" in found.detail and "listed since" in found.detail


def test_an_entry_that_cannot_be_understood_still_revokes(ca: Entity, alice: Entity) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert about(alice, ca, make_crl(ca, [alice], entry_extensions=[(strange, True)])).state == "revoked"


def test_long_serial_numbers_with_equal_ends_are_told_apart(ca: Entity, alice: Entity) -> None:
    """The index keeps 64 bits only; a hit must be looked at whole."""
    twin = alice.x509.serial_number ^ (1 << 100)
    assert about(alice, ca, make_crl(ca, [twin])).state == "good"
    assert Crl.read(make_crl(ca, [twin])).lists(twin) is not None


def test_a_list_of_thousands_finds_each_of_them(ca: Entity) -> None:
    serials = [(number * 2654435761) % (1 << 120) + 1 for number in range(3000)]
    listed = Crl.read(make_crl(ca, serials))
    assert all(listed.lists(serial) is not None for serial in serials)
    assert all(listed.lists(serial + 1) is None for serial in serials[:100])


@pytest.mark.parametrize(
    ("begins", "ends", "stale", "state", "words"),
    [
        (-DAY, DAY, 0.0, "good", ""),
        (-2 * DAY, -DAY / 24, 0.0, "unknown", "stale"),
        (-2 * DAY, -DAY / 24, 2 * HOUR, "good", ""),
        (-2 * DAY, -DAY / 8, 2 * HOUR, "unknown", "stale"),
        (DAY, 2 * DAY, 0.0, "unknown", "future"),
        (DAY / 1440, 2 * DAY, 0.0, "good", ""),
    ],
)
def test_time(ca: Entity, alice: Entity, begins: object, ends: object, stale: float, state: str, words: str) -> None:
    found = about(alice, ca, make_crl(ca, this_update=NOW + begins, next_update=NOW + ends), stale=stale)  # type: ignore[operator]
    assert found.state == state and words in found.detail


@pytest.mark.parametrize("reason", [None, x509.ReasonFlags.key_compromise])
def test_whom_a_list_revoked_stays_so_when_its_server_falls_silent(
    ca: Entity, alice: Entity, reason: x509.ReasonFlags | None
) -> None:
    bob = make_user("bob@acme.example", ca)
    old = make_crl(ca, [alice], this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY, reason=reason)
    found = about(alice, ca, old)
    assert found.state == "revoked" and found.until > MOMENT
    assert about(bob, ca, old).state == "unknown", "a list so old clears nobody"
    stranger = make_ca("Issuing CA")
    assert about(alice, ca, make_crl(stranger, [alice], next_update=NOW - DAY / 24)).state == "unknown"


def test_only_a_newer_list_in_time_takes_a_revocation_back(ca: Entity, alice: Entity) -> None:
    old = make_crl(ca, [alice], this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY)
    assert about(alice, ca, old, make_crl(ca, [alice])).state == "revoked"
    for newer in (make_crl(ca), make_crl(ca, [7])):
        assert about(alice, ca, old, newer).state == about(alice, ca, newer, old).state == "good"
    older = make_crl(ca, this_update=NOW - 10 * DAY)
    late = make_crl(ca, this_update=NOW - 3 * DAY, next_update=NOW - 2 * DAY)
    some = make_crl(ca, extensions=[scope(only_some_reasons=SOME)])
    delta = make_crl(ca, extensions=[(x509.DeltaCRLIndicator(1), True)])
    for other in (older, late, some, delta):
        assert about(alice, ca, old, other).state == about(alice, ca, other, old).state == "revoked"


def test_a_hold_ends_with_its_list(ca: Entity, alice: Entity) -> None:
    hold = x509.ReasonFlags.certificate_hold
    assert about(alice, ca, make_crl(ca, [alice], reason=hold)).state == "revoked"
    old = make_crl(ca, [alice], this_update=NOW - 9 * DAY, next_update=NOW - 8 * DAY, reason=hold)
    found = about(alice, ca, old)
    assert found.state == "unknown" and "stale" in found.detail


def test_lists_of_another_name_with_the_same_key_say_nothing(ca: Entity, alice: Entity) -> None:
    renamed = make_ca("Renamed CA", key=ca.key)
    for one in (make_crl(renamed), make_crl(renamed, [alice])):
        assert about(alice, ca, one).state == "unknown"


def test_a_list_of_the_renewed_ca_is_about_what_the_older_one_issued(ca: Entity, alice: Entity) -> None:
    renewed = make_ca("Issuing CA", key=ca.key)
    assert about(alice, ca, make_crl(renewed)).state == "good"
    assert about(alice, renewed, make_crl(ca, [alice])).state == "revoked"
    rekeyed = make_ca("Issuing CA")
    assert about(alice, ca, make_crl(rekeyed)).state == "unknown"


def test_only_the_issuer_speaks(ca: Entity, alice: Entity) -> None:
    namesake, other = make_ca("Issuing CA"), make_ca("Other CA")
    for forged in (make_crl(ca, [alice], signer=namesake), make_crl(ca, signer=namesake), make_crl(other, [alice])):
        found = about(alice, ca, forged)
        assert found.state == "unknown" and "not signed by the issuer" in found.detail
    damaged = bytearray(make_crl(ca))
    damaged[-5] ^= 1
    assert about(alice, ca, bytes(damaged)).state == "unknown"


def test_a_ca_that_may_not_sign_lists(alice: Entity) -> None:
    mute = make_ca("Mute CA", ku=key_usage(key_cert_sign=True))
    assert about(make_user("x@acme.example", mute), mute, make_crl(mute)).state == "unknown"
    free = make_ca("Free CA", ku=None)
    assert about(make_user("x@acme.example", free), free, make_crl(free)).state == "good"


@pytest.mark.parametrize("kind", ["p256", "p384", "ed25519"])
def test_keys_of_every_kind_sign_lists(kind: str) -> None:
    ca = make_ca("Curve CA", kind=kind)
    leaf = make_user("x@acme.example", ca)
    assert about(leaf, ca, make_crl(ca)).state == "good"
    assert about(leaf, ca, make_crl(ca, [leaf])).state == "revoked"


def test_a_forgeable_signature_says_nothing(ca: Entity, alice: Entity) -> None:
    sha256_with_rsa, sha1_with_rsa = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    found = about(alice, ca, make_crl(ca).replace(sha256_with_rsa, sha1_with_rsa))
    assert found.state == "unknown" and "SHA-1" in found.detail


SOME = frozenset({x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise})
REST = frozenset(x509.ReasonFlags) - SOME - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}
STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        (scope(indirect_crl=True), "indirect"),
        (scope(only_contains_attribute_certs=True), "attribute"),
        (scope(only_contains_ca_certs=True), "other certificates"),
        (scope(only_some_reasons=SOME), "some reasons"),
        (scope(full_name=[x509.UniformResourceIdentifier("http://elsewhere.example/")]), "other certificates"),
        ((STRANGE, True), "1.2.3.4"),
    ],
)
def test_lists_that_are_not_about_this_certificate(
    ca: Entity, alice: Entity, extension: tuple[x509.ExtensionType, bool], words: str
) -> None:
    for listed in ([], [alice]):
        found = about(alice, ca, make_crl(ca, listed, extensions=[extension]))
        if extension[0] == scope(only_some_reasons=SOME)[0] and listed:
            assert found.state == "revoked", "what it does tell of counts"
        else:
            assert found.state == "unknown" and words in found.detail, found


def test_a_delta_list_revokes_and_never_clears(ca: Entity, alice: Entity) -> None:
    delta = [(x509.DeltaCRLIndicator(1), True)]
    base = make_crl(ca)
    assert "clears nobody" in about(alice, ca, make_crl(ca, extensions=delta)).detail
    assert about(alice, ca, base, make_crl(ca, extensions=delta)).state == "good"
    assert about(alice, ca, base, make_crl(ca, [alice], extensions=delta)).state == "revoked"
    lifted = make_crl(ca, [alice], reason=x509.ReasonFlags.remove_from_crl, extensions=delta)
    assert about(alice, ca, base, lifted).state == "good"
    assert about(alice, ca, make_crl(ca, [alice]), lifted).state == "revoked", (
        "a hold that is over: the next list says so"
    )


def test_scopes_that_do_hold(ca: Entity, alice: Entity) -> None:
    assert about(alice, ca, make_crl(ca, extensions=[scope(only_contains_user_certs=True)])).state == "good"
    issuing = make_ca("Below", ca)
    assert about(issuing, ca, make_crl(ca, extensions=[scope(only_contains_ca_certs=True)])).state == "good"
    assert about(issuing, ca, make_crl(ca, extensions=[scope(only_contains_user_certs=True)])).state == "unknown"
    assert about(alice, ca, make_crl(ca, extensions=[(STRANGE, False)])).state == "good"


def test_lists_for_some_reasons_add_up(ca: Entity, alice: Entity) -> None:
    first = make_crl(ca, extensions=[scope(only_some_reasons=SOME)])
    second = make_crl(ca, extensions=[scope(only_some_reasons=REST)])
    assert about(alice, ca, first).state == about(alice, ca, second).state == "unknown"
    assert about(alice, ca, first, second).state == "good"
    partial = make_user("p@acme.example", ca, extra=[points(URL, reasons=SOME)])
    assert about(partial, ca, make_crl(ca)).state == "unknown", "the certificate says what its list is for"


def test_the_distribution_point_must_be_one_of_the_certificate(ca: Entity) -> None:
    named = make_user("n@acme.example", ca, extra=[points("http://x.example/", URL)])
    here = scope(full_name=[x509.UniformResourceIdentifier(URL)])
    assert about(named, ca, make_crl(ca, extensions=[here])).state == "good"
    there = scope(full_name=[x509.UniformResourceIdentifier("http://crl.example/b.crl")])
    assert about(named, ca, make_crl(ca, [named], extensions=[there])).state == "unknown"
    unnamed = make_user("u@acme.example", ca)
    issuer = scope(full_name=[x509.DirectoryName(ca.x509.subject)])
    assert about(unnamed, ca, make_crl(ca, extensions=[issuer])).state == "good", "the implied point"
    part = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "CRL1")])
    relative = x509.CRLDistributionPoints([x509.DistributionPoint(None, part, None, None)])
    below = make_user("r@acme.example", ca, extra=[(relative, False)])
    assert about(below, ca, make_crl(ca, extensions=[scope(relative_name=part)])).state == "good"


def test_another_crl_issuer_is_not_followed(ca: Entity) -> None:
    elsewhere = x509.DirectoryName(make_ca("CRL Signer").x509.subject)
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(URL)], None, None, [elsewhere])
    leaf = make_user("i@acme.example", ca, extra=[(x509.CRLDistributionPoints([point]), False)])
    assert about(leaf, ca, make_crl(ca)).state == "unknown"


def test_no_list_and_no_readable_list(ca: Entity, alice: Entity) -> None:
    assert about(alice, ca).state == "unknown"
    der = make_crl(ca)
    pem = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    assert about(alice, ca, pem).state == "good", "some servers give PEM"
    for bad in (b"", b"<html>", der[:-20], alice.der, der[:30] + b"\xff" * 40 + der[70:]):
        with pytest.raises(UnreadableCertificate):
            Crl.read(bad)
