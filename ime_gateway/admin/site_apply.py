"""Makes the live data what a SITE.toml says, in one transaction, and tells what changed.

The difference is found first and carried out after, so that a dry run prints exactly what a real
one would do, and applying the same file twice changes nothing.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from ime_gateway.admin.intake import Arrival
from ime_gateway.admin.judging import anchors_in
from ime_gateway.admin.key_pairs import KeyPair
from ime_gateway.admin.site_apply_checks import anchor_notes, check_steps
from ime_gateway.admin.site_apply_domain import (
    address_removals,
    address_steps,
    domain_key_steps,
    domain_notes,
    made_domain_keys,
    policy_steps,
    pruned_domain_keys,
    require_own_administrators,
)
from ime_gateway.admin.site_apply_ime import key_steps, made_keys, notes_after, pruned_keys, require_no_conflict
from ime_gateway.admin.site_file import SiteContents
from ime_gateway.admin.site_report import ApplyReport, Change, ChangeKind
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import judge
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.registry import CertificateEntry, Registry, RegistryTransaction
from ime_gateway.settings.site import ManagedDomain, PartnerDomain

_PAGE = 1000

_Act = Callable[[RegistryTransaction], object]
_Step = tuple[Change, _Act | None]


class SiteDesk:
    """Applies a site. May raise StoreUnavailable; then nothing is applied."""

    def __init__(self, registry: Registry, clock: Clock, randomness: Randomness, v1_domain: str = "") -> None:
        """`v1_domain`: that of the IME 1.0 address, which no IME 2.0 address may share."""
        self._registry = registry
        self._clock = clock
        self._randomness = randomness
        self._v1_domain = v1_domain.lower()

    def apply(self, contents: SiteContents, *, prune: bool, dry_run: bool, actor: str) -> ApplyReport:
        """Put `contents` in force; with `prune` also remove what they do not name.

        Raises UserError, and applies nothing, when a domain would silently change sides or an IME address stands in
        another's way.
        """
        made: dict[str, KeyPair] = {}
        for_domains: dict[str, KeyPair] = {}
        if not dry_run and (contents.ime_keys or contents.domain_keys):
            with self._registry.transaction(write=False) as live:
                made = made_keys(contents, live, self._clock, self._randomness)
                for_domains = made_domain_keys(contents, live, self._clock, self._randomness)
        with self._registry.transaction(write=not dry_run) as live:
            view = live.view()
            _require_same_side(contents, view)
            require_no_conflict(contents, view, self._v1_domain, prune=prune)
            require_own_administrators(contents.policy, _managed_then(contents, view, prune=prune))
            steps = [*policy_steps(contents, view), *_domains(contents, view), *_people(contents, live, prune=prune)]
            steps += [*_roots(contents, view), *_trust(contents, view), *address_steps(contents, view)]
            steps += key_steps(contents, live, made, self._clock.now(), actor)
            steps += [*domain_key_steps(contents, live, for_domains, actor), *check_steps(contents, live)]
            own = live.authorities.thumbprints() if prune else frozenset()
            notes = [*self._notes(contents, live, own, prune=prune), *notes_after(contents, live, self._clock.now())]
            notes += domain_notes(contents, live, self._clock.now())
            if prune:
                steps += [*_removals(contents, view, live, own), *address_removals(contents, view)]
                notes += [*pruned_keys(contents, live), *pruned_domain_keys(contents, live)]
            report = ApplyReport(tuple(change for change, _ in steps), tuple(notes))
            if not dry_run and report.changed:
                for _, act in steps:
                    if act is not None:
                        act(live)
                live.audit(actor, "site-apply", _summary(report))
        return report

    def _notes(
        self, contents: SiteContents, live: RegistryTransaction, own: frozenset[str], *, prune: bool
    ) -> tuple[str, ...]:
        now = self._clock.now()
        anchors = anchors_in(live, _afterwards(contents, live.view(), own, prune=prune), mail_will_ask=True)
        subjects: list[tuple[str, Certificate, Literal["personal", "domain"]]] = [
            (", ".join(item.addresses), item.certificate, "personal") for item in contents.people if item.addresses
        ]
        domains = [(domain.name, group) for domain, group in contents.managed]
        domains += [(domain.name, group) for domain, group in contents.partners]
        for name, group in domains:
            subjects += [(name, certificate, "domain") for certificate in group if not certificate.is_ca]
        notes = [*contents.skipped, *(() if prune else anchor_notes(contents, live.view()))]
        for whose, certificate, kind in subjects:
            verdict = judge(certificate, anchors, now, kind)
            if not verdict.usable:
                notes.append(f"the certificate of {whose} is not used: {verdict.reason}: {verdict.detail}")
        return tuple(notes)


def _afterwards(contents: SiteContents, view: SiteView, own: frozenset[str], *, prune: bool) -> SiteView:
    """The anchors as they will be, as far as verdicts need them."""
    kept_roots = tuple(root for root in view.roots if root.thumbprint in own) if prune else view.roots
    kept_trust = {} if prune else dict(view.trust)
    links = [item.certificate for item in contents.people if item.certificate.is_ca]
    return SiteView(
        generation=view.generation,
        policy=view.policy,
        managed=view.managed,
        partners=view.partners,
        roots=(*kept_roots, *contents.roots),
        trust=kept_trust | {entry.thumbprint: entry for entry in contents.trust},
        intermediates=(*view.intermediates, *links),
    )


def _managed_then(contents: SiteContents, view: SiteView, *, prune: bool) -> set[str]:
    """Names of the managed domains once the file is in force."""
    return {domain.name for domain, _ in contents.managed} | (set() if prune else set(view.managed))


def _require_same_side(contents: SiteContents, view: SiteView) -> None:
    """Ours or a partner's decides who is served and what must be encrypted: nobody changes it by a slip in a file."""
    wanted_partners = (domain.name for domain, _ in contents.partners)
    wanted_managed = (domain.name for domain, _ in contents.managed)
    trouble = [(name, "managed") for name in wanted_partners if name in view.managed]
    trouble += [(name, "partner") for name in wanted_managed if name in view.partners]
    if trouble:
        raise UserError(
            "\n".join(f"{name} is a {kind} domain; first: ime-gateway domain remove {name}" for name, kind in trouble)
        )


def _domains(contents: SiteContents, view: SiteView) -> Iterator[_Step]:
    for managed, certificates in contents.managed:
        kind = _domain_kind(managed, view.managed.get(managed.name), certificates, view)
        yield (
            Change(kind, "managed domain", managed.name),
            None if kind == "unchanged" else _put_managed(managed, certificates),
        )
    for partner, certificates in contents.partners:
        kind = _domain_kind(partner, view.partners.get(partner.name), certificates, view)
        yield (
            Change(kind, "partner domain", partner.name),
            None if kind == "unchanged" else _put_partner(partner, certificates),
        )


def _domain_kind(
    wanted: ManagedDomain | PartnerDomain,
    stored: ManagedDomain | PartnerDomain | None,
    certificates: tuple[Certificate, ...],
    view: SiteView,
) -> ChangeKind:
    if stored is None:
        return "added"
    there = {certificate.thumbprint for certificate in view.domain_certificates.get(wanted.name, ())}
    same = stored.as_stored() == wanted.as_stored() and there == {
        certificate.thumbprint for certificate in certificates
    }
    return "unchanged" if same else "changed"


def _put_managed(domain: ManagedDomain, certificates: tuple[Certificate, ...]) -> _Act:
    return lambda live: live.put_managed_domain(domain, certificates)


def _put_partner(domain: PartnerDomain, certificates: tuple[Certificate, ...]) -> _Act:
    return lambda live: live.put_partner_domain(domain, certificates)


def _people(contents: SiteContents, live: RegistryTransaction, *, prune: bool) -> Iterator[_Step]:
    for item in contents.people:
        stored = live.certificate(item.certificate.thumbprint)
        name = ", ".join(item.addresses) or item.certificate.subject
        kind = _person_kind(item, stored, prune=prune)
        act = _put_person(item, narrowed=kind == "changed" and prune) if kind != "unchanged" else None
        yield Change(kind, "certificate", name), act


def _person_kind(item: Arrival, stored: CertificateEntry | None, *, prune: bool) -> ChangeKind:
    if stored is None:
        return "added"
    missing = set(item.addresses) - set(stored.addresses)
    beyond = set(stored.addresses) - set(item.addresses) if prune else set()
    new_key = item.private_key is not None and not stored.has_private_key
    return "changed" if missing or beyond or new_key else "unchanged"


def _put_person(item: Arrival, *, narrowed: bool) -> _Act:
    def act(live: RegistryTransaction) -> None:
        private_key = item.private_key
        if narrowed:  # addresses can only be added to a stored certificate, so it is stored anew
            private_key = private_key or live.private_key(item.certificate.thumbprint)
            live.delete_certificate(item.certificate.thumbprint)
        live.put_certificate(item.certificate, item.addresses, private_key)

    return act


def _roots(contents: SiteContents, view: SiteView) -> Iterator[_Step]:
    there = {root.thumbprint for root in view.roots}
    for root in contents.roots:
        if root.thumbprint in there:
            yield Change("unchanged", "root", root.subject), None
        else:
            yield Change("added", "root", root.subject), _put_root(root)


def _trust(contents: SiteContents, view: SiteView) -> Iterator[_Step]:
    for entry in contents.trust:
        stored = view.trust.get(entry.thumbprint)
        name = f"{entry.verdict} {entry.thumbprint}"
        if stored == entry:
            yield Change("unchanged", "trust", name), None
        else:
            yield Change("changed" if stored else "added", "trust", name), _put_trust(entry)


def _put_root(root: Certificate) -> _Act:
    return lambda live: live.put_root(root)


def _put_trust(entry: TrustEntry) -> _Act:
    return lambda live: live.put_trust(entry)


def _delete_domain(name: str) -> _Act:
    return lambda live: live.delete_domain(name)


def _delete_certificate(thumbprint: str) -> _Act:
    return lambda live: live.delete_certificate(thumbprint)


def _delete_root(thumbprint: str) -> _Act:
    return lambda live: live.delete_root(thumbprint)


def _delete_trust(thumbprint: str) -> _Act:
    return lambda live: live.delete_trust(thumbprint)


def _removals(
    contents: SiteContents, view: SiteView, live: RegistryTransaction, own: frozenset[str]
) -> Iterator[_Step]:
    """`own`: the built-in CA and what it issued, whose keys are nowhere else; they are no matter of the file."""
    named = {domain.name for domain, _ in contents.managed} | {domain.name for domain, _ in contents.partners}
    domains = (
        *(("managed domain", name) for name in view.managed),
        *(("partner domain", name) for name in view.partners),
    )
    for what, name in sorted(domains):
        if name not in named:
            yield Change("removed", what, name), _delete_domain(name)
    people = own | {item.certificate.thumbprint for item in contents.people}
    for entry in all_certificates(live):
        thumbprint = entry.certificate.thumbprint
        if thumbprint not in people:
            name = ", ".join(entry.addresses) or entry.certificate.subject
            yield (
                Change("removed", "certificate", name),
                _delete_certificate(thumbprint),
            )
    roots = own | {root.thumbprint for root in contents.roots}
    for root in view.roots:
        if root.thumbprint not in roots:
            yield (
                Change("removed", "root", root.subject),
                _delete_root(root.thumbprint),
            )
    trusted = {entry.thumbprint for entry in contents.trust}
    for thumbprint, line in view.trust.items():
        if thumbprint not in trusted:
            yield (
                Change("removed", "trust", f"{line.verdict} {thumbprint}"),
                _delete_trust(thumbprint),
            )


def all_certificates(live: RegistryTransaction) -> Iterator[CertificateEntry]:
    """Every stored certificate of people and CAs, page by page."""
    offset = 0
    while page := live.certificates(limit=_PAGE, offset=offset):
        yield from page
        offset += len(page)


def _summary(report: ApplyReport) -> str:
    kinds: tuple[ChangeKind, ...] = ("added", "changed", "removed")
    return ", ".join(f"{report.count(kind)} {kind}" for kind in kinds)
