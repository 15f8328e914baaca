"""The steps of chapter 2: what is typed, what must come of it, and who outside of our own code says so."""

import base64
import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from addin_sim.challenges import CHALLENGE_HEADER
from addin_sim.ime2 import CARRIER_SUBJECT
from addin_sim.world import proof
from addin_sim.world.stage import DeviationError, Page, demand
from tests.story.circle_lines import (
    EXPORT,
    FIND,
    KIT,
    LDAPSEARCH,
    LOOK,
    OPEN,
    PUBLISH,
    PUBLISH_EWS,
    REHEARSE,
    SEND,
    SYNC,
    VERIFY,
)
from tests.story.company import Company
from tests.story.world import ARCHIVE, IME_ADDRESS

SECRET, SUBJECT = b"periwinkle-anvil-4417", b"Quincunx merger"
RECIPIENTS = ("bob", "carol", "dora")

_SECONDS = 90.0
_FLUSH_SECONDS = 2.0
"""Postfix comes again each second, but on a slow machine it puts off for minutes what its last attempt still holds."""


@dataclass(slots=True)
class Scene:
    """What the steps share."""

    page: Page
    company: Company

    def type(self, line: str, *, show: bool = True) -> str:
        """Type a line in the company's folder; what it said to stdout. `DeviationError` unless it ends well."""
        self.page.console.print(f"      $ {escape(line)}", style="cyan", highlight=False, soft_wrap=True)
        said = self.quietly(line)
        if show:
            self.tell(said)
        return said

    def tell(self, said: str) -> None:
        """What a program said, each line cut where the page ends."""
        for one in filter(str.strip, said.splitlines()):
            self.page.console.print(Padding(Text(one, no_wrap=True, overflow="ellipsis"), (0, 0, 0, 8)))

    def quietly(self, line: str) -> str:
        """The same without a word."""
        company = self.company
        try:
            done = subprocess.run(
                ["sh", "-c", line],
                capture_output=True,
                text=True,
                cwd=company.folder,
                env=company.environment,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise DeviationError(f"{line}: does not end in {_SECONDS:.0f} seconds") from None
        demand(done.returncode == 0, f"{line}: status {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def wait(self, condition: Callable[[], bool], deviation: str) -> None:
        """Until it holds; what Postfix keeps is tried again meanwhile."""
        began = flushed = time.monotonic()
        while not condition():
            now = time.monotonic()
            demand(now < began + _SECONDS, f"{deviation} in {_SECONDS:.0f} seconds")
            if now > flushed + _FLUSH_SECONDS:
                self.company.world.postfix.flush()
                flushed = now
            time.sleep(0.1)


def publish(scene: Scene) -> None:
    """Look, do it, do it again; and what a foreign client reads of it."""
    scene.type(EXPORT)
    demand("nothing was changed" in scene.type(LOOK), "the dry run does not say that it changed nothing")
    demand("_IME" not in scene.quietly(LDAPSEARCH), "the dry run has written the contact")
    for expected in ("Added CN=_IME", "nothing was changed"):
        last = scene.type(PUBLISH, show=False).splitlines()[-1]
        scene.tell(last)
        demand(expected in last, f"publishing said: {last}")
    found = scene.type(LDAPSEARCH, show=False)
    scene.tell("\n".join(line for line in found.splitlines() if line.startswith(("dn:", "displayName:", "proxy"))))
    encoded = re.search(r"userCertificate:: ([A-Za-z0-9+/=\n ]+)", found)
    demand(f"SMTP:{IME_ADDRESS}" in found and encoded is not None, "the directory does not show the contact")
    assert encoded is not None
    in_directory = hashlib.sha256(base64.b64decode(re.sub(r"\s", "", encoded[1]))).hexdigest()
    of_gateway = json.loads((scene.company.folder / "contact/contact.json").read_text())["thumbprint"]
    demand(of_gateway == f"sha256:{in_directory}", f"the directory has {in_directory}, the gateway {of_gateway}")
    scene.tell(f"its certificate there is the gateway's, {of_gateway[:23]}…")


def find(scene: Scene) -> None:
    """As the add-in does when Outlook starts."""
    found = scene.type(FIND.format(name="anna"))
    demand("page 1;" in found, "the contact was not on the first page of the list")


def send(scene: Scene) -> None:
    """A neutral carrier for Exchange; the gateway does not know Anna's certificate yet."""
    scene.type(SEND.format(name="anna"))
    scene.wait(lambda: bool(_carriers(scene)), "Postfix passed no carrier on")
    header = _header(_carriers(scene)[0])
    scene.page.show(("what Exchange sees of it", ""), [(n, str(header[n])) for n in ("From", "To", "Date", "Subject")])
    demand(header["Subject"] == CARRIER_SUBJECT and header["To"] == IME_ADDRESS, "the carrier is not neutral")
    _question(scene, "anna")


def sync(scene: Scene) -> None:
    """Answer, arrival, filing."""
    _answer_and_file(scene, "anna", 1)
    said = scene.type("addin-sim outbox list --settings anna.toml")
    demand("@" not in said, f"the outbox is not empty: {said}")


def prove(scene: Scene) -> None:
    """openssl with every key; a search in everything that the servers keep."""
    opened = scene.type(OPEN, show=False).encode()
    demand(SECRET in opened and b"Subject: " + SUBJECT in opened, "Bob cannot read text and subject")
    scene.tell(f"Subject: {SUBJECT.decode()} … {SECRET.decode()} (outside: no word of it)")
    mails = {f"mail to {name}": scene.company.mails(name)[0] for name in RECIPIENTS}
    mails |= {"Anna's copy in Sent Items": scene.company.mails("anna", "Sent Items")[0]}
    _judge(scene, mails | {"the carrier at Exchange": _carriers(scene)[0]}, "anna")


def publish_by_ews(scene: Scene) -> None:
    """What EWS can do for the list: look; and a folder that is no list."""
    scene.type(VERIFY)
    published = scene.type(PUBLISH_EWS, show=False)
    scene.tell(published.splitlines()[-1])
    demand("contact" in published.lower(), "EWS wrote no contact")


def over_ews(scene: Scene) -> None:
    """Exchange takes her mail, tells of news, and has her Sent Items."""
    found = scene.type(FIND.format(name="emma"), show=False)
    scene.tell("\n".join(line for line in found.splitlines() if line.startswith(("certificate", "scan"))))
    demand("page 1;" in found, "the contact was not on the first page of the list")
    scene.type(SEND.format(name="emma"))
    _question(scene, "emma")
    _answer_and_file(scene, "emma", 2)
    opened = scene.type(OPEN, show=False).encode()
    demand(SECRET in opened and b"From: Emma" in opened, "Bob cannot read Emma's mail")
    scene.tell(f"From: Emma Adler … {SECRET.decode()}")
    asked = set(scene.company.ews.operations())
    demand({"CreateItem", "FindItem", "GetItem", "MoveItem"} <= asked, f"EWS was asked for {sorted(asked)} only")
    mails = {f"mail to {name}": scene.company.mails(name)[1] for name in RECIPIENTS}
    _judge(scene, mails | {"Emma's copy in Sent Items": scene.company.mails("emma", "Sent Items")[0]}, "emma")


def rehearse(scene: Scene) -> None:
    """The report, and no deviation (else the status is 1)."""
    scene.type(REHEARSE)


def exchange_kit(scene: Scene) -> None:
    """Its files."""
    scene.type(KIT)
    kit = scene.company.folder / "kit"
    names = sorted(str(path.relative_to(kit)) for path in kit.rglob("*") if path.is_file())
    demand(sum(name.endswith(".ps1") for name in names) >= 4, f"scripts are missing: {names}")
    scene.page.say(f"  {', '.join(names)}")


def _question(scene: Scene, name: str) -> None:
    scene.wait(lambda: any(CHALLENGE_HEADER in _header(mail) for mail in scene.company.mails(name)), "no question came")
    said = re.findall(r"451 4\.7\.1[^)]*", scene.company.world.postfix.log())
    demand(bool(said), "the gateway did not put off the mail of an unknown signer")
    scene.tell(f"the gateway to Postfix: {said[-1].strip()}")
    (question,) = scene.company.mails(name)
    scene.tell(f"in {name.title()}'s Inbox: {_header(question)['Subject']}")


def _answer_and_file(scene: Scene, name: str, count: int) -> None:
    company, line = scene.company, SYNC.format(name=name)
    answered = scene.type(line, show=False)
    demand("1 questions of the gateway answered" in answered, f"the add-in did not answer: {answered}")
    scene.tell("1 questions of the gateway answered")
    scene.wait(lambda: all(len(company.mails(one)) == count for one in RECIPIENTS), "not every mail arrived")
    scene.tell(f"arrived: {', '.join(f'{one}@acme.example' for one in RECIPIENTS)}")
    scene.wait(lambda: bool(company.mails(name)), "the encrypted copy did not come back")
    filed = scene.type(line, show=False)
    demand("1 encrypted copies filed, 1 mails leave the outbox" in filed, f"the copy was not filed: {filed}")
    demand(len(company.mails(name, "Sent Items")) == 1, "Sent Items does not hold one mail")
    left = [str(_header(mail)["Subject"]) for mail in company.mails(name)]
    demand(not left, f"the Inbox still holds {left}")
    scene.tell("1 encrypted copies filed, 1 mails leave the outbox: Sent Items holds one mail")


def _judge(scene: Scene, mails: dict[str, bytes], sender: str) -> None:
    """Each mail with each key; then everything that the servers keep."""
    folder = scene.company.folder
    keys = {name: folder / f"{name}.key" for name in (*RECIPIENTS, sender)}
    together = {"bob", "carol"}
    rows = []
    for number, (what, mail) in enumerate(mails.items()):
        path = folder / f"proof-{sender}-{number}.eml"
        path.write_bytes(mail)
        readers = proof.who_can_read(path, keys, SECRET)
        owner = what.split()[-1]
        expected = {sender} if "copy" in what else together if owner in together else {owner} & set(keys)
        demand(readers == expected, f"{what} opens for {sorted(readers)}, not {sorted(expected)}")
        rows.append((what, *("opens" if name in readers else "no" for name in keys)))
    scene.page.show(("openssl cms -decrypt", *(f"{name.title()}'s key" for name in keys)), rows)
    _demand_no_clear_text(scene)


def _demand_no_clear_text(scene: Scene) -> None:
    company = scene.company
    world = company.world
    folders = [world.dovecot.folder, world.postfix.folder, company.ad.folder, world.gateway.config.parent]
    folders += [path for path in company.folder.glob("*.profile") if path.is_dir()]
    passed = Path(company.folder / "passed")
    passed.mkdir(exist_ok=True)
    held = [mail for name in ("inbox", "sentitems", "drafts") for mail in company.ews.mails("emma@acme.example", name)]
    for number, mail in enumerate(held):
        (passed / f"{number}.eml").write_bytes(mail)
    for secret in (SECRET, SUBJECT):
        clear = proof.files_with(secret, [*folders, passed])
        demand(not clear, f"{secret.decode()} stands in clear in {', '.join(map(str, clear))}")
    demand(SECRET.decode() not in world.gateway.log(10_000_000), "the gateway's log tells the text")
    copies = len(world.dovecot.mails(ARCHIVE))
    scene.page.say(
        f"text and subject stand in clear nowhere: not in the {copies} mails that passed Exchange, not in mailboxes, "
        "directory, outbox, or the gateway's files and log"
    )


def _carriers(scene: Scene) -> list[bytes]:
    passed = scene.company.world.dovecot.mails(ARCHIVE)
    return [mail for mail in passed if _header(mail)["Subject"] == CARRIER_SUBJECT]


def _header(mail: bytes) -> EmailMessage:
    parsed = message_from_bytes(mail.replace(b"\r\n", b"\n"), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed
