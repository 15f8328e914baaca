"""`ime-gateway trust`: the certificate trust list."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ime_gateway.admin.trust_desk import TrustDesk, thumbprint_of_file, trust_json
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path, read_file
from ime_gateway.app.cli.show import as_json, as_table, coloured, say
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.base.errors import UserError
from ime_gateway.ports.directory import TrustEntry

Which = Annotated[
    str,
    typer.Argument(metavar="THUMBPRINT|FILE", help="A thumbprint, or a file with the certificate.", show_default=False),
]
Note = Annotated[str, typer.Option("--note", help="Who checked it, how and when.", show_default=False)]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="The certificate trust list: list, allow, deny, remove.")
    group.command("list")(list_)
    for command in (allow, deny, remove):
        group.command()(command)
    return group


def list_(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """All lines, denied ones first."""
    with open_current_installation(config_path(context, config)) as installation:
        rows = TrustDesk(installation.store.registry).rows()
    if json:
        as_json([trust_json(row) for row in rows])
        return
    lines = [
        (
            coloured(row.entry.verdict),
            row.entry.thumbprint,
            "yes" if row.entry.allow_expired else "",
            row.subject,
            row.entry.note,
        )
        for row in rows
    ]
    as_table(
        ("verdict", "thumbprint", "even expired", "subject", "note"), lines, empty="the trust list is empty", prose=2
    )


def allow(
    context: typer.Context,
    which: Which,
    note: Note = "",
    allow_expired: Annotated[bool, typer.Option("--allow-expired", help="Also after its end.")] = False,
    config: ConfigOption = None,
) -> None:
    """Use this certificate though it leads to no root."""
    with open_current_installation(config_path(context, config)) as installation:
        _put(installation, which, "allow", note, allow_expired=allow_expired)


def deny(context: typer.Context, which: Which, note: Note = "", config: ConfigOption = None) -> None:
    """Never use this certificate, nor any that it issued; in force at once, in all workers."""
    with open_current_installation(config_path(context, config)) as installation:
        _put(installation, which, "deny", note, allow_expired=False)


def remove(context: typer.Context, which: Which, config: ConfigOption = None) -> None:
    """Take a line off the list."""
    with open_current_installation(config_path(context, config)) as installation:
        thumbprint = _of_file(Path(which)) if _names_file(which) else which
        whole = TrustDesk(installation.store.registry).remove(thumbprint, actor())
    say(f"removed {whole}")


def _put(
    installation: Installation, which: str, verdict: Literal["allow", "deny"], note: str, *, allow_expired: bool
) -> None:
    desk = TrustDesk(installation.store.registry)
    thumbprint = _of_file(Path(which)) if _names_file(which) else desk.whole_thumbprint(which)
    changed = desk.put(TrustEntry(thumbprint, verdict, allow_expired, note), actor())
    say(f"{verdict} {thumbprint}" + ("" if changed else " (nothing changed)"))


def _names_file(which: str) -> bool:
    """A thumbprint has neither `/` nor `.`; raises UserError for a file that is not there."""
    if Path(which).is_file():
        return True
    if "/" in which or "." in which:
        raise UserError(f"{which}: there is no such file")
    return False


def _of_file(file: Path) -> str:
    try:
        return thumbprint_of_file(read_file(file))
    except UserError as error:
        raise UserError(f"{file}: {error}", error.evidence) from None
