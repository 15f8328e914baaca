"""Distribution groups among the recipients of protected mail become their members, who stay blind to each other.

A group has no key, and Exchange cannot expand what it can no longer read (design 6.5, fact 3). To and Cc keep the
group's name, as with any mail to a group; each member gets an envelope of their own, so that nobody learns from it who
else is in the group (P6). Whoever is addressed beside the group keeps their own place.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.prepared import Prepared, PreparedRecipient
from ime_gateway.ports.address_directory import GroupLookup, GroupMembers, NoDirectoryAnswer, NotExpandable
from ime_gateway.ports.directory import SiteView


@dataclass(frozen=True, slots=True)
class Expansion:
    """What became of the groups."""

    prepared: Prepared
    """The same object where no group was expanded."""
    left: Mapping[str, tuple[Reason, str]]
    """Groups that stay as they are, by key, and why."""


async def expand_groups(
    prepared: Prepared, keys: Sequence[str], view: SiteView, lookup: GroupLookup, most_recipients: int
) -> Expansion:
    """The message to the members of these groups. most_recipients: so many the message may have in the end."""
    groups = [one.address for one in prepared.recipients if one.copy == "recipient" and one.address.key in keys]
    groups = [one for one in groups if lookup.covers(one.domain, managed=one.domain in view.managed)]
    answers = await asyncio.gather(*(lookup.members(one, managed=one.domain in view.managed) for one in groups))
    members: dict[str, tuple[Address, ...]] = {}
    left: dict[str, tuple[Reason, str]] = {}
    for group, answer in zip(groups, answers, strict=True):
        match answer:
            case GroupMembers():
                members[group.key] = answer.addresses
            case NotExpandable():
                left[group.key] = (Reason.RECIPIENT_IS_GROUP, answer.detail)
            case NoDirectoryAnswer():
                left[group.key] = (Reason.LOOKUP_TIMEOUT, answer.detail)
            case _:
                assert_never(answer)
    if not members:
        return Expansion(prepared, left)
    recipients = _spliced(prepared.recipients, members)
    if len(recipients) > most_recipients:
        words = f"with its groups the message has {len(recipients)} recipients, at most {most_recipients} are taken"
        return Expansion(prepared, left | dict.fromkeys(members, (Reason.RECIPIENT_IS_GROUP, words)))
    return Expansion(_addressed_to(prepared, recipients, view), left)


def _spliced(
    recipients: Sequence[PreparedRecipient], members: Mapping[str, tuple[Address, ...]]
) -> tuple[PreparedRecipient, ...]:
    """Members stand where their group stood, each person once."""
    found: list[PreparedRecipient] = []
    there = {one.address.key for one in recipients if one.copy == "recipient" and one.address.key not in members}
    for one in recipients:
        inside = members.get(one.address.key) if one.copy == "recipient" else None
        if inside is None:
            found.append(one)
            continue
        for member in inside:
            if member.key not in there:
                there.add(member.key)
                found.append(replace(one, address=member, blind=True))
    return tuple(found)


def _addressed_to(prepared: Prepared, recipients: tuple[PreparedRecipient, ...], view: SiteView) -> Prepared:
    """A group of ours may hold people outside: the message then leaves."""
    outside = any(one.address.domain not in view.managed for one in recipients)
    direction = "outgoing" if prepared.direction == "internal" and outside else prepared.direction
    return replace(prepared, recipients=recipients, direction=direction)
