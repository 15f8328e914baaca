"""Is the installation ready for a roll-out: who could not be reached yet, and what will break soon.

Before internal mail encryption is switched on for a thousand people, an administrator wants the
list of those to whom every encrypted mail would be refused. People are known from mail that
passed, from certificates, and from a list that the administrator gives.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ime_gateway.admin.domain_keys import domain_key_troubles, withdrawn_key_notes
from ime_gateway.admin.ime_notes import key_notes, signer_notes
from ime_gateway.admin.intake import address_key
from ime_gateway.admin.judging import anchors_in
from ime_gateway.admin.key_pairs import DAY_SECONDS
from ime_gateway.admin.site_apply import all_certificates
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Anchors, judge
from ime_gateway.mail.address import Address
from ime_gateway.policy.candidates import candidates
from ime_gateway.policy.facts import RecipientFacts
from ime_gateway.policy.hierarchy import choose
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import CertificateEntry, Registry, RegistryTransaction

Probe = Callable[[str], str | None]
"""Asks a route for its greeting; None when it answers, else what is wrong, in one sentence."""

EXPIRY_DAYS = 60
_EVENTS = 100_000
_ADD_ONE = "no certificate is known; add one: ime-gateway cert import FILE"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A managed person to whom nothing can be encrypted."""

    address: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Expiring:
    """A usable certificate that will not be one for long."""

    owner: str
    """Its addresses, or its domain."""
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class UnusableDomainCertificate:
    """A certificate of a domain that is stored and not used."""

    domain: str
    certificate: Certificate
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class SilentHop:
    """A next hop that does not answer."""

    domain: str
    route: str
    detail: str


@dataclass(frozen=True, slots=True)
class DomainNote:
    """Something about a domain's IME address or its domain key."""

    domain: str
    detail: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that stands in the way; all empty: ready."""

    people: int
    """Managed people who were looked at."""
    unreachable: tuple[Unreachable, ...]
    expiring: tuple[Expiring, ...]
    domain_certificates: tuple[UnusableDomainCertificate, ...]
    silent_hops: tuple[SilentHop, ...]
    ime: tuple[DomainNote, ...] = ()
    """Keys of IME addresses that refuse containers now or soon."""
    ime_hints: tuple[DomainNote, ...] = ()
    """Signers that wait, and weak ways to believe them; nothing that keeps mail back."""
    domain_keys: tuple[DomainNote, ...] = ()
    """Keys of our own domains that partners refuse now or soon."""

    @property
    def ready(self) -> bool:
        """True: nothing was found but hints."""
        found = (self.unreachable, self.expiring, self.domain_certificates, self.silent_hops, self.ime)
        return not any((*found, self.domain_keys))


class DoctorDesk:
    """The doctor. May raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock, probe: Probe, default_route: str) -> None:
        self._registry = registry
        self._clock = clock
        self._probe = probe
        self._default_route = default_route

    def examine(self, people: Iterable[str] = ()) -> Diagnosis:
        """Look at everything; `people` are address keys beyond those known from mail and certificates."""
        seen = [*people, *self._seen()]
        with self._registry.transaction(write=False) as live:
            view = live.view()
            entries = list(all_certificates(live))
            keys = {name: live.ime_keys(name) for name in view.managed}
            pending = {name: live.container_counts(name).pending for name in view.managed}
            by_address: dict[str, list[CertificateEntry]] = {}
            for entry in entries:
                for address in entry.addresses:
                    by_address.setdefault(address, []).append(entry)
            exchanges = {managed.exchange_address.lower() for managed in view.managed.values()}
            known = {key for key in (*seen, *by_address) if _domain(key) in view.managed} - exchanges
            # While the transaction is open: verdicts look up what is known about revocations.
            anchors, now = anchors_in(live, view, mail_will_ask=True), self._clock.now()
            domain_keys = tuple(_domain_key_notes(live, view, anchors, now))
            checks = (_unreachable(key, by_address.get(key, []), view, anchors, now) for key in sorted(known))
            unreachable = tuple(found for found in checks if found is not None)
            expiring = tuple(_expiring(entries, view, anchors, now))
            unusable = tuple(_unusable(view, anchors, now))
        return Diagnosis(
            people=len(known),
            unreachable=unreachable,
            expiring=expiring,
            domain_certificates=unusable,
            silent_hops=tuple(self._silent(view)),
            ime=tuple(
                DomainNote(name, note)
                for name, managed in sorted(view.managed.items())
                for note in key_notes(managed, keys[name], view.policy, now)
            ),
            ime_hints=tuple(
                DomainNote(name, note)
                for name, managed in sorted(view.managed.items())
                for note in signer_notes(managed, pending[name])
            ),
            domain_keys=domain_keys,
        )

    def _seen(self) -> Iterable[str]:
        """Addresses of mail that was accepted or refused."""
        texts = {text for event in self._registry.events(limit=_EVENTS) for text in (event.sender, event.recipient)}
        for text in texts:
            try:
                yield address_key(text)
            except UserError:
                continue  # a refused sender may be anything, and is nobody we could serve

    def _silent(self, view: SiteView) -> Iterable[SilentHop]:
        wanted: list[tuple[str, str]] = []
        for name, managed in sorted(view.managed.items()):
            wanted.append((name, managed.deliver_to))
            wanted.append((name, managed.return_to or managed.deliver_to))
        wanted += [(name, partner.route or self._default_route) for name, partner in sorted(view.partners.items())]
        wanted.append(("everybody else", self._default_route))
        answers: dict[str, str | None] = {}
        for domain, route in dict.fromkeys(wanted):
            if route == "mx":
                continue  # found by DNS for each recipient's domain; nothing of ours to ask
            if route not in answers:
                answers[route] = self._probe(route)
            detail = answers[route]
            if detail is not None:
                yield SilentHop(domain, route, detail)


def people_of_list(text: str) -> list[str]:
    """Address keys out of a list: one address a line, or the first column of CSV; raises UserError with the line.

    The first line may be a heading; empty lines and lines that begin with # are passed over.
    """
    found: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        first = re.split(r"[,;\t]", line, maxsplit=1)[0].strip().strip('"').strip()
        if not first or first.startswith("#") or (number == 1 and "@" not in first):
            continue
        try:
            found.append(address_key(first))
        except UserError as error:
            raise UserError(f"line {number}: {error}") from None
    return found


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, object]:
    """`doctor --json`."""
    return {
        "ready": diagnosis.ready,
        "people": diagnosis.people,
        "unreachable": [
            {"address": one.address, "reason": str(one.reason), "detail": one.detail} for one in diagnosis.unreachable
        ],
        "expiring": [
            {
                "owner": one.owner,
                "thumbprint": one.certificate.thumbprint,
                "not_after": rfc3339(one.certificate.not_after),
            }
            for one in diagnosis.expiring
        ],
        "domain_certificates": [
            {
                "domain": one.domain,
                "thumbprint": one.certificate.thumbprint,
                "reason": str(one.reason),
                "detail": one.detail,
            }
            for one in diagnosis.domain_certificates
        ],
        "next_hops": [
            {"domain": one.domain, "route": one.route, "detail": one.detail} for one in diagnosis.silent_hops
        ],
        "ime": [{"domain": one.domain, "detail": one.detail} for one in diagnosis.ime],
        "ime_hints": [{"domain": one.domain, "detail": one.detail} for one in diagnosis.ime_hints],
        "domain_keys": [{"domain": one.domain, "detail": one.detail} for one in diagnosis.domain_keys],
    }


def _domain_key_notes(
    live: RegistryTransaction, view: SiteView, anchors: Anchors, moment: float
) -> Iterable[DomainNote]:
    keys = live.domain_keys.list()
    for name in sorted(view.managed):
        notes = withdrawn_key_notes(name, keys, anchors, moment)
        notes += domain_key_troubles(name, keys, view.policy, moment)
        yield from (DomainNote(name, note) for note in notes)


def _domain(key: str) -> str:
    return key.rpartition("@")[2]


def _unreachable(
    key: str, entries: Sequence[CertificateEntry], view: SiteView, anchors: Anchors, moment: float
) -> Unreachable | None:
    """None when mail to the person could be protected: asked of the hierarchy that decides about mail."""
    address = Address(*key.rpartition("@")[::2])
    own = [entry.certificate for entry in entries]
    shared = view.domain_certificates.get(address.domain, ())
    facts = RecipientFacts(
        address=address,
        copy="recipient",
        blind=False,
        managed=True,
        partner_encryption=None,
        personal=candidates((one, judge(one, anchors, moment, "personal")) for one in own),
        domain=candidates((one, judge(one, anchors, moment, "domain")) for one in shared),
    )
    choice = choose(facts, view.policy.hierarchy)
    if choice.candidate is not None:
        return None
    detail = _ADD_ONE if choice.reason is Reason.NO_CERTIFICATE else choice.detail
    return Unreachable(key, choice.reason, detail)


def _expiring(
    entries: Iterable[CertificateEntry], view: SiteView, anchors: Anchors, moment: float
) -> Iterable[Expiring]:
    soon = moment + EXPIRY_DAYS * DAY_SECONDS
    for entry in entries:
        certificate = entry.certificate
        if moment <= certificate.not_after < soon and (
            certificate.is_ca or judge(certificate, anchors, moment, "personal").usable
        ):
            yield Expiring(", ".join(entry.addresses) or certificate.subject, certificate)
    for domain, group in sorted(view.domain_certificates.items()):
        for certificate in group:
            if moment <= certificate.not_after < soon and judge(certificate, anchors, moment, "domain").usable:
                yield Expiring(domain, certificate)
    for root in view.roots:
        if moment <= root.not_after < soon:
            yield Expiring(f"root {root.subject}", root)


def _unusable(view: SiteView, anchors: Anchors, moment: float) -> Iterable[UnusableDomainCertificate]:
    for domain, group in sorted(view.domain_certificates.items()):
        for certificate in group:
            verdict = judge(certificate, anchors, moment, "domain")
            if not verdict.usable and not certificate.is_ca:
                yield UnusableDomainCertificate(domain, certificate, verdict.reason, verdict.detail)
