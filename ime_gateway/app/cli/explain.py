"""`ime-gateway explain`: what would happen with a message, and why, without sending anything (P4)."""

import asyncio
import ipaddress
import re
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.app.cli.options import ConfigOption, JsonOption, config_path, read_file
from ime_gateway.app.cli.show import as_json, as_table, say
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.logs import silent_logs
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import UserError
from ime_gateway.policy.explain import Explanation, RecipientLine
from ime_gateway.settings.model import Listener


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    context: typer.Context,
    mail: Annotated[Path, typer.Argument(metavar="MAIL.eml", show_default=False)],
    listener: Annotated[
        str, typer.Option("--listener", metavar="NAME", help="On which listener it would come.", show_default=False)
    ],
    sender: Annotated[str, typer.Option("--from", metavar="A", help="MAIL FROM; <> for none.", show_default=False)],
    recipients: Annotated[
        list[str],
        typer.Option(
            "--to", metavar="B", help="RCPT TO, once for each; the IME address for IME mail.", show_default=False
        ),
    ],
    peer: Annotated[
        str, typer.Option("--peer", metavar="IP", help="From where; default: an allowed address.", show_default=False)
    ] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say for each recipient how the message would be protected and why; exit status 0 whatever the decision."""
    # Only here: the whole mail path is not needed by other commands.
    from ime_gateway.app.explainer import Explainer

    data = canonical(read_file(mail))
    with silent_logs(), open_current_installation(config_path(context, config)) as installation:
        found = installation.settings.listener_named(listener)
        if found is None:
            names = ", ".join(one.name for one in installation.settings.listener)
            raise UserError(f"there is no listener {listener}; there are: {names}")
        ask = Explainer(installation)
        moment = SystemClock().now()
        plan = asyncio.run(
            ask(data, found, _bare(sender), [_bare(one) for one in recipients], _peer(peer, found), moment)
        )
    if json:
        as_json(plan)
    else:
        _print(plan)


def canonical(data: bytes) -> bytearray:
    """A file as it would come by SMTP: line ends are CRLF (RFC 5321 section 2.3.8)."""
    return bytearray(re.sub(rb"\r\n|\r|\n", b"\r\n", data))


def _bare(address: str) -> str:
    return address.strip().removeprefix("<").removesuffix(">")


def _peer(text: str, listener: Listener) -> str:
    """The address that was given, else one that may connect."""
    if not text:
        return str(listener.allow[0].network_address) if listener.allow else "127.0.0.1"
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UserError(f"--peer {text} is no IP address") from None


def _print(plan: Explanation) -> None:
    say(f"{plan['direction']}{', IME ' + plan['ime'] if plan['ime'] else ''}: {plan['decision']}")
    if plan["reply"]:
        say(f"reply: {plan['reply']}")
    if plan.get("note"):
        say(f"note: {plan['note']}")
    if plan["subject_hidden"] is not None:
        say("subject: hidden in encrypted copies" if plan["subject_hidden"] else "subject: not hidden")
    headings = ("recipient", "protection", "reason", "envelope", "detail", "key")
    if plan["recipients"]:
        as_table(headings, [_row(one) for one in plan["recipients"]], empty="", prose=2)
    for one in plan["recipients"]:
        if one["signed_by"]:
            say(f"{one['address']}: signed by {one['signed_by']}")
        for thumbprint in one["additional"]:
            say(f"{one['address']}: also encrypted to {thumbprint} ([policy] additional_certificates)")
        for seen in one["candidates"]:
            word = "usable" if seen["usable"] else "not usable"
            say(f"{one['address']}: candidate {seen['key'][:23]} ({seen['selected_by']}, {seen['protection']}): {word}")
        for other in one["not_taken"]:
            say(f"{one['address']}: not {other['protection']}: {other['reason']}: {other['detail']}")


def _row(one: RecipientLine) -> tuple[str, ...]:
    copy = ", sent copy" if one["copy"] == "sent" else ", blind" if one["blind"] else ""
    key = (one["key"] or "").removeprefix("sha256:")[:16]
    protection = one["protection"] or "none possible"
    return (one["address"], protection, one["reason"], f"{one['group']}{copy}", one["detail"], key)
