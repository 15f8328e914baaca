"""What is asked of an LDAP directory and how its entries are read: addresses, groups, members (RFC 4511, RFC 4519).

Two families of names are served at once: RFC 4519 and RFC 2798 (`mail`, `groupOfNames`, `member`), and Active Directory
with Exchange (`proxyAddresses`, `targetAddress`, `group`, members in ranges). Whatever comes from a message goes into a
filter escaped byte by byte, so that it cannot become filter (RFC 4515 section 3).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import Address, parse_path

ADDRESS_ATTRIBUTES = ("mail", "proxyAddresses", "targetAddress")
CERTIFICATE_ATTRIBUTES = ("userSMIMECertificate", "userCertificate")
"""The first is the better one: it names the certificate that its owner wants to be used."""
MEMBER_ATTRIBUTES = ("member", "uniqueMember", "rfc822MailMember")
PERSON_ATTRIBUTES = ("objectClass", "cn", *ADDRESS_ATTRIBUTES)

_GROUPS = frozenset({"group", "groupofnames", "groupofuniquenames", "nismailalias", "rfc822mailgroup"})
_DYNAMIC = frozenset({"msexchdynamicdistributionlist", "groupofurls", "dyngroup", "dyngroupofnames"})
"""Their members are the answer to a search that only their own server runs."""
_HARMLESS = re.compile(rb"[A-Za-z0-9@._-]")
_RANGE = re.compile(r"member;range=(\d{1,9})-(\d{1,9}|\*)")
_MOST_ADDRESSES = 200
"""Addresses of one entry that are read."""


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as the wire brings it."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]
    """By attribute description in lower case, options included (`usercertificate;binary`)."""


class LdapTrouble(Exception):
    """The directory cannot be asked, or answers what no directory should; the text says what is the matter."""


class LdapSession(Protocol):
    """One connection to a directory; blocking, used by one thread at a time."""

    def search(
        self, base: str, filter_text: str, scope: Literal["subtree", "base"], attributes: tuple[str, ...], limit: int
    ) -> list[RawEntry]:
        """The entries that match, at most `limit`; none where there is no such base. Raises LdapTrouble."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...

    def cut(self) -> None:
        """End whatever another thread waits for on this connection; it then gets LdapTrouble."""
        ...


def escaped(text: str) -> str:
    """A value for a filter: every byte that is not plainly harmless stands as `\\xx` (RFC 4515 section 3)."""
    return "".join(
        chr(byte) if _HARMLESS.match(bytes([byte])) else f"\\{byte:02x}" for byte in text.encode("utf-8", "replace")
    )


def address_filter(address: Address) -> str:
    """Finds the entries of an address."""
    value = escaped(str(address))
    return f"(|(mail={value})(proxyAddresses=smtp:{value})(targetAddress=smtp:{value}))"


def values(entry: RawEntry, name: str) -> tuple[bytes, ...]:
    """All values of an attribute, with whatever options it came (RFC 4512 section 2.5.2)."""
    wanted = name.lower()
    return tuple(
        value
        for description, found in entry.attributes.items()
        if description.partition(";")[0] == wanted
        for value in found
    )


def text_values(entry: RawEntry, name: str) -> tuple[str, ...]:
    """The same, as text; what is not UTF-8 is left out."""
    found = []
    for value in values(entry, name):
        try:
            found.append(value.decode("utf-8"))
        except UnicodeDecodeError:
            continue
    return tuple(found)


def addresses(entry: RawEntry) -> tuple[Address, ...]:
    """Every mail address of an entry, the primary one first (`SMTP:` in capitals, else `mail`). Where mail to it is
    sent on to (`targetAddress`) comes last: in a hybrid Exchange that is a name which nobody else may use."""
    targets = [text for text in text_values(entry, "targetAddress") if _is_smtp(text)]
    proxies = [text for text in text_values(entry, "proxyAddresses") if _is_smtp(text)]
    primary = [text for text in proxies if text.startswith("SMTP:")]
    others = [text for text in proxies if not text.startswith("SMTP:")]
    found: dict[str, Address] = {}
    for text in [*primary, *text_values(entry, "mail"), *others, *targets][:_MOST_ADDRESSES]:
        address = _address(text[5:] if _is_smtp(text) else text)
        if address is not None:
            found.setdefault(address.key, address)
    return tuple(found.values())


def is_group(entry: RawEntry) -> bool:
    """Whether mail to it goes to several people."""
    return bool(_classes(entry) & (_GROUPS | _DYNAMIC))


def is_dynamic(entry: RawEntry) -> bool:
    """A group without a list of members."""
    return bool(_classes(entry) & _DYNAMIC)


def shown_name(entry: RawEntry) -> str:
    """What people call it."""
    names = text_values(entry, "cn")
    return (names[0] if names else entry.dn)[:100]


def member_names(entry: RawEntry) -> tuple[str, ...]:
    """DNs of the direct members; the optional bits behind a name (RFC 4517 section 3.3.21) are cut off."""
    unique = [re.sub(r"#'[01]*'B$", "", text) for text in text_values(entry, "uniqueMember")]
    return (*text_values(entry, "member"), *unique)


def member_addresses(entry: RawEntry) -> tuple[Address, ...]:
    """Members that are written down as addresses."""
    found = (_address(text) for text in text_values(entry, "rfc822MailMember"))
    return tuple(address for address in found if address is not None)


def next_range(entry: RawEntry) -> int | None:
    """Where the next piece of a long `member` begins, which Active Directory gives 1500 at a time (MS-ADTS section
    3.1.1.3.1.3.3); None: this was the last."""
    for description in entry.attributes:
        found = _RANGE.fullmatch(description)
        if found is not None and found[2] != "*":
            return int(found[2]) + 1
    return None


def _classes(entry: RawEntry) -> set[str]:
    return {name.lower() for name in text_values(entry, "objectClass")}


def _is_smtp(text: str) -> bool:
    return text[:5].lower() == "smtp:"


def _address(text: str) -> Address | None:
    try:
        return parse_path(text.strip())
    except UnreadableMail:
        return None
