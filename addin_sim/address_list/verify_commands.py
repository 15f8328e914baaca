"""The command `addin-sim verify`: does Exchange show users the contact that was published, with its certificate?

It is the last step of publishing by whatever way, and the first thing to ask when Outlook finds no certificate.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from addin_sim.address_list.contact import read_contact
from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.publisher import Contact
from addin_sim.outlook_settings import load
from addin_sim.terminal import DEFAULT_SETTINGS, AsJson, SettingsFile, print_json, printable, refuse

if TYPE_CHECKING:
    from addin_sim.address_list.ews_verify import Verdict


def verify_command(
    contact: Annotated[
        Path, typer.Option(metavar="DIR", help="From `ime-gateway ime export-contact`.", exists=True, file_okay=False)
    ],
    settings: SettingsFile = DEFAULT_SETTINGS,
    as_json: AsJson = False,
) -> None:
    """Ask Exchange whether it shows the published contact and its certificate.

    The settings name the server in their table address_list.ews. Exit status 0: it does; 1: it does not, or cannot be
    asked. Changes nothing.
    """
    from addin_sim.address_list.ews_verify import verify  # exchangelib takes half a second to load

    moment = time.time()
    outlook = load(settings)
    if outlook.address_list.ews is None:
        raise AddressListError(
            "The settings do not say where Exchange is. Nothing was verified. Add a table [address_list.ews]."
        )
    known = read_contact(contact, moment, must_be_valid=False)
    verdict = verify(outlook.address_list.ews, outlook.account.address, known, moment, _progress)
    if as_json:
        print_json(as_object(known, verdict))
    for remark in () if as_json else verdict.remarks:
        typer.echo(printable(remark), err=True)
    if not verdict.good:
        refuse(printable(verdict.sentence))
    if not as_json:
        typer.echo(printable(verdict.sentence))


def as_object(contact: Contact, verdict: "Verdict") -> dict[str, object]:
    """What `--json` prints."""
    return {
        "address": contact.address,
        "thumbprint": contact.thumbprint,
        "good": verdict.good,
        "name": verdict.shown.name if verdict.shown else None,
        "shown_thumbprint": verdict.certificate.thumbprint if verdict.certificate else None,
        "source": verdict.certificate.source if verdict.certificate else None,
        "sentence": verdict.sentence,
        "remarks": list(verdict.remarks),
    }


def _progress(sentence: str) -> None:
    typer.echo(printable(sentence), err=True)
