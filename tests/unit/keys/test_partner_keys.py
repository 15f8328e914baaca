"""Which certificate may come after a partner's current one by itself, and which of its own may say so."""

from typing import Any

import pytest

from ime_gateway.certs.revocation import Finding, Link, RevocationMode
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.partner_keys import may_appoint, may_follow
from ime_gateway.ports.directory import TrustEntry
from tests.exchange_world import ACME, authority
from tests.pki import DAY, NOW, Entity, key_usage, make_ca, make_user
from tests.revocation import Book

MOMENT = NOW.timestamp()
CURRENT = authority(ACME)


def as_ca() -> Entity:
    """A CA's certificate that is made for mail as well, and names the domain."""
    usage = key_usage(key_cert_sign=True, digital_signature=True, key_encipherment=True)
    return make_ca(f"domain-confidentiality-authority@{ACME}", ku=usage)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: authority(ACME), ""),
        (lambda: authority(ACME, not_yet=True), ""),
        (lambda: make_user(f"anna@{ACME}"), ""),
        (as_ca, "it is a CA certificate"),
        (lambda: authority(ACME, expired=True), "it has expired"),
        (lambda: authority(ACME, not_after=NOW), "it has expired"),
        (lambda: authority(ACME, key=CURRENT.key), "it has the key of the current one"),
        (lambda: authority(ACME, san=False, common_name="x"), f"it does not stand for {ACME}"),
        (lambda: authority("x.example"), f"it does not stand for {ACME} alone"),
        (lambda: authority(f"sub.{ACME}"), f"it does not stand for {ACME} alone"),
        (lambda: authority(ACME, dn_addresses=["ceo@bank.example"]), "it names ceo@bank.example"),
        (lambda: authority(ACME, key_bits=1024), "RSA key of 1024 bits"),
        (lambda: authority(ACME, ku=key_usage(digital_signature=True)), "key usage"),
    ],
)
def test_what_may_follow(made: Any, why: str) -> None:
    told = may_follow(made().certificate, CURRENT.certificate, ACME, MOMENT)
    assert why in told and bool(told) is bool(why)


def anchors(*entities: Entity, **line: Any) -> Anchors:
    return Anchors(
        (),
        trust={one.certificate.thumbprint: TrustEntry(one.certificate.thumbprint, "allow", **line) for one in entities},
    )


def test_only_the_newest_usable_one_appoints() -> None:
    older, newer = authority(ACME, not_before=NOW - 20 * DAY), authority(ACME, not_before=NOW - 10 * DAY)
    both, later = (older.certificate, newer.certificate), authority(ACME, not_yet=True)
    assert may_appoint(newer.certificate, both, anchors(older, newer), MOMENT)
    assert not may_appoint(older.certificate, both, anchors(older, newer), MOMENT)
    assert may_appoint(older.certificate, both, anchors(older), MOMENT), "the newer one is not trusted"
    unused = (*both, later.certificate)
    assert may_appoint(newer.certificate, unused, anchors(older, newer, later), MOMENT), "its time has not come"


def test_a_stranger_and_one_out_of_its_time_appoint_nobody() -> None:
    """Whatever the trust list allows of expired ones."""
    one = authority(ACME, not_before=NOW - 20 * DAY, not_after=NOW - DAY)
    known = anchors(one, allow_expired=True)
    assert not may_appoint(one.certificate, (one.certificate,), known, MOMENT)
    assert may_appoint(one.certificate, (one.certificate,), known, MOMENT - 86_400.0)
    assert not may_appoint(one.certificate, (CURRENT.certificate,), known, MOMENT - 86_400.0)
    early = authority(ACME, not_yet=True)
    assert not may_appoint(early.certificate, (early.certificate,), anchors(early), MOMENT)
    assert not may_appoint(CURRENT.certificate, (CURRENT.certificate,), Anchors(()), MOMENT)


@pytest.mark.parametrize("mode", ["soft-fail", "hard-fail"])
@pytest.mark.parametrize(
    ("newer", "appoints"), [("good", False), ("unknown", False), ("unasked", False), ("revoked", True)]
)
def test_silence_about_the_newer_one_gives_the_older_no_say(newer: str, appoints: bool, mode: RevocationMode) -> None:
    """Who stole last year's key and silences a CRL server must not name his own certificate (threats 66)."""
    root = make_ca()
    old = make_user(f"domain-confidentiality-authority@{ACME}", root, not_before=NOW - 9 * DAY).certificate
    new = make_user(f"domain-confidentiality-authority@{ACME}", root, not_before=NOW - DAY).certificate

    def ask(link: Link, moment: float) -> Finding:
        return Finding(newer if link.certificate == new else "good", newer, moment + 100)  # type: ignore[arg-type]

    anchors = Anchors([root.certificate], revocation=Book(ask, mode))
    assert (may_appoint(old, [new, old], anchors, MOMENT) is not None) == appoints
    assert (may_appoint(new, [new, old], anchors, MOMENT) is not None) == (
        newer == "good" or (mode == "soft-fail" and newer != "revoked")
    )
