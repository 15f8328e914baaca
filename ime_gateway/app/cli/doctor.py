"""`ime-gateway doctor`: is everything ready for a roll-out, and what will break soon."""

import socket
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.doctor_desk import Diagnosis, DoctorDesk, diagnosis_json, people_of_list
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, config_path, read_file
from ime_gateway.app.cli.show import as_json, as_table, say
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.preflight.settings_checks import route_host
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError

_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context,
    people: Annotated[
        Path | None,
        typer.Option(
            "--people",
            metavar="FILE",
            help="Everybody: an address a line, or CSV with it in the first column.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List which people can't be reached encrypted yet, what expires in 60 days, and which next hops are silent."""
    path = config_path(context, config)
    listed = _people(people) if people is not None else []
    with open_current_installation(path) as installation:
        route = installation.settings.delivery.default_route
        diagnosis = DoctorDesk(installation.store.registry, SystemClock(), silence_of, route).examine(listed)
    if json:
        as_json(diagnosis_json(diagnosis))
    else:
        _print(diagnosis)


def silence_of(route: str) -> str | None:
    """Connect to `smtp://HOST[:PORT]` and wait for its greeting (RFC 5321 section 3.1); None when it greets."""
    host, port = route_host(route)
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as connection, connection.makefile("rb") as lines:
            greeting = lines.readline(1000)
            connection.sendall(b"QUIT\r\n")
    except OSError as error:
        return f"no connection: {error.strerror or error}"
    if not greeting.startswith(b"2"):
        return f"unfriendly greeting: {greeting.decode('ascii', 'replace').strip() or 'none'}"
    return None


def _people(file: Path) -> list[str]:
    data = read_file(file)
    try:
        return people_of_list(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"{file}: is not UTF-8 text") from None
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def _print(diagnosis: Diagnosis) -> None:
    if diagnosis.unreachable:
        say(f"{len(diagnosis.unreachable)} of {diagnosis.people} people cannot be reached encrypted yet:")
        rows = [(one.address, str(one.reason), one.detail) for one in diagnosis.unreachable]
        as_table(("address", "reason", "detail"), rows, empty="", prose=1)
    else:
        say(f"All {diagnosis.people} people that are known can be reached encrypted.")
    if diagnosis.expiring:
        say("Certificates that expire within 60 days:")
        expiring = [
            (one.owner, rfc3339(one.certificate.not_after), one.certificate.thumbprint) for one in diagnosis.expiring
        ]
        as_table(("owner", "until", "thumbprint"), expiring, empty="", prose=1)
    if diagnosis.domain_certificates:
        say("Domain certificates that are not used:")
        unusable = [
            (one.domain, str(one.reason), one.certificate.thumbprint, one.detail)
            for one in diagnosis.domain_certificates
        ]
        as_table(("domain", "reason", "thumbprint", "detail"), unusable, empty="", prose=2)
    if diagnosis.silent_hops:
        say("Next hops that do not answer:")
        as_table(
            ("domain", "next hop", "trouble"),
            [(one.domain, one.route, one.detail) for one in diagnosis.silent_hops],
            empty="",
            prose=1,
        )
    for heading, notes in (
        ("Our own domain keys:", diagnosis.domain_keys),
        ("IME addresses:", diagnosis.ime),
        ("About signers of containers:", diagnosis.ime_hints),
    ):
        if notes:
            say(heading)
            as_table(("domain", "note"), [(one.domain, one.detail) for one in notes], empty="", prose=1)
    say(
        "Ready."
        if diagnosis.ready
        else "Not ready yet; people who are not known from mail can be given with --people FILE."
    )
