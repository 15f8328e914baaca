"""Managed and partner domains as administrators see them; SITE.toml is the main way to change them."""

from dataclasses import dataclass

from ime_gateway.admin.judging import anchors_of, certificate_json, verdict_json
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Verdict, judge
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.site import FILE_KEYS, ManagedDomain, PartnerDomain, domain_name


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One domain with its certificates and their verdicts."""

    domain: ManagedDomain | PartnerDomain
    certificates: tuple[tuple[Certificate, Verdict], ...]

    @property
    def kind(self) -> str:
        """`managed` or `partner`."""
        return "managed" if isinstance(self.domain, ManagedDomain) else "partner"


class DomainDesk:
    """The domains' desk. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def rows(self) -> list[DomainRow]:
        """Managed domains, then partners, by name."""
        with self._registry.transaction(write=False) as live:
            view = live.view()
        domains: list[ManagedDomain | PartnerDomain] = [view.managed[name] for name in sorted(view.managed)]
        domains += [view.partners[name] for name in sorted(view.partners)]
        return [_row(domain, view, self._clock.now()) for domain in domains]

    def row(self, name: str) -> DomainRow:
        """One domain; raises UserError when it is not known."""
        try:
            wanted = domain_name(name)
        except ValueError as error:
            raise UserError(str(error)) from None
        for row in self.rows():
            if row.domain.name == wanted:
                return row
        raise UserError(f"domain {name} is neither managed nor a partner; see domain list")

    def remove(self, name: str, actor: str) -> None:
        """Remove a domain with its certificates; raises UserError when it is not known."""
        wanted = self.row(name).domain.name
        with self._registry.transaction(write=True) as live:
            live.delete_domain(wanted)
            live.audit(actor, "domain-remove", wanted)


def domain_json(row: DomainRow) -> dict[str, object]:
    """One row of `domain list --json`."""
    settings = row.domain.model_dump(mode="json", exclude={*FILE_KEYS, "smime_certificates"})
    certificates = [certificate_json(one) | verdict_json(verdict) for one, verdict in row.certificates]
    return {"kind": row.kind} | settings | {"certificates": certificates}


def _row(domain: ManagedDomain | PartnerDomain, view: SiteView, moment: float) -> DomainRow:
    anchors = anchors_of(view)
    stored = view.domain_certificates.get(domain.name, ())
    return DomainRow(domain, tuple((one, judge(one, anchors, moment, "domain")) for one in stored))
