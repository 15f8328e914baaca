"""`ime-gateway domain`: managed and partner domains; `apply` is the main way to change them."""

from typing import Annotated

import typer

from ime_gateway.admin.domain_desk import DomainDesk, DomainRow, domain_json
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path
from ime_gateway.app.cli.show import as_json, as_pairs, as_table, say
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.settings.site import ManagedDomain

Name = Annotated[str, typer.Argument(metavar="DOMAIN", show_default=False)]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Managed and partner domains: list, show, remove.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command()(remove)
    return group


def list_(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Managed domains, then partners."""
    with open_current_installation(config_path(context, config)) as installation:
        rows = DomainDesk(installation.store.registry, SystemClock()).rows()
    if json:
        as_json([domain_json(row) for row in rows])
        return
    lines = [(row.domain.name, row.kind, _encryption(row), _routes(row), _certificates(row)) for row in rows]
    empty = "no domain yet; see: ime-gateway apply"
    as_table(("domain", "kind", "encryption", "next hop", "usable certificates"), lines, empty=empty)


def show(context: typer.Context, name: Name, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One domain with its certificates."""
    with open_current_installation(config_path(context, config)) as installation:
        row = DomainDesk(installation.store.registry, SystemClock()).row(name)
    if json:
        as_json(domain_json(row))
        return
    as_pairs(
        [("domain", row.domain.name), ("kind", row.kind), ("encryption", _encryption(row)), ("next hop", _routes(row))]
    )
    for certificate, verdict in row.certificates:
        say(f"certificate {certificate.thumbprint}")
        say(f"  {'used' if verdict.usable else 'not used'}: {verdict.reason}: {verdict.detail}")


def remove(context: typer.Context, name: Name, config: ConfigOption = None) -> None:
    """Remove a domain and its certificates; its mail is then handled as everybody else's."""
    with open_current_installation(config_path(context, config)) as installation:
        DomainDesk(installation.store.registry, SystemClock()).remove(name, actor())
    say(f"removed {name}")


def _encryption(row: DomainRow) -> str:
    return "" if isinstance(row.domain, ManagedDomain) else row.domain.encryption


def _routes(row: DomainRow) -> str:
    if isinstance(row.domain, ManagedDomain):
        back = f", from inside {row.domain.return_to}" if row.domain.return_to else ""
        return row.domain.deliver_to + back
    return row.domain.route


def _certificates(row: DomainRow) -> str:
    usable = sum(verdict.usable for _, verdict in row.certificates)
    if not row.certificates:
        return "" if isinstance(row.domain, ManagedDomain) else "0"
    return f"{usable} of {len(row.certificates)}"
