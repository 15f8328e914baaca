"""`ime-gateway check`: everything that can be wrong, found before start."""

import os
import time

import typer

from ime_gateway.app.cli.options import ConfigOption, JsonOption, config_path
from ime_gateway.app.cli.show import as_json, as_table, coloured, say_error
from ime_gateway.app.preflight.run import preflight


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Look for everything that could be wrong; exit status 1 when something is."""
    findings = preflight(config_path(context, config), os.environ, time.time())
    errors = sum(finding.level == "error" for finding in findings)
    if json:
        listed = [{"level": one.level, "key": one.key, "message": one.message} for one in findings]
        as_json({"ok": errors == 0, "findings": listed})
    else:
        rows = [(coloured(one.level), one.key, one.message) for one in findings]
        as_table(("", "what", "finding"), rows, empty="nothing to look at", prose=1)
    if errors:
        say_error(f"ime-gateway: {errors} {'error' if errors == 1 else 'errors'}; the gateway is not ready to start")
        raise typer.Exit(1)
