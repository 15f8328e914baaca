"""The command `addin-sim publish`: puts the IME contact where Outlook finds its certificate, or takes it away again.

What would change is shown before it is done, attribute by attribute (`--dry-run` stops there), so that nobody writes an
address list blindly. Progress goes to stderr, the result to stdout; exit status 0 done, 1 refused, 2 wrong usage.
"""

import contextlib
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from addin_sim.address_list.contact import read_contact
from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.outlook_certificates import certificates_in
from addin_sim.address_list.publisher import Action, Change, Outcome, Plan, Publisher, Value
from addin_sim.outlook_settings import OutlookSettings, load
from addin_sim.own_keys import thumbprint
from addin_sim.terminal import DEFAULT_SETTINGS, AsJson, print_json, printable, refuse


class Backend(StrEnum):
    """The ways to publish."""

    LDAP = "ldap"
    EWS = "ews"
    POWERSHELL = "powershell"


Settings = Annotated[Path, typer.Option("--settings", help="outlook-settings.toml of the account.", dir_okay=False)]


def publish(
    backend: Annotated[Backend, typer.Option(help="Where to: directory, contacts folder, or scripts for Exchange.")],
    contact: Annotated[
        Path, typer.Option(metavar="DIR", help="From `ime-gateway ime export-contact`.", exists=True, file_okay=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take this contact away.")] = False,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where `--backend powershell` writes.", file_okay=False)
    ] = Path(),
    settings: Settings = DEFAULT_SETTINGS,
    as_json: AsJson = False,
) -> None:
    """Publish the contact of the IME address with its certificate.

    ldap: in the directory behind the address list, where Outlook finds it by itself. ews: in a contacts folder, which
    is no address list. powershell: scripts that an Exchange administrator runs. Doing it twice changes nothing.
    """
    try:
        known = read_contact(contact, time.time(), must_be_valid=not remove)
        with contextlib.closing(_opened(backend, settings, out)) as publisher:
            plan = publisher.plan_removal(known) if remove else publisher.plan(known)
            if not as_json:
                _show(plan)
            outcome = None if dry_run else publisher.carry_out(plan)
    except AddressListError as error:
        refuse(printable(str(error)))
    if as_json:
        print_json(as_object(backend, plan, outcome))
    else:
        _conclude(plan, outcome)


def as_object(backend: str, plan: Plan, outcome: Outcome | None) -> dict[str, object]:
    """What `--json` prints; `outcome` None: it was a dry run."""
    remarks = dict.fromkeys((*plan.remarks, *(outcome.remarks if outcome else ())))
    return {
        "backend": str(backend),
        "address": plan.contact.address,
        "thumbprint": plan.contact.thumbprint,
        "not_after": f"{plan.contact.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "action": plan.action.value,
        "place": plan.place,
        "dry_run": outcome is None,
        "changes": [_change(change) for change in plan.changes],
        "sentence": outcome.sentence if outcome else None,
        "remarks": list(remarks),
    }


def _opened(backend: Backend, file: Path, out: Path) -> Publisher:
    """The back end, with whatever of the settings it needs; scripts need none."""
    if backend is Backend.POWERSHELL:
        from addin_sim.address_list.powershell import PowerShellPublisher

        ldap = load(file).address_list.ldap if file.exists() else None
        return PowerShellPublisher(out, ldap.place if ldap else "", _progress)
    if not file.exists():
        raise typer.BadParameter(f"{file} does not exist", param_hint="--settings")
    outlook = load(file)
    return _ldap(outlook) if backend is Backend.LDAP else _ews(outlook)


def _ldap(outlook: OutlookSettings) -> Publisher:
    from addin_sim.address_list.ldap_publisher import LdapPublisher

    if outlook.address_list.ldap is None:
        raise AddressListError(
            "The settings do not say where the directory is. Nothing was changed. Add a table [address_list.ldap]."
        )
    return LdapPublisher(outlook.address_list.ldap, _progress)


def _ews(outlook: OutlookSettings) -> Publisher:
    from addin_sim.address_list.ews_contacts import EwsContactsPublisher

    if outlook.address_list.ews is None:
        raise AddressListError(
            "The settings do not say where Exchange is. Nothing was changed. Add a table [address_list.ews]."
        )
    return EwsContactsPublisher(outlook.address_list.ews, outlook.account.address, _progress)


def _progress(sentence: str) -> None:
    typer.echo(printable(sentence), err=True)


_WOULD = {
    Action.ADD: "to be added",
    Action.CHANGE: "to be changed",
    Action.REMOVE: "to be removed",
    Action.NOTHING: "nothing to change",
}


def _show(plan: Plan) -> None:
    """The difference, before it is made."""
    typer.echo(printable(f"{plan.place}: {_WOULD[plan.action]}"))
    for line in plan.diff:
        typer.echo(printable(f"  {line}"))


def _conclude(plan: Plan, outcome: Outcome | None) -> None:
    typer.echo(printable(outcome.sentence) if outcome else "A dry run: nothing was changed.")
    for remark in dict.fromkeys((*plan.remarks, *(outcome.remarks if outcome else ()))):
        typer.echo(printable(remark), err=True)


def _change(change: Change) -> dict[str, object]:
    return {
        "attribute": change.attribute,
        "old": [_as_text(value) for value in change.old],
        "new": [_as_text(value) for value in change.new],
    }


def _as_text(value: Value) -> str:
    """Certificates by their thumbprint."""
    if isinstance(value, str):
        return value
    inside = certificates_in(value)
    return thumbprint(inside[0]) if inside else f"{len(value)} bytes that are no certificate"
