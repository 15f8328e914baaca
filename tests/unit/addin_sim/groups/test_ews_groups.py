"""Which of the entries that Exchange shows for an address is the group that is meant."""

import pytest
from exchangelib.properties import Mailbox

from addin_sim.groups.ews_groups import _group_of, _member
from addin_sim.groups.interface import GroupError, Member

TEAM = "team@acme.example"


def entry(address: str | None, kind: str = "PublicDL") -> Mailbox:
    return Mailbox(name="N", email_address=address, mailbox_type=kind)


@pytest.mark.parametrize(
    ("found", "group"),
    [
        ([], ""),
        ([entry("Team@ACME.example")], TEAM),
        ([entry(TEAM, "GroupMailbox")], TEAM),
        ([entry(TEAM, "Mailbox")], ""),
        ([entry(TEAM, "Contact")], ""),
        ([entry("staff@acme.example")], "staff@acme.example"),  # found under another of its addresses
        ([entry(TEAM, "Mailbox"), entry("team@acme.example.org")], ""),
        ([entry("team@acme.example.org"), entry(TEAM)], TEAM),
        ([entry("a@b.example", "Mailbox"), entry("c@d.example", "Contact")], ""),
    ],
)
def test_the_group_of_an_address(found: list[Mailbox], group: str) -> None:
    assert _group_of(TEAM, found) == group


@pytest.mark.parametrize(
    "found",
    [
        [entry(TEAM), entry(TEAM)],
        [entry(TEAM), entry(TEAM, "Mailbox")],
        [entry("a@b.example"), entry("c@d.example", "Mailbox")],
        [entry(None)],
    ],
    ids=["twins", "a group and a person", "none with the address", "without an address"],
)
def test_several_entries_with_a_group_among_them_are_a_refusal(found: list[Mailbox]) -> None:
    with pytest.raises(GroupError, match=rf"several entries for {TEAM}.*nothing was sent\.$"):
        _group_of(TEAM, found)


@pytest.mark.parametrize(
    ("found", "member"),
    [
        (Mailbox(name="Bob", email_address="Bob@acme.example"), Member("Bob", "Bob@acme.example")),
        (Mailbox(name="bob@acme.example", email_address="Bob@acme.example"), Member("", "Bob@acme.example")),
        (Mailbox(name="Ghost", email_address=None), Member("Ghost", "")),
        (entry("Inner@acme.example"), Member("N", "Inner@acme.example", "inner@acme.example")),
    ],
)
def test_a_member(found: Mailbox, member: Member) -> None:
    assert _member(found) == member
