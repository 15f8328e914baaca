"""Policy, domains, addresses, roots and trust list: the small live data, read as one view and changed row by row."""

import json
from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy import Connection, Row, delete, select, update

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy, StoredSection
from ime_gateway.store.schema import (
    additional_certificates,
    address_settings,
    certificates,
    domain_certificates,
    domains,
    roots,
    site,
    trust,
)


def load_view(connection: Connection) -> SiteView:
    """All small live data within the connection's transaction. Raises StoreUnavailable, also for what this version of
    the program does not understand: mail must not be handled by half of the rules."""
    try:
        return _view(connection)
    except ValidationError as error:
        # Without the values: they are people's.
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in error.errors(include_input=False))
        evidence = f"{error.title}: {', '.join(faults)}"[:500]
        raise StoreUnavailable("settings in the database are not of this version of the program", evidence) from None


def _view(connection: Connection) -> SiteView:
    row = connection.execute(site.select()).one_or_none()
    if row is None:
        raise StoreUnavailable("the database has no schema; run: ime-gateway check", "table site has no row")
    managed: dict[str, ManagedDomain] = {}
    partners: dict[str, PartnerDomain] = {}
    for domain in connection.execute(domains.select().order_by(domains.c.name)):
        if domain.kind == "managed":
            managed[domain.name] = ManagedDomain.model_validate_json(domain.settings).at_rest()
        else:
            partners[domain.name] = PartnerDomain.model_validate_json(domain.settings).at_rest()
    by_domain: dict[str, list[Certificate]] = {}
    for line in connection.execute(
        domain_certificates.select().order_by(domain_certificates.c.domain, domain_certificates.c.position)
    ):
        by_domain.setdefault(line.domain, []).append(Certificate.from_der(line.der))
    anchors = connection.execute(select(roots.c.der).order_by(roots.c.thumbprint))
    links = connection.execute(
        select(certificates.c.der)
        .where(certificates.c.is_ca, certificates.c.thumbprint.not_in(select(roots.c.thumbprint)))
        .order_by(certificates.c.thumbprint)
    )
    return SiteView(
        generation=row.generation,
        policy=Policy.model_validate_json(row.policy).at_rest(),
        managed=managed,
        partners=partners,
        roots=tuple(Certificate.from_der(anchor.der) for anchor in anchors),
        trust={entry.thumbprint: _trust_entry(entry) for entry in connection.execute(trust.select())},
        domain_certificates={domain: tuple(found) for domain, found in by_domain.items()},
        intermediates=tuple(Certificate.from_der(link.der) for link in links),
        addresses={
            line.address: AddressSettings.model_validate_json(line.settings)
            for line in connection.execute(address_settings.select())
        },
        additional_certificates=tuple(Certificate.from_der(bytes(der)) for der in _additional(connection)),
    )


def put_policy(connection: Connection, policy: Policy) -> bool:
    """Replace the policy; False when it is the same."""
    text = _text(policy)
    changed = connection.execute(update(site).where(site.c.policy != text).values(policy=text))
    return changed.rowcount > 0


def put_domain(connection: Connection, domain: ManagedDomain | PartnerDomain, chosen: Sequence[Certificate]) -> bool:
    """Add or replace a domain and its certificates; False when nothing changed."""
    kind = "managed" if isinstance(domain, ManagedDomain) else "partner"
    wanted = (kind, _text(domain), [certificate.der for certificate in chosen])
    found = connection.execute(domains.select().where(domains.c.name == domain.name)).one_or_none()
    if found is not None:
        ders = connection.execute(
            select(domain_certificates.c.der)
            .where(domain_certificates.c.domain == domain.name)
            .order_by(domain_certificates.c.position)
        ).scalars()
        if wanted == (found.kind, found.settings, [bytes(der) for der in ders]):
            return False
        delete_domain(connection, domain.name)
    connection.execute(domains.insert().values(name=domain.name, kind=kind, settings=wanted[1]))
    for position, der in enumerate(wanted[2]):
        connection.execute(domain_certificates.insert().values(domain=domain.name, position=position, der=der))
    return True


def delete_domain(connection: Connection, name: str) -> bool:
    """Remove a domain with its certificates; False when there is none."""
    return connection.execute(delete(domains).where(domains.c.name == name)).rowcount > 0


def put_address(connection: Connection, settings: AddressSettings) -> bool:
    """Set what holds for one address (`Address.key`); False when nothing changed."""
    here = address_settings.c.address == settings.address
    found = connection.execute(select(address_settings.c.settings).where(here)).scalar_one_or_none()
    if found == _text(settings):
        return False
    connection.execute(delete(address_settings).where(here))
    connection.execute(address_settings.insert().values(address=settings.address, settings=_text(settings)))
    return True


def delete_address(connection: Connection, address: str) -> bool:
    """Let an address inherit everything again; False when nothing was set."""
    return connection.execute(delete(address_settings).where(address_settings.c.address == address)).rowcount > 0


def put_additional(connection: Connection, chosen: Sequence[Certificate]) -> bool:
    """Replace the certificates to which everything is encrypted, too; False when nothing changed."""
    wanted = [certificate.der for certificate in chosen]
    if wanted == [bytes(der) for der in _additional(connection)]:
        return False
    connection.execute(delete(additional_certificates))
    for position, der in enumerate(wanted):
        connection.execute(additional_certificates.insert().values(position=position, der=der))
    return True


def put_root(connection: Connection, certificate: Certificate) -> bool:
    """Add a trust anchor; False when it is one."""
    known = connection.execute(select(roots.c.thumbprint).where(roots.c.thumbprint == certificate.thumbprint)).first()
    if known:
        return False
    connection.execute(roots.insert().values(thumbprint=certificate.thumbprint, der=certificate.der))
    return True


def delete_root(connection: Connection, thumbprint: str) -> bool:
    """Remove a trust anchor; False when there is none."""
    return connection.execute(delete(roots).where(roots.c.thumbprint == thumbprint)).rowcount > 0


def put_trust(connection: Connection, entry: TrustEntry) -> bool:
    """Set a line of the trust list; False when it was there unchanged."""
    found = connection.execute(trust.select().where(trust.c.thumbprint == entry.thumbprint)).one_or_none()
    if found is not None and _trust_entry(found) == entry:
        return False
    delete_trust(connection, entry.thumbprint)
    connection.execute(
        trust.insert().values(
            thumbprint=entry.thumbprint, verdict=entry.verdict, allow_expired=entry.allow_expired, note=entry.note
        )
    )
    return True


def delete_trust(connection: Connection, thumbprint: str) -> bool:
    """Remove a line of the trust list; False when there is none."""
    return connection.execute(delete(trust).where(trust.c.thumbprint == thumbprint)).rowcount > 0


def _trust_entry(row: Row[tuple[object, ...]]) -> TrustEntry:
    return TrustEntry(row.thumbprint, row.verdict, row.allow_expired, row.note)


def _additional(connection: Connection) -> Sequence[bytes]:
    query = select(additional_certificates.c.der).order_by(additional_certificates.c.position)
    return connection.execute(query).scalars().all()


def _text(settings: StoredSection) -> str:
    """Only keys that were named: the others are inherited, and a node of the version before, which knows fewer keys,
    can read what does not use new ones. Passwords of files are not kept."""
    return json.dumps(settings.as_stored(), ensure_ascii=False)
