"""`ime-gateway queue`: look at queued mail, retry, hold, release or drop it."""

from typing import Annotated

import typer

from ime_gateway.admin.queue_desk import QueueDesk, queue_line_json, queued_message_json
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path
from ime_gateway.app.cli.show import as_json, as_pairs, as_table, say, say_error
from ime_gateway.app.installation import open_current_installation

Ids = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Row or message ids, as queue list shows them.", show_default=False)
]


def commands() -> typer.Typer:
    """The group."""
    group = typer.Typer(no_args_is_help=True, help="Queued mail: list, show, retry, hold, release, drop.")
    group.command("list")(list_)
    group.command("show")(show)
    for command in (retry, hold, release, drop):
        group.command()(command)
    return group


def list_(
    context: typer.Context,
    config: ConfigOption = None,
    json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many rows.")] = 1000,
) -> None:
    """One row for each copy and recipient, oldest message first."""
    with open_current_installation(config_path(context, config)) as installation:
        desk = QueueDesk(installation.store.registry)
        lines = desk.lines(limit=limit)
        total = sum(desk.counts().values())
    if total > len(lines):
        say_error(f"{total - len(lines)} more; see --limit")
    if json:
        as_json([queue_line_json(line) for line in lines])
        return
    rows = [
        (line.row, line.id, line.sender or "<>", line.recipient, line.copy, line.state, str(line.attempts),
         rfc3339(line.next_attempt) if line.state in ("queued", "deferred") else "", line.last_reply)
        for line in lines
    ]  # fmt: skip
    headings = ("row", "id", "from", "to", "copy", "state", "tries", "next attempt", "last reply")
    as_table(headings, rows, empty="the queue is empty", prose=1)


def show(
    context: typer.Context,
    message: Annotated[
        str, typer.Argument(metavar="ID", help="The id in 250 ... accepted id=<id>.", show_default=False)
    ],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """All of one message that is queued or held: how it is protected, and why it is still here."""
    with open_current_installation(config_path(context, config)) as installation:
        found = QueueDesk(installation.store.registry).message(message)
    if json:
        as_json(queued_message_json(found))
        return
    for line in found.rows:
        as_pairs(
            [
                ("row", line.row),
                ("message", f"{line.id} {line.message_id}"),
                ("from", line.sender or "<>"),
                ("to", f"{line.recipient} ({line.copy})"),
                ("accepted", f"{rfc3339(line.received_at)}, {line.size} bytes"),
                ("protection", f"{line.protection}: {line.reason}: {line.detail}"),
                ("state", f"{line.state} after {line.attempts} attempts, next {rfc3339(line.next_attempt)}"),
                ("last reply", line.last_reply),
            ]
        )
        say()
    for kept in found.held:
        recipients = ", ".join(kept.recipients)
        as_pairs([("held", rfc3339(kept.at)), ("from", kept.sender or "<>"), ("to", recipients), ("cause", kept.cause)])


def retry(
    context: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="None: everything deferred.", show_default=False)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Try again now."""
    with open_current_installation(config_path(context, config)) as installation:
        count = QueueDesk(installation.store.registry).retry(ids or [], actor())
    say(f"{_rows(count)} due now")


def hold(context: typer.Context, ids: Ids, config: ConfigOption = None) -> None:
    """Keep rows back until they are released."""
    with open_current_installation(config_path(context, config)) as installation:
        count = QueueDesk(installation.store.registry).hold(ids, actor())
    say(f"{_rows(count)} held")


def release(context: typer.Context, ids: Ids, config: ConfigOption = None) -> None:
    """Let held rows go again."""
    with open_current_installation(config_path(context, config)) as installation:
        count = QueueDesk(installation.store.registry).release(ids, actor())
    say(f"{_rows(count)} released")


def drop(
    context: typer.Context,
    ids: Ids,
    config: ConfigOption = None,
    silent: Annotated[bool, typer.Option("--silent", help="No report to the sender; this is audited.")] = False,
) -> None:
    """Give rows up; the sender gets a report unless --silent."""
    with open_current_installation(config_path(context, config)) as installation:
        count = QueueDesk(installation.store.registry).drop(ids, actor(), silent=silent)
    say(f"{_rows(count)} dropped, {'no report is sent' if silent else 'their senders get a report'}")


def _rows(count: int) -> str:
    return f"{count} {'row' if count == 1 else 'rows'}"
