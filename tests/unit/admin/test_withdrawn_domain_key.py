"""A domain certificate of ours that was denied or revoked: whoever looks is told, for mail here seems to flow."""

import secrets

from structlog.testing import capture_logs

from ime_gateway.admin.authority_desk import AuthorityDesk
from ime_gateway.admin.doctor_desk import DoctorDesk, diagnosis_json
from ime_gateway.admin.domain_desk import DomainDesk
from ime_gateway.admin.domain_key_desk import DomainKeyDesk
from ime_gateway.admin.issue_desk import IssueDesk
from ime_gateway.admin.trust_desk import TrustDesk
from ime_gateway.app.housekeeping import keep_house
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import ManagedDomain
from tests.pki import DAY, NOW, make_user

PKI = "http://pki.acme.example"
AUTHORITY = "domain-confidentiality-authority@acme.example"
MEND = "run: ime-gateway domain key rollover acme.example --now, and give partners the new one"


def with_key(registry, clock, *, denied=()) -> DomainKeyDesk:
    own = make_user(AUTHORITY, not_after=NOW + 400 * DAY)
    following = make_user(AUTHORITY, not_after=NOW + 800 * DAY)
    with registry.transaction(write=True) as live:
        live.put_managed_domain(
            ManagedDomain(name="acme.example", deliver_to="mx", exchange_address="exchange@acme.example"), ()
        )
        live.domain_keys.put("acme.example", own.certificate, own.key_der, "current")
        live.domain_keys.put("acme.example", following.certificate, following.key_der, "next")
        for which in denied:
            thumbprint = {"current": own, "next": following}[which].certificate.thumbprint
            live.put_trust(TrustEntry(thumbprint, "deny", note="stolen"))
    return DomainKeyDesk(registry, clock, secrets.token_bytes)


def examined(registry, clock, people=()):
    return DoctorDesk(registry, clock, lambda _route: None, "mx").examine(people)


def test_a_denied_key_of_ours_stands_wherever_an_administrator_looks(store, registry, clock) -> None:
    notes = with_key(registry, clock, denied=["current"]).show("acme.example").notes
    assert "certificate-denied" in notes[0] and "stolen" in notes[0] and MEND in notes[0]
    assert notes[0] in DomainDesk(registry, clock).row("acme.example").notes
    diagnosis = examined(registry, clock)
    assert not diagnosis.ready
    assert diagnosis_json(diagnosis)["domain_keys"] == [{"domain": "acme.example", "detail": notes[0]}]
    with capture_logs() as logs:
        keep_house(store, clock.now())
    assert [line["note"] for line in logs if line["event"] == "domain key"] == [notes[0]]


def test_a_key_of_ours_is_no_stranger_to_the_trust_list(registry, clock) -> None:
    current = with_key(registry, clock).show("acme.example").current
    assert current is not None and TrustDesk(registry).is_known(current.certificate.thumbprint)


def test_a_denied_next_key_is_retired_first(registry, clock) -> None:
    note = with_key(registry, clock, denied=["next"]).show("acme.example").notes[0]
    assert "the next domain certificate" in note and "ime-gateway domain key retire acme.example sha256:" in note


def test_the_doctor_speaks_of_an_expired_domain_key_and_not_of_the_exchange_address(registry, clock) -> None:
    desk = with_key(registry, clock)
    assert examined(registry, clock, ["exchange@acme.example"]).ready
    desk.rollover("acme.example", now=True, days=100, actor="me")
    clock.moment += 900 * 86_400
    (found,) = examined(registry, clock).domain_keys
    assert "the domain certificate expired at" in found.detail


def test_a_revoked_key_of_ours_is_news(registry, clock) -> None:
    with registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="mx"), ())
    AuthorityDesk(registry, clock, secrets.token_bytes, PKI).init(
        "Acme", "", "p-256", open_root=False, replace=False, actor="test"
    )
    issuing = IssueDesk(registry, clock, secrets.token_bytes, PKI)
    [made] = issuing.issue("acme.example", kind="p-256", self_signed=False, again=False, actor="test")
    keys = DomainKeyDesk(registry, clock, secrets.token_bytes)
    assert keys.show("acme.example").notes == ()
    issuing.revoke(made.certificate.thumbprint, "keyCompromise", "test")
    (note,) = keys.show("acme.example").notes
    assert "certificate-revoked" in note and MEND in note
    assert [one.detail for one in examined(registry, clock).domain_keys] == [note]


def test_keys_that_hold_are_no_news(registry, clock) -> None:
    notes = with_key(registry, clock).show("acme.example").notes
    assert not any("not to be used" in note for note in notes)
