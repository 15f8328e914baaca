"""Groups among the recipients become people, all of them or none, whatever the directory holds."""

import email
import email.policy
from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from addin_sim.groups.expand import DEEPEST, MOST_LOOKED_AT, MOST_MEMBERS, expand
from addin_sim.groups.interface import GroupError, Member
from addin_sim.raw_mail import RawMail, make_field, parse

TEAM = "team@acme.example"


class Directory:
    """Groups by name; a member of the form `@name` is a group itself."""

    def __init__(
        self, groups: Mapping[str, Sequence[str | Member]], addresses: Mapping[str, str] | None = None
    ) -> None:
        self.groups = groups
        self.addresses = addresses if addresses is not None else {TEAM: next(iter(groups))}
        self.asked: list[str] = []

    def groups_among(self, addresses: Sequence[str]) -> Mapping[str, str]:
        self.asked += addresses
        return {address: group for address, group in self.addresses.items() if address in addresses}

    def members_of(self, group: str) -> Iterator[Member]:
        for one in self.groups[group]:
            match one:
                case Member():
                    yield one
                case _ if one.startswith("@"):
                    yield Member(one[1:], "", group=one[1:])
                case _:
                    yield Member("", one)

    def close(self) -> None:
        """Nothing is open."""


def mail(**fields: str) -> RawMail:
    return RawMail(tuple(make_field(name, value) for name, value in fields.items()), b"x")


def to(expanded: RawMail, name: str = "To") -> str:
    return expanded.value(name)


def test_a_mail_without_groups_keeps_every_byte() -> None:
    written = parse(b"To: a@x.example ,\r\n b@x.example (note)\r\nCc: Undisclosed: ;\r\n\r\nx")
    assert expand(written, Directory({"g": []}, {})).mail is written


def test_members_take_the_place_of_the_group() -> None:
    found = expand(
        mail(To=f"Zoe <zoe@x.example>, Team <{TEAM}>, bob@x.example", Cc="c@x.example"),
        Directory({"g": ["a@x.example", "b@x.example"]}),
    )
    assert to(found.mail) == "Zoe <zoe@x.example>, a@x.example, b@x.example, bob@x.example"
    assert to(found.mail, "Cc") == "c@x.example"
    assert found.groups == {TEAM: 2}


def test_nested_groups_and_circles() -> None:
    directory = Directory({"g": ["a@x.example", "@h"], "h": ["b@x.example", "@g", "@h", "A@X.example"]})
    assert to(expand(mail(To=TEAM), directory).mail) == "a@x.example, b@x.example"


def test_nobody_is_named_twice_and_blind_ones_stay_blind() -> None:
    directory = Directory({"g": ["a@x.example", "blind@x.example", "c@x.example"]})
    found = expand(mail(To=TEAM, Cc="C@x.example", Bcc="blind@x.example"), directory).mail
    assert (to(found), to(found, "Cc"), to(found, "Bcc")) == ("a@x.example", "C@x.example", "blind@x.example")


def test_a_blind_group_stays_blind() -> None:
    found = expand(mail(To="x@x.example", Bcc=f"{TEAM}, b@x.example"), Directory({"g": ["a@x.example"]})).mail
    assert (to(found), to(found, "Bcc")) == ("x@x.example", "a@x.example, b@x.example")


def test_a_field_that_loses_everybody_goes() -> None:
    found = expand(mail(To="a@x.example", Cc=TEAM), Directory({"g": ["a@x.example"]})).mail
    assert not found.all("Cc")


def test_several_fields_of_one_name_become_one() -> None:
    written = parse(f"To: a@x.example\r\nTo: {TEAM}\r\nSubject: s\r\n\r\nx".encode())
    assert [field.raw for field in expand(written, Directory({"g": ["b@x.example"]})).mail.fields] == [
        b"To: a@x.example, b@x.example\r\n",
        b"Subject: s\r\n",
    ]


def test_who_has_no_address_is_told() -> None:
    found = expand(mail(To=TEAM), Directory({"g": [Member("Printer", ""), "a@x.example"]}))
    assert found.remarks == (f"1 of the members of {TEAM} have no mail address and are left out.",)


def test_a_group_of_nobody_is_refused() -> None:
    with pytest.raises(GroupError, match=r"shows no members of the group team@acme\.example .* nothing was sent"):
        expand(mail(To=TEAM), Directory({"g": []}))


def test_a_group_of_nobody_in_a_group_is_refused() -> None:
    """Domain Users, or a group with hidden members, in a group of everybody."""
    directory = Directory({"g": ["a@x.example", "@h"], "h": ["b@x.example", "@CN=Domain Users"], "CN=Domain Users": []})
    with pytest.raises(GroupError, match=r"no members of the group CN=Domain Users, which is in team@acme\.example "):
        expand(mail(To=TEAM), directory)


def test_too_deep() -> None:
    chain = {f"g{number}": [f"@g{number + 1}"] for number in range(DEEPEST)}
    last = f"g{DEEPEST}"
    assert expand(
        mail(To=TEAM), Directory({**dict(list(chain.items())[1:]), last: ["a@x.example"]}, {TEAM: "g1"})
    ).groups
    with pytest.raises(GroupError, match="levels deep"):
        expand(mail(To=TEAM), Directory({**chain, last: ["a@x.example"]}, {TEAM: "g0"}))


def test_too_many_stop_the_reading() -> None:
    read: list[int] = []

    class Endless(Directory):
        def members_of(self, group: str) -> Iterator[Member]:
            for number in range(10 * MOST_MEMBERS):
                read.append(number)
                yield Member("", f"p{number}@x.example")

    with pytest.raises(GroupError, match="more than 1,000 members"):
        expand(mail(To=TEAM), Endless({"g": []}))
    assert len(read) == MOST_MEMBERS + 1


def test_groups_that_hold_each_other_many_times_stop_the_reading() -> None:
    read: list[str] = []

    class Mesh(Directory):
        def members_of(self, group: str) -> Iterator[Member]:
            read.append(group)
            yield from super().members_of(group)

    names = [f"@g{number}" for number in range(100)]
    with pytest.raises(GroupError, match="more than 5,000 members, however often the same"):
        expand(mail(To=TEAM), Mesh({f"g{number}": names for number in range(100)}))
    assert len(read) == MOST_LOOKED_AT // len(names) + 1


def test_the_limit_is_of_all_groups_together_and_counts_nobody_twice() -> None:
    half = [f"p{number}@x.example" for number in range(MOST_MEMBERS // 2)]
    rest = [f"q{number}@x.example" for number in range(MOST_MEMBERS // 2)]
    others = "others@acme.example"
    both = {TEAM: "g", others: "h"}
    found = expand(mail(To=TEAM, Bcc=others), Directory({"g": half, "h": [*half, *rest]}, both))
    assert found.groups == {TEAM: MOST_MEMBERS // 2, others: MOST_MEMBERS}
    with pytest.raises(GroupError, match=r"more than 1,000 members \(counted until others@acme\.example\)"):
        expand(mail(To=TEAM, Bcc=others), Directory({"g": half, "h": [*rest, "one.more@x.example"]}, both))


@pytest.mark.parametrize(
    "address",
    [
        *("a@x.example, evil@y.example", "a@x.example\r\nBcc: evil@y.example", "a b@x.example", "<a@x.example>", "a"),
        *("a@x.example\u202e", f"a@{'x' * 1000}.example"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(GroupError, match="which is none"):
        expand(mail(To=TEAM), Directory({"g": [Member("M", address)]}))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Anna Meier", "Anna Meier <a@x.example>"),
        ("Meier, Anna", '"Meier, Anna" <a@x.example>'),
        ('A "B" \\ <evil@y.example>', '"A \\"B\\" \\\\ <evil@y.example>" <a@x.example>'),
        ("A\r\nBcc: evil@y.example", '"A Bcc: evil@y.example" <a@x.example>'),
        ("Zoë", "=?utf-8?b?Wm/Dqw==?= <a@x.example>"),
        ("\0", "a@x.example"),
        ("=?utf-8?q?=0D=0A?=", "=?utf-8?b?PT91dGYtOD9xPw==?= =?utf-8?b?PTBEPTBBPz0=?= <a@x.example>"),
    ],
)
def test_names_cannot_become_addresses(name: str, written: str) -> None:
    assert to(expand(mail(To=TEAM), Directory({"g": [Member(name, "a@x.example")]})).mail) == written


@given(st.text(max_size=300))
@example("\U0001f600" * 256)
@example('"' * 1000)
def test_whatever_a_directory_calls_somebody(name: str) -> None:
    found = expand(mail(To=TEAM, Cc="c@x.example"), Directory({"g": [Member(name, "a@x.example")]})).mail
    assert [field.name for field in parse(found.to_bytes()).fields] == ["To", "Cc"]
    assert all(len(line) <= 998 for line in found.to_bytes().split(b"\r\n"))
    header = email.message_from_bytes(found.to_bytes(), policy=email.policy.default)["To"]
    assert [one.addr_spec for one in header.addresses] == ["a@x.example"]


def test_no_encoded_word_is_longer_than_rfc_2047_allows() -> None:
    words = to(expand(mail(To=TEAM), Directory({"g": [Member(60 * "鷗", "a@x.example")]})).mail).split()
    assert len(words) == 7 and max(map(len, words)) <= 75


def test_what_is_no_address_is_not_asked_for() -> None:
    directory = Directory({"g": ["a@x.example"]})
    expand(mail(To=f'nobody, "*)(cn=*"@x.example, {TEAM}', Cc="not, an <address"), directory)
    assert "nobody" not in directory.asked and TEAM in directory.asked
    assert not any("(" in address for address in directory.asked)
