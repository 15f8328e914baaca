""" "Soon" is one thing: what the policy's largest `expiry_warning_days` says, for notes as for mail and log."""

import pytest

from ime_gateway.admin.domain_keys import domain_key_notes
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
