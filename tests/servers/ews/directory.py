"""The address list that ResolveNames and ExpandDL look into: people, contacts and distribution groups.

It plays the global address list; EWS can only read it (MS-OXWSRSLNM, MS-OXWSDLIST).
"""

import base64
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.servers.ews.xml_names import make


@dataclass
class Entry:
    """A person with a mailbox, a mail contact, or a group (`members` are addresses)."""

    address: str
    name: str = ""
    kind: str = "Mailbox"
    """`Mailbox`, `Contact`, `PublicDL` (`t:MailboxType`)."""
    user_certificates: Sequence[bytes] = ()
    """DER certificates of `userCertificate`, shown as MSExchangeCertificate."""
    user_smime_certificates: Sequence[bytes] = ()
    """Values of `userSMIMECertificate`, shown as UserSMIMECertificate."""
    members: list[str] = field(default_factory=list)
    hidden: bool = False
    """Hidden from address lists: not found by name, but by its full address."""
    hidden_members: bool = False
    """ExpandDL says nothing of the members (ErrorNameResolutionNoResults)."""
    alias: str = ""
    further: Sequence[str] = ()
    """Addresses beside the first one."""

    def mailbox(self) -> ET.Element:
        """As `t:Mailbox`."""
        return make("t:Mailbox", mailbox_parts(self.name or self.address, self.address, self.kind))

    def contact(self, with_certificates: bool) -> ET.Element:
        """As `t:Contact` with the data of the address list; certificates only in the shape AllProperties."""
        parts = [make("t:DisplayName", self.name or self.address)]
        addresses = [make("t:Entry", f"SMTP:{self.address}", Key="EmailAddress1")]
        parts.append(make("t:EmailAddresses", addresses))
        parts.append(make("t:ContactSource", "ActiveDirectory"))
        if with_certificates:
            if self.alias:
                parts.append(make("t:Alias", self.alias))
            for name, values in (
                ("UserSMIMECertificate", self.user_smime_certificates),
                ("MSExchangeCertificate", self.user_certificates),
            ):
                if values:
                    encoded = [make("t:Base64Binary", base64.b64encode(value).decode()) for value in values]
                    parts.append(make(f"t:{name}", encoded))
        return make("t:Contact", parts)

    def has_address(self, wanted: str, *, beginning: bool = False) -> bool:
        """Whether this is one of its addresses (small letters), or `beginning`: the beginning of one, as ResolveNames
        looks for addresses with their routing type ("performs a partial match", reference of UnresolvedEntry)."""
        known = [one.lower() for one in (self.address, *self.further)]
        return any(one == wanted or (beginning and one.startswith(wanted)) for one in known)

    def answers_to(self, words: str) -> bool:
        """Whether an unresolved entry means this one (ambiguous name resolution: prefixes of names)."""
        wanted = words.strip().lower()
        if wanted.startswith("smtp:"):
            return self.has_address(wanted.removeprefix("smtp:"), beginning=not self.hidden)
        if wanted == self.address.lower():
            return True
        if self.hidden:
            return False
        names = [self.name, self.address, self.alias, *self.name.split()]
        return any(name.lower().startswith(wanted) for name in names if name)


def mailbox_parts(name: str, address: str, kind: str) -> list[ET.Element]:
    """The content of a `t:Mailbox`."""
    texts = (("Name", name), ("EmailAddress", address), ("RoutingType", "SMTP"), ("MailboxType", kind))
    return [make(f"t:{part}", text) for part, text in texts]


class Directory:
    """All entries, found by address or by name."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> Entry:
        """Add an entry, or put it in the place of the one with this address."""
        self.entries[entry.address.lower()] = entry
        return entry

    def add_group(self, address: str, members: Sequence[str], name: str = "") -> Entry:
        """Add a distribution group; members that are groups themselves are added on their own."""
        return self.add(Entry(address, name or address, kind="PublicDL", members=list(members)))

    def remove(self, address: str) -> None:
        """Take an entry out; groups that name it keep its address."""
        self.entries.pop(address.lower(), None)

    def resolve(self, words: str) -> list[Entry]:
        """The entries that these words may mean, sorted by name."""
        found = [entry for entry in self.entries.values() if entry.answers_to(words)]
        return sorted(found, key=lambda entry: (entry.name or entry.address).lower())
