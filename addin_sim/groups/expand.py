"""Writes the recipients of a mail anew, with the members of distribution groups in place of the groups.

Exchange never sees these recipients (they travel in `X-SM-ORIG*` headers or inside the container), and the gateway
encrypts to people, not to groups. A group that is expanded in part would leave somebody out unnoticed, so it is all
or nothing.
Header syntax: RFC 5322 section 3.4, names by RFC 2047.
"""

import email.charset
import email.utils
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from addin_sim.groups.interface import GroupError, GroupSource, Member
from addin_sim.raw_mail import Field, RawMail, mailboxes_in, make_field

DEEPEST = 10
"""Levels of groups in groups."""

MOST_MEMBERS = 1000
"""Recipients that all groups of one mail may come to."""

MOST_LOOKED_AT = 5000
"""Members that are asked about for one group, those counted that are groups, come twice or have no address: groups
may hold each other, and whoever owns some could keep everybody waiting for hours."""

_FIELDS = ("To", "Cc", "Bcc")
_ADDRESS = re.compile(r"[^@\s<>,;:()\[\]\\\"\x00-\x1f\x7f]+@[^@\s<>,;:()\[\]\\\"\x00-\x1f\x7f]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_LONGEST_NAME = 64
"""Characters that are kept of a name: with its address it stands in one line, which may have 998 bytes (RFC 5322
section 2.1.1), and directories take 256 characters of up to four bytes."""
_LONGEST_ADDRESS = 254
"""Bytes (RFC 5321 section 4.5.3.1.3, without the angle brackets)."""
_ENCODED_AT_ONCE = 10
"""Characters of a name in one encoded word, so that none is longer than RFC 2047's 75."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """A mail whose recipients are people."""

    mail: RawMail
    groups: Mapping[str, int] = field(default_factory=dict)
    """Each group that was expanded, with the number of its members."""
    remarks: tuple[str, ...] = ()
    """Who was left out, a sentence each."""


def expand(mail: RawMail, source: GroupSource) -> Expanded:
    """The mail with every group in To, Cc and Bcc expanded; unchanged when there is none.

    Raises `GroupError` when a group cannot be expanded whole, `UnusableMailError`, and what `source` raises.
    """
    named = {name: _mailboxes(mail.all(name)) for name in _FIELDS}
    boxes = [address.lower() for found in named.values() for _, address in found]
    addresses = [address for address in dict.fromkeys(boxes) if _ADDRESS.fullmatch(address) and address.isprintable()]
    groups = source.groups_among(addresses) if addresses else {}
    if not groups:
        return Expanded(mail)
    remarks: list[str] = []
    members = _members(groups, source, remarks)
    taken = set(addresses) - set(groups)
    for name, found in named.items():
        if any(address.lower() in groups for _, address in found):
            mail = _written(mail, name, _people(found, groups, members, taken))
    return Expanded(mail, {address: len(found) for address, found in members.items()}, tuple(remarks))


def _members(groups: Mapping[str, str], source: GroupSource, remarks: list[str]) -> dict[str, dict[str, Member]]:
    """By the group's address, then by the member's, in small letters; each member once in a group."""
    found: dict[str, dict[str, Member]] = {}
    everybody: set[str] = set()
    for address, group in groups.items():
        people: dict[str, Member] = {}
        for member in _walk(address, group, source, remarks):
            people.setdefault(member.address.lower(), member)
            everybody.add(member.address.lower())
            if len(everybody) > MOST_MEMBERS:
                raise GroupError(
                    f"The groups of this mail have more than {MOST_MEMBERS:,} members (counted until {address}), "
                    "too many for one internally encrypted mail: address fewer people; nothing was sent."
                )
        if not people:
            raise _nobody_in(f"the group {address}")
        found[address] = people
    return found


def _walk(address: str, group: str, source: GroupSource, remarks: list[str]) -> Iterator[Member]:
    """Everybody in a group and in the groups in it, each group once, whatever circles they form."""
    seen = {group}
    level, depth, without, looked_at = [group], 1, 0, 0
    while level:
        if depth > DEEPEST:
            raise GroupError(
                f"The group {address} holds groups in groups, more than {DEEPEST} levels deep: address one further "
                "down; nothing was sent."
            )
        below: list[str] = []
        for member in (one for name in level for one in _shown(address, name, source, inner=depth > 1)):
            looked_at += 1
            if looked_at > MOST_LOOKED_AT:
                raise GroupError(
                    f"The group {address} and the groups in it name more than {MOST_LOOKED_AT:,} members, however "
                    "often the same: address its members one by one; nothing was sent."
                )
            if member.group:
                if member.group not in seen:
                    seen.add(member.group)
                    below.append(member.group)
            elif not member.address:
                without += 1
            else:
                yield _checked(member, address)
        level, depth = below, depth + 1
    if without:
        remarks.append(f"{without} of the members of {address} have no mail address and are left out.")


def _shown(address: str, name: str, source: GroupSource, *, inner: bool) -> Iterator[Member]:
    """Who is directly in a group; one of which nobody is shown would leave somebody out unnoticed."""
    silent = True
    for member in source.members_of(name):
        silent = False
        yield member
    if silent:
        raise _nobody_in(f"the group {name}, which is in {address}" if inner else f"the group {address}")


def _nobody_in(group: str) -> GroupError:
    return GroupError(
        f"The directory shows no members of {group} (it lists none by primary group, as of Domain Users, and hides "
        "those of some groups): address its members one by one; nothing was sent."
    )


def _checked(member: Member, group: str) -> Member:
    usable = _ADDRESS.fullmatch(member.address) and member.address.isprintable()
    if not usable or len(member.address.encode("utf-8", "replace")) > _LONGEST_ADDRESS:
        raise GroupError(
            f"The member {member.name!r} of the group {group} has the address {member.address!r}, which is none: let "
            "it be corrected in the directory; nothing was sent."
        )
    return member


def _people(
    boxes: list[tuple[str, str]], groups: Mapping[str, str], members: dict[str, dict[str, Member]], taken: set[str]
) -> Iterator[str]:
    for name, address in boxes:
        if address.lower() not in groups:
            yield _mailbox(name, address)
            continue
        for key, member in members[address.lower()].items():
            if key not in taken:
                taken.add(key)
                yield _mailbox(member.name, member.address)


def _written(mail: RawMail, name: str, people: Iterator[str]) -> RawMail:
    value = ", ".join(people)
    return mail.put(make_field(name, value)) if value else mail.without(name)


def _mailboxes(fields: tuple[Field, ...]) -> list[tuple[str, str]]:
    return [(name, address) for name, address in mailboxes_in(fields) if address]


def _mailbox(name: str, address: str) -> str:
    """`Name <address>`; what is no letter of a name in a header is quoted, or encoded where it is not ASCII or looks
    encoded: a name that whoever reads the mail would decode could show anything."""
    clean = re.sub(r"[\x00-\x1f\x7f]+", " ", name).encode("utf-8", "replace").decode("utf-8").strip()
    clean = clean[:_LONGEST_NAME].rstrip()
    if not clean:
        return address
    if not clean.isascii() or "=?" in clean:
        pieces = (clean[at : at + _ENCODED_AT_ONCE] for at in range(0, len(clean), _ENCODED_AT_ONCE))
        charset = email.charset.Charset("utf-8")
        charset.header_encoding = email.charset.BASE64
        clean = " ".join(charset.header_encode(piece) for piece in pieces)
    elif not _PLAIN_NAME.fullmatch(clean):
        clean = f'"{email.utils.quote(clean)}"'
    return f"{clean} <{address}>"
