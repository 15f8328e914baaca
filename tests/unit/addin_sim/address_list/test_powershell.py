"""The PowerShell scripts: names are data whatever they contain, values arrive byte by byte, foreign files stay.

PowerShell itself cannot be had here; `tests.powershell`, made from the language and not from the writer, takes each
script apart and knows Microsoft's reference of each cmdlet.
"""

import base64
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.powershell import (
    ONLINE,
    SERVER,
    PowerShellPublisher,
    alias,
    object_name,
    quoted,
    scripts,
)
from addin_sim.address_list.publisher import Action, Contact
from addin_sim.cli import app
from tests.full_disk import FullDisk
from tests.ime_contact import ADDRESS, contact_of
from tests.pki import make_user
from tests.powershell import Command, Script, cmdlets, read
from tests.powershell_tokens import tokens_of
from tests.unit.addin_sim.address_list.test_publish_contact import export

HOSTILE = (
    "_IME '; Remove-Mailbox * #",
    "_IME \u2019; Remove-Mailbox * #",
    "_IME \u2018\u201a\u201b''\u2019 $(Remove-Item C:\\) `'",
    '_IME "@@ADDRESS@@" {0} %s',
    "_IME #> @' '@",
    "_IME M\u00fcller \u5185\u90e8 \U0001f512",
)


@pytest.fixture(scope="module")
def contact() -> Contact:
    return contact_of()


def renamed(contact: Contact, name: str, address: str = ADDRESS) -> Contact:
    return Contact(
        address=address,
        display_name=name,
        common_name=name,
        certificate=contact.certificate,
        smime_value=contact.smime_value,
        thumbprint=contact.thumbprint,
        not_after=contact.not_after,
    )


def skeleton(text: str) -> list[str]:
    """The code with every string as S and every comment gone."""
    return ["S" if token.kind == "string" else token.text for token in tokens_of(text)[0]]


def text_of(contact: Contact, file: str, place: str = "") -> str:
    data = scripts(contact, place)[file]
    assert data.startswith(b"\xef\xbb\xbf")
    text = data.decode("utf-8-sig")
    assert text.count("\n") == text.count("\r\n")
    return text


@pytest.mark.parametrize("file", [ONLINE, SERVER])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_never_becomes_a_command(contact: Contact, file: str, name: str) -> None:
    harmless = skeleton(text_of(renamed(contact, "_IME"), file, "OU=IME"))
    text = text_of(renamed(contact, name), file, f"OU={name}")
    assert skeleton(text) == harmless
    assert {name, f"OU={name}"} - set(read(text).strings()) <= ({f"OU={name}"} if file == ONLINE else set())


@pytest.mark.parametrize("file", [ONLINE, SERVER])
def test_an_address_with_quotes_stays_inside_the_filter_too(contact: Contact, file: str) -> None:
    address = "o'brien'or'1@ime.acme.example"
    harmless = skeleton(text_of(renamed(contact, "_IME", "obrien@ime.acme.example"), file))
    text = text_of(renamed(contact, "_IME", address), file)
    assert skeleton(text) == harmless
    condition = next(one for one in read(text).strings() if one.startswith("EmailAddresses -eq"))
    assert skeleton(condition) == ["EmailAddresses", "-eq", "S", "-or", "ExternalEmailAddress", "-eq", "S"]
    assert [one.text for one in tokens_of(condition)[0] if one.kind == "string"] == [address] * 2


@pytest.mark.parametrize(
    "name", ["a\r\nRemove-Mailbox *", "a\nb", "a\x00b", "a\u2028b", "a\x85b", "a\u202eb", "\ud800"]
)
def test_controls_are_refused(contact: Contact, tmp_path: Path, name: str) -> None:
    with pytest.raises(AddressListError, match="control character"):
        PowerShellPublisher(tmp_path, "", print).plan(renamed(contact, name))
    with pytest.raises(AddressListError, match="no script was written"):
        quoted(name)
    assert list(tmp_path.iterdir()) == []


def test_typographic_quotes_in_an_address_are_refused(contact: Contact) -> None:
    with pytest.raises(AddressListError, match="typographic"):
        scripts(renamed(contact, "_IME", "o\u2019brien@ime.acme.example"))


@pytest.mark.parametrize("file", [ONLINE, SERVER])
def test_both_values_are_there_byte_by_byte(contact: Contact, file: str) -> None:
    text = text_of(contact, file)
    for variable, value in (("Certificate", contact.certificate), ("SmimeValue", contact.smime_value)):
        block = text[text.index(f"${variable} = [Convert]") :]
        lines = re.findall(r"^    '([A-Za-z0-9+/=]+)'\r$", block[: block.index("-join")], re.MULTILINE)
        assert base64.b64decode("".join(lines), validate=True) == value
    assert f"'{contact.thumbprint.removeprefix('sha256:').upper()}'" in text


@pytest.mark.parametrize("place", ["", "OU=IME"])
def test_each_cmdlet_has_its_parameters_in_that_exchange(contact: Contact, place: str) -> None:
    online, server = (read(text_of(contact, file, place)) for file in (ONLINE, SERVER))
    assert online.unknown("online") == []
    assert server.unknown("server") == []
    assert "UserCertificate" in online.calls("Set-MailContact")[0].parameters
    assert "UserCertificate" not in server.calls("Set-MailContact")[0].parameters
    for script in (online, server):
        assert {one.name for one in script.commands if one.name not in script.functions} <= set(cmdlets())
        assert len(script.commands) >= 15, "the reader sees the commands at all"


def changes(script: Script) -> list[Command]:
    return [one for one in script.commands if re.match(r"(New|Set|Remove)-(MailContact|AD)", one.name)]


@pytest.mark.parametrize(("file", "number"), [(ONLINE, 3), (SERVER, 4)])
def test_every_change_is_announced_by_what_if_and_asks_nothing(contact: Contact, file: str, number: int) -> None:
    script = read(text_of(contact, file))
    assert len(changes(script)) == number
    for one in changes(script):
        assert one.parameters["Confirm"] == "$false"
        verb = f"'{one.name}"
        assert any("$PSCmdlet .ShouldProcess" in header and verb in header for header in script.headers(one)), one
    tokens = " ".join(one.text for one in script.tokens)
    assert "[ CmdletBinding ( SupportsShouldProcess = $true ) ]" in tokens


@pytest.mark.parametrize("file", [ONLINE, SERVER])
def test_whose_it_is_and_what_is_there_is_asked_before_anything_is_changed(contact: Contact, file: str) -> None:
    script = read(text_of(contact, file))
    before = script.before(changes(script)[0])
    for refusal in ("Several recipients have", "which is no mail contact", "with mail to", "is damaged", "has expired"):
        assert refusal in before, refusal
    assert "-and [ string ] $found [ 0 ] .ExternalEmailAddress -ne ( 'SMTP:' + $Address )" in before
    assert script.calls("Get-Recipient")[0].place < changes(script)[0].place
    writing = script.calls("Set-MailContact" if file == ONLINE else "Set-ADObject")[0]
    assert script.before(writing).count("Test-OnlyValue") >= 2, "what is as wanted is left alone"


@pytest.mark.parametrize("file", [ONLINE, SERVER])
def test_both_certificates_are_replaced_in_one_command(contact: Contact, file: str) -> None:
    script = read(text_of(contact, file))
    if file == ONLINE:
        (writing,) = script.calls("Set-MailContact")
        assert writing.parameters["UserCertificate"] == "$certificates"
        assert writing.parameters["UserSMimeCertificate"] == "$smimeValues"
    else:
        (writing,) = script.calls("Set-ADObject")
        assert writing.parameters["Replace"] == "$values"
        table = script.before(writing).rpartition("$values = @{")[2]
        assert "userCertificate = $Certificate" in table
        assert "userSMIMECertificate = $SmimeValue" in table
        assert all("$server" in one.parameters.values() for one in script.calls("Get-ADObject", "Set-ADObject"))


@pytest.mark.parametrize("file", [ONLINE, SERVER])
def test_each_step_is_explained(contact: Contact, file: str) -> None:
    plain = re.compile(r"line \d+: (param \(|throw|return|Write-(Output|Warning)|try|catch|[A-Za-z0-9+/=]+$)")
    assert [line for line in read(text_of(contact, file, "OU=IME")).uncommented() if not plain.match(line)] == []


def test_written_once_and_left_alone_then(contact: Contact, tmp_path: Path) -> None:
    said: list[str] = []
    publisher = PowerShellPublisher(tmp_path / "scripts", "", said.append)
    plan = publisher.plan(contact)
    assert plan.action is Action.ADD
    assert not (tmp_path / "scripts").exists()
    assert any(line.startswith("UserCertificate: (nothing) -> certificate sha256:") for line in plan.diff)
    assert any(line.startswith("UserSMimeCertificate: (nothing) -> signed value of") for line in plan.diff)
    outcome = publisher.carry_out(plan)
    assert "nothing in Exchange changes before you run" in outcome.sentence
    assert len(said) == 2
    assert {path.name for path in (tmp_path / "scripts").iterdir()} == {ONLINE, SERVER}
    again = publisher.plan(contact)
    assert again.action is Action.NOTHING and again.diff == ()
    publisher.carry_out(again)
    assert len(said) == 2
    assert publisher.plan(contact_of()).action is Action.CHANGE


def test_removal_writes_the_same_scripts(contact: Contact, tmp_path: Path) -> None:
    publisher = PowerShellPublisher(tmp_path, "", print)
    outcome = publisher.remove(contact)
    assert outcome.action is Action.REMOVE
    assert "-Remove" in outcome.sentence
    assert all("-Remove -WhatIf" in remark for remark in outcome.remarks)
    assert publisher.plan(contact).action is Action.NOTHING


def test_foreign_files_are_never_overwritten(contact: Contact, tmp_path: Path) -> None:
    (tmp_path / SERVER).write_text("Write-Host 'mine'\n")
    with pytest.raises(AddressListError, match="not made by this program"):
        PowerShellPublisher(tmp_path, "", print).plan(contact)
    assert [path.name for path in tmp_path.iterdir()] == [SERVER]


def test_a_folder_that_cannot_be_made(contact: Contact, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    publisher = PowerShellPublisher(tmp_path / "file" / "scripts", "", print)
    with pytest.raises(AddressListError, match=r"cannot be (read|written)"):
        publisher.carry_out(publisher.plan(contact))


def test_a_full_disk_leaves_the_scripts_that_are_there(contact: Contact, tmp_path: Path) -> None:
    publisher = PowerShellPublisher(tmp_path, "", lambda _: None)
    publisher.carry_out(publisher.plan(contact))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    plan = publisher.plan(contact_of())
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(AddressListError, match=r"before is unchanged.*run the command again before any script"):
            publisher.carry_out(plan)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_looks_writes_and_says_what_is_left_to_do(tmp_path: Path) -> None:
    folder, out = export(tmp_path / "contact", make_user(ADDRESS)), tmp_path / "scripts"
    where = ("--contact", folder, "--out", out, "--settings", tmp_path / "none.toml")
    words = ("publish", "--backend", "powershell", *where)
    status, told, _ = run(*words, "--dry-run")
    assert (status, out.exists()) == (0, False)
    assert f"  ExternalEmailAddress: (nothing) -> SMTP:{ADDRESS}" in told
    assert "A dry run: nothing was changed." in told
    status, told, progress = run(*words)
    assert status == 0
    assert "nothing in Exchange changes before you run one of them" in told
    assert f"Writing {out / ONLINE}." in progress
    assert f"Connect-ExchangeOnline; .\\{ONLINE} -WhatIf" in progress
    assert {path.name for path in out.iterdir()} == {ONLINE, SERVER}
    assert json.loads(run(*words, "--json")[1])["action"] == "nothing"
    assert f".\\{ONLINE} -Remove -WhatIf" in run(*words, "--remove")[2]
    (out / SERVER).write_text("mine")
    status, told, refusal = run(*words)
    assert (status, told) == (1, "")
    assert "was not made by this program, so nothing was written" in refusal
    assert (out / SERVER).read_text() == "mine"


def test_names_fit_and_differ(contact: Contact) -> None:
    assert object_name(contact) == "_IME domain-confidentiality-authority ime.acme.example"
    long_one = renamed(contact, "_" + "x" * 60)
    assert object_name(long_one) == "_" + "x" * 60
    assert alias(ADDRESS) == "domain-confidentiality-authority-ime-acme-example"
    spellings = [
        "a.b@ime.example",
        "o'b@ime.example",
        "o+b@ime.example",
        "\u5185@ime.example",
        "x" * 70 + "@ime.example",
    ]
    assert len({alias(one) for one in spellings}) == len(spellings)
    assert all(re.fullmatch(r"[A-Za-z0-9-]{1,64}", alias(one)) for one in spellings)
