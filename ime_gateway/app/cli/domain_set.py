"""`ime-gateway domain add|set|unset`: settings of domains, addresses and the installation, one by one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.brought_certificates import brought_notes
from ime_gateway.admin.domain_desk import DomainDesk
from ime_gateway.admin.domain_settings import EVERYWHERE, Kind, SettingsDesk, parse_pairs
from ime_gateway.app.cli.options import ConfigOption, actor, config_path, read_file
from ime_gateway.app.cli.show import say
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError

Whose = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help=f"A domain, *.DOMAIN, an address, or {EVERYWHERE}: all of them.", show_default=False
    ),
]
Pairs = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE...", help="As in SITE.toml; lists with commas.", show_default=False),
]
Certificates = Annotated[
    list[Path] | None,
    typer.Option(
        "--certificate", metavar="FILE", help="A domain certificate (of `global`: for the archive).", show_default=False
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command()(add)
    group.command("set")(set_)
    group.command()(unset)


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DOMAIN", help="Or *.DOMAIN.", show_default=False)],
    pairs: Pairs = None,
    managed: Annotated[bool, typer.Option("--managed", help="Ours: needs deliver_to=smtp://HOST:PORT.")] = False,
    certificate: Certificates = None,
    config: ConfigOption = None,
) -> None:
    """A new partner domain, or with --managed a domain of ours."""
    kind: Kind = "managed" if managed else "partner"
    files = _read(certificate)
    with open_current_installation(config_path(context, config)) as installation:
        stored = _desk(installation).add(name, kind, parse_pairs(pairs or ()), files, actor())
        warnings = _warnings(installation, stored, files)
    say(f"added {kind} domain {stored}; in force now. See: ime-gateway domain show {stored}")
    for warning in warnings:
        say(warning)


def set_(
    context: typer.Context,
    name: Whose,
    pairs: Pairs = None,
    certificate: Certificates = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop-certificate", metavar="THUMBPRINT", help="Or its beginning.", show_default=False),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Set keys of a domain, pattern, address or of the installation; below it they are inherited."""
    if not pairs and not certificate and not drop:
        raise UserError("nothing to set; give KEY=VALUE, as in encryption=mandatory, or --certificate FILE")
    files = _read(certificate)
    with open_current_installation(config_path(context, config)) as installation:
        changed = _desk(installation).change(
            name, actor(), pairs=parse_pairs(pairs or ()), files=files, drop=tuple(drop or ())
        )
        warnings = _warnings(installation, name, files)
    say(f"{name}: in force now" if changed else f"{name}: nothing changed")
    for warning in warnings:
        say(warning)


def unset(
    context: typer.Context,
    name: Whose,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", show_default=False)],
    config: ConfigOption = None,
) -> None:
    """Let keys be inherited again."""
    with open_current_installation(config_path(context, config)) as installation:
        changed = _desk(installation).change(name, actor(), unset=tuple(keys))
    say(f"{name}: in force now" if changed else f"{name}: nothing changed")


def _desk(installation: Installation) -> SettingsDesk:
    return SettingsDesk(installation.store.registry, installation.settings.ime.v1_address.rpartition("@")[2])


def _warnings(installation: Installation, name: str, files: Mapping[str, bytes]) -> list[str]:
    """What must be known of the certificates that were stored for a domain, pattern or for all."""
    if not files:
        return []
    registry, clock = installation.store.registry, SystemClock()
    row = DomainDesk(registry, clock).row(name)
    foreign = row.notes if row.kind == "partner" else ()
    return [*foreign, *brought_notes(registry, clock, name, files)]


def _read(files: list[Path] | None) -> dict[str, bytes]:
    return {str(file): read_file(file) for file in files or ()}
