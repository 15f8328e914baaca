"""The whole circle with Exchange: EWS between Outlook and it, SMTP between it and a gateway process."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from addin_sim.cli import app
from tests.openssl import decrypt
from tests.pki import Entity, make_ca, make_user
from tests.servers.ews import EwsServer, NotDelivered, SentMail
from tests.servers.ews.mail_doors import SmtpDoor, relay
from tests.servers.ews.server import PASSWORD
from tests.servers.gateway import Gateway
from tests.story.world import DOMAIN, IME_ADDRESS, NAMES, PSEUDO

pytestmark = pytest.mark.xdist_group("story-exchange")

TEXT = "periwinkle-anvil-4417"
ANNA = f"anna@{DOMAIN}"


class SendConnector:
    """Hands to the gateway what is for nobody here; what it takes later waits until `retry`, as in Exchange's queue."""

    def __init__(self, ews: EwsServer, port: int) -> None:
        self._hand_over = relay(ews, "127.0.0.1", port)
        self.waiting: list[SentMail] = []

    def __call__(self, sent: SentMail) -> None:
        try:
            self._hand_over(sent)
        except NotDelivered as refused:
            if not refused.text.startswith("4"):
                raise
            self.waiting.append(SentMail(sent.sender, refused.recipients, sent.mime))

    def retry(self) -> None:
        waiting, self.waiting = self.waiting, []
        for sent in waiting:
            self(sent)


@dataclass
class Company:
    folder: Path
    ews: EwsServer
    connector: SendConnector
    gateway: Gateway
    people: dict[str, Entity]

    def addin(self, *words: str, version: int) -> Any:
        done = CliRunner().invoke(app, [*words, "--settings", str(self._settings(version)), "--json"])
        assert done.exit_code == 0, (done.exception, done.stderr)
        return json.loads(done.stdout)

    def send(self, version: int, text: str) -> Any:
        written = self.folder / "written.eml"
        written.write_text(f"Subject: Plans\nTo: team@{DOMAIN}\nBcc: dora@{DOMAIN}\n\n{text}\n")
        sent = self.addin("send", "--eml", str(written), version=version)
        self.ews.settle()
        return sent

    def _settings(self, version: int) -> Path:
        path = self.folder / f"anna{version}.toml"
        recipient = IME_ADDRESS if version == 2 else PSEUDO
        path.write_text(
            f'[account]\naddress = "{ANNA}"\n[submission]\nprotocol = "ews"\n'
            f'[registry]\nInternalRecipient = "{recipient}"\n'
            f'[container]\nime_certificate = "contact/certificate.pem"\n'
            f'[mailbox]\nprotocol = "ews"\nurl = "{self.ews.url}"\nca_file = "{self.ews.ca_file}"\n'
            f'user = "{ANNA}"\npassword = "{PASSWORD}"\n'
        )
        return path

    def sync_until(self, version: int, name: str, wanted: object) -> None:
        """Pass after pass until a report says so; what the gateway took later is offered again in between."""
        deadline = time.monotonic() + 60
        while (report := self.addin("sync", version=version))[name] != wanted:
            assert time.monotonic() < deadline, f"{report}\n{self.gateway.log()}"
            self.connector.retry()
            time.sleep(0.1)

    def assert_everybody_reads(self, text: str) -> None:
        """Each their own copy, and Anna the one copy in Sent Items; nobody the clear text on the way."""
        deadline = time.monotonic() + 60
        for name in ("bob", "carol", "dora"):
            while not (mails := self._mails_with(name, "inbox", text)):
                assert time.monotonic() < deadline, f"nothing for {name}\n{self.gateway.log()}"
                time.sleep(0.1)
            assert len(mails) == 1
            clear = decrypt(mails[0], self.people[name]) or b""
            assert name == "dora" or b"dora" not in (mails[0] + clear).lower(), "the blind copy shows"
        assert len(self._mails_with("anna", "sentitems", text)) == 1
        for name in NAMES:
            for folder in ("inbox", "sentitems"):
                assert not any(text.encode() in mail for mail in self.ews.mails(f"{name}@{DOMAIN}", folder)), name

    def _mails_with(self, name: str, folder: str, text: str) -> list[bytes]:
        mails = self.ews.mails(f"{name}@{DOMAIN}", folder)
        return [mail for mail in mails if text.encode() in (decrypt(mail, self.people[name]) or b"")]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("exchange")
    root = make_ca("Story Root")
    people = {name: make_user(f"{name}@{DOMAIN}", root) for name in NAMES}
    for name, entity in (*people.items(), ("root", root)):
        (folder / f"{name}.pem").write_bytes(entity.pem)
    gateway = Gateway(folder)
    with ExitStack() as stack:
        ews = stack.enter_context(EwsServer([f"{name}@{DOMAIN}" for name in NAMES]))
        ews.quirks.headers_promoted = False
        ews.directory.add_group(f"team@{DOMAIN}", [f"bob@{DOMAIN}", f"inner@{DOMAIN}"])
        ews.directory.add_group(f"inner@{DOMAIN}", [f"carol@{DOMAIN}", f"team@{DOMAIN}"])
        ews.transport.on_send = connector = SendConnector(ews, gateway.port)
        door = stack.enter_context(SmtpDoor(ews))
        gateway.configure(next_hop=door.port, workers=1)
        certificates = "".join(f'[[certificate]]\nfile = "{name}.pem"\n' for name in NAMES)
        gateway.apply(
            f'[[managed_domain]]\nname = "{DOMAIN}"\ndeliver_to = "smtp://127.0.0.1:{door.port}"\n'
            f'ime_address = "{IME_ADDRESS}"\nime_key = "generate"\n[[root]]\nfile = "root.pem"\n{certificates}'
        )
        gateway.command("ime", "export-contact", DOMAIN, "--out", str(folder / "contact"))
        stack.callback(gateway.stop)
        gateway.start()
        yield Company(folder, ews, connector, gateway, people)


def test_ime1_from_outlook_to_everybody_and_the_filed_copy(company: Company) -> None:
    text = f"{TEXT}-one"
    sent = company.send(1, text)
    assert (sent["groups"], sent["saved_in"]) == ({f"team@{DOMAIN}": 2}, "Sent Items")
    company.sync_until(1, "originals_removed", 1)
    company.assert_everybody_reads(text)


def test_ime2_from_outlook_to_everybody_and_the_filed_copy(company: Company) -> None:
    text = f"{TEXT}-two"
    before = len(company.ews.dialogues)
    sent = company.send(2, text)
    assert (sent["groups"], sent["saved_in"]) == ({f"team@{DOMAIN}": 2}, None)
    assert len(company.connector.waiting) == 1, "the gateway does not know who signs here"
    company.sync_until(2, "challenges_answered", 1)
    company.sync_until(2, "confirmed", [sent["message_id"]])
    assert company.addin("outbox", "list", version=2) == []
    company.assert_everybody_reads(text)
    assert not any(text.encode() in dialogue.request for dialogue in company.ews.dialogues[before:])
