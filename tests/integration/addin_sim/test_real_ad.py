"""Publishing and finding the IME contact in a real Active Directory (Samba), by the account of docs/address-list.md."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.finding import Finding, find
from addin_sim.address_list.ldap_publisher import LdapPublisher
from addin_sim.address_list.plan import ATTRIBUTES
from addin_sim.address_list.publisher import Action, Contact, Outcome, Plan
from addin_sim.address_list.settings import LdapSettings
from addin_sim.outlook_settings import load
from tests.ime_contact import ADDRESS, contact_of
from tests.servers.ad_world import (
    PEOPLE,
    PLACE,
    READER,
    READER_PASSWORD,
    SUFFIX,
    USERS,
    WRITER,
    WRITER_PASSWORD,
    add,
    as_admin,
    clear,
    connect,
    dns_below,
    ldap3,
    read,
)
from tests.servers.samba_ad import SambaAd

pytestmark = pytest.mark.xdist_group("samba")
PAGE = (Path(__file__).parents[3] / "docs" / "address-list.md").read_text()
QUOTED = re.findall(r"\*([^*\n]+)\*", PAGE[PAGE.index("## 8.") :])
"""Words of refusals, by which people find the page."""
NAMED = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE))))
"""Attributes that the page says are written."""
OURS = f"CN=_IME domain-confidentiality-authority,{PLACE}"
REFUSED = "insufficientAccessRights"
HOSTILE = '_Ümläut, "Q" \\ <a+b;c=d> #*()(cn=*) x'


@pytest.fixture(params=["with_exchange", "without_exchange"])
def either(request: pytest.FixtureRequest) -> Iterator[SambaAd]:
    server: SambaAd = request.getfixturevalue(request.param)
    yield server
    clear(server, PLACE, PEOPLE)


@pytest.fixture
def ad(with_exchange: SambaAd) -> Iterator[SambaAd]:
    yield with_exchange
    clear(with_exchange, PLACE, PEOPLE)


def settings(server: SambaAd, **changes: Any) -> LdapSettings:
    return LdapSettings.model_validate(
        {
            "url": server.url,
            "ca_file": server.ca_file,
            "base": SUFFIX,
            "place": PLACE,
            "user": "imesvc@ad.ime.test",
            "password": WRITER_PASSWORD,
            **changes,
        }
    )


def publish(where: LdapSettings, contact: Contact, *, remove: bool = False) -> tuple[Plan, Outcome]:
    with closing(LdapPublisher(where, lambda _: None)) as publisher:
        plan = publisher.plan_removal(contact) if remove else publisher.plan(contact)
        return plan, publisher.carry_out(plan)


def refusal(where: LdapSettings, contact: Contact, *, remove: bool = False) -> str:
    with pytest.raises(AddressListError) as refused:
        publish(where, contact, remove=remove)
    return str(refused.value)


def replacing(**values: str) -> dict[str, list[tuple[str, list[str]]]]:
    return {name: [(ldap3.MODIFY_REPLACE, [value])] for name, value in values.items()}


def test_the_account_of_the_page_writes_contacts_in_its_place_and_nothing_else(ad: SambaAd) -> None:
    add(ad, f"CN=other,{PEOPLE}", ["contact"])
    add(ad, f"CN=victim,{PLACE}", ["user"], sAMAccountName="victim")
    with connect(ad, WRITER, WRITER_PASSWORD) as account:
        assert account.add(f"CN=own,{PLACE}", ["contact"], {"displayName": "_own"})
        assert account.modify(f"CN=own,{PLACE}", replacing(mail="own@ime.acme.example", targetAddress="SMTP:x@y"))
        assert account.delete(f"CN=own,{PLACE}")
        for dn, kind in (
            *((f"CN=own,{PEOPLE}", "contact"), (f"CN=own,{PLACE}", "user"), (f"CN=own,{PLACE}", "group")),
            *((f"CN=own,{PLACE}", "computer"), (f"OU=own,{PLACE}", "organizationalUnit")),
        ):
            assert not account.add(dn, [kind], {}) and account.result["description"] == REFUSED, (dn, kind)
        for dn in (PLACE, SUFFIX, WRITER, READER, f"CN=other,{PEOPLE}", f"CN=victim,{PLACE}"):
            assert not account.modify(dn, replacing(description="taken")), dn
            assert account.result["description"] == REFUSED
            assert not account.delete(dn), dn
        assert not account.modify_dn(f"CN=other,{PEOPLE}", "CN=other", new_superior=PLACE)


def test_the_lines_for_microsofts_directory_give_the_rights_that_were_tried() -> None:
    assert re.findall(r'^dc> dsacls "OU=IME,DC=acme,DC=example" (.*)$', PAGE, re.MULTILINE) == [
        r'/G "ACME\imesvc:CCDC;contact"',
        r'/I:S /G "ACME\imesvc:RPWP;;contact"',
    ]


@pytest.mark.parametrize("secured", ["ldaps", "starttls"])
def test_from_nothing_to_published_renewed_and_gone(either: SambaAd, secured: str) -> None:
    where = settings(either, url=either.url if secured == "ldaps" else either.plain_url)
    first, second = contact_of(), contact_of()
    plan, outcome = publish(where, first)
    assert (plan.action, outcome.action, outcome.place) == (Action.ADD, Action.ADD, OURS)
    assert any("no Exchange schema" in remark for remark in plan.remarks) is not either.exchange
    assert_published(either, first)
    assert publish(where, first)[0].action is Action.NOTHING
    plan, _ = publish(where, second)
    assert (plan.action, [change.attribute for change in plan.changes]) == (
        Action.CHANGE,
        ["userCertificate", "userSMIMECertificate"],
    )
    assert_published(either, second)
    plan, _ = publish(where, first, remove=True)
    assert (plan.action, dns_below(either, PLACE)) == (Action.REMOVE, [])
    assert publish(where, first, remove=True)[0].action is Action.NOTHING


def assert_published(server: SambaAd, contact: Contact) -> None:
    (dn,) = dns_below(server, PLACE)
    assert dn == OURS
    stored = read(server, dn)
    wanted = {
        "displayName": b"_IME domain-confidentiality-authority",
        "mail": ADDRESS.encode(),
        "proxyAddresses": f"SMTP:{ADDRESS}".encode(),
        "userCertificate": contact.certificate,
        "userSMIMECertificate": contact.smime_value,
    }
    exchange = {"targetAddress": f"SMTP:{ADDRESS}".encode(), "internetEncoding": b"1310720", "mAPIRecipient": b"FALSE"}
    assert {name: stored.get(name) for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert {name: stored.get(name) for name in exchange} == {
        name: [value] if server.exchange else None for name, value in exchange.items()
    }
    assert ("mailNickname" in stored) is server.exchange


def test_a_dry_run_changes_nothing(ad: SambaAd) -> None:
    with closing(LdapPublisher(settings(ad), lambda _: None)) as publisher:
        plan = publisher.plan(contact_of())
    assert plan.action is Action.ADD and plan.diff
    assert dns_below(ad, PLACE) == []


def test_it_is_shown_in_every_global_address_list_of_exchange(ad: SambaAd) -> None:
    top = f"CN=Microsoft Exchange,CN=Services,CN=Configuration,{SUFFIX}"
    steps = [top, f"CN=Acme,{top}"]
    for name in ("Address Lists Container", "All Global Address Lists", "Default Global Address List"):
        steps.append(f"CN={name},{steps[-1]}")
    for dn in steps[:3]:
        add(ad, dn, ["container"])
    for dn in steps[3:]:
        add(ad, dn, ["addressBookContainer"], displayName=dn.partition(",")[0].removeprefix("CN="))
    try:
        plan, _ = publish(settings(ad), contact_of())
        assert read(ad, OURS)["showInAddressBook"] == [steps[-1].encode()]
        assert set(read(ad, OURS)) & set(ATTRIBUTES) - {"objectClass"} == NAMED
        assert not any("Update-Recipient" in remark for remark in plan.remarks)
        assert publish(settings(ad), contact_of())[0].action is Action.CHANGE
        assert read(ad, OURS)["showInAddressBook"] == [steps[-1].encode()]
    finally:
        with as_admin(ad) as connection:
            for dn in reversed(steps):
                connection.delete(dn)


@pytest.mark.parametrize(("secured", "authority"), [("url", "other"), ("plain_url", "other"), ("url", "system")])
def test_nothing_is_sent_to_a_server_that_no_known_ca_vouches_for(ad: SambaAd, secured: str, authority: str) -> None:
    file = ad.other_ca_file if authority == "other" else None
    said = refusal(settings(ad, url=getattr(ad, secured), ca_file=file), contact_of())
    assert "is not signed by" in said and "the password was not sent" in said
    assert "Nothing was changed" in said


def test_no_password_without_tls_neither_sent_by_us_nor_taken_by_the_server(ad: SambaAd) -> None:
    said = refusal(settings(ad, url=ad.plain_url, starttls=False), contact_of())
    assert "would be asked without TLS" in said and "Nothing was changed" in said
    bare = ldap3.Connection(ldap3.Server(ad.host, port=ad.port, get_info=ldap3.NONE), WRITER, WRITER_PASSWORD)
    assert not bare.bind() and bare.result["description"] == "strongerAuthRequired"
    bare.unbind()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "Passw0rd.Wrong"}, "the password is wrong (invalidCredentials: data 52e)"),
        ({"user": "nobody@ad.ime.test"}, "invalidCredentials: data 52"),
        ({"user": WRITER.replace("imesvc", "nobody")}, "invalidCredentials: data 52"),
        ({"place": f"OU=Nowhere,{SUFFIX}"}, f"There is no OU=Nowhere,{SUFFIX}"),
        ({"base": "DC=elsewhere,DC=test"}, "DC=elsewhere,DC=test"),
        ({"user": "reader@ad.ime.test", "password": READER_PASSWORD}, "no right"),
        ({"place": PEOPLE}, "no right"),
    ],
)
def test_a_refusal_says_why_and_that_nothing_changed(ad: SambaAd, changes: dict[str, str], words: str) -> None:
    said = refusal(settings(ad, **changes), contact_of())
    assert words in said, said
    assert "othing was changed" in said or "holds no" in said, said
    assert dns_below(ad, PLACE) == dns_below(ad, PEOPLE) == []


def test_what_the_page_quotes_is_what_is_said(ad: SambaAd) -> None:
    third, fourth = ad.host.split(".")[2:]
    other_name = ad.url.replace(f"{third}.{fourth}", str(int(third) * 256 + int(fourth)))  # of the same address
    changes: list[dict[str, object]] = [
        {"password": "Passw0rd.Wrong"},
        {"url": ad.plain_url, "starttls": False},
        {"ca_file": ad.other_ca_file},
        {"url": other_name},
        {"place": PEOPLE},
    ]
    assert len(QUOTED) == len(changes) + 1 and QUOTED[-1] == "broke during the"
    for words, changed in zip(QUOTED, changes, strict=False):
        said = refusal(settings(ad, **changed), contact_of())
        assert all(part in said for part in words.split(" … ")), said


def test_a_disabled_account_is_named_as_such(ad: SambaAd) -> None:
    with as_admin(ad) as connection:
        connection.modify(READER, replacing(userAccountControl="514"))
    try:
        said = refusal(settings(ad, user="reader@ad.ime.test", password=READER_PASSWORD), contact_of())
        assert "disabled" in said and "533" in said
    finally:
        with as_admin(ad) as connection:
            connection.modify(READER, replacing(userAccountControl="512"))


def test_what_is_not_ours_is_never_touched(ad: SambaAd) -> None:
    other, twin, person = f"CN=other,{PEOPLE}", f"CN=twin,{PLACE}", f"CN=person,{PLACE}"
    add(ad, other, ["contact"], mail=ADDRESS)
    assert_refused_untouched(ad, "lies outside", other)
    add(ad, twin, ["contact"], proxyAddresses=[f"smtp:{ADDRESS.upper()}"])
    assert_refused_untouched(ad, "exists 2 times", other, twin)
    with as_admin(ad) as connection:
        connection.delete(other)
        connection.delete(twin)
    add(ad, person, ["user"], sAMAccountName="person", mail=ADDRESS)
    assert_refused_untouched(ad, "is no contact but a user", person)
    with as_admin(ad) as connection:
        connection.delete(person)
    add(ad, twin, ["contact"], mail="bob@acme.example", proxyAddresses=["SMTP:bob@acme.example", f"smtp:{ADDRESS}"])
    assert_refused_untouched(ad, "contact of somebody else", twin)


def assert_refused_untouched(server: SambaAd, words: str, *dns: str) -> None:
    before = {dn: read(server, dn) for dn in dns}
    for remove in (False, True):
        said = refusal(settings(server), contact_of(), remove=remove)
        assert words in said and all(dn in said for dn in dns) and "Nothing was changed" in said, said
    assert {dn: read(server, dn) for dn in dns} == before


def test_a_server_that_goes_and_comes_back(ad: SambaAd) -> None:
    with closing(LdapPublisher(settings(ad, timeout_seconds=5), lambda _: None)) as publisher:
        plan = publisher.plan(contact_of())
        ad.stop()
        try:
            with pytest.raises(AddressListError) as refused:
                publisher.carry_out(plan)
        finally:
            ad.resume()
    assert QUOTED[-1] in str(refused.value) and "Run the same command again" in str(refused.value)
    assert dns_below(ad, PLACE) == []
    assert publish(settings(ad), plan.contact)[0].action is Action.ADD
    assert_published(ad, plan.contact)


@pytest.mark.parametrize("address", [ADDRESS, "o'hara*)(mail=*@ime.acme.example"])
def test_no_name_or_address_becomes_a_command(ad: SambaAd, address: str) -> None:
    add(ad, f"CN=other,{PLACE}", ["contact"], mail="ime@other.example")
    hostile = replace(contact_of(), address=address, display_name=HOSTILE, common_name=HOSTILE)
    plan, outcome = publish(settings(ad), hostile)
    assert plan.action is Action.ADD
    assert read(ad, outcome.place)["displayName"] == [HOSTILE.encode()]
    assert read(ad, outcome.place)["cn"] == [HOSTILE.encode()]
    assert publish(settings(ad), hostile)[0].action is Action.NOTHING
    assert publish(settings(ad), hostile, remove=True)[0].action is Action.REMOVE
    assert dns_below(ad, PLACE) == [f"CN=other,{PLACE}"]


def looked_up(server: SambaAd, folder: Path) -> Finding:
    file = folder / "anna.toml"
    file.write_text(
        f'[account]\naddress = "anna@acme.example"\n[submission]\nhost = "127.0.0.1"\nport = 25\n'
        f'[registry]\nInternalRecipient = "{ADDRESS}"\n'
        f'[address_list.ldap]\nurl = "{server.url}"\nca_file = "{server.ca_file}"\nbase = "{SUFFIX}"\n'
        f'user = "reader@ad.ime.test"\npassword = "{READER_PASSWORD}"\npage_size = 10\n'
    )
    return find(load(file), time.time(), time.monotonic, use_book=False)


def test_outlook_finds_what_was_published_first_of_all(either: SambaAd, tmp_path: Path) -> None:
    with as_admin(either) as connection:
        for number in range(40):
            name, address = f"Contact {number:03}", f"c{number}@acme.example"
            connection.add(f"CN={name},{PEOPLE}", ["contact"], {"displayName": name, "mail": address})
    with pytest.raises(AddressListError, match="None of the 40 entries"):
        looked_up(either, tmp_path)
    contact = contact_of()
    publish(settings(either), contact)
    found = looked_up(either, tmp_path)
    assert found.chosen is not None
    assert (found.dn, found.chosen.source) == (OURS, "userSMIMECertificate")
    assert found.chosen.thumbprint == contact.thumbprint
    assert found.scan is not None
    assert (found.scan.position, found.scan.page, found.scan.pages_read) == (1, 1, 1)


def test_nobody_reads_the_list_anonymously(ad: SambaAd) -> None:
    said = refusal(settings(ad, bind="anonymous", user="", password=""), contact_of())
    assert "Anonymous users do not write" in said
    anonymous = ldap3.Connection(ldap3.Server(ad.host, port=ad.port, get_info=ldap3.NONE))
    assert anonymous.bind()
    assert not anonymous.search(USERS, "(objectClass=user)")
    assert anonymous.result["description"] == "operationsError"
    anonymous.unbind()
