"""Distribution groups at an Exchange server: from ResolveNames and ExpandDL to the recipients of a sent mail."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from addin_sim.cli import app
from addin_sim.groups.expand import DEEPEST, MOST_MEMBERS
from addin_sim.groups.interface import GroupError
from addin_sim.groups.opening import without_groups
from addin_sim.outlook_settings import OutlookSettings, load
from addin_sim.raw_mail import RawMail, make_field, parse
from tests.integration.addin_sim.mailbox_rigs import ALICE, EwsRig
from tests.servers.ews import Entry
from tests.servers.ews.request_texts import delete_item
from tests.servers.ews.soap_client import SoapClient
from tests.servers.ews.xml_names import full

pytestmark = pytest.mark.xdist_group("ews-groups")

ANNA, BERT, CARLA = "anna@acme.example", "Bert@acme.example", "carla@partner.example"


@pytest.fixture(scope="module")
def shared_rig() -> Iterator[EwsRig]:
    with EwsRig.running() as rig:
        directory = rig.server.directory
        directory.add(Entry(ANNA, "Anna (Sales), A. Müller"))
        directory.add(Entry(BERT, "Bert"))
        directory.add_group("team@acme.example", [ANNA, "Inner@acme.example", BERT], "All of us")
        directory.add_group("inner@acme.example", [CARLA, "team@acme.example", "bert@ACME.example"])
        directory.add_group("alone@acme.example", ["alone@acme.example"])
        directory.add_group("empty@acme.example", [])
        directory.add_group("broken@acme.example", [ANNA, "/o=Acme/cn=Recipients/cn=old"])
        directory.add(Entry("staff@acme.example", kind="PublicDL", members=[ANNA], further=["all@acme.example"]))
        directory.add(Entry("secret@acme.example", kind="PublicDL", members=[ANNA], hidden_members=True))
        directory.add(Entry("hidden@acme.example", kind="PublicDL", members=[ANNA], hidden=True))
        directory.add_group("big@acme.example", [f"p{number}@acme.example" for number in range(MOST_MEMBERS + 1)])
        directory.add_group("full@acme.example", [f"p{number}@acme.example" for number in range(MOST_MEMBERS - 3)])
        for number in range(DEEPEST + 1):
            directory.add_group(f"deep{number}@acme.example", [f"deep{number + 1}@acme.example"])
        yield rig


@pytest.fixture
def rig(shared_rig: EwsRig) -> EwsRig:
    shared_rig.server.dialogues.clear()
    return shared_rig


def file_of(rig: EwsRig, folder: Path) -> Path:
    path = folder / "outlook.toml"
    path.write_text(f'[account]\naddress = "{ALICE}"\n[submission]\nprotocol = "ews"\n{rig.table}')
    return path


@pytest.fixture
def outlook(rig: EwsRig, tmp_path: Path) -> OutlookSettings:
    return load(file_of(rig, tmp_path))


def to(*addresses: str) -> RawMail:
    return RawMail((make_field("To", ", ".join(addresses)),), b"x\r\n")


def test_nested_members_in_a_circle(outlook: OutlookSettings) -> None:
    found = without_groups(outlook, to("The Team <Team@acme.example>", "x@y.example"))
    assert found.groups == {"team@acme.example": 3}
    assert found.remarks == ()
    assert found.mail.value("To").split(", ", 1)[1] == f"Bert <{BERT}>, {CARLA}, x@y.example"
    assert found.mail.value("To").startswith("=?utf-8?b?")
    assert f" <{ANNA}>," in found.mail.value("To")


def test_people_and_strangers_stay(rig: EwsRig, outlook: OutlookSettings) -> None:
    mail = to(ANNA, "bob@acme.example", "x@y.example")
    assert without_groups(outlook, mail).mail is mail
    assert rig.server.operations() == ["ResolveNames"] * 3


def test_an_address_with_which_another_begins_is_somebody_else(outlook: OutlookSettings) -> None:
    """ResolveNames takes words without `smtp:` for the beginning of a name or address."""
    mail = to("team@acme.exam", "team@acme.example.test")
    assert without_groups(outlook, mail).mail is mail


def test_a_personal_contact_with_the_groups_address_is_not_asked(rig: EwsRig, outlook: OutlookSettings) -> None:
    entry = '<t:EmailAddresses><t:Entry Key="EmailAddress1">team@acme.example</t:Entry></t:EmailAddresses>'
    fields = f"<t:DisplayName>Our team</t:DisplayName>{entry}"
    with SoapClient(rig.server, ALICE) as alice:
        made = alice.message(f"<m:CreateItem><m:Items><t:Contact>{fields}</t:Contact></m:Items></m:CreateItem>")
        try:
            assert without_groups(outlook, to("team@acme.example")).groups == {"team@acme.example": 3}
        finally:
            alice.ask(delete_item(next(made.iter(full("t:ItemId"))).attrib["Id"]))


@pytest.mark.parametrize("address", ["team@acme.ex", "all@acme.exam", "nobody@partner.example"])
def test_whose_address_a_group_begins_with_is_not_that_group(outlook: OutlookSettings, address: str) -> None:
    mail = to(address)
    assert without_groups(outlook, mail).mail is mail


def test_a_further_address_of_a_group_counts(outlook: OutlookSettings) -> None:
    assert without_groups(outlook, to("All@acme.example")).groups == {"all@acme.example": 1}


def test_the_most_that_is_expanded(outlook: OutlookSettings) -> None:
    found = without_groups(outlook, to("full@acme.example", "team@acme.example"))
    assert sum(found.groups.values()) == MOST_MEMBERS
    assert without_groups(outlook, to("hidden@acme.example")).mail.value("To").endswith(f"<{ANNA}>")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("empty@acme.example", "shows no members of the group empty@acme.example"),
        ("alone@acme.example", "shows no members of the group alone@acme.example"),
        ("secret@acme.example", "does not say who is in the group secret@acme.example"),
        ("broken@acme.example", "has the address '/o=Acme/cn=Recipients/cn=old', which is none"),
        ("big@acme.example", "more than 1,000 members"),
        ("deep0@acme.example", "more than 10 levels deep"),
    ],
)
def test_what_cannot_be_expanded_whole_is_refused(outlook: OutlookSettings, address: str, words: str) -> None:
    with pytest.raises(GroupError, match=r"nothing was sent\.$") as refusal:
        without_groups(outlook, to(ANNA, address))
    assert words in str(refusal.value)


def test_a_group_that_exchange_shows_in_part_is_refused(
    rig: EwsRig, outlook: OutlookSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.server.quirks, "members_at_once", 2)
    with pytest.raises(GroupError, match=r"shows only a part of a group .*; nothing was sent\.$"):
        without_groups(outlook, to("team@acme.example"))


@pytest.mark.parametrize("operation", ["ResolveNames", "ExpandDL"])
def test_an_exchange_that_refuses_the_question_is_a_refusal(
    rig: EwsRig, outlook: OutlookSettings, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    fault = ("ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    monkeypatch.setattr(rig.server.quirks, "fail_operations", {operation: fault})
    with pytest.raises(GroupError, match=r"Access is denied\. .*Whether a recipient is a group is unknown, so nothing"):
        without_groups(outlook, to("team@acme.example"))


def test_a_login_that_is_refused_is_a_refusal(rig: EwsRig, outlook: OutlookSettings) -> None:
    assert outlook.mailbox is not None
    wrong = outlook.model_copy(update={"mailbox": outlook.mailbox.model_copy(update={"password": "another"})})
    with pytest.raises(GroupError, match=r"refused the login of alice@acme.example.*\. .* so nothing was sent\.$"):
        without_groups(wrong, to("team@acme.example"))


def test_the_server_of_the_address_list_is_asked_where_the_mailbox_is_no_exchange(rig: EwsRig, tmp_path: Path) -> None:
    file = file_of(rig, tmp_path)
    table = rig.table.replace("[mailbox]", "[address_list.ews]").replace('protocol = "ews"\n', "")
    file.write_text(f'[account]\naddress = "{ALICE}"\n[submission]\nhost = "127.0.0.1"\n{table}')
    assert without_groups(load(file), to("team@acme.example")).groups == {"team@acme.example": 3}


def test_the_server_of_the_address_list_comes_before_that_of_the_mailbox(
    rig: EwsRig, tmp_path: Path, free_port: int
) -> None:
    file = file_of(rig, tmp_path)
    table = rig.table.replace("[mailbox]", "[address_list.ews]").replace('protocol = "ews"\n', "")
    away = rig.table.replace(rig.server.url, f"https://127.0.0.1:{free_port}/EWS/Exchange.asmx")
    file.write_text(f'[account]\naddress = "{ALICE}"\n[submission]\nprotocol = "ews"\n{table}{away}')
    assert without_groups(load(file), to("team@acme.example")).groups == {"team@acme.example": 3}


def test_a_mail_is_sent_to_the_members(rig: EwsRig, tmp_path: Path) -> None:
    mail = tmp_path / "mail.eml"
    mail.write_text("To: team@acme.example\nBcc: full@acme.example, dora@partner.example\nSubject: s\n\nx\n")
    words = ["send", "--json", "--eml", str(mail), "--settings", str(file_of(rig, tmp_path))]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, (done.exception, done.stderr)
    assert json.loads(done.stdout)["groups"] == {"team@acme.example": 3, "full@acme.example": MOST_MEMBERS - 3}
    rig.server.settle()
    (sent,) = rig.server.outgoing
    assert sent.recipients == ("ime@imepseudodomain.local",)
    header = parse(sent.mime)
    assert header.value("X-SM-ORIGTO").endswith(f"Bert <{BERT}>, {CARLA}")
    assert header.value("X-SM-ORIGBCC").count("@acme.example") == MOST_MEMBERS - 3
    assert header.value("X-SM-ORIGBCC").endswith("dora@partner.example")
    assert b"team@acme.example" not in sent.mime


def test_a_group_with_hidden_members_is_never_sent_as_a_person(rig: EwsRig, tmp_path: Path) -> None:
    before = len(rig.server.outgoing)
    mail = tmp_path / "mail.eml"
    mail.write_text("To: secret@acme.example\nSubject: s\n\nx\n")
    words = ["send", "--eml", str(mail), "--settings", str(file_of(rig, tmp_path))]
    program = "from addin_sim.cli import run; run()"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.rstrip().endswith("nothing was sent.")
    rig.server.settle()
    assert len(rig.server.outgoing) == before
