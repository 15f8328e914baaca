"""Who may name the next certificate of a partner without a person: the newest of its certificates, and no older one."""

from datetime import timedelta

import pytest

from ime_gateway.certs.revocation import Finding, Link, RevocationMode
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.partner_keys import may_appoint
from tests.pki import NOW, make_ca, make_user
from tests.revocation import Book

MOMENT = NOW.timestamp()
AUTHORITY = "domain-confidentiality-authority@bolt.example"


@pytest.mark.parametrize("mode", ["soft-fail", "hard-fail"])
@pytest.mark.parametrize(
    ("newer", "appoints"), [("good", False), ("unknown", False), ("unasked", False), ("revoked", True)]
)
def test_silence_about_the_newer_one_gives_the_older_no_say(newer: str, appoints: bool, mode: RevocationMode) -> None:
    """Who stole last year's key and silences a CRL server must not name his own certificate (threats 66)."""
    root = make_ca()
    old = make_user(AUTHORITY, root, not_before=NOW - timedelta(days=9)).certificate
    new = make_user(AUTHORITY, root, not_before=NOW - timedelta(days=1)).certificate

    def ask(link: Link, moment: float) -> Finding:
        return Finding(newer if link.certificate == new else "good", newer, moment + 100)  # type: ignore[arg-type]

    anchors = Anchors([root.certificate], revocation=Book(ask, mode))
    assert (may_appoint(old, [new, old], anchors, MOMENT) is not None) == appoints
    assert (may_appoint(new, [new, old], anchors, MOMENT) is not None) == (
        newer == "good" or (mode == "soft-fail" and newer != "revoked")
    )
