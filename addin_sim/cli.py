"""The commands of `addin-sim`: send, sync and watch, and what the other rooms add (publish, find, rehearse, ...).

Exit status 0: done; 1: refused, with a sentence on stderr; 2: wrong usage.
"""

import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.find_commands import find_command
from addin_sim.address_list.publish_commands import publish
from addin_sim.address_list.verify_commands import verify_command
from addin_sim.compose import compose
from addin_sim.handing_in import hand_in
from addin_sim.ime2_pass import Ime2Addin
from addin_sim.mailbox.interface import MailboxBackend, MailboxError
from addin_sim.mailbox.opening import require_mailbox
from addin_sim.outbox import Outbox
from addin_sim.outlook_settings import OutlookSettings, SettingsError, load
from addin_sim.own_keys import ProfileError, own_keys
from addin_sim.profile_commands import certificate, outbox
from addin_sim.raw_mail import UnusableMailError
from addin_sim.rehearsal.commands import rehearse
from addin_sim.sending import Sent, send_mail
from addin_sim.sent_items import SyncReport
from addin_sim.sent_items import sync as sync_mailbox
from addin_sim.settings_commands import settings_app
from addin_sim.submission import Accepted, Refused
from addin_sim.terminal import (
    DEFAULT_SETTINGS,
    NO_ROOM,
    AsJson,
    Screen,
    SettingsFile,
    print_json,
    printable,
    refuse,
    refuse_without_room,
)
from addin_sim.watch import watch as watch_mailbox
from addin_sim.world.commands import world

app = typer.Typer(
    name="addin-sim",
    help="Plays the Outlook add-in: sends internally encrypted mail and keeps Sent Items in order.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(world, name="world")
app.command()(rehearse)
app.add_typer(outbox, name="outbox")
app.add_typer(certificate, name="certificate")
app.add_typer(settings_app, name="settings")
app.command("find")(find_command)
app.command()(publish)
app.command("verify")(verify_command)


def run() -> None:
    """Entry point of the program."""
    try:
        app()
    except SettingsError as error:  # a line for each key
        refuse(str(error))
    except (AddressListError, UnusableMailError, MailboxError, ProfileError) as error:
        refuse(printable(str(error)))
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        refuse_without_room(error)


@app.command()
def send(
    eml: Annotated[Path, typer.Option(help="The mail as it was written.", exists=True, dir_okay=False)],
    settings: SettingsFile = DEFAULT_SETTINGS,
    to: Annotated[list[str] | None, typer.Option(help="Replaces To; may be repeated.")] = None,
    cc: Annotated[list[str] | None, typer.Option(help="Replaces Cc; may be repeated.")] = None,
    bcc: Annotated[list[str] | None, typer.Option(help="Replaces Bcc; may be repeated.")] = None,
    ime: Annotated[int | None, typer.Option(help="1 or 2; must agree with InternalRecipient.", min=1, max=2)] = None,
    as_json: AsJson = False,
) -> None:
    """Send one mail internally encrypted.

    IME 1.0: its marked original is saved in Sent Items, as Outlook does. IME 2.0: nothing is saved there; the mail
    is kept, encrypted, in the outbox until its encrypted copy has come back.
    """
    outlook = load(settings)
    _require_agreement(outlook, ime)
    mail = compose(
        eml.read_bytes(),
        outlook.account,
        to=to or (),
        cc=cc or (),
        bcc=bcc or (),
        moment=time.time(),
        unique=uuid.uuid4().hex,
    )
    _report_sending(outlook, send_mail(outlook, mail), as_json)


@app.command()
def sync(settings: SettingsFile = DEFAULT_SETTINGS, as_json: AsJson = False) -> None:
    """Look at the mailbox once: file encrypted copies in Sent Items, remove their clear originals.

    With IME 2.0 also: answer the gateway's questions about the own certificate, read reports of refusals, and
    submit again what no mail server has taken.
    """
    outlook = load(settings)
    mailbox = require_mailbox(outlook)
    try:
        report = _pass_of(outlook)(mailbox, outlook.account.address)
    finally:
        mailbox.close()
    Screen(as_json=as_json, ime=outlook.registry.ime_version).passed(report)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def watch(settings: SettingsFile = DEFAULT_SETTINGS, as_json: AsJson = False) -> None:
    """Do what `sync` does whenever something comes, until Ctrl-C or SIGTERM."""
    outlook = load(settings)
    one_pass = _pass_of(outlook)
    require_mailbox(outlook).close()  # a wrong password is said at once, not retried for ever
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    typer.echo(f"watching the mailbox of {outlook.account.address}", err=True)
    watch_mailbox(
        lambda: require_mailbox(outlook, stopped),
        outlook.account.address,
        Screen(as_json=as_json, ime=outlook.registry.ime_version),
        stop=stopped.is_set,
        sleep=lambda seconds: _ignore(stopped.wait(seconds)),
        one_pass=one_pass,
    )


def _pass_of(outlook: OutlookSettings) -> Callable[[MailboxBackend, str], SyncReport]:
    """What one look at the mailbox means with this account's version of IME."""
    if outlook.registry.ime_version == 1:
        return sync_mailbox

    def hand_on(recipient: str, data: bytes) -> Accepted | Refused:
        return hand_in(outlook, [recipient], data)

    keys = own_keys(outlook.profile, outlook.account, time.time())
    return Ime2Addin(
        outlook, keys, Outbox(outlook.profile), hand_on, clock=time.time, unique=lambda: uuid.uuid4().hex
    ).one_pass


def _require_agreement(outlook: OutlookSettings, wanted: int | None) -> None:
    configured = outlook.registry.ime_version
    if wanted is not None and wanted != configured:
        sentence = f"InternalRecipient is {outlook.registry.InternalRecipient}, which means IME {configured}.0."
        if wanted == 2:
            sentence += " For IME 2.0 set [registry] InternalRecipient to the address in contact/README.txt."
        raise typer.BadParameter(sentence, param_hint="--ime")


def _report_sending(outlook: OutlookSettings, sent: Sent, as_json: bool) -> None:
    answer = sent.answer
    groups = dict(sent.expanded.groups) if sent.expanded else {}
    for address, members in groups.items():
        typer.echo(printable(f"{address} is a group of {members}"), err=True)
    for remark in sent.expanded.remarks if sent.expanded else ():
        typer.echo(printable(remark), err=True)
    if as_json:
        print_json(
            {
                "accepted": isinstance(answer, Accepted),
                "reply": answer.reply or None,
                "ime": f"{outlook.registry.ime_version}.0",
                "sender": outlook.account.address,
                "recipient": sent.recipient,
                "message_id": sent.message_id,
                "saved_in": sent.saved_in,
                "outbox_id": sent.outbox_id,
            }
            | ({"groups": groups} if groups else {})
        )
    elif isinstance(answer, Accepted):
        typer.echo(printable(answer.reply))
    if isinstance(answer, Refused):
        refuse(printable(" ".join(filter(None, (answer.sentence, sent.remark)))))
    if sent.remark:
        typer.echo(printable(sent.remark), err=True)


def _ignore(_: object) -> None:
    return None
