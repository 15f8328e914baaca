"""How entries of directories are read: addresses, kinds of groups, members in pieces; and how values are escaped."""

import pytest

from ime_gateway.lookup.ldap_certificates import Listed, _look_up
from ime_gateway.lookup.ldap_entries import (
    LdapTrouble,
    RawEntry,
    address_filter,
    addresses,
    escaped,
    is_dynamic,
    is_group,
    member_names,
    next_range,
    shown_name,
    text_values,
    values,
)
from ime_gateway.lookup.ldap_groups import _Expansion
from ime_gateway.mail.address import parse_path
from ime_gateway.ports.address_directory import GroupMembers, NotExpandable
from tests.pki import make_user


def entry(**attributes: list[bytes]) -> RawEntry:
    found = {name.replace("__", ";").lower(): tuple(found) for name, found in attributes.items()}
    return RawEntry("cn=x,dc=acme", found)


def test_every_byte_that_could_mean_something_is_escaped() -> None:
    assert escaped("bob.o-b_1@acme.example") == "bob.o-b_1@acme.example"
    assert escaped("*()\\\0&|=<>~!/ ü") == "\\2a\\28\\29\\5c\\00\\26\\7c\\3d\\3c\\3e\\7e\\21\\2f\\20\\c3\\bc"


def test_the_filter_of_a_quoted_address_holds_its_quotes() -> None:
    assert address_filter(parse_path('"a b"@acme.example')).startswith("(|(mail=\\22a\\20b\\22@acme.example)(proxy")


def test_addresses_primary_first_and_nothing_that_is_none() -> None:
    found = addresses(
        entry(
            proxyAddresses=[b"smtp:second@acme.example", b"X400:c=us", b"SMTP:first@acme.example", b"smtp:\xff@x"],
            mail=[b"mail@acme.example"],
            targetAddress=[b"SMTP:away@elsewhere.example"],
        )
    )
    assert [one.local for one in found] == ["first", "mail", "second", "away"]
    assert addresses(entry(mail=[b"not an address", b"FIRST@acme.example", b"first@acme.example"])) == (
        parse_path("FIRST@acme.example"),
    )


def test_options_belong_to_the_attribute() -> None:
    one = entry(userCertificate__binary=[b"a"], userCertificate=[b"b"], userCertificateX=[b"c"])
    assert sorted(values(one, "userCertificate")) == [b"a", b"b"]
    assert text_values(entry(cn=[b"ok", b"\xff"]), "cn") == ("ok",)


@pytest.mark.parametrize("name", ["group", "groupOfNames", "groupOfUniqueNames", "nisMailAlias", "GroupOfURLs"])
def test_kinds_of_groups(name: str) -> None:
    assert is_group(entry(objectClass=[b"top", name.encode()]))
    assert is_dynamic(entry(objectClass=[name.encode()])) == (name == "GroupOfURLs")


def test_people_are_no_groups_and_have_names() -> None:
    person = entry(objectClass=[b"top", b"person"], cn=[b"Bob"])
    assert not is_group(person) and shown_name(person) == "Bob"
    assert shown_name(RawEntry("cn=x", {})) == "cn=x"


def test_the_bits_behind_a_unique_name_are_cut_off() -> None:
    assert member_names(entry(uniqueMember=[b"cn=a,dc=x#'0101'B", b"cn=b#c"])) == ("cn=a,dc=x", "cn=b#c")


@pytest.mark.parametrize(
    ("description", "expected"),
    [("member;range=0-1499", 1500), ("member;range=1500-*", None), ("member", None), ("member;range=0-x", None)],
)
def test_pieces_of_a_long_list(description: str, expected: int | None) -> None:
    assert next_range(RawEntry("cn=x", {description: (b"cn=a",)})) == expected


class ActiveDirectory:
    """Gives members by three, and everybody by name."""

    def __init__(self, members: int, *, endless: bool = False) -> None:
        self.members = [f"cn=m{number},dc=acme" for number in range(members)]
        self.endless = endless
        self.pieces: list[str] = []
        self.by_name = 0

    def search(self, base: str, text: str, scope: str, attributes: tuple[str, ...], limit: int) -> list[RawEntry]:
        if base == "":
            return [RawEntry("", {"supportedcapabilities": (b"1.2.840.113556.1.4.800",)})]
        if scope == "subtree" and text.startswith("(|(mail="):
            return [self._group(0)]
        if scope == "subtree":
            self.by_name += 1
            assert text.startswith("(|(distinguishedName=cn\\3dm")
            return [self._person(number) for number in range(text.count("distinguishedName="))]
        if base == "cn=group,dc=acme":
            self.pieces.append(attributes[0])
            return [self._group(int(attributes[0].removeprefix("member;range=").removesuffix("-*")))]
        raise LdapTrouble(f"nobody should look for {base}")

    def close(self) -> None: ...

    def cut(self) -> None: ...

    def _group(self, start: int) -> RawEntry:
        last = start + 3 >= len(self.members)
        piece = tuple(name.encode() for name in self.members[start : start + 3])
        if self.endless:
            last, piece, start = False, (self.members[0].encode(),), 0
        description = f"member;range={start}-{'*' if last else start + 2}"
        own = {"objectclass": (b"group",), "cn": (b"Sales",), "mail": (b"sales@acme.example",)}
        return RawEntry("cn=group,dc=acme", own | {description: piece})

    def _person(self, number: int) -> RawEntry:
        return RawEntry(self.members[number], {"mail": (f"m{number}@acme.example".encode(),)})


def expand(session: ActiveDirectory) -> GroupMembers | NotExpandable | None:
    return _Expansion("dc=acme", parse_path("sales@acme.example")).run(session)


def test_members_that_come_in_pieces_are_put_together() -> None:
    session = ActiveDirectory(8)
    found = expand(session)
    assert isinstance(found, GroupMembers) and len(found.addresses) == 8
    assert session.pieces == ["member;range=3-*", "member;range=6-*"] and session.by_name == 1


def test_a_server_that_never_comes_to_an_end_is_left() -> None:
    session = ActiveDirectory(1, endless=True)
    found = expand(session)
    assert isinstance(found, NotExpandable) and "never comes to the end of Sales" in found.detail
    assert len(session.pieces) == 1


def test_pieces_without_anybody_in_them_are_no_way_to_go_on() -> None:
    session = ActiveDirectory(4)
    session.members += [session.members[0]] * 5000
    found = expand(session)
    assert isinstance(found, NotExpandable) and len(session.pieces) == 2


def test_a_piecewise_group_of_everybody_is_given_up_early() -> None:
    session = ActiveDirectory(5000)
    found = expand(session)
    assert isinstance(found, NotExpandable) and "more than 1000 members" in found.detail
    assert len(session.pieces) < 400


class Careless:
    """A server that compares as loosely as it likes."""

    def search(self, *_: object) -> list[RawEntry]:
        own = {"objectclass": (b"group",), "cn": (b"Others",), "mail": (b"others@acme.example",)}
        return [RawEntry("cn=others", {**own, "usercertificate": (make_user("others@acme.example", None).der,)})]

    def close(self) -> None: ...

    def cut(self) -> None: ...


def test_an_entry_counts_only_if_it_has_the_very_address() -> None:
    assert _look_up(Careless(), "dc=acme", parse_path("sales@acme.example")) == Listed()
    found = _look_up(Careless(), "dc=acme", parse_path("Others@acme.example"))
    assert found.group == "Others" and len(found.certificates) == 1
    assert _Expansion("dc=acme", parse_path("sales@acme.example")).run(Careless()) is None
