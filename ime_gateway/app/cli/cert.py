"""`ime-gateway cert`: certificates of people, each with the verdict that mail would get now."""

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.judging import JudgedCertificate, judged_json
from ime_gateway.admin.key_desk import KeyDesk
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli import cert_candidates, cert_check, cert_issue
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path, read_file
from ime_gateway.app.cli.show import Cell, as_json, as_pairs, as_table, coloured, say
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError

Thumbprint = Annotated[str, typer.Argument(metavar="THUMBPRINT", help="Or its beginning.", show_default=False)]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Certificates: of people, and what the gateway makes.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("import")(import_)
    group.command("delete")(delete)
    cert_check.register(group)
    cert_issue.register(group)
    cert_candidates.register(group)
    return group


def list_(
    context: typer.Context,
    search: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="Part of address, subject or thumbprint.", show_default=False)
    ] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1000,
) -> None:
    """Certificates with whether they are used, and why not."""
    with open_current_installation(config_path(context, config)) as installation:
        items = KeyDesk(installation.store.registry, SystemClock()).certificates(search=search, limit=limit)
    if json:
        as_json([judged_json(item) for item in items])
        return
    headings = ("addresses", "used", "reason", "until", "key", "thumbprint", "detail")
    empty = "no certificate" + (f" matches {search}" if search else "")
    as_table(headings, [_row(item) for item in items], empty=empty, prose=2)


def show(context: typer.Context, thumbprint: Thumbprint, config: ConfigOption = None, json: JsonOption = False) -> None:
    """One certificate."""
    with open_current_installation(config_path(context, config)) as installation:
        item = KeyDesk(installation.store.registry, SystemClock()).certificate(thumbprint)
    if json:
        as_json(judged_json(item))
        return
    certificate = item.entry.certificate
    verdict = f"{'used' if item.verdict.usable else 'not used'}: {item.verdict.reason}: {item.verdict.detail}"
    as_pairs(
        [
            ("thumbprint", certificate.thumbprint),
            ("addresses", ", ".join(item.entry.addresses)),
            ("subject", certificate.subject),
            ("issuer", certificate.issuer),
            ("serial", f"{certificate.serial:x}"),
            ("valid", f"{rfc3339(certificate.not_before)} to {rfc3339(certificate.not_after)}"),
            ("key", f"{certificate.key_kind} {certificate.key_bits} bits"),
            ("private key", "yes, sealed" if item.entry.has_private_key else "no"),
            ("imported", rfc3339(item.entry.imported_at)),
            ("verdict", verdict),
        ]
    )


def import_(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="PEM, DER, PKCS#7 or PKCS#12.", show_default=False)
    ],
    addresses: Annotated[
        list[str] | None,
        typer.Option(
            "--address", metavar="ADDRESS", help="Whose it is; default: as it says itself.", show_default=False
        ),
    ] = None,
    password_file: Annotated[Path | None, typer.Option("--password-file", metavar="FILE", show_default=False)] = None,
    password_env: Annotated[
        str, typer.Option("--password-env", metavar="NAME", help="A variable with the password.", show_default=False)
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Import certificates, with private keys where they come along. Being imported is not trust."""
    path = config_path(context, config)
    contents = [(file, read_file(file)) for file in files]
    password = _password(
        password_file, password_env, ask=any(file.suffix.lower() in (".p12", ".pfx") for file in files)
    )
    with open_current_installation(path) as installation:
        desk = KeyDesk(installation.store.registry, SystemClock())
        for file, data in contents:
            try:
                taken = desk.take(data, password=password, addresses=addresses or [], actor=actor())
            except UserError as error:
                raise UserError(f"{file}: {error}", error.evidence) from None
            for item, changed in taken:
                _say_taken(item, changed=changed, alone=len(taken) == 1)


def delete(context: typer.Context, thumbprint: Thumbprint, config: ConfigOption = None) -> None:
    """Delete a certificate and its private key."""
    with open_current_installation(config_path(context, config)) as installation:
        whole = KeyDesk(installation.store.registry, SystemClock()).delete(thumbprint, actor())
    say(f"deleted {whole}")


def _password(file: Path | None, variable: str, *, ask: bool) -> str | None:
    if file is not None and variable:
        raise UserError("give only one of --password-file and --password-env")
    if file is not None:
        return read_file(file).decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if variable:
        if variable not in os.environ:
            raise UserError(f"environment variable {variable} is not set")
        return os.environ[variable]
    return getpass.getpass("Password of the PKCS#12 file: ") if ask and sys.stdin.isatty() else None


def _say_taken(item: JudgedCertificate, *, changed: bool, alone: bool) -> None:
    owner = ", ".join(item.entry.addresses) or f"CA {item.entry.certificate.subject}"
    say(f"{'imported' if changed else 'known already'}: {owner} {item.entry.certificate.thumbprint}")
    if item.entry.addresses and not item.verdict.usable:
        say(f"note: it is not used: {item.verdict.reason}: {item.verdict.detail}")
    if not item.entry.addresses and (alone or item.entry.certificate.addresses):
        say("note: it is a CA certificate and belongs to nobody; if it is a person's: --address ADDRESS")


def _row(item: JudgedCertificate) -> tuple[Cell, ...]:
    certificate = item.entry.certificate
    return (
        ", ".join(item.entry.addresses) or f"CA: {certificate.subject}",
        "" if not item.entry.addresses else coloured("yes" if item.verdict.usable else "no"),
        str(item.verdict.reason) if item.entry.addresses else "",
        rfc3339(certificate.not_after)[:10],
        f"{certificate.key_kind}-{certificate.key_bits}" + (" +private" if item.entry.has_private_key else ""),
        certificate.thumbprint.removeprefix("sha256:")[:16],
        item.verdict.detail if item.entry.addresses else "",
    )
