"""Distribution groups expanded by LDAP, with all groups inside them (design 6.5, fact 3; RFC 4519 section 3.5).

Within limits, because a directory may hold groups of everybody, and groups that contain each other. A member without
an address gets no mail from Exchange either, and is passed over; everything else that cannot be followed makes the
group not expandable, since a recipient who silently gets nothing is worse than a refusal.
"""

from collections.abc import Sequence

from ime_gateway.lookup.ldap_certificates import covers
from ime_gateway.lookup.ldap_entries import (
    MEMBER_ATTRIBUTES,
    PERSON_ATTRIBUTES,
    LdapSession,
    RawEntry,
    address_filter,
    addresses,
    escaped,
    is_dynamic,
    is_group,
    member_addresses,
    member_names,
    next_range,
    shown_name,
)
from ime_gateway.lookup.ldap_source import LdapSource
from ime_gateway.mail.address import Address
from ime_gateway.ports.address_directory import GroupMembers, NoDirectoryAnswer, NotExpandable

_MOST_MEMBERS = 1000
_MOST_GROUPS = 100
_DEEPEST = 8
_AT_ONCE = 40
"""Members that are asked for in one search."""
_ACTIVE_DIRECTORY = b"1.2.840.113556.1.4.800"
"""In supportedCapabilities of the root entry (MS-ADTS section 3.1.1.3.4.3.1)."""
_ANYTHING = "(objectClass=*)"
_WANTED = (*PERSON_ATTRIBUTES, *MEMBER_ATTRIBUTES)

Expanded = GroupMembers | NotExpandable


class LdapGroups:
    """`GroupLookup` over any number of directories; the first that knows the group answers."""

    def __init__(self, sources: Sequence[LdapSource[Expanded | None]]) -> None:
        self._sources = [one for one in sources if one.directory.groups]

    def covers(self, domain: str, *, managed: bool) -> bool:
        """As the port says."""
        return bool(self._for(domain, managed))

    async def members(self, address: Address, *, managed: bool) -> Expanded | NoDirectoryAnswer:
        """As the port says."""
        failed: NoDirectoryAnswer | None = None
        for source in self._for(address.domain, managed):
            expansion = _Expansion(source.directory.base, address)
            answer = await source.ask(address.key, expansion.run)
            if isinstance(answer, NoDirectoryAnswer):
                failed = failed or answer
            elif answer is not None:
                return answer
        return failed or NotExpandable("no directory that expands groups knows it")

    def close(self) -> None:
        """Hang up."""
        for source in self._sources:
            source.close()

    def _for(self, domain: str, managed: bool) -> list[LdapSource[Expanded | None]]:
        """Groups are our own unless somebody says for which domains a directory is."""
        return [
            one
            for one in self._sources
            if (managed or one.directory.for_domains) and covers(one.directory, domain, managed=managed)
        ]


class _TooMuch(Exception):
    """A limit is reached; the text says which."""


class _Expansion:
    """One group, level by level; runs in a thread."""

    def __init__(self, base: str, address: Address) -> None:
        self._base = base
        self._address = address
        self._found: dict[str, Address] = {}
        self._seen: set[str] = set()
        """DNs of groups, as their server writes them, in lower case."""
        self._own_name = ""

    def run(self, session: LdapSession) -> Expanded | None:
        """Who is in it; None where the directory has no such group. Raises LdapTrouble."""
        self._found, self._seen = {}, set()  # a session that died on the way is replaced, and we begin again
        entries = session.search(self._base, address_filter(self._address), "subtree", _WANTED, 10)
        level = [one for one in entries if is_group(one) and self._is_asked_for(one)]
        if not level:
            return None
        name = shown_name(level[0])
        try:
            for _ in range(_DEEPEST):
                level = self._next_level(session, level)
                if not level:
                    break
            else:
                raise _TooMuch(f"it contains groups more than {_DEEPEST} deep")
        except _TooMuch as limit:
            return NotExpandable(f"the group {name} cannot be expanded: {limit}")
        if not self._found:
            return NotExpandable(f"the group {name} has no member with an address")
        return GroupMembers(tuple(self._found.values()))

    def _is_asked_for(self, entry: RawEntry) -> bool:
        return any(known.key == self._address.key for known in addresses(entry))

    def _next_level(self, session: LdapSession, groups: list[RawEntry]) -> list[RawEntry]:
        """Take up the members of these groups; gives the groups among them that were not seen yet."""
        inside: list[RawEntry] = []
        for group in groups:
            if group.dn.lower() in self._seen:
                continue
            self._seen.add(group.dn.lower())
            if len(self._seen) > _MOST_GROUPS:
                raise _TooMuch(f"it contains more than {_MOST_GROUPS} groups")
            if is_dynamic(group):
                raise _TooMuch(f"{shown_name(group)} is a dynamic group, whose members only its own server knows")
            for address in member_addresses(group):
                self._take(address)
            for member in self._entries_of(session, _all_members(session, group)):
                if is_group(member):
                    inside.append(member)
                else:
                    for address in addresses(member)[:1]:
                        self._take(address)
        return inside

    def _entries_of(self, session: LdapSession, names: list[str]) -> list[RawEntry]:
        """The entries of these members, many at a time; where not all are found so, each is asked for alone: they may
        be outside the base, or their server does not know how to find entries by name."""
        found: list[RawEntry] = []
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            entries = self._search_names(session, some) if len(some) > 1 else []
            if len(entries) != len(some):
                entries = [one for name in some for one in session.search(name, _ANYTHING, "base", _WANTED, 1)]
            found += entries
        return found

    def _search_names(self, session: LdapSession, names: list[str]) -> list[RawEntry]:
        """By the attribute that holds an entry's own name: RFC 5020, or what Active Directory has for it."""
        if not self._own_name:
            root = session.search("", _ANYTHING, "base", ("supportedCapabilities",), 1)
            capabilities = {value for one in root for found in one.attributes.values() for value in found}
            self._own_name = "distinguishedName" if _ACTIVE_DIRECTORY in capabilities else "entryDN"
        either = "".join(f"({self._own_name}={escaped(name)})" for name in names)
        return session.search(self._base, f"(|{either})", "subtree", _WANTED, len(names))

    def _take(self, address: Address) -> None:
        self._found.setdefault(address.key, address)
        if len(self._found) > _MOST_MEMBERS:
            raise _TooMuch(f"it has more than {_MOST_MEMBERS} members")


def _all_members(session: LdapSession, group: RawEntry) -> list[str]:
    """DNs of all direct members, also where the server gives them piece by piece."""
    names = dict.fromkeys(member_names(group))
    start = next_range(group)
    while start is not None and len(names) <= _MOST_MEMBERS:
        found = session.search(group.dn, _ANYTHING, "base", (f"member;range={start}-*",), 1)
        before = len(names)
        names.update(dict.fromkeys(member_names(found[0]) if found else ()))
        following = next_range(found[0]) if found else None
        if following is not None and (following <= start or len(names) == before):
            raise _TooMuch(f"the directory never comes to the end of {shown_name(group)}")
        start = following
    if len(names) > _MOST_MEMBERS:
        raise _TooMuch(f"{shown_name(group)} has more than {_MOST_MEMBERS} members")
    return list(names)
