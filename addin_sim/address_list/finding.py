"""Finds the certificate of the IME address as Outlook does: in the copy it keeps of the address list, or in the list.

Containers are encrypted to what is found here, so it is told where it came from, how long that took, and what is odd
about it: a second entry with the address, a value left from before a rollover, an old copy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_directory import LdapDirectory
from addin_sim.address_list.ldap_list import CertificateValues, LdapList
from addin_sim.address_list.offline_book import BookEntry, as_in_book, keep_book, load_book
from addin_sim.address_list.outlook_certificates import Candidate, candidates, chosen
from addin_sim.address_list.scan import Row, Scan, scan
from addin_sim.address_list.settings import LdapSettings
from addin_sim.address_list.windows_sort import Stretch
from addin_sim.outlook_settings import OutlookSettings, SettingsError

Say = Callable[[str], None]
"""Takes one sentence about what goes on."""

_SAY_EVERY = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The IME contact and its certificates, as Outlook sees them."""

    address: str
    name: str
    dn: str
    candidates: tuple[Candidate, ...]
    """In Outlook's order."""
    scan: Scan | None
    """None: the list was not read, the offline address book had it."""
    book: BookEntry | None
    """The offline address book, as it is now; None when it plays no part."""
    stale: bool | None = None
    """Does the list hold another certificate than the one taken from the book? None: not looked at."""
    remarks: tuple[str, ...] = ()

    @property
    def chosen(self) -> Candidate | None:
        """The certificate that Outlook encrypts to."""
        return chosen(self.candidates)

    @property
    def refusal(self) -> str:
        """Why nothing can be encrypted with this; empty when it can."""
        if self.chosen is not None:
            return ""
        contact = f"The contact {self.name} ({self.dn})"
        if self.book is not None and self.scan is None:
            contact = f"The offline address book's copy of the contact {self.name} ({self.dn})"
        notes = [candidate.sentence for candidate in self.candidates]
        notes += [note.rstrip(".") for note in self.book.left_out] if self.book else ()
        return (
            f"{contact} has no certificate that can be used: {'; '.join(notes) or 'it has none at all'}. "
            "See that this computer's clock is right; publish one that can be used (docs/address-list.md, section 5, "
            "if it is too old), then read the list itself with `addin-sim find --no-cache`."
        )


def find(
    outlook: OutlookSettings,
    moment: float,
    clock: Callable[[], float],
    *,
    use_book: bool = True,
    compare: bool = False,
    say: Say = lambda _: None,
) -> Finding:
    """The IME contact that `InternalRecipient` names, at `moment` (seconds since 1970 UTC); `clock` measures seconds.

    `use_book`: as Outlook in cached mode does, if the settings have an offline address book. `compare`: when the book
    had it, also ask the list whether it still says the same. Raises `AddressListError` when there is no such
    contact or the list cannot be read, `SettingsError` when the settings name no list.
    """
    ldap = _list_of(outlook)
    address, source = outlook.registry.InternalRecipient.lower(), f"{ldap.url} {ldap.base}"
    longest = outlook.address_list.offline_book.hours
    with_book = use_book and longest > 0
    entry = load_book(outlook.profile, address, source) if with_book else None
    if entry is not None and 0 <= entry.age_hours(moment) < longest:
        return _from_book(entry, ldap, moment, compare)
    say(f"reading the address list at {ldap.url} below {ldap.base}")
    with LdapDirectory(ldap) as directory:
        listed = LdapList(directory, ldap.base, ldap.page_size)
        scanned = scan(_telling(listed.pages, say), address, ldap.page_size, clock)
        others = listed.with_address(address)
        row = scanned.row or _refuse(scanned, others, address, ldap)
        values = listed.certificates(row.dn)
    found = Finding(address, row.name, row.dn, (), scanned, None, remarks=tuple(_remarks(scanned, row, others)))
    if not with_book:
        return _judged(found, values, moment)
    entry = as_in_book(address, source, row.dn, row.name, values, moment)
    keep_book(outlook.profile, entry)
    return _judged(replace(found, book=entry), _as_client_sees(entry, values), moment)


def _list_of(outlook: OutlookSettings) -> LdapSettings:
    if outlook.registry.ime_version == 1:
        raise SettingsError(
            "InternalRecipient has its default value, so IME 1.0 is used, which encrypts nothing and needs no "
            "certificate: set registry.InternalRecipient to the IME address of your domain."
        )
    if outlook.address_list.ldap is None:
        raise SettingsError(
            "The settings have no [address_list.ldap], so there is no address list to look into: add it, or name the "
            "certificate from `ime-gateway ime export-contact` as container.ime_certificate."
        )
    return outlook.address_list.ldap


def _from_book(entry: BookEntry, ldap: LdapSettings, moment: float, compare: bool) -> Finding:
    found = Finding(entry.address, entry.name, entry.dn, (), None, entry)
    if not compare and not entry.ask_server:
        return _judged(found, entry.values, moment)
    try:
        live = _live_values(entry, ldap)
    except AddressListError as error:
        found = _judged(found, entry.values, moment)
        remark = f"The offline address book was not compared with the list. {error}"
        return replace(found, remarks=(*found.remarks, remark))
    found = _judged(found, _as_client_sees(entry, live or CertificateValues()), moment)
    if not compare:
        return found
    stale, remarks = _comparison(found, live, moment)
    return replace(found, stale=stale, remarks=(*found.remarks, *remarks))


def _live_values(entry: BookEntry, ldap: LdapSettings) -> CertificateValues | None:
    """What the list says now; None when the contact is gone."""
    with LdapDirectory(ldap) as directory:
        listed = LdapList(directory, ldap.base, ldap.page_size)
        shown = [row for row in listed.with_address(entry.address) if not row.hidden]
        if not shown:
            return None
        row = next((row for row in shown if row.dn.lower() == entry.dn.lower()), shown[0])
        return listed.certificates(row.dn)


def _comparison(found: Finding, live: CertificateValues | None, moment: float) -> tuple[bool, tuple[str, ...]]:
    if live is None:
        return True, ("The list has no such contact any more; Outlook learns it from a newer offline address book.",)
    now = chosen(candidates(live.smime, live.plain, found.address, moment))
    mine = found.chosen
    if (now.thumbprint if now else "") == (mine.thumbprint if mine else ""):
        return False, ()
    newer = f"the certificate {now.thumbprint}" if now else "no certificate that can be used"
    sentence = (
        f"Stale: the list holds {newer} now. Outlook uses its copy until it fetches the next offline address book, so "
        "the gateway must keep the old private key until then."
    )
    return True, (sentence,)


def _judged(found: Finding, values: CertificateValues, moment: float) -> Finding:
    judged = candidates(values.smime, values.plain, found.address, moment)
    best = chosen(judged)
    return replace(found, candidates=judged, remarks=(*found.remarks, *(best.remarks if best else ())))


def _as_client_sees(entry: BookEntry, live: CertificateValues) -> CertificateValues:
    """The book's values; where it dropped some for their size, the server's."""
    return CertificateValues(
        live.smime if "userSMIMECertificate" in entry.ask_server else entry.values.smime,
        live.plain if "userCertificate" in entry.ask_server else entry.values.plain,
    )


def _telling(
    pages: Callable[[Stretch], Iterator[Sequence[Row]]], say: Say
) -> Callable[[Stretch], Iterator[Sequence[Row]]]:
    total = 0

    def telling(stretch: Stretch) -> Iterator[Sequence[Row]]:
        nonlocal total
        for page in pages(stretch):
            if (total + len(page)) // _SAY_EVERY > total // _SAY_EVERY:
                say(f"{total + len(page):,} entries read")
            total += len(page)
            yield page

    return telling


def _remarks(scanned: Scan, row: Row, others: Sequence[Row]) -> Iterator[str]:
    further = [other.dn for other in others if other.dn != row.dn and not other.hidden]
    if further:
        yield (
            f"{len(further) + 1} entries have this address, also {', '.join(further)}; Outlook takes the first of the "
            "list. Remove those that are not the IME contact."
        )
    if scanned.page > 1:
        yield (
            f"The name {row.name} does not begin with _, so Outlook reads {scanned.page:,} pages of the list at each "
            "start to find it."
        )


def _refuse(scanned: Scan, others: Sequence[Row], address: str, ldap: LdapSettings) -> Row:
    if scanned.hidden or others:
        dn = scanned.hidden[0] if scanned.hidden else others[0].dn
        hidden = bool(scanned.hidden) or others[0].hidden
        reason = (
            "Exchange hides it (msExchHideFromAddressLists)" if hidden else "it is no user, contact or group with mail"
        )
        raise AddressListError(
            f"The entry {dn} has the address {address}, but Outlook does not see it in the address list: {reason}. "
            "Publish the contact anew with `addin-sim publish`."
        )
    raise AddressListError(
        f"None of the {scanned.entries_read:,} entries of the address list at {ldap.url} below {ldap.base} has the "
        f"address {address}. Publish the contact with `addin-sim publish`, or correct InternalRecipient or base."
    )
