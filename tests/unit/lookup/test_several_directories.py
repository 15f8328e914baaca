"""Several directories at once: one that knows makes up for one that is down, and being down is never a "no" (P1)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from ime_gateway.lookup.ldap_directories import LdapDirectories
from ime_gateway.lookup.ldap_entries import LdapTrouble, RawEntry
from ime_gateway.mail.address import parse_path
from ime_gateway.ports.address_directory import DirectoryAnswer, GroupMembers, NoDirectoryAnswer, NotExpandable
from ime_gateway.settings.model import Ldap
from tests.pki import make_user

BOB = make_user("bob@acme.example", None, kind="p256")
PERSON = RawEntry("cn=bob", {"mail": (b"bob@acme.example",), "usercertificate": (BOB.der,)})
GROUP = RawEntry(
    "cn=sales",
    {
        "objectclass": (b"nisMailAlias",),
        "cn": (b"Sales",),
        "mail": (b"sales@acme.example",),
        "rfc822mailmember": (b"bob@acme.example", b"eve@acme.example"),
    },
)
DOWN = None


@dataclass(eq=False)
class Session:
    """Has these entries, and finds them by the address in the filter."""

    entries: tuple[RawEntry, ...]

    def search(self, base: str, text: str, scope: str, attributes: object, limit: int) -> list[RawEntry]:
        return [one for one in self.entries if one.attributes["mail"][0].decode() in text]

    def close(self) -> None: ...

    def cut(self) -> None: ...


@dataclass
class Site:
    """Directories by name, each with its entries or down."""

    kept: dict[str, tuple[RawEntry, ...] | None]
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def connect(self, directory: Ldap, seconds: float) -> Session:
        self.asked.append(directory.name)
        entries = self.kept[directory.name]
        if entries is None:
            raise LdapTrouble("nobody listens")
        return Session(entries)

    def directories(self) -> LdapDirectories:
        usual: dict[str, object] = {"url": "ldaps://dc.acme.example", "base": "dc=acme", "groups": True}
        named = [{**usual, **self.settings.get(name, {}), "name": name} for name in self.kept]
        return LdapDirectories([Ldap.model_validate(one) for one in named], self.connect)

    def about(self, address: str) -> DirectoryAnswer | NoDirectoryAnswer:
        async def go() -> DirectoryAnswer | NoDirectoryAnswer:
            these = self.directories()
            try:
                return await these.certificates.about(parse_path(address), managed=True)
            finally:
                these.close()

        return asyncio.run(go())

    def members(
        self, address: str = "sales@acme.example", *, managed: bool = True
    ) -> Sequence[str] | NotExpandable | NoDirectoryAnswer:
        async def go() -> Sequence[str] | NotExpandable | NoDirectoryAnswer:
            these = self.directories()
            try:
                found = await these.groups.members(parse_path(address), managed=managed)
                return [str(one) for one in found.addresses] if isinstance(found, GroupMembers) else found
            finally:
                these.close()

        return asyncio.run(go())


ORDERS = [("first", "second"), ("second", "first")]


@pytest.mark.parametrize("names", ORDERS)
def test_one_that_is_down_makes_what_nobody_else_knows_unknown(names: tuple[str, str]) -> None:
    kept: dict[str, tuple[RawEntry, ...] | None] = {names[0]: (PERSON,), names[1]: DOWN}
    answer = Site(kept).about("nobody@acme.example")
    assert isinstance(answer, NoDirectoryAnswer) and f"directory {names[1]}" in answer.detail


@pytest.mark.parametrize("names", ORDERS)
def test_one_that_knows_makes_up_for_one_that_is_down(names: tuple[str, str]) -> None:
    site = Site({name: (PERSON, GROUP) if name == names[0] else DOWN for name in ("first", "second")})
    found = site.about("bob@acme.example")
    assert isinstance(found, DirectoryAnswer)
    assert [(one.certificate, one.directory) for one in found.certificates] == [(BOB.certificate, names[0])]
    assert site.about("sales@acme.example") == DirectoryAnswer(group="Sales")


def test_each_certificate_bears_the_word_of_its_own_directory() -> None:
    levels: dict[str, dict[str, object]] = {
        "first": {"certificates": "candidates"},
        "second": {"certificates": "trusted"},
        "third": {"certificates": "off"},
    }
    found = Site(dict.fromkeys(levels, (PERSON,)), levels).about("bob@acme.example")
    assert isinstance(found, DirectoryAnswer)
    assert [(one.directory, one.trusted) for one in found.certificates] == [("first", False), ("second", True)]


def test_a_group_is_unknown_while_one_that_could_know_it_is_down() -> None:
    for kept in ({"first": DOWN, "second": (PERSON,)}, {"first": (PERSON,), "second": DOWN}):
        found = Site(kept).members()
        assert isinstance(found, NoDirectoryAnswer), kept
    assert isinstance(Site({"first": (PERSON,), "second": ()}).members(), NotExpandable)


def test_the_first_that_knows_a_group_answers() -> None:
    site = Site({"first": DOWN, "second": (GROUP,), "third": (GROUP,)})
    assert site.members() == ["bob@acme.example", "eve@acme.example"]
    assert site.asked == ["first", "second"]


def test_groups_are_asked_for_where_somebody_said_so_only() -> None:
    """Those of foreign domains by no directory that is not said to be for them: their members would be its word."""
    site = Site({"ours": (GROUP,), "no-groups": (GROUP,)}, {"no-groups": {"groups": False}})
    these = site.directories()
    assert these.groups.covers("acme.example", managed=True)
    assert not these.groups.covers("partner.example", managed=False)
    these.close()
    assert isinstance(site.members("sales@acme.example", managed=False), NotExpandable) and site.asked == []
    site = Site({"theirs": (GROUP,)}, {"theirs": {"for_domains": ("acme.example",)}})
    assert site.members(managed=False) == ["bob@acme.example", "eve@acme.example"]
    site = Site({"no-groups": (GROUP,)}, {"no-groups": {"groups": False}})
    assert isinstance(site.members(), NotExpandable) and site.asked == []
