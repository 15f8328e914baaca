"""`ime-gateway admin`: who may enter the administrators' site, and the way back in after a forgotten password.

Whoever can read gateway.toml and master.key rules the installation already, so no password is asked for here.
"""

import secrets
from typing import Annotated

import typer

from ime_gateway.admin.accounts import Accounts
from ime_gateway.app.cli.options import ConfigOption, JsonOption, config_path
from ime_gateway.app.cli.show import as_json, as_table, say
from ime_gateway.app.installation import open_current_installation

Name = Annotated[str, typer.Argument(metavar="NAME", help="What is typed at login.", show_default=False)]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Administrators of the web site: list, add, reset.")
    group.command("list")(list_)
    for command in (add, reset):
        group.command()(command)
    return group


def list_(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """All accounts, by name."""
    with open_current_installation(config_path(context, config)) as installation:
        accounts = installation.store.registry.admins()
    if json:
        as_json([{"name": one.name, "must_change": one.must_change} for one in accounts])
        return
    rows = [(one.name, "one-time, must be changed" if one.must_change else "their own") for one in accounts]
    as_table(("name", "password"), rows, empty="nobody yet; see: ime-gateway admin add NAME")


def add(context: typer.Context, name: Name, config: ConfigOption = None) -> None:
    """Add an administrator, and print a one-time password."""
    with open_current_installation(config_path(context, config)) as installation:
        say(f"One-time password: {Accounts(installation.store.registry, secrets.token_bytes).create(name)}")


def reset(context: typer.Context, name: Name, config: ConfigOption = None) -> None:
    """Replace a forgotten password by a one-time password; older sessions end."""
    with open_current_installation(config_path(context, config)) as installation:
        say(f"One-time password: {Accounts(installation.store.registry, secrets.token_bytes).reset(name)}")
