"""What a person should read before the IME contact is written in a directory: rights, rollover, and Exchange's part.

Remarks stop nothing. They are about what comes after: address lists that Exchange fills itself, copies of the list
that clients keep for days (MS-OXOAB), and the account's rights as Active Directory reckons them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from addin_sim.address_list.ldap_directory import Entry
from addin_sim.address_list.ldap_schema import DirectorySchema
from addin_sim.address_list.outlook_certificates import certificates_in
from addin_sim.address_list.powershell import in_quotes
from addin_sim.address_list.publisher import Change, Contact

EFFECTIVE_RIGHTS = "allowedAttributesEffective"
"""What the account may write of an entry, by Active Directory's own reckoning (MS-ADTS section 3.1.1.4.5)."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the directory holds that matters for one IME address."""

    schema: DirectorySchema
    place: str
    """DN of the organizational unit that we may write."""
    holders: tuple[Entry, ...]
    """Every entry below the base or the place that has the address."""
    inside: frozenset[str]
    """DNs of those of them that lie in the place, by the directory's own word."""
    taken: frozenset[str]
    """Those of `names_for` that entries in the place have already."""
    may_create: bool | None = None
    """Does the directory say that we may create contacts in the place? None: it does not say."""
    cut_off: bool = False
    """There may be more holders: not all of them were asked for."""
    address_lists: tuple[str, ...] = ()
    """DNs of the address lists of Exchange in which every mail contact stands."""


def before_writing(contact: Contact, found: Found, entry: Entry | None) -> Iterable[str]:
    """What will hinder people later; `entry` is the contact as it is now, None when it is to be added."""
    if not contact.display_name.startswith("_"):
        yield (
            f"The display name {contact.display_name} does not begin with _, so the add-in reads far into the address "
            "list for it at each start of Outlook; export the contact without --name."
        )
    if not found.schema.exchange:
        yield (
            "This directory has no Exchange schema: the contact gets no mailNickname and no targetAddress, and no "
            "Exchange server will show it."
        )
    elif not found.address_lists and not (entry and entry.values("showInAddressBook")):
        yield (
            "No address list of Exchange can be seen with this account: afterwards run "
            f"Update-Recipient -Identity {in_quotes(contact.address)} in the Exchange Management Shell, so that the "
            "contact appears there."
        )


def about_predecessor(contact: Contact, entry: Entry | None) -> Iterable[str]:
    """What a person should know who replaces a certificate."""
    if entry is None:
        return
    ours = certificates_in(contact.certificate)[0]
    others = [one for value in entry.values("userCertificate") for one in certificates_in(value) if one != ours]
    if any(one.not_valid_before_utc > ours.not_valid_before_utc for one in others):
        yield "The certificate in the address list is newer than this one: see that this export is not an old one."
    if others:
        yield (
            "Outlook's copies of the address list (offline address book) hold the old certificate for a day or two: "
            "the gateway must keep the old key as long."
        )


def missing_rights(entry: Entry, changes: Iterable[Change]) -> Iterable[str]:
    """Attributes of `changes` that the directory will refuse this account, as far as it says so beforehand."""
    allowed = {name.lower() for name in entry.texts(EFFECTIVE_RIGHTS)}
    missing = [change.attribute for change in changes if change.attribute.lower() not in allowed]
    if EFFECTIVE_RIGHTS.lower() in entry.attributes and missing:
        yield f"This account may not change {', '.join(missing)} of {entry.dn}: see docs/address-list.md."
