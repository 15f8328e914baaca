"""`ime-gateway domain announce|test`: what our gateway writes to a partner's."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ime_gateway.app.cli.options import ConfigOption, JsonOption, actor, config_path
from ime_gateway.app.cli.show import as_json, as_pairs, say
from ime_gateway.app.installation import open_current_installation
from ime_gateway.base.errors import GatewayError, UserError

if TYPE_CHECKING:
    from ime_gateway.admin.partner_test_desk import PartnerTestDesk, Result

_POLL_SECONDS = 0.5


def register(group: typer.Typer) -> None:
    """Add the commands to the group `domain`."""
    group.command("announce")(announce)
    group.command("test")(test)


def announce(
    context: typer.Context,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A managed domain.", show_default=False)],
    to: Annotated[
        str, typer.Option("--to", metavar="PARTNER", help="Only this one; default: all.", show_default=False)
    ] = "",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell partners by signed mail which certificate comes next (see: domain key rollover)."""
    # Only here: other commands for domains do not need what writes mail.
    from ime_gateway.admin.announce_desk import announced_json
    from ime_gateway.app.assemble import build_announcements

    with open_current_installation(config_path(context, config)) as installation:
        told = asyncio.run(build_announcements(installation).announce(domain, actor(), to))
    if json:
        as_json([announced_json(one) for one in told])
    else:
        for one in told:
            say(f"{one.partner}: {one.problem or f'announced to {one.recipient}, id {one.message}'}")
    if all(one.problem for one in told):
        raise UserError("nobody was told")


def test(
    context: typer.Context,
    partner: Annotated[str, typer.Argument(metavar="PARTNER", help="A partner domain.", show_default=False)],
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the answer.")] = 60.0,
    domain: Annotated[
        str, typer.Option("--from", metavar="DOMAIN", help="Which of ours asks.", show_default=False)
    ] = "",
    to: Annotated[
        str,
        typer.Option("--to", metavar="ADDRESS", help="A person there, without our product.", show_default=False),
    ] = "",
    last: Annotated[bool, typer.Option("--last", help="Send nothing; show how the last test went.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Prove that mail is encrypted and signed both ways. Exit status 0 only when both directions are proved."""
    from ime_gateway.admin.partner_test_desk import PartnerTestDesk
    from ime_gateway.app.assemble import build_outbox, build_writer

    try:
        with open_current_installation(config_path(context, config)) as installation:
            desk = PartnerTestDesk(installation.store.registry, build_outbox(installation), build_writer(installation))
            if last:
                result = desk.last(partner)
            else:
                begun = asyncio.run(desk.begin(partner, actor(), domain=domain, to=to))
                if not json:
                    say(f"sent to {begun.recipient}; waiting up to {wait:g} seconds for the answer")
                result = _wait(desk, begun.token_hash, wait)
    except GatewayError as error:
        if not json:
            raise
        result = {"partner": partner, "state": "failed", "problems": [str(error)]}
    if json:
        as_json(result)
    else:
        _print(result)
    if result["state"] != "passed":
        raise typer.Exit(1)


def _wait(desk: "PartnerTestDesk", token_hash: str, seconds: float) -> "Result":
    """Ask the store until the answer is there; the running gateway takes it."""
    ends = time.monotonic() + seconds
    while True:
        result = desk.result(token_hash)
        if result["state"] != "waiting" or time.monotonic() >= ends:
            return result
        time.sleep(_POLL_SECONDS)


def _print(result: "Result") -> None:
    there, here = result["there"], result["here"]
    assert isinstance(there, dict)
    say(f"{result['domain']} to {result['partner']}")
    _say_found(
        there, "recipient", "encrypted_to", "signed_with", "delivery", "delivery_detail", "opened_with", "detail"
    )
    say(f"{result['partner']} to {result['domain']}")
    if isinstance(here, dict):
        _say_found(here, "at", "opened_with", "key_state", "cipher", "signed_by", "detail")
    problems = result["problems"]
    for problem in problems if isinstance(problems, list) else ():
        say(f"problem: {problem}")
    if result["state"] == "waiting":
        say("no answer yet: one direction at most is proved")
        say(f"look again with: ime-gateway domain test {result['partner']} --last")
        say("if the partner has another product, let somebody there reply to the test mail as it says; if it has this")
        say("one, let them look at: ime-gateway track, and at whether our certificate is set and trusted there")
    else:
        say(f"result: {result['state']}")


def _say_found(found: dict[str, object], *names: str) -> None:
    as_pairs([(f"  {name.replace('_', ' ')}", str(found.get(name) or "")) for name in names])
