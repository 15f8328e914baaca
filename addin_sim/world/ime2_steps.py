"""The demo's second half: IME 2.0, where Exchange sees neither text nor subject nor recipients.

Exchange keeps a copy of all that passes it, as a curious administrator could, and those copies are searched too.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from addin_sim.challenges import CHALLENGE_HEADER
from addin_sim.ime2 import CARRIER_SUBJECT
from addin_sim.world import proof
from addin_sim.world.gateway import run_program
from addin_sim.world.people import ALICE, BOB, CAROL, COMPANY, DORA, IME_ADDRESS, Person
from addin_sim.world.stage import Stage, demand, send, wait

SECRET = b"the second vault opens at eight-fifteen"
SUBJECT = b"Successor of the chairwoman"
"""Neither may stand in any file but the one in which Alice wrote them."""

RECIPIENTS = (BOB, CAROL, DORA)


def prepare(stage: Stage) -> None:
    """`ime-gateway ime export-contact`, and Alice's Outlook with the IME address as InternalRecipient."""
    contact = stage.folder / "contact"
    output = stage.gateway.command("ime", "export-contact", COMPANY, "--out", contact)
    stage.say(f"ime-gateway ime export-contact {COMPANY}: {output.strip().splitlines()[-1]}")
    stage.ime2_settings.write_text(
        stage.settings.read_text("utf-8")
        + f'\n[registry]\nInternalRecipient = "{IME_ADDRESS}"\n\n'
        + f'[container]\nime_certificate = "{contact / "certificate.pem"}"\n\n'
        + f'[world_mailbox]\nfolder = "{stage.world_folder / "mailboxes"}"\n',
        "utf-8",
    )
    own = _addin(stage, "certificate", "show")
    stage.say(
        f"addin-sim: {ALICE.name} has a key pair of her own now, self-signed, valid until {own['not_after'][:10]}"
    )


def send_container(stage: Stage) -> None:
    """`addin-sim send`; the gateway does not know Alice's certificate, so it asks her mailbox."""
    mail = stage.written / "container.eml"
    mail.write_bytes(
        b"Subject: " + SUBJECT + b"\nTo: Bob Brunner <bob@acme.example>, Carol Conti <carol@acme.example>\n"
        b"Bcc: Dora Dubois <dora@partner.example>\n\nDear all,\n\n" + SECRET + b".\n\nAlice\n"
    )
    stage.world.keep_what_passes(stage.exchange_spool)
    stage.say(f"addin-sim send: Exchange said {send(stage.ime2_settings, mail, 2)}")
    (carrier,) = stage.exchange_spool.glob("*.eml")
    header = proof.headers_of(carrier)
    shown = ("From", "To", "Date", "Subject")
    stage.show(("what Exchange sees of it", ""), [(name, str(header[name])) for name in shown])
    demand(header["Subject"] == CARRIER_SUBJECT and header["To"] == IME_ADDRESS, "the carrier is not neutral")
    demand("chairwoman" not in carrier.read_text("utf-8").lower(), "the carrier tells of its subject")
    wait(lambda: bool(_questions(stage)), stage, "the gateway did not ask Alice about her certificate")
    said = [entry for entry in stage.world.journal.entries() if entry["event"] == "handed-over"]
    reply = next(iter(dict(said[-1]["replies"]).values()))  # type: ignore[call-overload]
    demand(str(reply).startswith("451 4.7.1"), f"the gateway said {reply} to an unknown signer")
    stage.say(f"the gateway to Exchange: {reply}")
    stage.say(f"Alice finds in her Inbox: {proof.headers_of(_questions(stage)[0])['Subject']}")
    arrived = [person.address for person in RECIPIENTS if len(_mails(stage, person)) != 1]
    demand(not arrived, f"{arrived} got something before Alice's certificate was confirmed")


def confirm(stage: Stage) -> None:
    """`addin-sim sync` answers; Exchange's next attempt passes; the copy comes back."""
    told = _addin(stage, "sync")
    demand(told["challenges_answered"] == 1, "the add-in did not answer the question about its own certificate")
    demand(not _questions(stage), "the question is still in Alice's Inbox")
    stage.say("addin-sim sync: the question is answered, signed with the same key")
    wait(lambda: all(len(_mails(stage, person)) == 2 for person in RECIPIENTS), stage, "not every mail arrived")
    stage.say(f"Exchange tried again; arrived: {', '.join(person.address for person in RECIPIENTS)}")
    wait(lambda: bool(_addin(stage, "sync")["confirmed"]), stage, "Alice's encrypted copy did not come back")
    demand(_addin(stage, "outbox", "list") == [], "the outbox still holds the mail although its copy has come")
    stage.say("the encrypted copy is in Sent Items, and only now the mail has left Alice's outbox")
    signers = stage.gateway.ask("ime", "signers", "list", "--address", ALICE.address)
    approved = [signer for signer in signers if signer["state"] == "approved"]
    demand(len(approved) == 1, f"the gateway knows {len(approved)} signers of Alice instead of one")
    stage.say("ime-gateway ime signers list: Alice's certificate may sign for her from now on")


def prove(stage: Stage) -> None:
    """Every mail with every key; text and subject in no file."""
    keys = {person.address: files.private_key for person, files in stage.keys.items()}
    (copy,) = (stage.world_folder / "mailboxes" / ALICE.address / "sent").glob("*.eml")
    mails = {f"mail to {person.address}": _mails(stage, person)[-1] for person in RECIPIENTS}
    mails |= {"copy in Alice's Sent Items": copy, "the container at Exchange": _carrier(stage)}
    expected = {
        f"mail to {BOB.address}": {BOB.address, CAROL.address},
        f"mail to {CAROL.address}": {BOB.address, CAROL.address},
        f"mail to {DORA.address}": {DORA.address},
        "copy in Alice's Sent Items": {ALICE.address},
        "the container at Exchange": set[str](),
    }
    rows = []
    for name, mail in mails.items():
        readers = proof.who_can_read(mail, keys, SECRET)
        rows.append((name, *("opens" if owner in readers else "no" for owner in keys)))
        demand(readers == expected[name], f"{name} opens for {sorted(readers)}, not {sorted(expected[name])}")
    stage.show(("openssl cms -decrypt", *(f"{person.name.split()[0]}'s key" for person in stage.keys)), rows)
    to_bob = mails[f"mail to {BOB.address}"]
    inside = proof.decrypt(to_bob, stage.keys[BOB].private_key) or b""
    demand(b"Subject: " + SUBJECT in inside, "the mail to Bob has lost its subject")
    outside = str(proof.headers_of(to_bob)["Subject"])
    stage.say(f"Bob's mail says outside Subject: {outside}; the real one stands inside the encryption (RFC 9788)")
    profile = stage.ime2_settings.with_suffix(".profile")
    folders = [stage.gateway.folder, stage.gateway.log.parent, stage.world_folder, profile]
    for secret, what in ((SECRET, "text"), (SUBJECT, "subject")):
        clear = proof.files_with(secret, folders)
        demand(not clear, f"the {what} stands in clear in {', '.join(map(str, clear))}")
    stage.say(
        "text and subject stand in clear nowhere: not with the gateway, not in what passed Exchange, "
        "not in the mailboxes, not in Alice's profile"
    )


STEPS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("IME 2.0: Alice's Outlook learns the certificate of the IME address", prepare),
    ("Alice sends a container; the gateway asks whether it was she", send_container),
    ("The add-in answers, and Exchange's next attempt passes", confirm),
    ("Which key opens which mail, and what Exchange could read", prove),
)


def _addin(stage: Stage, *arguments: str) -> Any:
    answer = run_program("addin-sim", *arguments, "--settings", stage.ime2_settings, "--json")
    demand(answer.status == 0, f"addin-sim {' '.join(arguments)} was refused: {answer.errors.strip()}")
    return json.loads(answer.output)


def _mails(stage: Stage, person: Person) -> list[Path]:
    return stage.world.mailboxes.of(person.address)


def _questions(stage: Stage) -> list[Path]:
    return [mail for mail in _mails(stage, ALICE) if CHALLENGE_HEADER in proof.headers_of(mail)]


def _carrier(stage: Stage) -> Path:
    passed = stage.exchange_spool.glob("*.eml")
    return next(mail for mail in passed if proof.headers_of(mail)["Subject"] == CARRIER_SUBJECT)
