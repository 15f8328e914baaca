"""The command `addin-sim rehearse`: N users for M minutes against a running gateway, and a report.

Exit status 0: everything as it should be; 1: something deviates, or could not begin; 2: wrong usage.
"""

import signal
from pathlib import Path
from typing import Annotated

import typer

from addin_sim.outlook_settings import OutlookSettings, load
from addin_sim.rehearsal.letters import Version
from addin_sim.rehearsal.people import players
from addin_sim.rehearsal.performance import Performance, Script
from addin_sim.rehearsal.report import as_object, as_text, counted
from addin_sim.rehearsal.timings import Timings
from addin_sim.terminal import DEFAULT_SETTINGS, AsJson, SettingsFile, print_json, refuse


def rehearse(
    settings: SettingsFile = DEFAULT_SETTINGS,
    users: Annotated[int, typer.Option(help="How many people play along.", min=1, max=1000)] = 1,
    minutes: Annotated[float, typer.Option(help="How long mails are sent.", min=0.01, max=1440)] = 1.0,
    people: Annotated[
        Path | None, typer.Option(help="Who plays along (see above); needed for more than one user.", exists=True)
    ] = None,
    each: Annotated[float, typer.Option(help="Seconds between two mails of a user; 0: no pause.", min=0)] = 10.0,
    ime: Annotated[int | None, typer.Option(help="Only this version; default: all that the settings allow.")] = None,
    at_once: Annotated[int, typer.Option(help="Mails of one user that may be under way at a time.", min=1)] = 20,
    patience: Annotated[float, typer.Option(help="Seconds until the last mail must have arrived.", min=1)] = 60.0,
    slow: Annotated[float, typer.Option(help="Seconds after which an arrival is a deviation.", min=0.1)] = 30.0,
    linger: Annotated[float, typer.Option(help="Seconds of watching for mail that comes too much.", min=0)] = 2.0,
    keep: Annotated[bool, typer.Option(help="Leave every mail in the mailboxes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Play many users: find the certificate, send, receive, open, file; count every deviation.

    The settings say what serves everybody: mail server, mailbox server, address
    list, InternalRecipient. The people file names who plays along; use test
    mailboxes, and certificates that the gateway knows:

    \b
      \\[\\[person]]
      address = "user001@acme.example"
      display_name = "Ada Arn"      # may be left out
      certificate = "user001.pem"   # PEM; relative to this file
      key = "user001.key.pem"       # PEM without password, RSA
      user = "user001"              # login; default: the address
      password_env = "USER001"      # or password; default: that of the settings

    `addin-sim world crowd DIR` writes such a file, the keys, and what the gateway
    must be told. Without certificate and key a person's mail is only searched for
    clear text.

    What was found right is removed from the mailboxes, unless --keep. Ctrl-C ends
    the sending and prints the report when what is under way has arrived; a second
    one at once. Exit status: 0 no deviation, 1 deviations or no beginning, 2 wrong
    usage.
    """
    outlook = load(settings)
    script = Script(minutes * 60, each, at_once, patience, slow, linger, _versions(outlook, ime), keep)
    timings = Timings()
    company = players(outlook, people, users)
    performance = Performance(company, script, timings, lambda line: typer.echo(line, err=True))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: performance.interrupt())
    result = performance.play()
    steps = timings.summaries()
    if as_json:
        print_json(as_object(result, script, users, steps))
    else:
        typer.echo(as_text(result, users, steps))
    if result.deviations:
        refuse(f"The rehearsal found {counted(len(result.deviations))}.")


def _versions(outlook: OutlookSettings, wanted: int | None) -> tuple[Version, ...]:
    """With an IME 2.0 address both versions are played; the default InternalRecipient knows 1.0 only."""
    if wanted not in (None, 1, 2):
        raise typer.BadParameter("must be 1 or 2", param_hint="--ime")
    if outlook.registry.ime_version == 1:
        if wanted == 2:
            sentence = f"InternalRecipient is {outlook.registry.InternalRecipient}, which means IME 1.0."
            raise typer.BadParameter(sentence, param_hint="--ime")
        return (1,)
    if wanted is None:
        return (1, 2)
    return (1,) if wanted == 1 else (2,)
