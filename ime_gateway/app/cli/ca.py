"""`ime-gateway ca`: the built-in CA; made, shown, renewed, its root key taken offline."""

import getpass
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ime_gateway.admin.authority_desk import AuthorityDesk, AuthorityRow, authority_json, issued_json
from ime_gateway.admin.certificate_files import pem
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path, read_file
from ime_gateway.app.cli.output_files import write_new
from ime_gateway.app.cli.show import as_json, as_pairs, as_table, say, say_error
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError
from ime_gateway.ports.authorities import AuthorityEntry, IssuedEntry

AuthorityKind = Literal["rsa-3072", "rsa-4096", "p-256", "p-384", "ed25519"]
Kind = Annotated[AuthorityKind, typer.Option("--kind", help="Kind of the keys; few programs read ed25519.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="A file with the passphrase.", show_default=False),
]
PassphraseVariable = Annotated[
    str, typer.Option("--passphrase-env", metavar="NAME", help="A variable with the passphrase.", show_default=False)
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="The built-in CA: root, issuing CA, revocation lists.")
    for command in (init, show, export, crl, renew):
        group.command()(command)
    group.command("list")(list_)
    group.command("take-offline")(take_offline)
    group.command("bring-back")(bring_back)
    return group


def init(
    context: typer.Context,
    organization: Annotated[
        str,
        typer.Argument(metavar="[ORGANIZATION]", help="As in its name; default: a managed domain.", show_default=False),
    ] = "",
    country: Annotated[
        str, typer.Option("--country", metavar="CC", help="Two letters, as in DE.", show_default=False)
    ] = "",
    kind: Kind = "rsa-3072",
    open_root: Annotated[
        bool,
        typer.Option(
            "--open-root", help="Bind only the issuing CA to the managed domains, so that others may come later."
        ),
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Also when there is a CA; it retires.")] = False,
    config: ConfigOption = None,
) -> None:
    """Make a root and an issuing CA for the managed domains, and trust the root here."""
    if country and (len(country) != 2 or not country.isascii() or not country.isalpha()):
        raise typer.BadParameter("--country takes the two letters of ISO 3166, as in DE")
    if len(organization) > _LONGEST_ORGANIZATION or (organization and not organization.isprintable()):
        raise typer.BadParameter(f"the organization must be one line of at most {_LONGEST_ORGANIZATION} characters")
    with open_current_installation(config_path(context, config)) as installation:
        rows = _desk(installation).init(
            organization, country, kind, open_root=open_root, replace=replace, actor=actor()
        )
    for row in rows:
        if row.entry.state == "active":
            _print(row)
    say("Give partners the root: ime-gateway ca export --out ca.pem, and compare its thumbprint with them.")
    say("Next: ime-gateway cert issue DOMAIN|ADDRESS; then take the root's key to a safe: ime-gateway ca take-offline")


def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="One CA; default: all.", show_default=False)] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """The CAs, their lists, and what should be done."""
    with open_current_installation(config_path(context, config)) as installation:
        desk = _desk(installation)
        rows = [desk.row(name)] if name else desk.rows()
    if json:
        as_json(authority_json(rows[0]) if name else [authority_json(row) for row in rows])
        return
    for row in rows:
        _print(row)
    if not rows:
        say("there is no built-in CA yet; make one: ime-gateway ca init")


def list_(
    context: typer.Context,
    owner: Annotated[
        str, typer.Argument(metavar="[OWNER]", help="An address or a managed domain.", show_default=False)
    ] = "",
    revoked: Annotated[bool, typer.Option("--revoked", help="Only those that were revoked.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1000,
) -> None:
    """What the CAs issued, the newest first."""
    with open_current_installation(config_path(context, config)) as installation:
        entries = _desk(installation).issued(owner=owner.lower(), revoked=revoked or None, limit=limit)
    if json:
        as_json([issued_json(entry) for entry in entries])
        return
    headings = ("owner", "purpose", "until", "revoked", "serial", "thumbprint")
    as_table(headings, [_issued_row(entry) for entry in entries], empty="nothing was issued yet")


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="PEM; nothing secret.")],
    config: ConfigOption = None,
) -> None:
    """Write the certificates of the active CAs, for partners: the root, which they trust, and the issuing CA."""
    with open_current_installation(config_path(context, config)) as installation:
        rows = [row for row in _desk(installation).rows() if row.entry.state == "active"]
    if not rows:
        raise UserError("there is no built-in CA yet; make one: ime-gateway ca init")
    write_new(out, b"".join(pem(row.entry.certificate) for row in rows))
    for row in rows:
        say(f"{row.entry.role}: {groups(row.entry.certificate.thumbprint)}")
    say(f"Wrote {len(rows)} certificates to {out}.")


def renew(context: typer.Context, kind: Kind = "rsa-3072", config: ConfigOption = None) -> None:
    """A new issuing CA below the same root, for the domains that are managed now."""
    with open_current_installation(config_path(context, config)) as installation:
        row = _desk(installation).renew(kind, actor())
    _print(row)
    say("Certificates are issued by it from now on; the old one goes on signing its revocation list.")


def take_offline(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new PKCS#12 file, for a safe.")],
    passphrase_file: PassphraseFile = None,
    passphrase_env: PassphraseVariable = "",
    config: ConfigOption = None,
) -> None:
    """Write the root's key, sealed to a passphrase, and erase it here. The issuing CA goes on."""
    passphrase = _passphrase(passphrase_file, passphrase_env, twice=True)

    def keep(_entry: AuthorityEntry, data: bytes) -> None:
        write_new(out, data, secret=True)

    with open_current_installation(config_path(context, config)) as installation:
        row = _desk(installation).take_offline(passphrase, keep, actor())
    say(f"The private key of {row.entry.name} is in {out} and nowhere else.")
    say("Copy it to a safe, twice, and delete it here.")
    assert row.entry.crl_next_update is not None
    say(f"Bring it back before {rfc3339(row.entry.crl_next_update)}, when its revocation list ends.")


def bring_back(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="From take-offline.", show_default=False)],
    passphrase_file: PassphraseFile = None,
    passphrase_env: PassphraseVariable = "",
    config: ConfigOption = None,
) -> None:
    """Take the root's key into the store again."""
    path = config_path(context, config)
    data = read_file(file)
    passphrase = _passphrase(passphrase_file, passphrase_env, twice=False)
    with open_current_installation(path) as installation:
        try:
            row = _desk(installation).bring_back(data, passphrase, actor())
        except UserError as error:
            raise UserError(f"{file}: {error}", error.evidence) from None
    say(f"The private key of {row.entry.name} is here again.")


def crl(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Also write the lists there.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Sign the revocation lists anew, now."""
    with open_current_installation(config_path(context, config)) as installation:
        rows, offline = _desk(installation).sign_lists(actor())
    for row in rows:
        if row.entry.crl is None or row.entry.crl_next_update is None:
            continue
        if row.entry.name not in offline:
            say(f"{row.entry.name}: list {row.entry.crl_number}, until {rfc3339(row.entry.crl_next_update)}")
        if out is not None:
            write_new(out / f"{row.entry.name}.crl", row.entry.crl, replace=True)
    for name in offline:
        say_error(f"note: the list of {name} was not renewed: its key is offline")


_LONGEST_ORGANIZATION = 64
"""ub-organization-name of RFC 5280."""


def _desk(installation: Installation) -> AuthorityDesk:
    pki_url = installation.settings.web.pki_base
    return AuthorityDesk(installation.store.registry, SystemClock(), secrets.token_bytes, pki_url)


def _print(row: AuthorityRow) -> None:
    entry = row.entry
    certificate = entry.certificate
    say(f"{entry.name} ({entry.role} CA, {entry.state})")
    until = (
        "" if entry.crl_next_update is None else f"number {entry.crl_number}, until {rfc3339(entry.crl_next_update)}"
    )
    as_pairs(
        [
            ("  subject", certificate.subject),
            ("  thumbprint", groups(certificate.thumbprint)),
            (
                "  key",
                f"{certificate.key_kind}-{certificate.key_bits}, {'here' if entry.has_private_key else 'offline'}",
            ),
            ("  valid", f"{rfc3339(certificate.not_before)} to {rfc3339(certificate.not_after)}"),
            ("  revocation list", until),
            ("  served at", row.crl_url),
        ]
    )
    for note in row.notes:
        say(f"  note: {note}")


def _issued_row(entry: IssuedEntry) -> tuple[str, ...]:
    revoked = "" if entry.revoked_at is None else f"{rfc3339(entry.revoked_at)[:10]} {entry.revocation_reason}"
    certificate = entry.certificate
    digits = certificate.thumbprint.removeprefix("sha256:")[:16]
    return entry.owner, entry.purpose, rfc3339(certificate.not_after)[:10], revoked, f"{certificate.serial:x}", digits


def _passphrase(file: Path | None, variable: str, *, twice: bool) -> str:
    if file is not None and variable:
        raise UserError("give only one of --passphrase-file and --passphrase-env")
    if file is not None:
        return read_file(file).decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if variable:
        if variable not in os.environ:
            raise UserError(f"environment variable {variable} is not set")
        return os.environ[variable]
    if not sys.stdin.isatty():
        raise UserError("the key needs a passphrase: give --passphrase-file or --passphrase-env")
    first = getpass.getpass("Passphrase of the root's key: ")
    if twice and getpass.getpass("Once more: ") != first:
        raise UserError("the two passphrases differ; nothing was done")
    return first
