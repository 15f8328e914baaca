"""`ime-gateway serve`: takes and delivers mail until a signal says stop."""

from typing import Annotated

import typer

from ime_gateway.app.cli.options import ConfigOption, config_path


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    context: typer.Context,
    config: ConfigOption = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=64, help="Overrides workers of \\[smtp].", show_default=False
        ),
    ] = None,
) -> None:
    """Run the gateway. SIGTERM drains and stops, SIGHUP reads gateway.toml again."""
    # Only here: the other commands need neither the mail path nor the web pages, and start faster.
    from ime_gateway.app.supervisor import serve as serve_until_stopped

    serve_until_stopped(config_path(context, config), workers)
