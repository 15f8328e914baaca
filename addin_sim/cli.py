"""The commands of `addin-sim`: send, sync, watch, and the small mail world of the demo.

Exit status 0: done; 1: refused, with a sentence on stderr; 2: wrong usage.
"""

import json
import signal
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from addin_sim.compose import compose
from addin_sim.ime1 import MARKER, Outgoing, for_ime1
from addin_sim.mailbox.imap import ImapMailbox
from addin_sim.mailbox.interface import MailboxError
from addin_sim.outlook_settings import MailboxSettings, OutlookSettings, SettingsError, load
from addin_sim.raw_mail import RawMail, UnusableMailError
from addin_sim.sent_items import SyncReport
from addin_sim.sent_items import sync as sync_mailbox
from addin_sim.submission import Accepted, Refused, submit
from addin_sim.watch import watch as watch_mailbox
from addin_sim.world.commands import world

app = typer.Typer(
    name="addin-sim",
    help="Plays the Outlook add-in: sends internally encrypted mail and keeps Sent Items in order.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(world, name="world")

SettingsFile = Annotated[
    Path, typer.Option("--settings", help="outlook-settings.toml of the account.", exists=True, dir_okay=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]
_DEFAULT_SETTINGS = Path("outlook-settings.toml")


def run() -> None:
    """Entry point of the program."""
    try:
        app()
    except (SettingsError, UnusableMailError, MailboxError) as error:
        _refuse(str(error))


@app.command()
def send(
    eml: Annotated[Path, typer.Option(help="The mail as it was written.", exists=True, dir_okay=False)],
    settings: SettingsFile = _DEFAULT_SETTINGS,
    to: Annotated[list[str] | None, typer.Option(help="Replaces To; may be repeated.")] = None,
    cc: Annotated[list[str] | None, typer.Option(help="Replaces Cc; may be repeated.")] = None,
    bcc: Annotated[list[str] | None, typer.Option(help="Replaces Bcc; may be repeated.")] = None,
    ime: Annotated[int | None, typer.Option(help="1 or 2; must agree with InternalRecipient.", min=1, max=2)] = None,
    as_json: AsJson = False,
) -> None:
    """Send one mail internally encrypted, and save its marked original in Sent Items as Outlook does."""
    outlook = load(settings)
    _require_version_1(outlook, ime)
    mail = compose(
        eml.read_bytes(),
        outlook.account,
        to=to or (),
        cc=cc or (),
        bcc=bcc or (),
        moment=time.time(),
        unique=uuid.uuid4().hex,
    )
    outgoing = for_ime1(mail, outlook.registry.InternalRecipient)
    mailbox = ImapMailbox(outlook.mailbox) if outlook.mailbox else None
    try:
        answer = submit(outlook.submission, outlook.account.address, [outgoing.recipient], outgoing.data)
        saved_in = _save(mailbox, outgoing) if mailbox and isinstance(answer, Accepted) else None
    finally:
        if mailbox:
            mailbox.close()
    _report_sending(outlook, mail, outgoing, answer, saved_in, as_json)


@app.command()
def sync(settings: SettingsFile = _DEFAULT_SETTINGS, as_json: AsJson = False) -> None:
    """Look at the mailbox once: file encrypted copies in Sent Items, remove their clear originals."""
    outlook = load(settings)
    mailbox = ImapMailbox(_mailbox_of(outlook))
    try:
        report = sync_mailbox(mailbox, outlook.account.address)
    finally:
        mailbox.close()
    if as_json:
        _print_json(_as_object(report))
    else:
        typer.echo(_as_sentence(report))
    if report.problems:
        _refuse("\n".join(report.problems))


@app.command()
def watch(settings: SettingsFile = _DEFAULT_SETTINGS, as_json: AsJson = False) -> None:
    """Do what `sync` does whenever something comes, until Ctrl-C or SIGTERM."""
    outlook = load(settings)
    of_mailbox = _mailbox_of(outlook)
    ImapMailbox(of_mailbox).close()  # a wrong password is said at once, not retried for ever
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    typer.echo(f"watching the mailbox of {outlook.account.address}", err=True)
    watch_mailbox(
        lambda: ImapMailbox(of_mailbox),
        outlook.account.address,
        _Screen(as_json),
        stop=stopped.is_set,
        sleep=lambda seconds: _ignore(stopped.wait(seconds)),
    )


class _Screen:
    """Says what `watch` does, one line for each pass."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def passed(self, report: SyncReport) -> None:
        """Print the pass."""
        if self._as_json:
            _print_json(_as_object(report))
        else:
            typer.echo(_as_sentence(report))
        for problem in report.problems:
            typer.echo(problem, err=True)

    def failed(self, sentence: str) -> None:
        """Print the failure."""
        typer.echo(f"{sentence} Trying again.", err=True)


def _require_version_1(outlook: OutlookSettings, wanted: int | None) -> None:
    configured = outlook.registry.ime_version
    if wanted is not None and wanted != configured:
        raise typer.BadParameter(
            f"InternalRecipient is {outlook.registry.InternalRecipient}, which means IME {configured}.0.",
            param_hint="--ime",
        )
    if configured != 1:
        _refuse("IME 2.0 comes with a later version.")


def _mailbox_of(outlook: OutlookSettings) -> MailboxSettings:
    if outlook.mailbox is None:
        raise SettingsError("The settings have no [mailbox]; there is nothing to look at.")
    return outlook.mailbox


def _save(mailbox: ImapMailbox, outgoing: Outgoing) -> str | None:
    """Outlook saves what it sent; the mail is on its way already, so a failure is only told."""
    try:
        mailbox.append_to_sent(outgoing.data, ("\\Seen", MARKER))
    except MailboxError as error:
        typer.echo(f"The mail was sent, but not saved in Sent Items: {error}", err=True)
        return None
    return mailbox.sent_name


def _report_sending(
    outlook: OutlookSettings,
    mail: RawMail,
    outgoing: Outgoing,
    answer: Accepted | Refused,
    saved_in: str | None,
    as_json: bool,
) -> None:
    if as_json:
        _print_json(
            {
                "accepted": isinstance(answer, Accepted),
                "reply": answer.reply or None,
                "ime": "1.0",
                "sender": outlook.account.address,
                "recipient": outgoing.recipient,
                "message_id": mail.value("Message-ID"),
                "saved_in": saved_in,
            }
        )
    elif isinstance(answer, Accepted):
        typer.echo(answer.reply)
    if isinstance(answer, Refused):
        _refuse(answer.sentence)


def _as_object(report: SyncReport) -> dict[str, object]:
    return {
        "filed": report.filed,
        "originals_removed": report.originals_removed,
        "duplicates_removed": report.duplicates_removed,
        "waiting": report.waiting,
        "problems": report.problems,
    }


def _as_sentence(report: SyncReport) -> str:
    return (
        f"{report.filed} encrypted copies filed, {report.originals_removed} clear originals removed, "
        f"{report.duplicates_removed} duplicates removed, {report.waiting} copies wait for their original"
    )


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    sys.exit(1)


def _ignore(_: object) -> None:
    return None
