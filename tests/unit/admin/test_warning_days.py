""" "Soon" is one thing: what the policy's largest `expiry_warning_days` says, for notes as for mail and log."""

import pytest

from ime_gateway.admin.domain_keys import domain_key_notes
from ime_gateway.admin.expiry import Ending
from ime_gateway.admin.ime_notes import key_notes
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.site import ManagedDomain, Policy
from tests.pki import DAY, NOW, make_user

ACME = ManagedDomain(name="acme.example", deliver_to="mx", ime_address="dca@ime.acme.example")


@pytest.mark.parametrize(("days", "said"), [((60, 7), True), ((40,), False), ((), False)])
def test_notes_begin_with_the_first_warning(registry: Registry, days: tuple[int, ...], said: bool) -> None:
    policy, moment = Policy(expiry_warning_days=days, overlap_days=30), NOW.timestamp()
    ime = make_user("dca@ime.acme.example", not_after=NOW + 50 * DAY)
    key = make_user("domain-confidentiality-authority@acme.example", not_after=NOW + 50 * DAY)
    with registry.transaction(write=True) as live:
        live.put_managed_domain(ACME, ())
        live.put_ime_key("acme.example", ime.certificate, ime.key_der, older_open_until=moment)
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
        notes = key_notes(ACME, live.ime_keys(), policy, moment)
        more = domain_key_notes("acme.example", live.domain_keys.list(), policy, moment)
    assert any("expires at" in note for note in notes) is said
    assert any("expires at" in note for note in more) is said


def test_after_the_end_the_next_key_takes_over_now_and_nothing_lies_in_the_past(registry: Registry) -> None:
    policy, moment = Policy(overlap_days=30), NOW.timestamp()
    ended = make_user("domain-confidentiality-authority@acme.example", not_after=NOW - DAY)
    coming = make_user("domain-confidentiality-authority@acme.example")
    with registry.transaction(write=True) as live:
        live.put_managed_domain(ACME, ())
        live.domain_keys.put("acme.example", ended.certificate, ended.key_der, "current")
        (before,) = domain_key_notes("acme.example", live.domain_keys.list(), policy, moment)
        live.domain_keys.put("acme.example", coming.certificate, coming.key_der, "next")
        (after,) = domain_key_notes("acme.example", live.domain_keys.list(), policy, moment)
    assert "ime-gateway domain key rollover acme.example --now, then give partners the new one" in before
    assert "the next domain key takes over within the hour" in after
    sentence = Ending("domain-key", "acme.example", ended.certificate.thumbprint, moment - 1).sentence(moment)
    assert "rollover acme.example --now" in sentence and "announce" not in sentence
