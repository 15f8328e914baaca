"""`ime-gateway cert issue|renew|revoke|request|requests|install|export`: certificates that the gateway makes."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.export_desk import ExportDesk
from ime_gateway.admin.issue_desk import IssueDesk, Made, made_json
from ime_gateway.admin.issuing import DEFAULT_DAYS, LONGEST_DAYS, PairKind
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.request_desk import RequestDesk, request_json
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path, read_file
from ime_gateway.app.cli.output_files import write_new
from ime_gateway.app.cli.show import as_json, as_pairs, as_table, say
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError

Name = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS|DOMAIN", help="An address of ours, a managed domain, or its IME address.", show_default=False
    ),
]
Which = Annotated[str, typer.Argument(metavar="ADDRESS|DOMAIN|THUMBPRINT", show_default=False)]
Days = Annotated[int, typer.Option("--days", min=1, max=LONGEST_DAYS, help="How long the certificate is valid.")]
Kind = Annotated[PairKind, typer.Option("--kind", help="Kind of the key; curve25519: one to sign, one to encrypt.")]
OneRequest = Annotated[str, typer.Argument(metavar="ID", help="See: cert requests.", show_default=False)]


def register(group: typer.Typer) -> None:
    """Add the commands to the group `cert`."""
    for command in (issue, renew, revoke, request, requests, forget, install, export):
        group.command("forget-request" if command is forget else command.__name__)(command)


def issue(
    context: typer.Context,
    name: Name,
    kind: Kind = "rsa-3072",
    days: Days = DEFAULT_DAYS,
    self_signed: Annotated[
        bool, typer.Option("--self-signed", help="Signed by its own key instead of the built-in CA.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also when there is a certificate with its key.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key and a certificate; the key stays on the gateway."""
    with open_current_installation(config_path(context, config)) as installation:
        made = _issue_desk(installation).issue(
            name, kind=kind, days=days, self_signed=self_signed, again=again, actor=actor()
        )
    _say_made(made, json=json)


def renew(
    context: typer.Context,
    which: Which,
    days: Days = DEFAULT_DAYS,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """A new key and certificate in place of one that was made here; the old key goes on opening mail."""
    with open_current_installation(config_path(context, config)) as installation:
        made = _issue_desk(installation).renew(which, days=days, actor=actor())
    _say_made([made], json=json)


def revoke(
    context: typer.Context,
    thumbprint: Annotated[str, typer.Argument(metavar="THUMBPRINT", help="Or its beginning.", show_default=False)],
    reason: Annotated[
        str, typer.Option("--reason", metavar="WORD", help="keyCompromise, superseded, ... (RFC 5280 section 5.3.1).")
    ] = "unspecified",
    config: ConfigOption = None,
) -> None:
    """Revoke a certificate of the built-in CA, for good, and sign its revocation list anew."""
    with open_current_installation(config_path(context, config)) as installation:
        entry = _issue_desk(installation).revoke(thumbprint, reason, actor())
    say(f"revoked {entry.certificate.thumbprint} of {entry.owner}; it cannot be taken back")
    if entry.purpose == "domain":
        say(f"If it is the domain key in force: ime-gateway domain key rollover {entry.owner}")
    if entry.purpose == "ime":
        say(f"If it is the IME key in force: ime-gateway ime rotate {entry.owner} --now")
    if entry.purpose == "authority":
        say("The CA is retired; for the next one: ime-gateway ca renew")


def request(
    context: typer.Context,
    name: Name,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The request (PKCS#10, PEM).")],
    kind: Kind = "rsa-3072",
    config: ConfigOption = None,
) -> None:
    """Make a key and a request for a certificate of another CA."""
    with open_current_installation(config_path(context, config)) as installation:
        desk = _request_desk(installation)
        made, text = desk.request(name, kind, actor())
        try:
            write_new(out, text)
        except UserError:
            desk.forget(made.id, actor())
            raise
    say(f"Wrote the request {made.id} to {out}; send it to the CA. Its key waits here, sealed.")
    say("When the certificate comes: ime-gateway cert install FILE")


def requests(context: typer.Context, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Requests whose certificate has not come yet."""
    with open_current_installation(config_path(context, config)) as installation:
        waiting = _request_desk(installation).waiting()
    if json:
        as_json([request_json(one) for one in waiting])
        return
    rows = [(one.id, one.owner, one.purpose, rfc3339(one.made_at)) for one in waiting]
    as_table(("id", "for", "purpose", "since"), rows, empty="no request waits")


def forget(context: typer.Context, request_id: OneRequest, config: ConfigOption = None) -> None:
    """Drop a request and its key: a certificate for it is of no use any more."""
    with open_current_installation(config_path(context, config)) as installation:
        _request_desk(installation).forget(request_id, actor())
    say(f"forgot the request {request_id} and its key")


def install(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM, DER or PKCS#7, from the CA.", show_default=False)],
    config: ConfigOption = None,
) -> None:
    """Take in the certificate for a request, with the CA certificates in the file."""
    path = config_path(context, config)
    data = read_file(file)
    with open_current_installation(path) as installation:
        try:
            installed = _request_desk(installation).install(data, actor())
        except UserError as error:
            raise UserError(f"{file}: {error}", error.evidence) from None
    for one in installed:
        say(f"installed {one.certificate.thumbprint}: {one.placed}")


def export(
    context: typer.Context,
    which: Annotated[str, typer.Argument(metavar="ADDRESS|THUMBPRINT", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A new PKCS#12 file.")],
    compatible: Annotated[
        bool, typer.Option("--compatible", help="3DES, for programs that cannot read AES (Windows before 10).")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Write a person's key with certificate and chain, sealed to a one-time password that is shown once."""
    with open_current_installation(config_path(context, config)) as installation:
        desk = ExportDesk(installation.store.registry, SystemClock(), secrets.token_bytes)
        made = desk.export(which, compatible=compatible, actor=actor())
    write_new(out, made.data, secret=True)
    say(f"Wrote the key of {', '.join(made.addresses)} and {made.chain} CA certificates to {out}.")
    say(f"One-time password: {made.password}")
    say("It is shown once and stored nowhere. Give it to the person on another way than the file.")


def _issue_desk(installation: Installation) -> IssueDesk:
    pki_url = installation.settings.web.pki_base
    return IssueDesk(installation.store.registry, SystemClock(), secrets.token_bytes, pki_url)


def _request_desk(installation: Installation) -> RequestDesk:
    return RequestDesk(installation.store.registry, SystemClock(), secrets.token_bytes)


def _say_made(made: list[Made], *, json: bool) -> None:
    if json:
        as_json([made_json(one) for one in made])
        return
    for one in made:
        certificate = one.certificate
        signer = "the built-in CA" if one.by_authority else "its own key"
        say(f"A new certificate of {one.owner.words}, signed by {signer}:")
        as_pairs(
            [
                ("  thumbprint", groups(certificate.thumbprint)),
                ("  addresses", ", ".join(certificate.addresses)),
                ("  key", f"{certificate.key_kind}-{certificate.key_bits}"),
                ("  valid", f"{rfc3339(certificate.not_before)} to {rfc3339(certificate.not_after)}"),
            ]
        )
        say(f"  {one.placed}")
