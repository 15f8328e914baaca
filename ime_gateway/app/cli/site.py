"""`ime-gateway apply` and `export`: the live data as a file, there and back."""

import getpass
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.site_apply import SiteDesk
from ime_gateway.admin.site_export import PASSPHRASE_VARIABLE, ExportDesk, SiteExport
from ime_gateway.admin.site_file import read_site
from ime_gateway.admin.site_report import ApplyReport
from ime_gateway.app.cli.options import ConfigOption, actor, config_path, read_file
from ime_gateway.app.cli.show import say, say_error
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError
from ime_gateway.settings.load import load_site

_SIGNS = {"added": "+", "changed": "~", "removed": "-"}
MINIMUM_PASSPHRASE = 12


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("apply")(apply)
    app.command("export")(export)


def apply(
    context: typer.Context,
    site: Annotated[
        Path, typer.Argument(metavar="SITE.toml", help="Paths in it are relative to it.", show_default=False)
    ],
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Also remove what the file does not name.")] = False,
) -> None:
    """Put domains, certificates, trust and policy of a file in force, in one transaction."""
    path = config_path(context, config)
    contents = read_site(load_site(site), Path.read_bytes, os.environ)
    with open_current_installation(path) as installation:
        v1_domain = installation.settings.ime.v1_address.rpartition("@")[2]
        desk = SiteDesk(installation.store.registry, SystemClock(), secrets.token_bytes, v1_domain)
        report = desk.apply(contents, prune=prune, dry_run=dry_run, actor=actor())
    _print(report, dry_run=dry_run)


def export(
    context: typer.Context,
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="New or empty folder for site.toml and certs/.", show_default=False),
    ] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Private keys too, sealed to a passphrase; needs --out.")
    ] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", metavar="FILE", help="Else it is asked for.", show_default=False)
    ] = None,
) -> None:
    """Write the live data as a SITE.toml; without private keys unless --with-keys."""
    path = config_path(context, config)
    if with_keys and out is None:
        raise UserError("--with-keys needs --out DIR: private keys go into files, not to the screen")
    if passphrase_file is not None and not with_keys:
        raise UserError("--passphrase-file is for --with-keys")
    passphrase = _passphrase(passphrase_file) if with_keys else None
    with open_current_installation(path) as installation:
        exported = ExportDesk(installation.store.registry).export(passphrase=passphrase, actor=actor())
    for sentence in exported.left_behind:
        say_error(sentence)
    if out is None:
        print(exported.text, end="")
        if exported.files:
            say_error(f"The {len(exported.files)} certificate files it names are written with --out DIR.")
        return
    _write(exported, out)
    say(f"Wrote {out / 'site.toml'} and {len(exported.files)} certificate files.")
    if with_keys:
        say(f"To apply it, set {PASSPHRASE_VARIABLE} to the passphrase.")


def _print(report: ApplyReport, *, dry_run: bool) -> None:
    for change in report.changes:
        if change.kind != "unchanged":
            say(f"{_SIGNS[change.kind]} {change.what} {change.name}".rstrip())
    for note in report.notes:
        say(f"note: {note}")
    if not report.changed:
        say("nothing changed")
        return
    counts = ", ".join(f"{report.count(kind)} {kind}" for kind in ("added", "changed", "removed", "unchanged"))
    say(f"would be: {counts} (dry run, nothing was done)" if dry_run else f"{counts}; in force now")


def _passphrase(file: Path | None) -> str:
    if file is not None:
        text = read_file(file).decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    elif sys.stdin.isatty():
        text = getpass.getpass("Passphrase for the private keys: ")
        if getpass.getpass("Again: ") != text:
            raise UserError("the two passphrases differ")
    else:
        raise UserError("no terminal to ask for the passphrase; give --passphrase-file FILE")
    if len(text) < MINIMUM_PASSPHRASE:
        raise UserError(f"the passphrase is too short; use {MINIMUM_PASSPHRASE} characters or more")
    return text


def _write(exported: SiteExport, folder: Path) -> None:
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty; choose a new folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in (*exported.files.items(), ("site.toml", exported.text.encode())):
            path = folder / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
