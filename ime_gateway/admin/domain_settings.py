"""Changes of single settings: of a domain, of `*.x`, of one address, of the whole installation.

The words and rules are those of SITE.toml: a table is made of what is stored and what was said, and read by the same
models, so that a misspelt key or value is refused with the same sentence. A key that is unset is inherited again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ime_gateway.admin.intake import address_key
from ime_gateway.admin.site_apply_domain import require_own_administrators
from ime_gateway.base.errors import GatewayError, UserError
from ime_gateway.certs.bundle import PasswordMissing, read_bundle
from ime_gateway.certs.certificate import Certificate, thumbprint_digits
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import Registry, RegistryTransaction
from ime_gateway.settings.load import table_problems
from ime_gateway.settings.site import (
    AddressSettings,
    ManagedDomain,
    PartnerDomain,
    Policy,
    StoredSection,
    domain_name,
    ime_conflict,
)

EVERYWHERE = "global"
"""The name under which the policy of the whole installation is changed."""
_FILES: Final = {
    "smime_certificates": "give --certificate FILE",
    "internal_certificates": "give --certificate FILE",
    "additional_certificates": "give --certificate FILE",
    "ime_key": "see: ime-gateway ime issue",
    "domain_key": "see: ime-gateway domain key import",
}

Kind = Literal["managed", "partner"]
_Table = TypeVar("_Table", bound=StoredSection)


class SettingsDesk:
    """Changes settings one by one. Every method may raise StoreUnavailable; then nothing is changed."""

    def __init__(self, registry: Registry, v1_domain: str = "") -> None:
        """`v1_domain`: that of the IME 1.0 address, which no IME 2.0 address may share."""
        self._registry = registry
        self._v1_domain = v1_domain.lower()

    def add(self, name: str, kind: Kind, pairs: Mapping[str, str], files: Mapping[str, bytes], actor: str) -> str:
        """A new managed or partner domain with its settings and certificates; its name as it is stored. Raises
        UserError."""
        brought = _certificates(files)
        with self._registry.transaction(write=True) as live:
            view = live.view()
            wanted = _domain(name)
            if wanted in view.managed or wanted in view.partners:
                there = "managed" if wanted in view.managed else "partner"
                raise UserError(f"{wanted} is a {there} domain already; see: ime-gateway domain set {wanted}")
            model: type[ManagedDomain | PartnerDomain] = ManagedDomain if kind == "managed" else PartnerDomain
            table = _changed(model, {"name": wanted}, pairs, ())
            self._put_domain(live, view, table, brought)
            live.audit(actor, "domain-add", _told(wanted, kind, pairs, brought))
        return wanted

    def change(
        self,
        name: str,
        actor: str,
        *,
        pairs: Mapping[str, str] | None = None,
        unset: Sequence[str] = (),
        files: Mapping[str, bytes] | None = None,
        drop: Sequence[str] = (),
    ) -> bool:
        """Set and unset keys of a domain, `*.x`, address or `global`, add certificates of files to it and drop some by
        thumbprint. False when nothing changed. Raises UserError; then nothing is changed."""
        brought = _certificates(files or {})
        with self._registry.transaction(write=True) as live:
            before = live.view()
            if name == EVERYWHERE:
                self._policy(live, before, pairs or {}, unset, brought, drop)
            elif "@" in name:
                if brought or drop:
                    raise UserError("certificates of people are brought by: ime-gateway cert import")
                _put_address(live, before, address_key(name), pairs or {}, unset)
            else:
                stored = _stored(before, _domain(name))
                table = _changed(type(stored), stored.as_stored(), pairs or {}, unset)
                kept = _kept(before.domain_certificates.get(stored.name, ()), brought, drop)
                self._put_domain(live, before, table, kept)
            changed = _facts(live.view()) != _facts(before)
            if changed:
                live.audit(actor, "domain-set", _told(name, " ".join(f"-{key}" for key in unset), pairs or {}, brought))
        return changed

    def _put_domain(
        self,
        live: RegistryTransaction,
        view: SiteView,
        table: ManagedDomain | PartnerDomain,
        certificates: Sequence[Certificate],
    ) -> None:
        if isinstance(table, PartnerDomain):
            live.put_partner_domain(table, certificates)
        else:
            if table.ime_address and table.ime_domain == self._v1_domain:
                raise UserError(
                    f"{self._v1_domain} is the domain of ime.v1_address; IME 1.0 and 2.0 need a domain each"
                )
            live.put_managed_domain(table, certificates)
        after = live.view()
        conflict = ime_conflict(after.managed.values(), {*after.managed, *after.partners})
        if conflict:
            raise UserError(conflict)

    def _policy(
        self,
        live: RegistryTransaction,
        view: SiteView,
        pairs: Mapping[str, str],
        unset: Sequence[str],
        brought: tuple[Certificate, ...],
        drop: Sequence[str],
    ) -> None:
        policy = _changed(Policy, view.policy.as_stored(), pairs, unset)
        require_own_administrators(policy, set(view.managed))
        live.put_policy(policy)
        live.put_additional_certificates(_kept(view.additional_certificates, brought, drop))


def parse_pairs(words: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` words of a command; raises UserError."""
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{word!r} is no KEY=VALUE, as in encryption=mandatory")
        if key.strip() in pairs:
            raise UserError(f"{key.strip()} is given twice")
        pairs[key.strip()] = value.strip()
    return pairs


def _changed(model: type[_Table], table: dict[str, Any], pairs: Mapping[str, str], unset: Sequence[str]) -> _Table:
    """The stored keys with the words of a command over them, read by the model of SITE.toml."""
    for key in (*pairs, *unset):
        if key in _FILES:
            raise UserError(f"{key} cannot be set here; {_FILES[key]}")
        if key in ("name", "address"):
            raise UserError(f"{key} says whose settings these are and cannot be changed")
        if key in pairs and key in unset:
            raise UserError(f"{key} is both set and unset")
    for key in unset:
        if key not in model.model_fields:
            raise UserError(f"{key}: unknown key; the keys are {', '.join(_names(model))}")
        table.pop(key, None)
    given = {key: _value(model, key, text) for key, text in pairs.items()}
    try:
        return model.model_validate(table | given)
    except ValidationError as error:
        raise UserError("\n".join(table_problems(error, model))) from None


def _value(model: type[StoredSection], key: str, text: str) -> object:
    """Lists are written with commas; everything else is read by its type."""
    field = model.model_fields.get(key)
    if field is None:
        raise UserError(f"{key}: unknown key; the keys are {', '.join(_names(model))}")
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        raise UserError(f"{key} is a table of its own; change it in SITE.toml: ime-gateway apply")
    if get_origin(annotation) is tuple and get_args(annotation):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _names(model: type[StoredSection]) -> list[str]:
    hidden = {"name", "address", *_FILES, *model.FILE_KEYS}
    return sorted(key for key in model.model_fields if key not in hidden)


def _domain(name: str) -> str:
    try:
        return domain_name(name)
    except ValueError as error:
        raise UserError(str(error)) from None


def _stored(view: SiteView, name: str) -> ManagedDomain | PartnerDomain:
    found = view.managed.get(name) or view.partners.get(name)
    if found is None:
        raise UserError(f"{name} is neither managed nor a partner; first: ime-gateway domain add {name}")
    return found


def _put_address(
    live: RegistryTransaction, view: SiteView, address: str, pairs: Mapping[str, str], unset: Sequence[str]
) -> None:
    stored = view.addresses.get(address)
    table = {"address": address} if stored is None else stored.as_stored()
    settings = _changed(AddressSettings, table, pairs, unset)
    for thumbprint in settings.use:
        if live.certificate(thumbprint) is None:
            raise UserError(f"use: the certificate {thumbprint} is not stored; first: ime-gateway cert import FILE")
    if settings.as_stored() == {"address": address}:
        live.delete_address(address)
    else:
        live.put_address(settings)


def _certificates(files: Mapping[str, bytes]) -> tuple[Certificate, ...]:
    """The certificates of files by the names that people gave them; raises UserError that names the file."""
    found: dict[str, Certificate] = {}
    for name, data in files.items():
        try:
            bundle = read_bundle(data, None)
        except PasswordMissing as error:
            raise UserError(f"{name}: {error}; ask for the certificate alone (.cer, .pem)", error.evidence) from None
        except GatewayError as error:
            raise UserError(f"{name}: {error}", error.evidence) from None
        if bundle.private_keys:
            raise UserError(f"{name}: it holds a private key, which no partner should ever get; give the certificate")
        if not bundle.certificates:
            raise UserError(f"{name}: it holds no certificate")
        found |= {certificate.thumbprint: certificate for certificate in bundle.certificates}
    return tuple(found.values())


def _kept(
    stored: Sequence[Certificate], brought: Sequence[Certificate], drop: Sequence[str]
) -> tuple[Certificate, ...]:
    there = {certificate.thumbprint: certificate for certificate in stored}
    for text in drop:
        digits = thumbprint_digits(text)
        matching = [thumbprint for thumbprint in there if digits and thumbprint.startswith(f"sha256:{digits}")]
        if len(matching) != 1:
            raise UserError(f"{len(matching) or 'none'} of its certificates begin with {text}; see: domain show")
        del there[matching[0]]
    for certificate in brought:
        if certificate.thumbprint in there:
            raise UserError(f"the certificate {certificate.thumbprint} is there already")
        there[certificate.thumbprint] = certificate
    return tuple(there.values())


def _facts(view: SiteView) -> object:
    """What this desk can change, to be compared."""
    tables = [view.policy, *view.managed.values(), *view.partners.values(), *view.addresses.values()]
    certificates = {name: [one.thumbprint for one in group] for name, group in view.domain_certificates.items()}
    additional = [one.thumbprint for one in view.additional_certificates]
    return [table.as_stored() for table in tables], certificates, additional


def _told(name: str, what: str, pairs: Mapping[str, str], brought: Sequence[Certificate]) -> str:
    words = [name, what, *(f"{key}={value}" for key, value in pairs.items()), *(one.thumbprint for one in brought)]
    return " ".join(word for word in words if word)
