"""Reads the address list from the directory behind it: rows for the scan, certificates of one entry.

The rows come without certificates, as Outlook's table of the list does; those of the one entry that matters are
read when it is found. Attributes: [MS-OXLDAP], [MS-ADA1] to [MS-ADA3]; filters by RFC 4515.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from addin_sim.address_list.ldap_directory import Entry, LdapDirectory
from addin_sim.address_list.ldap_escaping import in_filter
from addin_sim.address_list.scan import Row
from addin_sim.address_list.windows_sort import STRETCHES, Stretch

_NAME = "displayName"
_ADDRESSES = ("mail", "proxyAddresses", "targetAddress")
_COLUMNS = (_NAME, "cn", *_ADDRESSES, "msExchHideFromAddressLists")
_LISTED = "(|(objectClass=user)(objectClass=contact)(objectClass=group))(|(mail=*)(proxyAddresses=*))"


@dataclass(frozen=True, slots=True)
class CertificateValues:
    """The raw values of an entry, in the server's order."""

    smime: tuple[bytes, ...] = ()
    """`userSMIMECertificate`."""
    plain: tuple[bytes, ...] = ()
    """`userCertificate`."""


class LdapList:
    """The address list below one base."""

    def __init__(self, directory: LdapDirectory, base: str, page_size: int) -> None:
        self._directory = directory
        self._base = base
        self._page_size = page_size

    def pages(self, stretch: Stretch) -> Iterator[Sequence[Row]]:
        """One stretch of the list, page by page. Raises `AddressListError`."""
        wanted = f"(&{_LISTED}{_beginning_with(stretch)})"
        for page in self._directory.pages(self._base, wanted, _COLUMNS, page_size=self._page_size):
            yield [_row(entry) for entry in page]

    def with_address(self, address: str) -> list[Row]:
        """Every entry that has the address, listed or not, asked for directly. Raises `AddressListError`."""
        value = in_filter(address)
        terms = f"(mail={value})(proxyAddresses=smtp:{value})(targetAddress=smtp:{value})"
        return [_row(entry) for entry in self._directory.search(self._base, f"(|{terms})", _COLUMNS)]

    def certificates(self, dn: str) -> CertificateValues:
        """The certificate values of an entry; none when it is gone. Raises `AddressListError`."""
        entry = self._directory.read(dn, ("userSMIMECertificate", "userCertificate"))
        if entry is None:
            return CertificateValues()
        return CertificateValues(entry.values("userSMIMECertificate"), entry.values("userCertificate"))


def addresses_of(entry: Entry) -> tuple[str, ...]:
    """The mail addresses of an entry, in small letters: `mail`, and SMTP ones of proxyAddresses and targetAddress."""
    found = [value.strip().lower() for value in entry.texts("mail")]
    for name in _ADDRESSES[1:]:
        for value in entry.texts(name):
            kind, colon, address = value.partition(":")
            if colon and kind.strip().lower() == "smtp":
                found.append(address.strip().lower())
    return tuple(dict.fromkeys(filter(None, found)))


def _row(entry: Entry) -> Row:
    hidden = entry.text("msExchHideFromAddressLists").upper() == "TRUE"
    return Row(entry.dn, entry.text(_NAME) or entry.text("cn"), addresses_of(entry), hidden)


def _beginning_with(stretch: Stretch) -> str:
    if stretch.initials:
        return _any_of(stretch.initials)
    return f"(!{_any_of([initial for known in STRETCHES for initial in known.initials])})"


def _any_of(initials: Sequence[str]) -> str:
    return "(|" + "".join(f"({_NAME}={in_filter(initial)}*)" for initial in initials) + ")"
