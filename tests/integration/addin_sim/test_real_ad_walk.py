"""docs/address-list.md, line by line as it is typed: Active Directory, Postfix, Dovecot and the gateway are real."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.openssl import decrypt
from tests.servers.ad_world import PLACE, dns_below, read
from tests.story.company import Company, open_company

pytestmark = pytest.mark.xdist_group("samba")
PAGE = Path(__file__).parents[3] / "docs" / "address-list.md"
TEXT = "periwinkle-anvil-4417"
SUBJECT = "Quincunx merger"
OURS = f"CN=_IME domain-confidentiality-authority,{PLACE}"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with open_company(tmp_path_factory.mktemp("company"), text=TEXT) as opened:
        yield opened


def lines(section: int) -> list[str]:
    """What is typed in a section of the page."""
    (text,) = re.findall(rf"^## {section}\. .*?(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r"^(?:acme|anna)\$ (.+)$", text, re.MULTILINE)


def typed(company: Company, line: str) -> str:
    """What it says on standard output, in a shell that was told what `make company` prints."""
    done = subprocess.run(
        ["sh", "-c", f". ./environment && {line}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=company.folder,
    )
    assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}\n{company.world.gateway.log()}"
    return done.stdout


def sent_and_synced(company: Company, send: str, sync: str) -> None:
    """`sync` typed whenever mail has come, until Anna's own copy is filed."""
    seen, deadline = set(company.mails("anna")), time.monotonic() + 120
    said = typed(company, send)
    while "1 mails leave the outbox" not in said:
        while not set(company.mails("anna")) - seen:
            assert time.monotonic() < deadline, f"{said}\n{company.world.gateway.log()}"
            company.world.postfix.flush()
            time.sleep(0.2)
        seen = set(company.mails("anna"))
        said = typed(company, sync)


def thumbprint(company: Company) -> str:
    """Of the contact that was exported last."""
    return str(json.loads((company.folder / "contact/contact.json").read_text())["thumbprint"])


def test_every_line_of_the_page(company: Company) -> None:
    export, look, publish, again, find = lines(1)
    typed(company, export)
    said = typed(company, look)
    assert "to be added" in said and "nothing was changed" in said
    assert f"Added {OURS}" in typed(company, publish)
    assert "nothing was changed" in typed(company, again)
    first = thumbprint(company)
    said = typed(company, find)
    assert first in said and "place 1 of the list, page 1; 1 entries on 1 pages read" in said
    assert "offline book  fetched now" in said
    _settings_are_exported(company)
    _renewed(company, first)
    _taken_away(company)


def _settings_are_exported(company: Company) -> None:
    (export,) = lines(4)
    typed(company, export)
    text = (company.folder / "ime.reg").read_bytes().decode("utf-16")
    assert '\r\n"InternalRecipient"="domain-confidentiality-authority@ime.acme.example"\r\n' in text


def _renewed(company: Company, first: str) -> None:
    """An Outlook whose address book is of before still encrypts to the old certificate, and loses nothing."""
    rotate, export, publish, find, send, sync, find_anew = lines(5)
    before = read(company.ad, OURS)
    for line in (rotate, export, publish):
        typed(company, line)
    after = read(company.ad, OURS)
    assert all(before[name] != after[name] for name in ("userCertificate", "userSMIMECertificate"))
    assert len(after["userCertificate"]) == len(after["userSMIMECertificate"]) == 1
    second = thumbprint(company)
    said = typed(company, find)
    assert f"certificate   {first}" in said and "stale" in said
    sent_and_synced(company, send, sync)
    _everybody_reads_it_and_nobody_else(company)
    said = typed(company, find_anew)
    assert f"certificate   {second}" in said and second != first


def _taken_away(company: Company) -> None:
    look, remove = lines(6)
    assert "nothing was changed" in typed(company, look)
    assert dns_below(company.ad, PLACE) == [OURS]
    assert f"Removed {OURS}" in typed(company, remove)
    assert dns_below(company.ad, PLACE) == []


def _everybody_reads_it_and_nobody_else(company: Company) -> None:
    """The members of the group, each once; who is a blind recipient besides stays blind."""
    world = company.world
    for name in ("bob", "carol", "dora"):
        (mail,) = world.inbox(name, 1)
        header = mail.partition(b"\r\n\r\n")[0]
        assert SUBJECT.encode() not in header and TEXT.encode() not in mail
        clear = decrypt(mail, world.people[name])
        assert clear is not None and TEXT.encode() in clear and SUBJECT.encode() in clear
        assert b"everybody@" not in clear
        assert name == "dora" or b"dora" not in (header + clear).lower()
    (filed,) = company.mails("anna", "Sent Items")
    assert TEXT.encode() in (decrypt(filed, world.people["anna"]) or b"")
