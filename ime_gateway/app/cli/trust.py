"""`ime-gateway trust`: the certificate trust list, and who compared which thumbprint with whom."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ime_gateway.admin.brought_certificates import allowed_notes
from ime_gateway.admin.check_desk import CheckDesk, trust_facts_json
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.admin.trust_desk import TrustDesk, certificate_of_file, certificates_to_deny, trust_json
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path, read_file
from ime_gateway.app.cli.show import as_json, as_pairs, as_table, coloured, say
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.thumbprint_checks import CheckMethod

Which = Annotated[
    str,
    typer.Argument(metavar="THUMBPRINT|FILE", help="A thumbprint, or a file with the certificate.", show_default=False),
]
Note = Annotated[str, typer.Option("--note", help="Who checked it, how and when.", show_default=False)]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="The certificate trust list, and who compared which thumbprint.")
    group.command("list")(list_)
    for command in (allow, deny, remove, show, verify):
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
    """Never use this certificate, nor any that it issued; in force at once, in all workers. Give the file of a CA: its
    other certificates, of the same name and key, are then denied with it. Of a file of CAs each is denied."""
    with open_current_installation(config_path(context, config)) as installation:
        if _names_file(which):
            _deny_file(TrustDesk(installation.store.registry), Path(which), note)
        else:
            _put(installation, which, "deny", note, allow_expired=False)


def remove(context: typer.Context, which: Which, config: ConfigOption = None) -> None:
    """Take a line off the list."""
    with open_current_installation(config_path(context, config)) as installation:
        thumbprint = _of_file(Path(which)).thumbprint if _names_file(which) else which
        whole = TrustDesk(installation.store.registry).remove(thumbprint, actor())
    say(f"removed {whole}")


def show(context: typer.Context, which: Which, config: ConfigOption = None, json: JsonOption = False) -> None:
    """A certificate: its thumbprint to read aloud, whose it is here, its line, and who compared it."""
    with open_current_installation(config_path(context, config)) as installation:
        facts = _checks(installation).facts(_thumbprint(installation, which))
    if json:
        as_json(trust_facts_json(facts))
        return
    entry = facts.entry
    as_pairs(
        [
            ("thumbprint", groups(facts.thumbprint)),
            ("subject", facts.subject),
            ("used for", ", ".join(facts.used_by) or "nothing here"),
            ("trust list", "no line" if entry is None else entry.verdict + (" even expired" * entry.allow_expired)),
            ("note", "" if entry is None else entry.note),
        ]
    )
    for check in facts.checks:
        note = f": {check.note}" if check.note else ""
        say(f"compared with {check.person} ({check.method}) at {rfc3339(check.at)} by {check.actor}{note}")
    if not facts.checks:
        say("nobody has compared its thumbprint yet: ime-gateway trust verify")


def verify(
    context: typer.Context,
    which: Which,
    person: Annotated[
        str, typer.Option("--with", metavar="PERSON", help="Who read it to you, and where you reached them.")
    ],
    how: Annotated[CheckMethod, typer.Option("--how", help="Over which channel.")],
    note: Annotated[str, typer.Option("--note", help="What else should be known.", show_default=False)] = "",
    confirm: Annotated[
        str,
        typer.Option("--confirm", metavar="GROUPS", help="What they read; else it is asked for.", show_default=False),
    ] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Compare a thumbprint with its owner, and record who did it, how and when. Then: trust allow."""
    with open_current_installation(config_path(context, config)) as installation:
        thumbprint = _thumbprint(installation, which)
        if not confirm:
            if not sys.stdin.isatty():
                raise UserError('no terminal to ask what was read; give --confirm "GROUPS"')
            say(groups(thumbprint))
            confirm = input("What they read to you, all 16 groups: ")
        desk = _checks(installation)
        desk.record(thumbprint, confirm, person=person, method=how, note=note, actor=actor())
        facts = desk.facts(thumbprint)
    if json:
        as_json(trust_facts_json(facts))
        return
    say(f"the same: {groups(thumbprint)}")
    say(f"recorded: compared with {person} ({how}) at {rfc3339(facts.checks[0].at)} by {actor()}")
    if facts.entry is None:
        say(f"If it is self-signed, use it: ime-gateway trust allow {thumbprint}")


def _checks(installation: Installation) -> CheckDesk:
    return CheckDesk(installation.store.registry, SystemClock())


def _thumbprint(installation: Installation, which: str) -> str:
    if _names_file(which):
        return _of_file(Path(which)).thumbprint
    return TrustDesk(installation.store.registry).whole_thumbprint(which)


def _put(
    installation: Installation, which: str, verdict: Literal["allow", "deny"], note: str, *, allow_expired: bool
) -> None:
    desk = TrustDesk(installation.store.registry)
    file = _of_file(Path(which)) if _names_file(which) else None
    thumbprint = file.thumbprint if file is not None else desk.whole_thumbprint(which)
    entry = TrustEntry(thumbprint, verdict, allow_expired, note)
    changed = desk.put(entry, actor())
    say(f"{verdict} {thumbprint}" + ("" if changed else " (nothing changed)"))
    if verdict == "allow" and (allowed := file or desk.certificate(thumbprint)) is not None:
        for sentence in allowed_notes(installation.store.registry, SystemClock(), allowed):
            say(sentence)
    if verdict == "deny" and not desk.is_known(thumbprint):
        say("That certificate is not stored here. If it is a CA's, deny its file instead: only then the CA's other")
        say("certificates, of the same name and key, are denied with it.")


def _deny_file(desk: TrustDesk, file: Path, note: str) -> None:
    try:
        certificates = certificates_to_deny(read_file(file))
    except UserError as error:
        raise UserError(f"{file}: {error}", error.evidence) from None
    for one in certificates:
        changed = desk.put(TrustEntry(one.thumbprint, "deny", note=note), actor(), one)
        subject = f" {one.subject}" if len(certificates) > 1 else ""
        say(f"deny {one.thumbprint}{subject}" + ("" if changed else " (nothing changed)"))


def _names_file(which: str) -> bool:
    """A thumbprint has neither `/` nor `.`; raises UserError for a file that is not there."""
    if Path(which).is_file():
        return True
    if "/" in which or "." in which:
        raise UserError(f"{which}: there is no such file")
    return False


def _of_file(file: Path) -> Certificate:
    try:
        return certificate_of_file(read_file(file))
    except UserError as error:
        raise UserError(f"{file}: {error}", error.evidence) from None
