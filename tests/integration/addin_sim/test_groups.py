"""Distribution groups in a real directory server, from `member` to the recipients of a sent mail."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from addin_sim.address_list.ldap_directory import Entry, LdapDirectory
from addin_sim.groups.interface import GroupError, Member
from addin_sim.groups.ldap_groups import LdapGroups
from addin_sim.groups.opening import without_groups
from addin_sim.outlook_settings import OutlookSettings, load
from addin_sim.raw_mail import RawMail, make_field, parse
from tests.servers.ad_world import PEOPLE, READER, READER_PASSWORD, SUFFIX
from tests.servers.slapd_ad import SlapdAd, contact, group, user

ANNA, BERT, CARLA = (f"CN={name},{PEOPLE}" for name in ("Anna", "Bert", "Carla"))
ENTRIES = [
    user("Anna", "anna@acme.example"),
    user("Bert", "bert@acme.example"),
    contact("Carla", "carla@partner.example"),
    (f"CN=Silent,{PEOPLE}", {"objectClass": ["top", "person", "organizationalPerson", "user"], "cn": ["Silent"]}),
    group("Team", "team@acme.example", [ANNA, f"CN=Inner,{PEOPLE}", BERT]),
    group("Inner", "", [CARLA, f"CN=Team,{PEOPLE}", f"CN=Silent,{PEOPLE}"]),
    group("Empty", "empty@acme.example", []),
    group("Broken", "broken@acme.example", [ANNA, f"CN=Gone,{PEOPLE}"]),
    group("Elsewhere", "elsewhere@acme.example", ["CN=Far,DC=other,DC=test"]),
    group("Twin 1", "twin@acme.example", [ANNA]),
    group("Twin 2", "twin@acme.example", [BERT]),
    user("Dora", "dora@acme.example"),
    group("Sneaky", "", [BERT], proxyAddresses=["smtp:dora@acme.example"]),
    group("Big", "big@acme.example", [f"CN=Person {number:06},{PEOPLE}" for number in range(1001)]),
    group("Alias", "alias@acme.example", [ANNA], proxyAddresses=["SMTP:alias@acme.example", "smtp:other@acme.example"]),
    (
        f"CN=Dynamic,{PEOPLE}",
        {"objectClass": ["top", "msExchDynamicDistributionList"], "cn": ["Dynamic"], "mail": ["dynamic@acme.example"]},
    ),
    user("Emil", "", mail=[], proxyAddresses=["smtp:old@acme.example", "x400:c=de", "SMTP:Emil@acme.example"]),
    user("Fritz", "fritz@acme.example", proxyAddresses=["SMTP:another@acme.example"]),
    group("Renamed", "renamed@acme.example", [f"CN=Emil,{PEOPLE}", f"CN=Fritz,{PEOPLE}"]),
    group("Holder", "holder@acme.example", [f"CN=Dynamic,{PEOPLE}"]),
]
_SETTINGS = """
[account]
address = "alice@acme.example"
[submission]
host = "127.0.0.1"
port = {port}
[address_list.ldap]
url = "{url}"
ca_file = "{ca}"
user = "{user}"
password = "{password}"
base = "{base}"
"""


@pytest.fixture(scope="module")
def ad() -> Iterator[SlapdAd]:
    with SlapdAd(entries=ENTRIES, contacts=1001) as server:
        yield server


def settings(folder: Path, server: SlapdAd, port: int = 25) -> OutlookSettings:
    text = _SETTINGS.format(
        port=port, url=server.url, ca=server.ca_file, user=READER, password=READER_PASSWORD, base=SUFFIX
    )
    (folder / "outlook.toml").write_text(text)
    return load(folder / "outlook.toml")


def to(*addresses: str) -> RawMail:
    return RawMail((make_field("To", ", ".join(addresses)),), b"x\r\n")


def expanded(outlook: OutlookSettings, *addresses: str) -> str:
    return without_groups(outlook, to(*addresses)).mail.value("To")


def test_nested_members_in_a_circle(ad: SlapdAd, tmp_path: Path) -> None:
    found = without_groups(settings(tmp_path, ad), to("Team@acme.example", "x@y.example"))
    assert found.mail.value("To") == (
        "Anna <anna@acme.example>, Bert <bert@acme.example>, Carla <carla@partner.example>, x@y.example"
    )
    assert found.groups == {"team@acme.example": 3}
    assert found.remarks == ("1 of the members of team@acme.example have no mail address and are left out.",)


def test_every_address_of_a_group_counts(ad: SlapdAd, tmp_path: Path) -> None:
    outlook = settings(tmp_path, ad)
    assert expanded(outlook, "OTHER@acme.example") == "Anna <anna@acme.example>"


def test_each_member_by_the_address_that_exchange_shows(ad: SlapdAd, tmp_path: Path) -> None:
    outlook = settings(tmp_path, ad)
    assert expanded(outlook, "renamed@acme.example") == "Emil <Emil@acme.example>, Fritz <fritz@acme.example>"


def test_a_group_behind_many_people_is_expanded(ad: SlapdAd, tmp_path: Path) -> None:
    people = [f"p{number}@y.example" for number in range(120)]
    found = without_groups(settings(tmp_path, ad), to(*people, "alias@acme.example"))
    assert found.groups == {"alias@acme.example": 1}
    assert found.mail.value("To").endswith("p119@y.example, Anna <anna@acme.example>")


def test_people_and_strangers_stay(ad: SlapdAd, tmp_path: Path) -> None:
    mail = to("Anna@acme.example", *(f"p{number}@y.example" for number in range(120)))
    assert without_groups(settings(tmp_path, ad), mail).mail is mail


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("empty@acme.example", "shows no members of the group empty@acme.example"),
        ("broken@acme.example", "CN=Gone,"),
        ("elsewhere@acme.example", "DC=other"),
        ("twin@acme.example", "and a group is among them"),
        ("dora@acme.example", "The address dora@acme.example belongs to cn=Dora,"),
        ("dynamic@acme.example", "is a dynamic distribution group"),
        ("holder@acme.example", "is a dynamic distribution group"),
        ("big@acme.example", "more than 1,000 members"),
    ],
)
def test_what_cannot_be_expanded_whole_is_refused(ad: SlapdAd, tmp_path: Path, address: str, words: str) -> None:
    with pytest.raises(GroupError, match="nothing was sent") as refusal:
        expanded(settings(tmp_path, ad), "anna@acme.example", address)
    assert words in str(refusal.value)


@pytest.mark.parametrize("address", ["*@acme.example", "team*@acme.example", "\\2a@acme.example"])
def test_an_address_is_never_a_filter(ad: SlapdAd, tmp_path: Path, address: str) -> None:
    assert expanded(settings(tmp_path, ad), address) == address


def test_a_directory_that_is_away_is_a_refusal(tmp_path: Path) -> None:
    with SlapdAd() as server:
        outlook = settings(tmp_path, server)
    with pytest.raises(GroupError, match=r"Whether a recipient is a group is unknown, so nothing was sent\."):
        expanded(outlook, "anna@acme.example")


class Ranges:
    """Hands out `member` as Active Directory does, 1,500 at a time; it is what slapd cannot play."""

    server = "ldaps://dc1"

    def __init__(self, count: int) -> None:
        self.names = [f"CN={number}" for number in range(count)]
        self.asked: list[str] = []

    def read(self, dn: str, attributes: tuple[str, ...]) -> Entry:
        if attributes[0] != "member" and not attributes[0].startswith("member;"):
            return Entry(dn, {"objectclass": (b"user",), "mail": (dn[3:].encode() + b"@x.example",)})
        self.asked.append(attributes[0])
        first = int(attributes[0].partition("=")[2].partition("-")[0] or 0)
        rest = self.names[first : first + 1500]
        last = "*" if first + 1500 >= len(self.names) else str(first + len(rest) - 1)
        values = tuple(name.encode() for name in rest)
        name = "member" if len(self.names) <= 1500 else f"member;range={first}-{last}"
        return Entry(dn, {name: values, **({"member": ()} if name != "member" else {})})


@pytest.mark.parametrize(("count", "requests"), [(3, 1), (1500, 1), (1501, 2), (3001, 3)])
def test_long_lists_come_in_ranges(count: int, requests: int) -> None:
    directory = Ranges(count)
    found = list(LdapGroups(cast(LdapDirectory, directory), SUFFIX).members_of("CN=Big"))
    assert found == [Member("", f"{number}@x.example") for number in range(count)]
    assert len(directory.asked) == requests


@pytest.mark.parametrize("name", ["member;range=0-1499", "description"], ids=["the same again", "nothing more"])
def test_pieces_that_do_not_go_on_are_refused(name: str) -> None:
    class Stuck(Ranges):
        def read(self, dn: str, attributes: tuple[str, ...]) -> Entry:
            assert len(self.asked) < 9, "it is asked for ever"
            found = super().read(dn, attributes)
            return Entry(dn, {name: ()}) if attributes[0] == "member;range=1500-*" else found

    with pytest.raises(GroupError, match=r"^ldaps://dc1 shows .* in pieces that do not go on, .*; nothing was sent\.$"):
        list(LdapGroups(cast(LdapDirectory, Stuck(1501)), SUFFIX).members_of("CN=Big"))


class Exchange:
    """Takes every mail and keeps it."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        self.mails.append(bytes(envelope.content or b""))
        return "250 2.0.0 Ok"


def test_a_mail_is_sent_to_the_members(ad: SlapdAd, tmp_path: Path, free_port: int) -> None:
    handler = Exchange()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port)
    controller.start()
    try:
        settings(tmp_path, ad, free_port)
        (tmp_path / "mail.eml").write_text("To: team@acme.example\nBcc: alias@acme.example\nSubject: s\n\nx\n")
        words = ["send", "--json", "--eml", str(tmp_path / "mail.eml"), "--settings", str(tmp_path / "outlook.toml")]
        code = "from addin_sim.cli import run; run()"
        told = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    finally:
        controller.stop()
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["groups"] == {"team@acme.example": 3, "alias@acme.example": 1}
    assert "team@acme.example is a group of 3\n" in told.stderr
    sent = parse(handler.mails[0])
    assert sent.value("X-SM-ORIGTO") == (
        "Anna <anna@acme.example>, Bert <bert@acme.example>, Carla <carla@partner.example>"
    )
    assert not sent.all("X-SM-ORIGBCC")  # Anna is named already
    assert sent.value("To") == "ime@imepseudodomain.local"
