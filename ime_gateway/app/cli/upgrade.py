"""`ime-gateway upgrade`: bring the database to this version without starting the gateway.

`serve` does the same by itself; this is for whoever wants to apply new settings before mail flows.
"""

import typer

from ime_gateway.app.cli.options import ConfigOption, config_path
from ime_gateway.app.cli.show import say
from ime_gateway.app.installation import open_installation
from ime_gateway.app.only_one import only_one


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("upgrade")(upgrade)


def upgrade(context: typer.Context, config: ConfigOption = None) -> None:
    """Bring the database of an older version to this one; serve also does it when it starts. Stop serve first.

    Upgrade every node before you apply anything new; there is no way back but a copy of database and spool folder
    taken before.
    """
    path = config_path(context, config)
    with only_one(path), open_installation(path) as installation:
        before = installation.upgrade_schema()
    if before.kind == "current":
        say(f"nothing to do: the database has schema {before.wanted} already")
    else:
        say(f"upgraded the database from schema {before.found} to {before.wanted}; queue and settings are as they were")
