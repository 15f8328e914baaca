"""The store: can it be reached, is it ours, is it of this version, does it write, what is in it."""

from collections.abc import Iterator

from ime_gateway.admin.domain_keys import domain_key_takeover, domain_key_troubles, withdrawn_key_notes
from ime_gateway.admin.ime_notes import key_notes, signer_notes
from ime_gateway.admin.judging import anchors_in
from ime_gateway.admin.key_pairs import DAY_SECONDS
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.admin.waiting_certificates import announced_and_waiting, waiting_note
from ime_gateway.app.installation import schema_trouble
from ime_gateway.app.preflight.finding import Finding, error, ok, warning
from ime_gateway.app.preflight.settings_checks import check_route
from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.keys.usable import Anchors, judge
from ime_gateway.mail.address import parse_path
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.domain_keys import DomainKeyEntry
from ime_gateway.ports.registry import ImeKeyEntry
from ime_gateway.settings.inheritance import recipient_settings
from ime_gateway.settings.model import Settings
from ime_gateway.settings.site import ManagedDomain, Policy
from ime_gateway.store.database import Store


def check_store(store: Store, settings: Settings, moment: float) -> Iterator[Finding]:
    """All findings about an open store; raises StoreUnavailable when it fails meanwhile."""
    state = store.schema_state()
    if state.kind != "current":
        # An older one keeps nothing from starting: serve upgrades it before it takes mail.
        yield (warning if state.kind == "older" else error)("store.url", schema_trouble(state))
        return
    store.registry.check_write()
    yield ok("store.url", "reachable, of this version, takes writes, and fits the master key")
    with store.registry.transaction(write=False) as live:
        view = live.view()
        keys = {name: live.ime_keys(name) for name in view.managed}
        pending = {name: live.container_counts(name).pending for name in view.managed}
        domain_keys = live.domain_keys.list()
        anchors = anchors_in(live, view, mail_will_ask=True)
        partners = list(_partners(view, anchors, moment))
        waiting = announced_and_waiting(live)
        withdrawn = {name: withdrawn_key_notes(name, domain_keys, anchors, moment) for name in view.managed}
    yield from _live_data(view, settings)
    yield from partners
    yield from (warning(f"partner_domain.{one.owner}.smime_certificates", waiting_note(one)) for one in waiting)
    for name, managed in sorted(view.managed.items()):
        yield from _ime(managed, keys[name], pending[name], view.policy, settings, moment)
        yield from (warning(f"managed_domain.{name}.domain_key", note) for note in withdrawn[name])
        yield from _domain_keys(name, [key for key in domain_keys if key.domain == name], view.policy, moment)


def _domain_keys(name: str, keys: list[DomainKeyEntry], policy: Policy, moment: float) -> Iterator[Finding]:
    """A change of keys that goes its way is no trouble."""
    key = f"managed_domain.{name}.domain_key"
    for note in domain_key_troubles(name, keys, policy, moment):
        yield warning(key, note)
    takeover, announced = domain_key_takeover(keys, policy, moment)
    if takeover:
        yield (ok if announced else warning)(key, takeover)


def _ime(
    managed: ManagedDomain, keys: list[ImeKeyEntry], pending: int, policy: Policy, settings: Settings, moment: float
) -> Iterator[Finding]:
    """IME 2.0: nothing of it keeps other mail from being served, so nothing of it is an error but a clash."""
    key = f"managed_domain.{managed.name}.ime_address"
    for note in key_notes(managed, keys, policy, moment):
        yield warning(key, note)
    for note in signer_notes(managed, pending):
        yield warning(f"managed_domain.{managed.name}.ime_signers", note)
    if not managed.ime_address:
        return
    if managed.ime_domain == settings.ime.v1_address.rpartition("@")[2].lower():
        yield error(key, f"{managed.ime_domain} is that of ime.v1_address too; IME 1.0 and 2.0 need a domain each")
        return
    yield ok(
        key,
        f"the mail server must send all mail for {managed.ime_domain} to an internal listener here; it must be none of"
        " its accepted domains",
    )


def _live_data(view: SiteView, settings: Settings) -> Iterator[Finding]:
    if view.managed:
        yield ok("managed_domain", ", ".join(sorted(view.managed)))
    else:
        yield warning("managed_domain", "there is no managed domain, so nobody is served; see: ime-gateway apply")
    if not view.roots and not any(line.verdict == "allow" for line in view.trust.values()):
        yield warning("root", "there is no root and no allowed certificate, so no certificate is used")
    for name, managed in sorted(view.managed.items()):
        for key, route in (("deliver_to", managed.deliver_to), ("return_to", managed.return_to)):
            finding = check_route(f"managed_domain.{name}.{key}", route, settings) if route else None
            if finding is not None and finding.level != "ok":
                yield finding
    for name, partner in sorted(view.partners.items()):
        finding = check_route(f"partner_domain.{name}.route", partner.route, settings) if partner.route else None
        if finding is not None and finding.level != "ok":
            yield finding
    yield from _v1_domain(view, settings)


def _partners(view: SiteView, anchors: Anchors, moment: float) -> Iterator[Finding]:
    for name in sorted(view.partners):
        known = view.domain_certificates.get(name, ())
        verdicts = [judge(one, anchors, moment, "domain") for one in known]
        ends = [one.not_after for one, verdict in zip(known, verdicts, strict=True) if verdict.usable]
        if ends:
            yield from _ending(name, max(ends), view.policy, moment)
            continue
        reasons = ", ".join(sorted({str(verdict.reason) for verdict in verdicts}))
        trouble = f"none of its certificates is usable ({reasons})" if verdicts else "no certificate is set"
        key = f"partner_domain.{name}.smime_certificates"
        mode = recipient_settings(view.policy, view.partners, {}, name).encryption.value
        if mode == "mandatory":
            waits = all(verdict.reason is Reason.REVOCATION_UNKNOWN for verdict in verdicts) and verdicts
            fate = f"all mail to {name} will {'wait, then be returned' if waits else 'be refused'}"
            fate += ", but to people who have a certificate of their own"
            yield warning(key, f"{fate}: {trouble}")
        elif verdicts:
            yield warning(key, trouble)


def _ending(name: str, ends: float, policy: Policy, moment: float) -> Iterator[Finding]:
    if ends - moment < policy.warning_days * DAY_SECONDS:
        advice = f"ask for the next one: ime-gateway domain set {name} --certificate FILE"
        yield warning(
            f"partner_domain.{name}.smime_certificates", f"its last certificate expires at {rfc3339(ends)}; {advice}"
        )


def _v1_domain(view: SiteView, settings: Settings) -> Iterator[Finding]:
    try:
        domain = parse_path(settings.ime.v1_address).domain
    except UnreadableMail:
        return  # the settings' checks have said so
    if domain in view.managed:
        yield error(
            "ime.v1_address", f"{domain} must not be a managed domain, or the mail server keeps the mail itself"
        )
