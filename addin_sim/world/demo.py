"""The demo: the main path from Outlook to the recipients' mailboxes, driven and checked from outside.

It starts a gateway and a small mail world in a temporary folder, does what an administrator and a
sender would do, by the public commands only, and stops at the first thing that is not as promised.

    python -m addin_sim.world.demo [--keep-running]
"""

import argparse
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.markup import escape

from addin_sim.compose import compose
from addin_sim.ime1 import for_ime1
from addin_sim.outlook_settings import IME1_RECIPIENT, load
from addin_sim.world import ime2_steps, proof
from addin_sim.world.gateway import Gateway, ProgramError
from addin_sim.world.mail_server import MailServer
from addin_sim.world.people import (
    ALICE,
    BOB,
    CAROL,
    COMPANY,
    DORA,
    ERIK,
    EVERYBODY,
    make_people,
    write_site,
)
from addin_sim.world.stage import DeviationError, Stage, demand, send, wait

SECRET = b"the vault opens at four-seven-eleven"
"""Stands in the mail's body, and must not stand anywhere else in clear."""


def make_installation(stage: Stage) -> None:
    """`ime-gateway init`."""
    stage.gateway.init()
    stage.say(f"ime-gateway init {stage.gateway.folder}")


def make_world(stage: Stage) -> None:
    """People, their keys, and the servers that play Exchange and the partner."""
    stage.world.start()
    stage.keys = make_people(stage.people)
    exchange, partner = f"127.0.0.1:{stage.world.port}", f"127.0.0.1:{stage.world.outside_port}"
    write_site(stage.people / "SITE.toml", stage.people, exchange, partner)
    stage.settings.write_text(
        f'[account]\naddress = "{ALICE.address}"\ndisplay_name = "{ALICE.name}"\n\n'
        f'[submission]\nhost = "127.0.0.1"\nport = {stage.world.port}\n',
        "utf-8",
    )
    for person in EVERYBODY:
        stage.say(f"{person.name} <{person.address}>: {'has a certificate' if person.has_key else 'has none'}")


def apply_site(stage: Stage) -> None:
    """`ime-gateway apply`."""
    output = stage.gateway.command("apply", stage.people / "SITE.toml")
    stage.say(output.strip().splitlines()[-1])


def start_gateway(stage: Stage) -> None:
    """`ime-gateway check`, then `serve`."""
    stage.gateway.command("check")
    stage.say("ime-gateway check: nothing is wrong")
    listeners = stage.gateway.start()
    stage.world.route_to("127.0.0.1", listeners["internal"])
    stage.say(f"ime-gateway serve: healthy, takes mail on 127.0.0.1:{listeners['internal']}")


def explain_plan(stage: Stage) -> None:
    """`ime-gateway explain` on the mail as the add-in will submit it."""
    stage.written.mkdir()
    mail = stage.written / "mail.eml"
    mail.write_bytes(
        b"Subject: Board meeting\nTo: Bob Brunner <bob@acme.example>, Carol Conti <carol@acme.example>\n"
        b"Bcc: Dora Dubois <dora@partner.example>\nContent-Type: text/plain; charset=utf-8\n\n"
        b"Dear all,\n\n" + SECRET + b".\n\nAlice\n"
    )
    submitted = _as_submitted(stage, mail)
    stage.plan = stage.gateway.ask(
        "explain", submitted, "--listener", "internal", "--from", ALICE.address, "--to", IME1_RECIPIENT
    )
    rows = [
        (f"{entry['address']}\n{_role(entry)}", entry["protection"] or "-", _why(entry))
        for entry in stage.plan["recipients"]
    ]
    stage.show(("recipient", "protection", "why"), rows)
    demand(stage.plan["decision"] == "deliver", f"explain decided {stage.plan['decision']}: {stage.plan['reply']}")
    planned = sorted((entry["address"], entry["copy"]) for entry in stage.plan["recipients"])
    expected = sorted([(ALICE.address, "sent"), *((person.address, "recipient") for person in (BOB, CAROL, DORA))])
    demand(planned == expected, f"explain named {planned} instead of {expected}")
    unprotected = [e["address"] for e in stage.plan["recipients"] if e["protection"] in (None, "none")]
    demand(not unprotected, f"explain would leave {unprotected} without protection")


def send_mail(stage: Stage) -> None:
    """`addin-sim send`: one recipient on the envelope, everybody else in headers."""
    reply = send(stage.settings, stage.written / "mail.eml", 1)
    stage.say(f"addin-sim send: Exchange said {reply}")
    people = (ALICE, BOB, CAROL, DORA)
    wait(lambda: all(stage.world.mailboxes.of(person.address) for person in people), stage, "not every mail arrived")
    stage.say(f"arrived: {', '.join(person.address for person in people)}")


def show_arrivals(stage: Stage) -> None:
    """What lies in the mailboxes now."""
    rows = []
    for person in (BOB, CAROL, DORA, ALICE):
        mails = stage.world.mailboxes.of(person.address)
        demand(len(mails) == 1, f"{person.address} has {len(mails)} mails instead of one")
        header = proof.headers_of(mails[0])
        media_type = header.get_content_type()
        demand(media_type == "application/pkcs7-mime", f"the mail to {person.address} is {media_type}")
        demand("X-SM-ORIGBCC" not in header, f"the mail to {person.address} still carries X-SM-ORIGBCC")
        is_copy = header.get("X-ESWmail-InternalEncrypt-sentcopy") == "yes"
        demand(is_copy == (person is ALICE), f"the mail to {person.address}: the sent copy's marker is wrong")
        visible_to = ", ".join(address.addr_spec for address in header["To"].addresses)
        rows.append((person.address, "sent copy" if is_copy else "mail", visible_to, media_type))
    stage.show(("mailbox", "what", "To", "media type"), rows)
    for person in (BOB, CAROL):
        visible = stage.world.mailboxes.of(person.address)[0].read_bytes()
        clear = proof.decrypt(stage.world.mailboxes.of(person.address)[0], stage.keys[person].private_key) or b""
        demand(b"dora" not in visible.lower() + clear.lower(), f"the blind copy shows in the mail to {person.address}")
    stage.say("nothing in Bob's and Carol's mail tells of the blind copy to Dora")


def prove_secrecy(stage: Stage) -> None:
    """Every mail with every key; who shares an envelope may read it, nobody else."""
    keys = {person.address: files.private_key for person, files in stage.keys.items()}
    envelope = {entry["address"]: entry["group"] for entry in stage.plan["recipients"]}
    rows = []
    for person in (BOB, CAROL, DORA, ALICE):
        mail = stage.world.mailboxes.of(person.address)[0]
        readers = proof.who_can_read(mail, keys, SECRET)
        rows.append((f"mail to {person.address}", *("opens" if owner in readers else "no" for owner in keys)))
        expected = {owner for owner in keys if envelope[owner] == envelope[person.address]}
        demand(readers == expected, f"the mail to {person.address} opens for {sorted(readers)}, not {sorted(expected)}")
    stage.show(("openssl cms -decrypt", *(f"{person.name.split()[0]}'s key" for person in stage.keys)), rows)
    stage.say("Bob and Carol see each other in To and share one envelope; Dora and the sent copy have their own")
    _demand_no_clear_text(stage)


def refuse_without_key(stage: Stage) -> None:
    """Erik has no certificate: nobody gets the mail, and the sender reads why."""
    before = len(stage.world.mailboxes.of(BOB.address))
    mail = stage.written / "to-erik.eml"
    mail.write_bytes(f"Subject: For Erik too\nTo: {BOB.address}, {ERIK.address}\n\n".encode() + SECRET + b"\n")
    _as_submitted(stage, mail)
    send(stage.settings, mail, 1)
    wait(lambda: len(stage.world.mailboxes.of(ALICE.address)) == 2, stage, "Alice got no report")
    report = proof.headers_of(stage.world.mailboxes.of(ALICE.address)[-1])
    part = report.get_body(("plain",))
    said = [line for line in (part.get_content() if part else "").splitlines() if line.startswith("Remote server")]
    demand(bool(said) and ERIK.address in said[0], "the report does not name Erik and the gateway's reply")
    stage.say(f"Alice finds in her Inbox: {report['Subject']}")
    stage.say(said[0])
    demand(not stage.world.mailboxes.of(ERIK.address), "Erik got something although he has no certificate")
    demand(len(stage.world.mailboxes.of(BOB.address)) == before, "Bob got a mail that was refused")
    stage.say("nobody got it: all recipients are protected, or none is served")
    _demand_no_clear_text(stage)


def show_tracking(stage: Stage) -> None:
    """`ime-gateway track` and `queue list`."""
    wait(lambda: stage.gateway.ask("queue", "list") == [], stage, "the queue is not empty")
    entries = stage.gateway.ask("track")
    rows = [
        (entry["recipient"] or "", entry["event"], entry["reason"] if entry["event"] == "accepted" else _why(entry))
        for entry in entries
    ]
    stage.show(("recipient", "event", "reason"), rows)
    delivered = {entry["recipient"] for entry in entries if entry["event"] == "delivered"}
    expected = {person.address for person in (ALICE, BOB, CAROL, DORA)}
    demand(delivered == expected, f"tracking says delivered to {sorted(delivered)}, not {sorted(expected)}")
    refused = [entry for entry in entries if entry["event"] == "refused" and entry["reason"] == "no-certificate"]
    demand(bool(refused), "tracking does not show the refusal")
    stage.say("the queue is empty: everything accepted was delivered, once")


STEPS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("A new installation", make_installation),
    ("A small mail world: people, keys, and a server that plays Exchange", make_world),
    ("The gateway learns domains and certificates", apply_site),
    ("The gateway starts", start_gateway),
    ("What will be decided for Alice's mail, and why", explain_plan),
    ("Alice sends it with the add-in's internal encryption (IME 1.0)", send_mail),
    ("What arrived", show_arrivals),
    ("Which key opens which mail", prove_secrecy),
    ("A mail to somebody without a key", refuse_without_key),
    ("What the gateway remembers", show_tracking),
    *ime2_steps.STEPS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when everything was as promised, 1 at the first deviation."""
    parser = argparse.ArgumentParser(prog="addin_sim.world.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--keep-running", action="store_true", help="leave gateway and mail world running until Ctrl-C")
    keep_running = parser.parse_args(arguments).keep_running
    console = Console()
    if not proof.openssl_is_there():
        console.print("The demo needs the program openssl: apt-get install openssl", style="bold red")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="ime-gateway-demo-"))
    stage = Stage(
        console, folder, Gateway(folder / "gateway"), MailServer(folder / "world", [COMPANY], retry_seconds=0.5)
    )
    console.print(f"Everything of this demo lies in {folder}\n", highlight=False)
    began = time.monotonic()
    try:
        _run_steps(stage)
        console.print(f"\nAll as promised, in {time.monotonic() - began:.0f} seconds.", style="bold green")
        _say_what_next(stage, keep_running)
        if keep_running:
            _until_interrupted()
    except (DeviationError, ProgramError, OSError) as error:
        console.print(f"\nThe demo failed: {escape(str(error))}", style="bold red", highlight=False)
        console.print(f"The gateway's log: {stage.gateway.log}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 0 if keep_running else 1
    finally:
        stage.gateway.stop()
        stage.world.stop()
    return 0


def _run_steps(stage: Stage) -> None:
    for number, (title, step) in enumerate(STEPS, 1):
        stage.console.print(f"[bold]\\[{number:>2}/{len(STEPS)}] {title}[/bold]", highlight=False)
        with stage.console.status("working"):
            step(stage)


def _say_what_next(stage: Stage, keep_running: bool) -> None:
    config = stage.gateway.config
    if keep_running:
        stage.console.print(
            f"\nThe gateway and its world are running; Ctrl-C stops both.\n"
            f"  web pages   http://{stage.gateway.web_address}/\n"
            f"  user        admin\n"
            f"  password    {stage.gateway.password} (for the first login)",
            highlight=False,
            soft_wrap=True,
        )
    to_erik = stage.written / "to-erik-as-submitted.eml"
    commands: tuple[str, ...] = (
        f"ime-gateway track --to {DORA.address} -c {config}",
        f"ime-gateway doctor -c {config}",
        f"ime-gateway explain {to_erik} --listener internal --from {ALICE.address} --to {IME1_RECIPIENT} -c {config}",
    )
    if keep_running:
        again = [
            f"addin-sim send --settings {settings} --eml {stage.written / 'mail.eml'}"
            for settings in (stage.settings, stage.ime2_settings)
        ]
        commands = (*commands[:2], *again, f"addin-sim sync --settings {stage.ime2_settings}")
    stage.console.print("\nTry next:")
    for command in commands:
        stage.console.print(f"  {Path(sys.executable).parent}/{command}", highlight=False, soft_wrap=True)


def _until_interrupted() -> None:
    for_ever = threading.Event()
    while not for_ever.wait(3600):
        continue


def _demand_no_clear_text(stage: Stage) -> None:
    clear = proof.files_with(SECRET, [stage.gateway.folder, stage.gateway.log.parent, stage.world_folder])
    demand(not clear, f"the text stands in clear in {', '.join(map(str, clear))}")
    stage.say("the text stands in clear nowhere in the gateway's files and log, nor in the mailboxes")


def _as_submitted(stage: Stage, mail: Path) -> Path:
    """The mail as the add-in will hand it to Exchange, for `explain`."""
    ready = for_ime1(
        compose(mail.read_bytes(), load(stage.settings).account, moment=time.time(), unique=mail.stem), IME1_RECIPIENT
    )
    submitted = mail.with_name(f"{mail.stem}-as-submitted.eml")
    submitted.write_bytes(ready.data)
    return submitted


def _role(entry: dict[str, Any]) -> str:
    if entry["copy"] == "sent":
        return "  (the sender's own copy)"
    return "  (blind copy)" if entry["blind"] else ""


def _why(entry: dict[str, Any]) -> str:
    """Reason and detail, without thumbprints and times of day: the page has 80 columns."""
    detail = re.sub(r" \(sha256:\w+\)|T[0-9:]+Z", "", entry["detail"] or "")
    return ": ".join(filter(None, (entry["reason"], detail)))


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
