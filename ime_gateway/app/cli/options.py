"""What many commands have in common: `-c FILE` on either side of the command, `--json`, who acts.

Design 6.1: every command but `init` takes `-c FILE`, else `$IMEGW_CONFIG`, else `./gateway.toml`.
"""

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.base.errors import UserError

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The gateway.toml; else $IMEGW_CONFIG, else ./gateway.toml.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer for programs.")]
VARIABLE = "IMEGW_CONFIG"


def config_path(context: typer.Context, given: Path | None) -> Path:
    """The gateway.toml that is meant; raises UserError with the ways to name one when there is none."""
    # The root command keeps its own -c in `obj`, which all commands below inherit.
    before = context.obj if isinstance(context.obj, Path) else None
    path = given or before or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if path is not None:
        return path
    path = Path("gateway.toml")
    if not path.exists():
        raise UserError(
            f"there is no gateway.toml here; give -c FILE, set {VARIABLE}, or begin with: ime-gateway init DIR"
        )
    return path


def actor() -> str:
    """Who acts, for the audit trail: the user of the operating system behind sudo, if any."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"cli:{user}"


def read_file(path: Path) -> bytes:
    """The bytes of a file that was named on the command line; raises UserError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
