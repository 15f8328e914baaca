"""`ime-gateway track`: what became of a message, event by event, with the reasons."""

from typing import Annotated

import typer

from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.admin.track_desk import TrackDesk, event_json
from ime_gateway.app.cli.options import ConfigOption, JsonOption, config_path
from ime_gateway.app.cli.show import as_json, as_table
from ime_gateway.app.installation import open_current_installation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("track")(track)


def track(
    context: typer.Context,
    message: Annotated[
        str, typer.Option("--id", help="Our id, as in 250 ... accepted id=<id>.", show_default=False)
    ] = "",
    message_id: Annotated[str, typer.Option("--message-id", help="The Message-ID header.", show_default=False)] = "",
    sender: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="Envelope sender.", show_default=False)] = "",
    recipient: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Recipient.", show_default=False)] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many events.")] = 1000,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Events that match all that is given, oldest first."""
    with open_current_installation(config_path(context, config)) as installation:
        desk = TrackDesk(installation.store.registry)
        events = desk.events(message=message, message_id=message_id, sender=sender, recipient=recipient, limit=limit)
    if json:
        as_json([event_json(event) for event in events])
        return
    rows = [
        (rfc3339(one.at), one.sender or "<>", one.recipient, one.copy, one.event, one.reason, one.id, one.detail)
        for one in events
    ]
    headings = ("at", "from", "to", "copy", "event", "reason", "id", "detail")
    as_table(headings, rows, empty="no such mail was seen", prose=2)
