"""`ime-gateway cert candidates|approve|reject`: certificates that mail or directories brought."""

import sys
from typing import Annotated, Literal

import typer

from ime_gateway.admin.candidate_desk import CandidateDesk, CandidateRow, Comparison, candidate_json
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path
from ime_gateway.app.cli.show import Cell, as_json, as_table, coloured, say
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError
from ime_gateway.ports.incoming import CandidateKind
from ime_gateway.ports.thumbprint_checks import CheckMethod

Thumbprint = Annotated[
    str, typer.Argument(metavar="THUMBPRINT", help="Of a candidate in the list, or its beginning.", show_default=False)
]
Owner = Annotated[
    str,
    typer.Option(
        "--owner", metavar="OWNER", help="Where a certificate was brought for several owners.", show_default=False
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group `cert`."""
    group.command("candidates")(candidates)
    group.command("approve")(approve)
    group.command("reject")(reject)


def candidates(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also approved and rejected ones.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Certificates that wait for somebody's word, with where they came from and what mail would make of them."""
    with open_current_installation(config_path(context, config)) as installation:
        rows = _desk(installation).rows(state="" if everything else "pending", limit=100_000)
    if json:
        as_json([candidate_json(row) for row in rows])
        return
    headings = ("state", "owner", "kind", "origin", "since", "until", "thumbprint", "brought by", "evidence")
    as_table(headings, [_row(row) for row in rows], empty="no certificate waits", prose=3)


def approve(
    context: typer.Context,
    thumbprint: Thumbprint,
    check: Annotated[
        str,
        typer.Option(
            "--check",
            metavar="GROUPS",
            help="The whole thumbprint as its owner reads it to you, in groups (in quotes) or not; asked for if left"
            " out.",
            show_default=False,
        ),
    ] = "",
    person: Annotated[
        str,
        typer.Option(
            "--with", metavar="PERSON", help="Who read it to you, and where you reached them.", show_default=False
        ),
    ] = "",
    how: Annotated[CheckMethod | None, typer.Option("--how", help="Over which channel.", show_default=False)] = None,
    note: Annotated[str, typer.Option("--note", help="What else should be kept.", show_default=False)] = "",
    owner: Owner = "",
    kind: Annotated[
        Literal["person", "domain"] | None,
        typer.Option("--as", help="Let it stand for the whole domain, or for its owner only.", show_default=False),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Put a certificate in force that mail brought. Ask its owner by another way, best by telephone, to read out the
    thumbprint, and give what you hear: a certificate that an attacker slipped in differs."""
    if not person.strip() or how is None:
        raise UserError('say who read it to you and over which channel, as in --with "PERSON, NUMBER" --how phone')
    if not check and sys.stdin.isatty():
        check = typer.prompt("The thumbprint as its owner reads it")
    with open_current_installation(config_path(context, config)) as installation:
        wanted: CandidateKind | None = kind
        comparison = Comparison(check, person, how, note)
        done = _desk(installation).approve(thumbprint, comparison, actor(), owner=owner, kind=wanted)
    whose = done.candidate.owner if done.kind == "person" else f"everybody at {done.candidate.owner.rpartition('@')[2]}"
    before = "; it had been approved before, and this comparison is recorded beside" if done.before else ""
    say(f"approved {done.candidate.certificate.thumbprint} for {whose}{before}")
    if done.allowed:
        say("it leads to no root, so it stands on the trust list now (trust list)")
    for warning in done.warnings:
        say(warning)


def reject(context: typer.Context, thumbprint: Thumbprint, owner: Owner = "", config: ConfigOption = None) -> None:
    """Never ask about a certificate again, whoever sends it."""
    with open_current_installation(config_path(context, config)) as installation:
        candidate = _desk(installation).reject(thumbprint, actor(), owner=owner)
    say(f"rejected {candidate.certificate.thumbprint} of {candidate.owner}")


def _row(row: CandidateRow) -> tuple[Cell, ...]:
    candidate = row.candidate
    return (
        coloured(candidate.state),
        candidate.owner,
        candidate.kind,
        candidate.origin,
        rfc3339(candidate.at),
        rfc3339(candidate.certificate.not_after)[:10],
        groups(candidate.certificate.thumbprint),
        candidate.sender,
        candidate.evidence,
    )


def _desk(installation: Installation) -> CandidateDesk:
    return CandidateDesk(installation.store.registry, SystemClock())
