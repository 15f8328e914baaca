"""The commands `addin-sim outbox …` and `addin-sim certificate …`: what lies in the user's profile folder."""

import time
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from addin_sim.outbox import Kept, Outbox
from addin_sim.outlook_settings import load
from addin_sim.own_container import original_in
from addin_sim.own_keys import ProfileError, grouped, own_keys
from addin_sim.terminal import DEFAULT_SETTINGS, AsJson, SettingsFile, print_json, printable, write_out

outbox = typer.Typer(help="Mails whose encrypted copy has not come back yet (IME 2.0).", no_args_is_help=True)
certificate = typer.Typer(help="The user's own certificate, which signs IME 2.0 containers.", no_args_is_help=True)

Identifier = Annotated[str, typer.Argument(metavar="ID", help="As `addin-sim outbox list` shows it.")]


@outbox.command("list")
def list_outbox(settings: SettingsFile = DEFAULT_SETTINGS, as_json: AsJson = False) -> None:
    """Show what is kept, the oldest first, without opening it."""
    items = Outbox(load(settings).profile).items()
    if as_json:
        print_json([_as_object(kept) for kept in items])
        return
    for kept in items:
        typer.echo(printable(f"{kept.id}  {kept.state.value:8} {kept.date}  {kept.reply}".rstrip()))
    if not items:
        typer.echo("The outbox is empty: every mail has its encrypted copy in Sent Items.", err=True)


@outbox.command("show")
def show_kept(identifier: Identifier, settings: SettingsFile = DEFAULT_SETTINGS) -> None:
    """Print a kept mail as it was written."""
    outlook = load(settings)
    kept_mails = Outbox(outlook.profile)
    carrier = kept_mails.carrier(kept_mails.find(identifier))
    if carrier is None:
        raise ProfileError(f"The mail {identifier} has just left the outbox.")
    original = original_in(carrier, own_keys(outlook.profile, outlook.account, time.time()))
    write_out(original, None)


@outbox.command("drop")
def drop_kept(identifier: Identifier, settings: SettingsFile = DEFAULT_SETTINGS) -> None:
    """Forget a kept mail; what a mail server has taken already is not called back."""
    kept_mails = Outbox(load(settings).profile)
    kept_mails.drop(kept_mails.find(identifier))


@certificate.command("show")
def show_certificate(settings: SettingsFile = DEFAULT_SETTINGS, as_json: AsJson = False) -> None:
    """Show the own certificate; a key pair is made when there is none."""
    outlook = load(settings)
    keys = own_keys(outlook.profile, outlook.account, time.time())
    facts = {
        "address": outlook.account.address,
        "subject": keys.certificate.subject.rfc4514_string(),
        "issuer": keys.certificate.issuer.rfc4514_string(),
        "thumbprint": keys.thumbprint,
        "not_after": f"{keys.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
    }
    if as_json:
        print_json(facts)
        return
    facts["thumbprint"] = grouped(keys.thumbprint).replace("\n", "\n" + 12 * " ")
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):11} {value}")


@certificate.command("export")
def export_certificate(
    settings: SettingsFile = DEFAULT_SETTINGS,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
    der: Annotated[bool, typer.Option("--der", help="DER instead of PEM.")] = False,
) -> None:
    """Write the own certificate, for an administrator who registers signers; never the key."""
    outlook = load(settings)
    keys = own_keys(outlook.profile, outlook.account, time.time())
    write_out(keys.certificate.public_bytes(Encoding.DER) if der else keys.certificate_pem, out)


def _as_object(kept: Kept) -> dict[str, str]:
    return {
        "id": kept.id,
        "state": kept.state.value,
        "message_id": kept.message_id,
        "date": kept.date,
        "recipient": kept.recipient,
        "carrier_message_id": kept.carrier_id,
        "reply": kept.reply,
    }
