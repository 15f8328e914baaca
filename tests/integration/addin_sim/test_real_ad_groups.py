"""Distribution groups of a real Active Directory (Samba): nested, in circles, in ranges, and the primary group."""

from collections.abc import Iterator, Sequence

import pytest

from addin_sim.address_list.ldap_directory import Entry, LdapDirectory
from addin_sim.address_list.settings import LdapSettings
from addin_sim.groups.expand import expand
from addin_sim.groups.interface import GroupError
from addin_sim.groups.ldap_groups import LdapGroups
from addin_sim.raw_mail import RawMail, make_field
from tests.servers.ad_world import PEOPLE, READER, READER_PASSWORD, SUFFIX, USERS, add, as_admin, clear, ldap3
from tests.servers.samba_ad import SambaAd

pytestmark = pytest.mark.xdist_group("samba")
MANY, AT_ONCE = 60, 25


class Limited(LdapDirectory):
    """Samba hands out all values of an attribute, Microsoft's directory 1,500; here 25 are asked for at a time."""

    def read(self, dn: str, attributes: Sequence[str]) -> Entry | None:
        name, _, first = attributes[0].partition(";range=")
        if name != "member":
            return super().read(dn, attributes)
        begin = int(first.partition("-")[0] or 0)
        return super().read(dn, [f"member;range={begin}-{begin + AT_ONCE - 1}"])


@pytest.fixture(scope="module")
def directory(without_exchange: SambaAd) -> Iterator[SambaAd]:
    """With its groups in PEOPLE."""
    ad = without_exchange
    for name in ("Anna", "Bert"):
        add(ad, f"CN={name},{PEOPLE}", ["contact"], displayName=name, mail=f"{name.lower()}@acme.example")
    inner, team = f"CN=Inner,{PEOPLE}", f"CN=Team,{PEOPLE}"
    add(ad, inner, ["group"], sAMAccountName="inner", member=[f"CN=Bert,{PEOPLE}"])
    add(ad, team, ["group"], sAMAccountName="team", mail="team@acme.example", member=[f"CN=Anna,{PEOPLE}", inner])
    with as_admin(ad) as connection:
        connection.modify(inner, {"member": [(ldap3.MODIFY_ADD, [team])]})
        connection.modify(f"CN=Domain Users,{USERS}", {"mail": [(ldap3.MODIFY_REPLACE, ["everybody@acme.example"])]})
        members = [f"CN=p{number},{PEOPLE}" for number in range(MANY)]
        for number, dn in enumerate(members):
            connection.add(dn, ["contact"], {"mail": f"p{number}@acme.example"})
        big = {"sAMAccountName": "big", "mail": "big@acme.example", "member": members}
        connection.add(f"CN=Big,{PEOPLE}", ["group"], big)
    yield ad
    clear(ad, PEOPLE)
    with as_admin(ad) as connection:
        connection.modify(f"CN=Domain Users,{USERS}", {"mail": [(ldap3.MODIFY_REPLACE, [])]})


@pytest.fixture(scope="module", params=[LdapDirectory, Limited])
def groups(request: pytest.FixtureRequest, directory: SambaAd) -> Iterator[LdapGroups]:
    settings = LdapSettings(
        url=directory.url, ca_file=directory.ca_file, user=READER, password=READER_PASSWORD, base=SUFFIX
    )
    opened: LdapDirectory
    with request.param(settings) as opened:
        yield LdapGroups(opened, SUFFIX)


def to(address: str) -> RawMail:
    return RawMail((make_field("To", address),), b"")


def test_nested_and_in_a_circle(groups: LdapGroups) -> None:
    found = expand(to("TEAM@acme.example"), groups).mail.value("To")
    assert found == "Anna <anna@acme.example>, Bert <bert@acme.example>"


def test_all_of_many_members_are_read(groups: LdapGroups) -> None:
    found = [member.address for member in groups.members_of(f"CN=Big,{PEOPLE}")]
    assert sorted(found) == sorted(f"p{number}@acme.example" for number in range(MANY))


def test_members_by_primary_group_are_not_listed(groups: LdapGroups) -> None:
    with pytest.raises(GroupError, match="lists none by primary group, as of Domain Users"):
        expand(to("everybody@acme.example"), groups)
