"""What holds for one address: settings inherited from global to `*.x`, domain and address, each with its origin.

A partner's mail is encrypted by what the closest of these says, so an administrator must be able to see where a value
comes from. A table hands down every key that it does not name; a key that it names ends the search, also where the
value is the default. Pure and cheap: done for each recipient of each message.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from ime_gateway.settings.site import (
    AddressSettings,
    Encryption,
    IncomingClear,
    ManagedDomain,
    PartnerDomain,
    Policy,
    Rollover,
    Selection,
    SignOutgoing,
)

T = TypeVar("T")

GLOBAL: Final = "global"
"""Origin of a value that `[policy]` names."""
DEFAULT: Final = "default"
"""Origin of a value that nobody has set."""


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """A value in force and where it comes from."""

    value: T
    origin: str
    """`address x`, `domain x`, `*.x`, `global` or `default`."""


@dataclass(frozen=True, slots=True)
class RecipientSettings:
    """What holds for mail to, and from, one address outside, or a whole domain outside."""

    partner: str
    """The closest partner table: a domain or `*.x`; empty for addresses in domains that are no partners."""
    encryption: Setting[Encryption]
    route: Setting[str]
    """Next hop; empty: `[delivery] default_route`."""
    rollover: Setting[Rollover]
    incoming_clear: Setting[IncomingClear]
    exchange_address: Setting[str]
    """Empty: the partner is told nothing by mail."""
    bound_recipients: Setting[bool]
    selection: Setting[Selection]
    use: Setting[tuple[str, ...]]
    """Thumbprints, best first; of meaning for `selection` "manual"."""


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """What holds for mail from one address of ours, or a whole managed domain."""

    domain: str
    """The managed domain; empty for addresses that are not ours."""
    sign_outgoing: Setting[SignOutgoing]
    exchange_address: Setting[str]
    """Where partners write to this domain; empty: nothing is taken."""


def _defaults(model: type[BaseModel]) -> dict[str, Setting[Any]]:
    """Made once: most values of most mail are these."""
    return {key: Setting(field.default, DEFAULT) for key, field in model.model_fields.items()}


_OF_PARTNERS: Final = _defaults(PartnerDomain)
_OF_MANAGED: Final = _defaults(ManagedDomain)
_OF_ADDRESSES: Final = _defaults(AddressSettings)


def recipient_settings(
    policy: Policy, partners: Mapping[str, PartnerDomain], addresses: Mapping[str, AddressSettings], address: str
) -> RecipientSettings:
    """What holds for an address outside (`Address.key`), or for a domain when there is no `@` in it.

    partners: by domain or `*.x`; addresses: by `Address.key`. Encryption that no table names is that of `[policy]`;
    where that says nothing either, "opportunistic" for partners and "on-request" for everybody else.
    """
    own = addresses.get(address) if "@" in address else None
    tables = tuple(_tables(partners, address.rpartition("@")[2]))
    return RecipientSettings(
        partner=tables[0].name if tables else "",
        encryption=_encryption(policy, tables, own),
        route=_inherited(tables, "route"),
        rollover=_inherited(tables, "rollover"),
        incoming_clear=_inherited(tables, "incoming_clear"),
        exchange_address=_inherited(tables, "exchange_address"),
        bound_recipients=_inherited(tables, "bound_recipients"),
        selection=_of_address(own, "selection"),
        use=_of_address(own, "use"),
    )


def partner_route(partners: Mapping[str, PartnerDomain], domain: str) -> str:
    """The next hop that a domain outside inherits; empty: `[delivery] default_route`. Asked for each delivery."""
    return str(_inherited(tuple(_tables(partners, domain)), "route").value)


def encryption_of(
    policy: Policy, partners: Mapping[str, PartnerDomain], addresses: Mapping[str, AddressSettings], address: str
) -> Encryption:
    """Whether mail to an address outside (`Address.key`) must be encrypted. Asked for each delivery."""
    tables = tuple(_tables(partners, address.rpartition("@")[2]))
    return _encryption(policy, tables, addresses.get(address)).value


def sender_settings(
    managed: Mapping[str, ManagedDomain], addresses: Mapping[str, AddressSettings], address: str
) -> SenderSettings:
    """What holds for an address of ours (`Address.key`), or for a managed domain when there is no `@` in it."""
    domain = address.rpartition("@")[2]
    table = managed.get(domain)
    own = addresses.get(address) if table is not None and "@" in address else None
    sign: Setting[SignOutgoing] = _of_table(table, "sign_outgoing")
    if own is not None and own.sign_outgoing is not None:
        sign = Setting(own.sign_outgoing, f"address {own.address}")
    return SenderSettings(
        domain="" if table is None else domain,
        sign_outgoing=sign,
        exchange_address=_of_table(table, "exchange_address"),
    )


def _tables(partners: Mapping[str, PartnerDomain], domain: str) -> Iterator[PartnerDomain]:
    """The tables that a domain, or a pattern `*.x`, inherits from, closest first."""
    if not partners:
        return
    found = partners.get(domain)
    if found is not None:
        yield found
    rest = domain.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        found = partners.get(f"*.{rest}")
        if found is not None:
            yield found


def _encryption(policy: Policy, tables: tuple[PartnerDomain, ...], own: AddressSettings | None) -> Setting[Encryption]:
    if own is not None and own.encryption is not None:
        return Setting(own.encryption, f"address {own.address}")
    for table in tables:
        if "encryption" in table.model_fields_set:
            return Setting(table.encryption, _origin(table.name))
    if "encryption" in policy.model_fields_set:
        return Setting(policy.encryption, GLOBAL)
    return Setting(tables[0].encryption if tables else policy.encryption, DEFAULT)


def _inherited(tables: tuple[PartnerDomain, ...], key: str) -> Setting[Any]:
    for table in tables:
        if key in table.__pydantic_fields_set__:  # what model_fields_set gives, without a call: this is the hot path
            return Setting(getattr(table, key), _origin(table.name))
    return _OF_PARTNERS[key]


def _of_address(own: AddressSettings | None, key: str) -> Setting[Any]:
    if own is not None and key in own.model_fields_set:
        return Setting(getattr(own, key), f"address {own.address}")
    return _OF_ADDRESSES[key]


def _of_table(table: ManagedDomain | None, key: str) -> Setting[Any]:
    if table is not None and key in table.model_fields_set:
        return Setting(getattr(table, key), _origin(table.name))
    return _OF_MANAGED[key]


def _origin(name: str) -> str:
    return name if name.startswith("*.") else f"domain {name}"
