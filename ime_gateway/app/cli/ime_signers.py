"""`ime-gateway ime signers`: who may sign containers for whom."""

from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.signer_desk import SignerDesk, signer_json
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path, read_file
from ime_gateway.app.cli.show import as_json, as_table, coloured, say
from ime_gateway.app.installation import Installation, open_current_installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Who may sign containers for whom: list, approve, revoke.")
    group.command("list")(list_)
    group.command()(approve)
    group.command()(revoke)
    return group


def list_(
    context: typer.Context,
    address: Annotated[
        str, typer.Option("--address", metavar="A", help="Of this person only.", show_default=False)
    ] = "",
    pending: Annotated[bool, typer.Option("--pending", help="Only those that wait for somebody's word.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """All signers, those that wait first."""
    with open_current_installation(config_path(context, config)) as installation:
        pins = _desk(installation).rows(address=address, pending=pending, limit=100_000)
    if json:
        as_json([signer_json(pin) for pin in pins])
        return
    rows = [
        (coloured(pin.state), pin.address, pin.origin, rfc3339(pin.at), pin.certificate.thumbprint, pin.note)
        for pin in pins
    ]
    empty = "no signer waits" if pending else "no signer is known yet"
    as_table(("state", "address", "origin", "since", "thumbprint", "note"), rows, empty=empty, prose=2)


def approve(
    context: typer.Context,
    address: Annotated[str, typer.Option("--address", metavar="A", help="Whose containers it may sign.")],
    thumbprint: Annotated[
        str,
        typer.Argument(
            metavar="THUMBPRINT",
            help="Of a signer in the list: the whole of it, or at least 32 digits. Blanks (in quotes) and colons may"
            " stand in it.",
            show_default=False,
        ),
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="CERT", help="Or the certificate itself (PEM or DER).", show_default=False),
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Who checked it, how and when.", show_default=False)] = "",
    config: ConfigOption = None,
) -> None:
    """Believe a signer: one that waits, or a certificate from a file. Compare its thumbprint with the person first,
    all of it: anybody can make a certificate that begins with the same few digits."""
    if bool(thumbprint) == (file is not None):
        raise typer.BadParameter("give either THUMBPRINT or --file CERT")
    with open_current_installation(config_path(context, config)) as installation:
        desk = _desk(installation)
        if file is None:
            pin, changed = desk.approve(thumbprint, address, note, actor())
        else:
            try:
                pin, changed = desk.register(read_file(file), address, note, actor())
            except UserError as error:
                raise UserError(f"{file}: {error}", error.evidence) from None
    say(f"approved {pin.certificate.thumbprint} for {pin.address}" + ("" if changed else " (nothing changed)"))
    say(f"thumbprint: {groups(pin.certificate.thumbprint)}")
    if not pin.certificate.addresses:
        say("note: the certificate names no address; only your word says that it belongs to this person")


def revoke(
    context: typer.Context,
    thumbprint: Annotated[
        str,
        typer.Argument(
            metavar="THUMBPRINT", help="Of a signer in the list; the beginning is enough.", show_default=False
        ),
    ],
    address: Annotated[
        str, typer.Option("--address", metavar="A", help="For this person only.", show_default=False)
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Never believe a signer again, from the next container on; no answer or endorsement brings it back."""
    with open_current_installation(config_path(context, config)) as installation:
        pins = _desk(installation).revoke(thumbprint, address, actor())
    for pin in pins:
        say(f"revoked {pin.certificate.thumbprint} for {pin.address}")
    if not pins:
        say("nothing changed: it was revoked before")


def _desk(installation: Installation) -> SignerDesk:
    return SignerDesk(installation.store.registry, SystemClock())
