"""`addin-sim publish --backend ews` and `addin-sim verify` as an administrator runs them, in good days and bad."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from addin_sim.address_list.errors import AddressListError
from addin_sim.cli import app
from tests.ime_contact import ADDRESS, contact_of
from tests.pki import Entity, make_user
from tests.servers.ews import PASSWORD, Entry, EwsServer
from tests.unit.addin_sim.address_list.test_publish_contact import export

ADMIN = "admin@acme.example"
FOLDER = "IME certificates"
NAME = "_IME domain-confidentiality-authority"
BUSY = 61_000
"""Milliseconds: longer than a command waits for a busy server."""


@pytest.fixture
def exchange() -> Iterator[EwsServer]:
    with EwsServer([ADMIN]) as server:
        yield server


@pytest.fixture(scope="module")
def owner() -> Entity:
    return make_user(ADDRESS)


@pytest.fixture
def folder(tmp_path: Path, owner: Entity) -> Path:
    return export(tmp_path / "contact", owner)


@dataclass
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The sentence at the end of stderr."""
        return self.err.rstrip().splitlines()[-1]


def settings(server: EwsServer, beside: Path, **changes: str | bool) -> Path:
    table: dict[str, str | bool] = {
        "url": server.url,
        "user": ADMIN,
        "password": PASSWORD,
        "ca_file": str(server.ca_file),
        **changes,
    }
    path = beside / "outlook.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    path.write_text(
        f'[account]\naddress = "{ADMIN}"\n[submission]\nhost = "127.0.0.1"\n[address_list.ews]\n' + "\n".join(lines)
    )
    return path


def run(*words: str | Path) -> Said:
    """As the program does it: a refusal that a command lets through is a sentence on stderr and status 1."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, AddressListError):
        return Said(1, result.stdout, f"{result.stderr}{result.exception}")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


def publish(server: EwsServer, folder: Path, *more: str, **changes: str | bool) -> Said:
    file = settings(server, folder.parent, **changes)
    return run("publish", "--backend", "ews", "--contact", folder, "--settings", file, *more)


def verify(server: EwsServer, folder: Path, *more: str, **changes: str | bool) -> Said:
    return run("verify", "--contact", folder, "--settings", settings(server, folder.parent, **changes), *more)


def test_looked_at_done_done_again_and_taken_away(exchange: EwsServer, folder: Path, owner: Entity) -> None:
    looked = publish(exchange, folder, "--dry-run")
    assert looked.status == 0
    assert f"{NAME}: to be added" in looked.out
    assert "UserX509Certificate: (nothing) -> signed value of certificate sha256:" in looked.out
    assert "A dry run: nothing was changed." in looked.out
    assert "not the address list" in looked.err
    assert "CreateFolder" not in exchange.operations()
    done = publish(exchange, folder)
    assert done.status == 0
    assert f"contacts of {ADMIN}/{FOLDER}/{NAME} was created with the certificate." in done.out
    assert f"Creating contacts of {ADMIN}/{FOLDER}." in done.err, "progress"
    again = json.loads(publish(exchange, folder, "--json").out)
    assert (again["action"], again["changes"], again["dry_run"]) == ("nothing", [], False)
    gone = publish(exchange, folder, "--remove")
    assert f"{NAME} was removed." in gone.out
    assert f"has no contact with {ADDRESS}; nothing was changed." in publish(exchange, folder, "--remove").out


def test_a_rollover_is_shown_by_both_thumbprints(exchange: EwsServer, folder: Path, tmp_path: Path) -> None:
    publish(exchange, folder)
    new = export(tmp_path / "new", make_user(ADDRESS))
    told = json.loads(publish(exchange, new, "--json").out)
    assert told["action"] == "change"
    (change,) = told["changes"]
    assert change["attribute"] == "UserX509Certificate"
    old_thumbprint = json.loads((folder / "contact.json").read_text())["thumbprint"]
    assert (change["old"], change["new"]) == ([old_thumbprint], [told["thumbprint"]])


def test_verify_tells_none_old_right_and_ambiguous_apart(exchange: EwsServer, folder: Path, owner: Entity) -> None:
    def told() -> tuple[int, str]:
        said = verify(exchange, folder)
        return said.status, said.out if said.status == 0 else said.last

    assert told()[0] == 1
    assert f"Exchange does not show {ADDRESS} in the address list" in told()[1]
    entry = exchange.directory.add(Entry(ADDRESS, NAME, kind="Contact"))
    assert told()[0] == 1
    assert "without a certificate" in told()[1]
    old, new = contact_of(), contact_of(owner=owner)
    entry.user_certificates, entry.user_smime_certificates = [old.certificate], [old.smime_value]
    assert told()[0] == 1
    assert f"with another certificate: the certificate {old.thumbprint[:23]}" in told()[1]
    entry.user_certificates, entry.user_smime_certificates = [new.certificate], [new.smime_value]
    assert told() == (0, f"Exchange shows '{NAME}' with the published certificate {new.thumbprint[:23]}….\n")
    exchange.directory.entries["second"] = Entry(ADDRESS, "_IME old", kind="Contact")
    assert told()[0] == 1
    assert f"2 entries with {ADDRESS}: '{NAME}', '_IME old'" in told()[1]


def test_verify_for_programs(exchange: EwsServer, folder: Path, owner: Entity) -> None:
    missing = verify(exchange, folder, "--json")
    assert missing.status == 1
    assert json.loads(missing.out)["good"] is False
    new = contact_of(owner=owner)
    exchange.directory.add(Entry(ADDRESS, NAME, "Contact", [new.certificate], [new.smime_value]))
    good = verify(exchange, folder, "--json")
    told = json.loads(good.out)
    assert (good.status, told["good"], told["source"], told["name"]) == (0, True, "userSMIMECertificate", NAME)
    assert told["thumbprint"] == told["shown_thumbprint"] == new.thumbprint


def test_what_failed_after_the_change_never_claims_that_nothing_was_changed(exchange: EwsServer, folder: Path) -> None:
    exchange.quirks.fail_operations["FindItem"] = ("ErrorInternalServerError", "An internal server error occurred.")
    said = publish(exchange, folder)
    assert said.status == 1
    assert "Exchange had confirmed the change before." in said.last
    assert len(exchange.items(ADMIN, FOLDER)) == 1
    exchange.quirks.fail_operations.clear()
    assert "nothing was changed" in publish(exchange, folder).out


@pytest.mark.parametrize(
    ("operation", "state"),
    [("CreateItem", "there is no such contact in it"), ("UpdateItem", "the contact is as it was before")],
)
def test_an_answer_that_may_mean_anything_is_followed_by_a_look(
    exchange: EwsServer, folder: Path, tmp_path: Path, operation: str, state: str
) -> None:
    if operation == "UpdateItem":
        publish(exchange, folder)
    exchange.quirks.fail_operations[operation] = ("ErrorInternalServerError", "An internal server error occurred.")
    said = publish(exchange, export(tmp_path / "new", make_user(ADDRESS)))
    assert said.status == 1
    assert f"The folder was read again: {state}." in said.last


def test_a_server_that_stays_busy_says_so_and_nothing_was_changed(exchange: EwsServer, folder: Path) -> None:
    publish(exchange, folder)
    exchange.quirks.back_off_milliseconds, exchange.quirks.busy = BUSY, 1
    said = publish(exchange, folder, "--remove")
    assert said.status == 1
    assert "the server is busy and asks to come back in 61 seconds. Nothing was changed. Run the command" in said.last
    assert len(exchange.items(ADMIN, FOLDER)) == 1


def test_a_folder_for_mail_is_no_address_book(exchange: EwsServer, folder: Path) -> None:
    publish(exchange, folder)
    exchange.folder(ADMIN, FOLDER).folder_class = "IPF.Note"
    said = publish(exchange, folder)
    assert said.status == 1
    assert "is not for contacts: its class is IPF.Note. Nothing was changed. Name another folder" in said.last


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong"}, "refused the login of admin@acme.example"),
        ({"ca_file": "/nowhere/ca.pem"}, "Name the certificate of its CA as ca_file"),
        ({"mailbox": "nobody@acme.example"}, "Correct mailbox in [address_list.ews]"),
        ({"url": "/wrong"}, "HTTP 404 Not Found. Nothing was changed. Correct url in [address_list.ews]"),
    ],
)
def test_wrong_settings_are_one_sentence_that_names_them(
    exchange: EwsServer, folder: Path, changes: dict[str, str], words: str
) -> None:
    if "url" in changes:
        changes = {"url": exchange.url + "x"}
    said = publish(exchange, folder, **changes)
    assert said.status == 1
    assert words in said.last
    assert "Nothing was changed." in said.last
    assert len(said.err.splitlines()) == 3, "the login, the reading, the sentence"


def test_the_program_itself_says_it_without_a_traceback(exchange: EwsServer, folder: Path) -> None:
    file = settings(exchange, folder.parent, password="wrong")
    code = "from addin_sim.cli import run; run()"
    words = [sys.executable, "-c", code, "verify", "--contact", str(folder), "--settings", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Asking {exchange.url} for {ADDRESS}.\nThe mailbox of {ADMIN}")
    assert done.stderr.rstrip().endswith("(or what password_env names) and auth in [address_list.ews].")
    assert len(done.stderr.splitlines()) == 2
