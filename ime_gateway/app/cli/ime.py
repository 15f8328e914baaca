"""`ime-gateway ime`: keys of IME addresses, and the contact from which users' programs learn them."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.ime_contact import FILE_NAMES, ContactFiles
from ime_gateway.admin.ime_desk import ImeDesk, ImeRow, ime_json
from ime_gateway.admin.key_pairs import DEFAULT_DAYS, DEFAULT_OVERLAP_DAYS, LONGEST_DAYS, groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli import ime_signers
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path
from ime_gateway.app.cli.show import as_json, as_pairs, say, say_error
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError
from ime_gateway.ports.registry import ImeKeyEntry

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="A managed domain.", show_default=False)]
Days = Annotated[int, typer.Option("--days", min=1, max=LONGEST_DAYS, help="How long the certificate is valid.")]
_LONGEST_OVERLAP = 365


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="IME 2.0: keys, address-list contact and signers.")
    for command in (issue, show, rotate):
        group.command()(command)
    group.command("export-contact")(export_contact)
    group.add_typer(ime_signers.commands(), name="signers")
    return group


def issue(
    context: typer.Context,
    domain: Domain,
    days: Days = DEFAULT_DAYS,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also when there is a key; it then opens containers for 14 days more.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Make the key and certificate of a domain's IME address (RSA-3072, self-signed)."""
    with open_current_installation(config_path(context, config)) as installation:
        row = _desk(installation).issue(domain, days=days, replace=replace, actor=actor())
    _say_made(row)


def show(context: typer.Context, domain: Domain, config: ConfigOption = None, json: JsonOption = False) -> None:
    """The IME certificate with its thumbprint to read aloud, older keys, and what should be done."""
    with open_current_installation(config_path(context, config)) as installation:
        row = _desk(installation).show(domain)
    if json:
        as_json(ime_json(row))
    else:
        _print(row)


def rotate(
    context: typer.Context,
    domain: Domain,
    overlap_days: Annotated[
        int | None,
        typer.Option(
            "--overlap-days",
            metavar="N",
            help=f"How long the old key opens containers; {DEFAULT_OVERLAP_DAYS} unless given.",
            show_default=False,
        ),
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="The old key was stolen: it opens nothing from now on, and is erased.")
    ] = False,
    days: Days = DEFAULT_DAYS,
    config: ConfigOption = None,
) -> None:
    """Change to a new key; the old one opens containers until address books have the new certificate."""
    if now and overlap_days is not None:
        raise typer.BadParameter("--now leaves no overlap; give either --now or --overlap-days")
    if overlap_days is not None and overlap_days < 1:
        raise typer.BadParameter(
            "the overlap must be a day at least, because Outlook encrypts with what its offline address book holds;"
            " only for a key that was stolen: --now"
        )
    if overlap_days is not None and overlap_days > _LONGEST_OVERLAP:
        raise typer.BadParameter(
            f"the overlap must be at most {_LONGEST_OVERLAP} days; address books have the new certificate long before"
        )
    with open_current_installation(config_path(context, config)) as installation:
        overlap = DEFAULT_OVERLAP_DAYS if overlap_days is None else overlap_days
        row = _desk(installation).rotate(domain, days=days, overlap_days=overlap, at_once=now, actor=actor())
    _say_made(row)
    if now:
        say_error(
            "warning: the old keys open nothing any more and were erased. Containers made with them are refused until"
            " users' address books have the new certificate; publish the contact at once."
        )


def export_contact(
    context: typer.Context,
    domain: Domain,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="New, empty, or an earlier export.")],
    name: Annotated[
        str, typer.Option("--name", help="Display name; begins with _ unless you know better.", show_default=False)
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Write certificate, signed address-list value and contact data of the IME address; nothing secret."""
    if len(name) > _LONGEST_NAME or (name and not name.isprintable()) or name != name.strip():
        raise typer.BadParameter(f"--name must be one line of at most {_LONGEST_NAME} characters")
    _require_own_folder(out)
    with open_current_installation(config_path(context, config)) as installation:
        contact = _desk(installation).export_contact(domain, name, actor())
    _write(contact, out)
    say(f"Wrote {len(contact.files)} files for {contact.address} to {out}; see README.txt there.")
    say(f"thumbprint: {groups(contact.thumbprint)}")


_LONGEST_NAME = 64
"""The common name of an entry in the directory (RFC 4519, ub-common-name of X.520)."""


def _desk(installation: Installation) -> ImeDesk:
    return ImeDesk(installation.store.registry, SystemClock(), secrets.token_bytes)


def _say_made(row: ImeRow) -> None:
    assert row.current is not None
    say(f"The IME address {row.address} of {row.domain} has a new certificate, in force now.")
    as_pairs(_key_lines(row.current))
    opening = [key for key in row.older if key.has_private_key]
    for key in opening:
        say(f"The key {key.certificate.thumbprint[:19]} opens containers until {rfc3339(key.opens_until)}.")
    say(f"Next: ime-gateway ime export-contact {row.domain} --out DIR, and publish it in the address list.")
    if row.older:
        say("If SITE.toml still names the old file in ime_key: take it out.")


def _print(row: ImeRow) -> None:
    as_pairs([("domain", row.domain), ("IME address", row.address or "none"), ("signers", row.signers)])
    if row.current is not None:
        say("current key:")
        as_pairs(_key_lines(row.current))
    for key in row.older:
        ended = "" if key.has_private_key else " (over, key erased)"
        say(f"older key: {key.certificate.thumbprint}, opens until {rfc3339(key.opens_until)}{ended}")
    counts = row.counts
    say(
        f"people's signers: {counts.approved} approved, {counts.pending} pending, {counts.revoked} revoked;"
        f" {counts.open_challenges} challenges open"
    )
    for note in row.notes:
        say(f"note: {note}")


def _key_lines(key: ImeKeyEntry) -> list[tuple[str, str]]:
    certificate = key.certificate
    return [
        ("  thumbprint", groups(certificate.thumbprint)),
        ("  subject", certificate.subject),
        ("  key", f"{certificate.key_kind}-{certificate.key_bits}"),
        ("  valid", f"{rfc3339(certificate.not_before)} to {rfc3339(certificate.not_after)}"),
    ]


def _require_own_folder(folder: Path) -> None:
    """Nothing of others may lie there: somebody would publish or delete the wrong files."""
    try:
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in FILE_NAMES)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be used: {error.strerror}") from None
    if foreign:
        raise UserError(f"{folder} holds other files ({foreign[0]}); choose a new folder")


def _write(contact: ContactFiles, folder: Path) -> None:
    """Each file whole or not at all: what is there may be read by a publishing program at any time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contact.files.items():
            temporary = folder / f".{name}.new"
            temporary.write_bytes(content)
            temporary.replace(folder / name)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
