"""`ime-gateway cert check`: every certificate that mail to somebody could use, with each piece of evidence."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ime_gateway.admin.judging import certificate_json, verdict_json
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, config_path, read_file
from ime_gateway.app.cli.show import as_json, say
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate

if TYPE_CHECKING:
    from ime_gateway.app.certificate_checker import CheckedCertificate


def register(group: typer.Typer) -> None:
    """Add the command to the group `cert`."""
    group.command("check")(check)


def check(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS|DOMAIN|FILE", help="Whose certificates, or a file with some.", show_default=False
        ),
    ],
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Ask CRL servers and OCSP responders where nothing is known.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say of each candidate whether mail would use it, and everything that was looked at."""
    # Only here: the whole mail path is not needed by other commands.
    from ime_gateway.app.certificate_checker import CertificateChecker
    from ime_gateway.app.logs import silent_logs

    certificates = _in_file(Path(subject)) if "@" not in subject and Path(subject).is_file() else None
    moment, ours = SystemClock().now(), False
    with silent_logs(), open_current_installation(config_path(context, config)) as installation:
        checker = CertificateChecker(installation, fetch=fetch)
        if certificates is not None:
            found = asyncio.run(checker.of_file(certificates, moment))
        elif "@" in subject:
            found = asyncio.run(checker.of_address(subject, moment))
        else:
            found = asyncio.run(checker.of_domain(subject, moment))
            ours = asyncio.run(checker.manages(subject))
    if json:
        as_json([_json(one) for one in found])
        return
    if not found and not ours:
        say(f"no certificate is known for {subject}")
    for number, one in enumerate(found):
        _print(one, first=number == 0)
    if ours:
        say(f"{subject} is ours: its own keys, and what partners encrypt to, are shown by")
        say(f"ime-gateway domain key show {subject}")


def _in_file(path: Path) -> tuple[Certificate, ...]:
    try:
        certificates = read_bundle(read_file(path), None).certificates
    except UnreadableCertificate as error:
        raise UserError(f"{path}: {error}", error.evidence) from None
    if not certificates:
        raise UserError(f"{path} holds no certificate")
    return certificates


def _json(one: "CheckedCertificate") -> dict[str, object]:
    return (
        certificate_json(one.certificate)
        | {"addresses": list(one.certificate.addresses), "kind": one.kind, "selected_by": one.found}
        | verdict_json(one.verdict)
        | {"evidence": list(one.verdict.evidence)}
    )


def _print(one: "CheckedCertificate", *, first: bool) -> None:
    if not first:
        say()
    certificate, verdict = one.certificate, one.verdict
    ends = f"valid {rfc3339(certificate.not_before)[:10]} to {rfc3339(certificate.not_after)[:10]}"
    say(f"{certificate.subject or ', '.join(certificate.addresses)} {certificate.thumbprint}")
    say(f"  {'used' if verdict.usable else 'not used'} as {one.kind} certificate ({one.found}): {verdict.reason}")
    say(f"  {certificate.key_kind}-{certificate.key_bits}, {ends}, issued by {certificate.issuer or 'nobody named'}")
    for line in one.verdict.evidence:
        say(f"  - {line}")
