"""`ime-gateway domain key`: the key that stands for a whole managed domain, and its change without a surprise."""

import getpass
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ime_gateway.admin.domain_desk import domain_key_json
from ime_gateway.admin.domain_key_desk import DomainKeyDesk, DomainKeyRow
from ime_gateway.admin.domain_keys import takes_over
from ime_gateway.admin.key_pairs import DEFAULT_DAYS, LONGEST_DAYS, groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path, read_file
from ime_gateway.app.cli.output_files import write_new
from ime_gateway.app.cli.show import as_json, as_pairs, say
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError
from ime_gateway.ports.domain_keys import DomainKeyEntry

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="A managed domain.", show_default=False)]
Days = Annotated[int, typer.Option("--days", min=1, max=LONGEST_DAYS, help="How long the certificate is valid.")]
Which = Annotated[
    str, typer.Option("--key", metavar="THUMBPRINT", help="Another than the current one.", show_default=False)
]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Of the PKCS#12 file.", show_default=False),
]
_SHORTEST = 12


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="The key of a whole domain: generate, import, show, change, retire.")
    group.command()(generate)
    group.command("import")(import_)
    group.command()(show)
    group.command()(export)
    group.command()(rollover)
    group.command()(retire)
    return group


def generate(context: typer.Context, domain: Domain, days: Days = DEFAULT_DAYS, config: ConfigOption = None) -> None:
    """Make the first key and certificate of a domain (RSA-3072, self-signed). From our own CA: cert issue DOMAIN."""
    with open_current_installation(config_path(context, config)) as installation:
        row = _desk(installation).generate(domain, days=days, actor=actor())
    _say_made(row)


def import_(
    context: typer.Context,
    domain: Domain,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="PKCS#12 or PEM with certificate and key.", show_default=False)
    ],
    as_: Annotated[
        Literal["current", "next", "older"] | None,
        typer.Option("--as", help="Default: current if there is none, else next.", show_default=False),
    ] = None,
    password_file: PasswordFile = None,
    password_env: Annotated[
        str, typer.Option("--password-env", metavar="NAME", help="A variable with the password.", show_default=False)
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Bring a key pair from a file."""
    path = config_path(context, config)
    data = read_file(file)
    password = _password(password_file, password_env, ask=file.suffix.lower() in (".p12", ".pfx"))
    with open_current_installation(path) as installation:
        try:
            row = _desk(installation).take(domain, data, password=password, state=as_, actor=actor())
        except UserError as error:
            raise UserError(f"{file}: {error}", error.evidence) from None
    _say_made(row)


def show(context: typer.Context, domain: Domain, config: ConfigOption = None, json: JsonOption = False) -> None:
    """The keys of a domain, thumbprints in groups to read aloud, and what should be done."""
    with open_current_installation(config_path(context, config)) as installation:
        row = _desk(installation).show(domain)
    if json:
        due = None if row.takes_over_at is None else rfc3339(row.takes_over_at)
        keys = [domain_key_json(key) for key in row.keys]
        as_json({"domain": row.domain, "keys": keys, "next_takes_over_at": due, "notes": list(row.notes)})
        return
    if not row.keys:
        say(f"{row.domain} has no domain key yet: ime-gateway domain key generate {row.domain}")
    for key in row.keys:
        say(f"{key.state} key:")
        as_pairs(_lines(key))
    for note in row.notes:
        say(f"note: {note}")


def export(
    context: typer.Context,
    domain: Domain,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; else the screen.", show_default=False)
    ] = None,
    key: Which = "",
    following: Annotated[bool, typer.Option("--next", help="The next one instead of the current one.")] = False,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="The private key too, as PKCS#12 sealed to a passphrase; needs --out.")
    ] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", metavar="FILE", help="Else it is asked for.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write the certificate for partners (PEM); nothing secret unless --with-key."""
    path = config_path(context, config)
    if key and following:
        raise UserError("give only one of --key and --next")
    key = "next" if following else key
    if with_key and out is None:
        raise UserError("--with-key needs --out FILE: a private key goes into a file, not to the screen")
    if passphrase_file is not None and not with_key:
        raise UserError("--passphrase-file is for --with-key")
    passphrase = _passphrase(passphrase_file) if with_key else ""
    with open_current_installation(path) as installation:
        desk = _desk(installation)
        if with_key:
            entry, content = desk.sealed(domain, key, passphrase, actor())
        else:
            entry, content = desk.certificate(domain, key)
    if out is None:
        print(content.decode(), end="")
        return
    write_new(out, content, secret=with_key)
    say(f"Wrote the {entry.state} {'key' if with_key else 'certificate'} of {entry.domain} to {out}.")
    say(f"thumbprint: {groups(entry.certificate.thumbprint)}")


def rollover(
    context: typer.Context,
    domain: Domain,
    now: Annotated[
        bool, typer.Option("--now", help="The next key takes over at once; the one before only opens mail.")
    ] = False,
    days: Days = DEFAULT_DAYS,
    config: ConfigOption = None,
) -> None:
    """Make the next key, which opens mail at once and takes over after the overlap (policy overlap_days)."""
    with open_current_installation(config_path(context, config)) as installation:
        row = _desk(installation).rollover(domain, now=now, days=days, actor=actor())
    if now and row.current is not None and row.current.announced_at is None:
        say(f"WARNING: partners of {row.domain} were not told of this key. Until they have its certificate they")
        say("believe nothing that it signs, and encrypt to the key before, which goes on opening mail. It is too late")
        say("for domain announce, which tells of a next key: give them the file, and compare the thumbprint with them.")
    _say_made(row)


def retire(
    context: typer.Context,
    domain: Domain,
    thumbprint: Annotated[str, typer.Argument(metavar="THUMBPRINT", help="Or its beginning.", show_default=False)],
    config: ConfigOption = None,
) -> None:
    """Erase an older key or the next one: mail to it opens no more, and its certificate is denied."""
    with open_current_installation(config_path(context, config)) as installation:
        key = _desk(installation).retire(domain, thumbprint, actor=actor())
    say(f"erased the {key.state} key {key.certificate.thumbprint} of {key.domain}; the trust list denies it")


def _desk(installation: Installation) -> DomainKeyDesk:
    return DomainKeyDesk(installation.store.registry, SystemClock(), secrets.token_bytes)


def _say_made(row: DomainKeyRow) -> None:
    for key in row.keys:
        if key.state != "older":
            say(f"The {key.state} key of {row.domain}:")
            as_pairs(_lines(key))
    if row.following is not None and row.takes_over_at is not None:
        say(f"The next key opens mail from now on and {takes_over(row.takes_over_at, SystemClock().now())}.")
        say(f"Next: ime-gateway domain announce {row.domain}; partners without this gateway get the file:")
        say(
            f"  ime-gateway domain key export {row.domain} --key {row.following.certificate.thumbprint[:23]} --out FILE"
        )
    elif row.current is not None:
        say(f"Next: ime-gateway domain key export {row.domain} --out FILE, for your partners.")


def _lines(key: DomainKeyEntry) -> list[tuple[str, str]]:
    certificate = key.certificate
    return [
        ("  thumbprint", groups(certificate.thumbprint)),
        ("  subject", certificate.subject),
        ("  issuer", certificate.issuer if certificate.issuer != certificate.subject else "itself"),
        ("  key", f"{certificate.key_kind}-{certificate.key_bits}"),
        ("  valid", f"{rfc3339(certificate.not_before)} to {rfc3339(certificate.not_after)}"),
        (f"  {key.state} since", rfc3339(key.since)),
        ("  announced", "" if key.announced_at is None else rfc3339(key.announced_at)),
    ]


def _password(file: Path | None, variable: str, *, ask: bool) -> str | None:
    if file is not None and variable:
        raise UserError("give only one of --password-file and --password-env")
    if file is not None:
        return _line(file)
    if variable:
        if variable not in os.environ:
            raise UserError(f"environment variable {variable} is not set")
        return os.environ[variable]
    return getpass.getpass("Password of the PKCS#12 file: ") if ask and sys.stdin.isatty() else None


def _passphrase(file: Path | None) -> str:
    if file is not None:
        text = _line(file)
    elif sys.stdin.isatty():
        text = getpass.getpass("Passphrase for the private key: ")
        if getpass.getpass("Again: ") != text:
            raise UserError("the two passphrases differ")
    else:
        raise UserError("no terminal to ask for the passphrase; give --passphrase-file FILE")
    if len(text) < _SHORTEST:
        raise UserError(f"the passphrase is too short; use {_SHORTEST} characters or more")
    return text


def _line(file: Path) -> str:
    return read_file(file).decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
