"""`ime-gateway`: the root of the command line (design 6.1).

Exit status 0 done, 1 refused with a sentence on standard error, 2 wrong usage. A person at three
in the morning gets sentences, never a traceback; what only a programmer can use goes into a file.
"""

import os
import sys
import tempfile
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from ime_gateway.app.cli.options import ConfigOption
from ime_gateway.app.cli.show import say, say_error
from ime_gateway.app.loading import load
from ime_gateway.base.errors import GatewayError

_MODULES = {
    "init": "init",
    "check": "check",
    "apply": "site",
    "export": "site",
    "serve": "serve",
    "upgrade": "upgrade",
    "explain": "explain",
    "track": "track",
    "doctor": "doctor",
    "exchange-kit": "exchange_kit",
    "queue": "queue",
    "cert": "cert",
    "ca": "ca",
    "trust": "trust",
    "domain": "domain",
    "ime": "ime",
    "admin": "admin",
}
"""Which module of this folder has which command or group; none is imported before it is asked for."""


class _Commands(typer.core.TyperGroup):
    """The root of the tree. Whoever types one command waits for what that command needs, and not for all of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            wanted = [cmd_name] if cmd_name in _MODULES else _MODULES  # all of them, to say which was meant
            self.commands.update(typer.main.get_group(build(wanted)).commands)
        return self.commands.get(cmd_name)


def build(names: Iterable[str] = _MODULES) -> typer.Typer:
    """The command tree, or what of it stands below these names of commands and groups."""
    app = typer.Typer(
        name="ime-gateway",
        cls=_Commands,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    modules = dict.fromkeys(_MODULES[name] for name in names)
    for name, module in zip(modules, load(f"ime_gateway.app.cli.{module}" for module in modules), strict=True):
        if hasattr(module, "register"):
            module.register(app)
        else:
            app.add_typer(module.commands(), name=name)
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the program; always ends in SystemExit. `arguments`: without the program's name."""
    sys.excepthook = _report
    try:
        _run(arguments)
    finally:
        _end_output()


def _run(arguments: Sequence[str] | None) -> None:
    command = typer.main.get_command(build(()))
    try:
        command.main(args=None if arguments is None else list(arguments), prog_name="ime-gateway")
    except GatewayError as error:
        say_error(f"ime-gateway: {error}")
        if error.evidence:
            say_error(f"  details: {error.evidence}")
        sys.exit(1)


def _end_output() -> None:
    """Whoever reads us may have seen enough (`| head`); that is no error, and the interpreter shall not call it one."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata  # takes long, and nothing else needs it

        say(f"ime-gateway {importlib.metadata.version('ime-gateway')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    config: ConfigOption = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """A mail gateway that protects each message for each recipient with the best method they can open."""
    context.obj = config


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Words for what nobody foresaw (sys.excepthook; the exit status is 1)."""
    if issubclass(kind, KeyboardInterrupt):
        say_error("ime-gateway: stopped")
        return
    descriptor, name = tempfile.mkstemp(prefix="ime-gateway-error-", suffix=".txt")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        traceback.print_exception(kind, error, trace, file=file)
    say_error(f"ime-gateway: unexpected error ({kind.__name__}); nothing more was done. Details: {Path(name)}")
