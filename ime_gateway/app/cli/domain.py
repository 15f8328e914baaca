"""`ime-gateway domain`: managed and partner domains and single addresses, every value with its origin."""

from typing import Annotated

import typer

from ime_gateway.admin.domain_desk import DomainDesk, DomainRow, domain_json
from ime_gateway.admin.key_pairs import DAY_SECONDS, groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli import domain_exchange, domain_key, domain_set
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path
from ime_gateway.app.cli.show import as_json, as_pairs, as_table, say
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.certs.certificate import Certificate
from ime_gateway.settings.site import ManagedDomain

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A domain, *.DOMAIN, an address or global.", show_default=False)
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(
        no_args_is_help=True, help="Managed and partner domains: list, show, add, set, unset, remove, their keys."
    )
    group.command("list")(list_)
    group.command("show")(show)
    domain_set.register(group)
    group.command()(remove)
    group.add_typer(domain_key.commands(), name="key")
    domain_exchange.register(group)
    return group


def list_(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Managed domains, then partners, then addresses with settings of their own."""
    with open_current_installation(config_path(context, config)) as installation:
        rows = DomainDesk(installation.store.registry, SystemClock()).rows()
    if json:
        as_json([domain_json(row) for row in rows])
        return
    lines = [(row.name, row.kind, _encryption(row), _routes(row), _certificates(row)) for row in rows]
    empty = "no domain yet; see: ime-gateway apply"
    as_table(("domain", "kind", "encryption", "next hop", "usable certificates"), lines, empty=empty)


def show(context: typer.Context, name: Name, config: ConfigOption = None, json: JsonOption = False) -> None:
    """What holds for a domain or an address, and where each value comes from; its certificates and keys."""
    with open_current_installation(config_path(context, config)) as installation:
        row = DomainDesk(installation.store.registry, SystemClock()).row(name)
    if json:
        as_json(domain_json(row))
        return
    as_pairs([("address" if "@" in row.name else "domain", row.name), ("kind", row.kind)])
    width = max((len(_shown(setting.value)) for setting in row.settings.values()), default=0)
    as_pairs(
        [(key, f"{_shown(setting.value):<{width}}   from {setting.origin}") for key, setting in row.settings.items()]
    )
    for key in row.keys:
        say(f"{key.state} key {groups(key.certificate.thumbprint)}")
        say(f"  {key.certificate.subject}, valid until {rfc3339(key.certificate.not_after)}")
        _say_end(key.certificate, row.warning_days)
    for certificate, verdict in row.certificates:
        say(f"certificate {certificate.thumbprint}")
        say(f"  {'used' if verdict.usable else 'not used'}: {verdict.reason}: {verdict.detail}")
        _say_end(certificate, row.warning_days)
        checks = [check for check in row.checks if check.thumbprint == certificate.thumbprint]
        for check in checks:
            say(f"  compared with {check.person} ({check.method}) at {rfc3339(check.at)} by {check.actor}")
        if not checks:
            say("  nobody has compared its thumbprint yet: ime-gateway trust verify")
    for note in row.notes:
        say(f"note: {note}")


def remove(
    context: typer.Context,
    name: Name,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Also when it has domain keys; mail to them opens no more.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Remove a domain and its certificates; its mail is then handled as everybody else's."""
    with open_current_installation(config_path(context, config)) as installation:
        DomainDesk(installation.store.registry, SystemClock()).remove(name, actor(), with_keys=with_keys)
    say(f"removed {name}")


def _say_end(certificate: Certificate, warning_days: int) -> None:
    """That a certificate ends soon."""
    days = int((certificate.not_after - SystemClock().now()) // DAY_SECONDS)
    if 0 <= days < warning_days:
        say(f"  ends in {days} day{'s' * (days != 1)}" if days else "  ends in less than a day")


def _encryption(row: DomainRow) -> str:
    """Of partners and addresses; with its origin where it is inherited."""
    setting = row.settings.get("encryption")
    if setting is None:
        return ""
    own = setting.origin in (row.name, f"domain {row.name}", f"address {row.name}")
    return str(setting.value) if own else f"{setting.value} ({setting.origin})"


def _routes(row: DomainRow) -> str:
    if isinstance(row.domain, ManagedDomain):
        back = f", from inside {row.domain.return_to}" if row.domain.return_to else ""
        return row.domain.deliver_to + back
    route = row.settings.get("route")
    return "" if route is None else str(route.value)


def _certificates(row: DomainRow) -> str:
    usable = sum(verdict.usable for _, verdict in row.certificates)
    if not row.certificates:
        return "0" if row.kind == "partner" else ""
    return f"{usable} of {len(row.certificates)}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value) or "none"
