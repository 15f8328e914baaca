"""Distribution groups as Active Directory keeps them: a `member` attribute with the DNs of who is in it.

The client must know who is in a group, because the gateway encrypts to people. A server hands out long attributes in
ranges ([MS-ADTS] section 3.1.1.3.1.3.3); `member` leaves out those whose primary group it is
(primaryGroupID), and a dynamic distribution group has none at all: Exchange works it out for each mail.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from addin_sim.address_list.ldap_directory import Entry, LdapDirectory
from addin_sim.address_list.ldap_escaping import in_filter
from addin_sim.address_list.ldap_list import addresses_of
from addin_sim.groups.interface import GroupError, Member

_GROUP, _DYNAMIC = "group", "msexchdynamicdistributionlist"
_KIND = ("objectClass", "cn", "displayName", "mail", "proxyAddresses", "targetAddress")
_AT_ONCE = 50
"""Addresses in one search."""

_RANGE = re.compile(r"member;range=(\d+)-(\d+|\*)")


class LdapGroups:
    """A `GroupSource` over one connection."""

    def __init__(self, directory: LdapDirectory, base: str) -> None:
        """`base`: DN below which groups are looked for; their members may be anywhere. `close` closes the directory."""
        self._base = base
        self._directory = directory

    def groups_among(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """As the protocol says; the directory calls a group by its DN.

        Active Directory takes the address of a person for a group as well; whoever may make groups would get mail
        that was meant for that person, so an address of two is refused as soon as one of them is a group.
        """
        owners: dict[str, dict[str, Entry]] = {}
        for at in range(0, len(addresses), _AT_ONCE):
            wanted = addresses[at : at + _AT_ONCE]
            for entry in self._directory.search(self._base, _entries_with(wanted), _KIND):
                for address in set(addresses_of(entry)) & set(wanted):
                    owners.setdefault(address, {})[entry.dn] = entry
        found: dict[str, str] = {}
        for address, entries in owners.items():
            groups = [entry for entry in entries.values() if _classes(entry) & {_GROUP, _DYNAMIC}]
            if groups and len(entries) > 1:
                raise GroupError(
                    f"The address {address} belongs to {' and '.join(sorted(entries))}, and a group is among them: let "
                    "it be corrected; nothing was sent."
                )
            for group in groups:
                _require_static(group, address)
                found[address] = group.dn
        return found

    def members_of(self, group: str) -> Iterator[Member]:
        """As the protocol says."""
        for dn in self._member_names(group):
            entry = self._directory.read(dn, _KIND)
            if entry is None:
                raise GroupError(
                    f"The group {group} has the member {dn}, which cannot be read at {self._directory.server} "
                    "(removed, or of another domain), so somebody would be left out: address its members one by one; "
                    "nothing was sent."
                )
            classes = _classes(entry)
            _require_static(entry, group)
            yield Member(
                entry.text("displayName") or entry.text("cn"), _address(entry), entry.dn if _GROUP in classes else ""
            )

    def close(self) -> None:
        """As the protocol says."""
        self._directory.close()

    def _member_names(self, group: str) -> Iterator[str]:
        wanted, first = "member", 0
        while True:
            entry = self._directory.read(group, (wanted,))
            if entry is None:
                raise GroupError(f"The group {group} is gone, or may not be read; nothing was sent.")
            yield from entry.texts("member")
            ranges = {name: bounds for name in entry.attributes if (bounds := _RANGE.fullmatch(name))}
            for name in ranges:
                yield from entry.texts(name)
            last = next((bounds.group(2) for bounds in ranges.values()), "*" if wanted == "member" else "-1")
            if last == "*":
                return
            if int(last) < first:
                raise GroupError(
                    f"{self._directory.server} shows the members of {group} in pieces that do not go on, so somebody "
                    "would be left out: address its members one by one; nothing was sent."
                )
            first = int(last) + 1
            wanted = f"member;range={first}-*"


def _entries_with(addresses: Sequence[str]) -> str:
    values = [in_filter(address) for address in addresses]
    return "(|" + "".join(f"(mail={value})(proxyAddresses=smtp:{value})" for value in values) + ")"


def _require_static(entry: Entry, name: str) -> None:
    if _DYNAMIC in _classes(entry):
        raise GroupError(
            f"{entry.text('displayName') or entry.text('cn')} (in or at {name}) is a dynamic distribution group, whose "
            "members only Exchange knows: address its members one by one; nothing was sent."
        )


def _classes(entry: Entry) -> set[str]:
    return {value.lower() for value in entry.texts("objectClass")}


def _address(entry: Entry) -> str:
    """As it is written: `mail`, else the primary one (`SMTP:` in capitals), else any."""
    if mail := entry.text("mail").strip():
        return mail
    primary = (value[5:].strip() for value in entry.texts("proxyAddresses") if value.startswith("SMTP:"))
    return next(primary, "") or next(iter(addresses_of(entry)), "")
