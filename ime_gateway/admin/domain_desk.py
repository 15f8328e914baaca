"""Managed and partner domains as administrators see them: every value that is in force, and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import BaseModel

from ime_gateway.admin.domain_keys import domain_key_notes, withdrawn_key_notes
from ime_gateway.admin.domain_settings import EVERYWHERE
from ime_gateway.admin.intake import address_key
from ime_gateway.admin.judging import anchors_in, certificate_json, foreign_names, verdict_json
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.admin.waiting_certificates import announced_and_waiting, waiting_note
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Anchors, Verdict, judge
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.domain_keys import DomainKeyEntry
from ime_gateway.ports.registry import Registry, RegistryTransaction
from ime_gateway.ports.thumbprint_checks import ThumbprintCheck
from ime_gateway.settings.inheritance import Setting, recipient_settings, sender_settings
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, StoredSection, domain_name

_OF_ADDRESSES = ("selection", "use")
"""Settings that only single addresses have."""


@dataclass(frozen=True, slots=True)
class DomainRow:
    """One domain, `*.x` or address, what holds for it, and its certificates with their verdicts."""

    name: str
    kind: Literal["managed", "partner", "address", "global", "other"]
    """`address`: it has settings of its own; `global`: the whole installation, with the archive's certificates;
    `other`: neither ours nor a partner's."""
    domain: ManagedDomain | PartnerDomain | AddressSettings | None
    """Its own table; None: it has none and inherits everything."""
    settings: Mapping[str, Setting[Any]]
    """Every value in force by its key."""
    certificates: tuple[tuple[Certificate, Verdict], ...] = ()
    checks: tuple[ThumbprintCheck, ...] = ()
    """Who compared the thumbprints of these certificates, newest first."""
    keys: tuple[DomainKeyEntry, ...] = ()
    """Of a managed domain: the current one first."""
    notes: tuple[str, ...] = ()
    """What should be done or known, one sentence each."""
    warning_days: int = 0
    """So many days before its end a certificate is spoken of."""


class DomainDesk:
    """The domains' desk. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def rows(self) -> list[DomainRow]:
        """Managed domains, then partners, then single addresses, by name."""
        with self._registry.transaction(write=False) as live:
            view = live.view()
            anchors = anchors_in(live, view)
            names = [*sorted(view.managed), *sorted(view.partners)]
            rows = [self._row(live, view, anchors, name) for name in names]
            return rows + [_address_row(view, address) for address in sorted(view.addresses)]

    def row(self, name: str) -> DomainRow:
        """One domain, pattern, address or `global`; raises UserError for a domain that nothing is said about."""
        with self._registry.transaction(write=False) as live:
            view = live.view()
            if "@" in name:
                return _address_row(view, address_key(name))
            if name == EVERYWHERE:
                return self._of_all(live, view)
            wanted = _domain(name)
            row = self._row(live, view, anchors_in(live, view), wanted)
        if row.kind == "other":
            raise UserError(f"domain {name} is neither managed nor a partner; see domain list")
        return row

    def remove(self, name: str, actor: str, *, with_keys: bool = False) -> None:
        """Remove a domain with its certificates, or the settings of an address. Raises UserError when it is not known,
        or when it has domain keys and not `with_keys`: mail to them could never be opened again."""
        row = self.row(name)
        if row.kind == "global":
            raise UserError("global is the whole installation and cannot be removed; see: ime-gateway domain unset")
        if row.domain is None:
            raise UserError(f"{row.name} has no settings of its own; see domain show {row.name}")
        if row.keys and not with_keys:
            raise UserError(
                f"{row.name} has domain keys; without them mail that partners encrypt to it opens no more. Export them"
                f" (ime-gateway domain key export {row.name}) or give --with-keys"
            )
        with self._registry.transaction(write=True) as live:
            if row.kind == "address":
                live.delete_address(row.name)
            else:
                live.delete_domain(row.name)
            live.audit(actor, "domain-remove", row.name)

    def _of_all(self, live: RegistryTransaction, view: SiteView) -> DomainRow:
        """The policy of the whole installation, that everything inherits."""
        anchors, now = anchors_in(live, view), self._clock.now()
        stored, soon = view.additional_certificates, view.policy.warning_days
        certificates = tuple((one, judge(one, anchors, now, "domain")) for one in stored)
        checks = tuple(check for one in stored for check in live.checks.list(one.thumbprint))
        return DomainRow(EVERYWHERE, "global", None, _of_table(view.policy), certificates, checks, warning_days=soon)

    def _row(self, live: RegistryTransaction, view: SiteView, anchors: Anchors, name: str) -> DomainRow:
        stored, soon = view.domain_certificates.get(name, ()), view.policy.warning_days
        now = self._clock.now()
        certificates = tuple((one, judge(one, anchors, now, "domain")) for one in stored)
        checks = tuple(check for one in stored for check in live.checks.list(one.thumbprint))
        managed = view.managed.get(name)
        if managed is not None:
            keys = tuple(live.domain_keys.list(name))
            withdrawn = withdrawn_key_notes(name, keys, anchors, now)
            notes = (*withdrawn, *domain_key_notes(name, keys, view.policy, now))
            settings = _of_managed(view, managed)
            return DomainRow(name, "managed", managed, settings, certificates, checks, keys, notes, soon)
        found = recipient_settings(view.policy, view.partners, view.addresses, name)
        kind: Literal["partner", "other"] = "partner" if found.partner else "other"
        settings = {key: setting for key, setting in _settings(found).items() if key not in _OF_ADDRESSES}
        waiting = announced_and_waiting(live, name) if found.partner else []
        notes = (*foreign_names(stored, name), *(waiting_note(one) for one in waiting))
        return DomainRow(name, kind, view.partners.get(name), settings, certificates, checks, (), notes, soon)


def domain_json(row: DomainRow) -> dict[str, object]:
    """One row of `domain list --json` and `domain show --json`: the values in force, and beside them their origins."""
    name = "address" if "@" in row.name else "name"
    return (
        {"kind": row.kind, name: row.name}
        | {key: _plain(setting.value) for key, setting in row.settings.items()}
        | {
            "origins": {key: setting.origin for key, setting in row.settings.items()},
            "certificates": [
                certificate_json(one)
                | verdict_json(verdict)
                | {"checks": [check_json(check) for check in row.checks if check.thumbprint == one.thumbprint]}
                for one, verdict in row.certificates
            ],
            "keys": [domain_key_json(key) for key in row.keys],
            "notes": list(row.notes),
        }
    )


def check_json(check: ThumbprintCheck) -> dict[str, object]:
    """A comparison of a thumbprint with its owner."""
    return {
        "at": rfc3339(check.at),
        "by": check.actor,
        "with": check.person,
        "how": check.method,
        "note": check.note,
    }


def domain_key_json(key: DomainKeyEntry) -> dict[str, object]:
    """A key pair of a managed domain."""
    return certificate_json(key.certificate) | {
        "thumbprint_groups": groups(key.certificate.thumbprint),
        "addresses": sorted(key.certificate.addresses),
        "state": key.state,
        "since": rfc3339(key.since),
        "announced_at": None if key.announced_at is None else rfc3339(key.announced_at),
        "made_at": rfc3339(key.made_at),
    }


def _address_row(view: SiteView, address: str) -> DomainRow:
    own = view.addresses.get(address)
    domain = address.rpartition("@")[2]
    if domain in view.managed:
        found = _settings(sender_settings(view.managed, view.addresses, address))
    else:
        found = _settings(recipient_settings(view.policy, view.partners, view.addresses, address))
    known: Literal["managed", "partner", "other"] = "managed" if domain in view.managed else "other"
    if known == "other" and recipient_settings(view.policy, view.partners, {}, domain).partner:
        known = "partner"
    return DomainRow(address, known if own is None else "address", own, found)


def _of_managed(view: SiteView, domain: ManagedDomain) -> dict[str, Setting[Any]]:
    named, origin = domain.model_fields_set, f"domain {domain.name}"
    found = {
        key: Setting(getattr(domain, key), origin if key in named else "default")
        for key in type(domain).model_fields
        if key not in {"name", *domain.FILE_KEYS}
    }
    return found | _settings(sender_settings(view.managed, view.addresses, domain.name))


def _of_table(table: StoredSection) -> dict[str, Setting[Any]]:
    """Every key of a table, those of a table inside it as `tags.secure`."""
    found: dict[str, Setting[Any]] = {}
    for key in type(table).model_fields:
        value = getattr(table, key)
        if isinstance(value, BaseModel):
            origins = value.model_fields_set if key in table.model_fields_set else frozenset()
            found |= {
                f"{key}.{inner}": Setting(getattr(value, inner), EVERYWHERE if inner in origins else "default")
                for inner in type(value).model_fields
            }
        else:
            found[key] = Setting(value, EVERYWHERE if key in table.model_fields_set else "default")
    return found


def _settings(found: object) -> dict[str, Setting[Any]]:
    """The settings among the fields of a dataclass of `settings/inheritance`."""
    values = ((field.name, getattr(found, field.name)) for field in fields(found))  # type: ignore[arg-type]
    return {name: value for name, value in values if isinstance(value, Setting)}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _domain(name: str) -> str:
    try:
        return domain_name(name)
    except ValueError as error:
        raise UserError(str(error)) from None
