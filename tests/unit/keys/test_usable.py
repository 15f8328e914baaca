"""Verdicts: the order of the questions, the evidence, and how long an answer holds."""

import math
from dataclasses import dataclass

import pytest

from ime_gateway.base.reasons import Reason
from ime_gateway.keys.usable import Anchors, Verdict, judge
from tests.pki import DAY, NOW, Entity, key_usage, make_ca, make_user

MOMENT = NOW.timestamp()
ADDRESS = "alice@acme.example"


@dataclass(frozen=True)
class Line:
    verdict: str
    allow_expired: bool = False
    note: str = ""


def verdict(
    leaf: Entity,
    roots: list[Entity],
    line: Line | None = None,
    moment: float = MOMENT,
    between: list[Entity] = [],  # noqa: B006
) -> Verdict:
    trust = {leaf.certificate.thumbprint: line} if line else {}
    anchors = Anchors([one.certificate for one in roots], [one.certificate for one in between], trust)
    return judge(leaf.certificate, anchors, moment, "personal")


@pytest.fixture(scope="module")
def root() -> Entity:
    return make_ca("Acme Root")


def test_a_valid_certificate_with_its_evidence(root: Entity) -> None:
    alice = make_user(ADDRESS, root)
    found = verdict(alice, [root])
    assert found.usable and found.reason is Reason.PERSONAL_CERTIFICATE
    assert "CN=Acme Root" in found.detail and alice.certificate.thumbprint[:19] in found.detail
    assert found.valid_until == alice.certificate.not_after
    as_domain = judge(alice.certificate, Anchors([root.certificate]), MOMENT, "domain")
    assert as_domain.usable and as_domain.reason is Reason.DOMAIN_CERTIFICATE


UNFIT = {"ku": key_usage(digital_signature=True)}
DENY, ALLOW, ALLOW_EXPIRED = Line("deny"), Line("allow"), Line("allow", allow_expired=True)


@pytest.mark.parametrize(
    ("options", "line", "trusted", "expected"),
    [
        # denied > weak or unfit > time > allowed > path: each pair of neighbours, both ways
        (UNFIT, DENY, True, Reason.CERTIFICATE_DENIED),
        ({"expired": True}, DENY, True, Reason.CERTIFICATE_DENIED),
        ({}, DENY, True, Reason.CERTIFICATE_DENIED),
        (UNFIT, ALLOW, True, Reason.CERTIFICATE_UNFIT),
        ({**UNFIT, "expired": True}, None, True, Reason.CERTIFICATE_UNFIT),
        ({"key_bits": 1024}, ALLOW, False, Reason.CERTIFICATE_WEAK),
        ({"expired": True}, ALLOW, True, Reason.CERTIFICATE_EXPIRED),
        ({"expired": True}, None, False, Reason.CERTIFICATE_EXPIRED),
        ({"not_yet": True}, ALLOW_EXPIRED, True, Reason.CERTIFICATE_NOT_YET_VALID),
        ({}, None, False, Reason.CERTIFICATE_UNTRUSTED),
    ],
)
def test_the_first_no_is_the_reason(
    root: Entity, options: dict[str, object], line: Line | None, trusted: bool, expected: Reason
) -> None:
    found = verdict(make_user(ADDRESS, root, **options), [root] if trusted else [], line)  # type: ignore[arg-type]
    assert not found.usable and found.reason is expected


def test_an_allowed_certificate_needs_no_path(root: Entity) -> None:
    found = verdict(make_user(ADDRESS), [], Line("allow", note="fingerprint read out on the telephone"))
    assert found.usable and "telephone" in found.detail
    expired = verdict(make_user(ADDRESS, expired=True), [], ALLOW_EXPIRED)
    assert expired.usable and "although expired" in expired.detail and expired.valid_until == math.inf


def test_a_denied_issuer_denies(root: Entity) -> None:
    alice = make_user(ADDRESS, root)
    anchors = Anchors([root.certificate], [], {root.certificate.thumbprint: Line("deny")})
    assert judge(alice.certificate, anchors, MOMENT, "personal").reason is Reason.CERTIFICATE_DENIED


def test_a_verdict_holds_as_long_as_it_says(root: Entity) -> None:
    short_lived = make_ca("Short", root, not_after=NOW + 5 * DAY)
    coming = make_ca("Coming", root, not_before=NOW + 3 * DAY)
    cases = [
        (make_user(ADDRESS, root), [], None),
        (make_user(ADDRESS, root, not_yet=True), [], None),
        (make_user(ADDRESS, root, expired=True), [], None),
        (make_user(ADDRESS, root, **UNFIT), [], None),  # type: ignore[arg-type]
        (make_user(ADDRESS, short_lived), [short_lived], None),
        (make_user(ADDRESS, coming), [coming], None),
        (make_user(ADDRESS), [], None),
        (make_user(ADDRESS), [], ALLOW),
        (make_user(ADDRESS), [], ALLOW_EXPIRED),
        (make_user(ADDRESS, root), [], DENY),
    ]
    for leaf, between, line in cases:
        now = MOMENT
        for _ in range(6):
            found = verdict(leaf, [root], line, now, between)
            assert found.valid_until >= now
            for fraction in (0.01, 0.5, 0.99):
                horizon = min(found.valid_until, now + 1000 * DAY.total_seconds())
                later = verdict(leaf, [root], line, now + (horizon - now) * fraction, between)
                assert (later.usable, later.reason) == (found.usable, found.reason)
            if found.valid_until == math.inf:
                break
            now = found.valid_until + 1
        else:
            pytest.fail("a verdict that changes for ever")


def test_an_authority_that_becomes_valid_later_is_not_missed(root: Entity) -> None:
    coming = make_ca("Coming", root, not_before=NOW + 3 * DAY)
    alice = make_user(ADDRESS, coming)
    found = verdict(alice, [root], None, MOMENT, [coming])
    assert not found.usable
    assert found.valid_until == coming.certificate.not_before
    assert verdict(alice, [root], None, found.valid_until, [coming]).usable


def test_a_signing_only_domain_certificate_is_unfit_even_when_allowed() -> None:
    odd = make_user(
        "domain-confidentiality-authority@bank.example",
        ku=key_usage(digital_signature=True, content_commitment=True),
        san=False,
        common_name=None,
        dn_addresses=["domain-confidentiality-authority@bank.example "],
    )
    anchors = Anchors([odd.certificate], [], {odd.certificate.thumbprint: ALLOW})
    found = judge(odd.certificate, anchors, MOMENT, "domain")
    assert not found.usable and found.reason is Reason.CERTIFICATE_UNFIT and "keyEncipherment" in found.detail
