"""Decides what publishing the IME contact in a directory comes to; reads and writes nothing itself.

The contact is a mail contact as Exchange makes it (MS-OXLDAP section 2.2.5.2 for the certificates): its name begins
with `_`, mail for it goes to the gateway as plain MIME, and both certificate attributes are replaced together, because
Outlook believes an old userSMIMECertificate rather than a new userCertificate (KB 2840546). An entry that is not
clearly this contact, inside the one place we may write, is refused and never taken over.
"""

import re
from collections.abc import Iterable

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_directory import Entry
from addin_sim.address_list.ldap_escaping import in_dn
from addin_sim.address_list.powershell import alias, object_name
from addin_sim.address_list.publish_remarks import Found, about_predecessor, before_writing, missing_rights
from addin_sim.address_list.publisher import Action, Change, Contact, Plan, Value

CERTIFICATES = ("userCertificate", "userSMIMECertificate")
ATTRIBUTES = (
    *("objectClass", "cn", "displayName", "mail", "mailNickname", "targetAddress", "proxyAddresses"),
    *("internetEncoding", "mAPIRecipient", "msExchRecipientDisplayType", "msExchRecipientTypeDetails"),
    *("msExchHideFromAddressLists", "showInAddressBook", *CERTIFICATES),
)
"""What is read of an entry, in the order in which people are shown it."""
_MAIL_CONTACT = {
    "internetEncoding": "1310720",  # 0x140000: MIME, text and HTML
    "mAPIRecipient": "FALSE",  # no TNEF, which would destroy the container mail
}
_KIND_OF_RECIPIENT = {"msExchRecipientDisplayType": "6", "msExchRecipientTypeDetails": "64"}
"""A mail contact; given to a new one only, Exchange keeps the books afterwards."""


def dn_in(place: str, common_name: str) -> str:
    """The name of a contact in the place, escaped (RFC 4514 section 2.4)."""
    return f"CN={in_dn(common_name)},{place}"


def names_for(contact: Contact) -> tuple[str, ...]:
    """The name of a new entry, and the one to use when that is taken: every managed domain may have such a contact."""
    return tuple(dict.fromkeys((contact.common_name, object_name(contact))))


def plan_publication(contact: Contact, found: Found) -> Plan:
    """What is to be added or changed; raises AddressListError when the address belongs to something else."""
    entry = _only_holder(contact, found)
    remarks = [*before_writing(contact, found, entry), *about_predecessor(contact, entry)]
    if entry is None:
        if found.may_create is False:
            remarks.append(f"This account may not create contacts in {found.place}: see docs/address-list.md.")
        name = _free_name(contact, found)
        everything = _all_of_it(contact, found, name)
        return Plan(Action.ADD, dn_in(found.place, name), "", contact, everything, tuple(remarks))
    changes = tuple(_differences(contact, found, entry))
    action = Action.CHANGE if changes else Action.NOTHING
    remarks += missing_rights(entry, changes)
    return Plan(action, entry.dn, entry.dn, contact, changes, tuple(remarks) if changes else ())


def plan_withdrawal(contact: Contact, found: Found) -> Plan:
    """What is to be removed: this contact, whatever certificate it has by now; raises AddressListError as above."""
    entry = _only_holder(contact, found)
    if entry is None:
        return Plan(Action.NOTHING, found.place, "", contact)
    changes = tuple(Change(name, _values(entry, name), ()) for name in ATTRIBUTES if entry.values(name))
    return Plan(Action.REMOVE, entry.dn, entry.dn, contact, changes)


def holds(entry: Entry | None, plan: Plan) -> bool:
    """Whether a directory that was read anew is as the plan wants it."""
    if plan.action is Action.REMOVE:
        return entry is None
    return entry is not None and all(_same(_values(entry, one.attribute), one.new) for one in plan.changes)


def _only_holder(contact: Contact, found: Found) -> Entry | None:
    if len(found.holders) > 1:
        more = " or more" if found.cut_off else ""
        names = " and ".join(sorted(entry.dn for entry in found.holders))
        raise _refused(
            f"The address {contact.address} exists {len(found.holders)} times{more} in the directory: {names}",
            "Take it away from all but one of them, then run the command again",
        )
    if not found.holders:
        return None
    entry = found.holders[0]
    reason = _foreign(entry, contact, found)
    if reason:
        others = "take the address away from it, or choose another IME address"
        place = "correct place in [address_list.ldap], " if entry.dn not in found.inside else ""
        advice = f"{place}{others}"
        raise _refused(
            f"The address {contact.address} belongs to {entry.dn}, which {reason}", advice[0].upper() + advice[1:]
        )
    return entry


def _foreign(entry: Entry, contact: Contact, found: Found) -> str:
    """Why an entry with the address is not our contact; empty when it is."""
    classes = entry.texts("objectClass")
    if "contact" not in [name.lower() for name in classes]:
        return f"is no contact but a {classes[-1] if classes else 'thing of unknown kind'}"
    if entry.dn not in found.inside:
        return f"lies outside {found.place}"
    wanted = contact.address.lower()
    for name, addresses in (
        ("mail", entry.texts("mail")),
        ("target address", entry.texts("targetAddress")),
        ("first proxy address", [one for one in entry.texts("proxyAddresses") if one.startswith("SMTP:")]),
    ):
        for address in addresses:
            if re.sub("^smtp:", "", address, flags=re.IGNORECASE).lower() != wanted:
                return f"is the contact of somebody else: its {name} is {address}"
    return ""


def _free_name(contact: Contact, found: Found) -> str:
    if not found.schema.classes("contact"):
        raise _refused(
            "The schema of this directory has no object class contact, so it is no Active Directory",
            "Correct url in [address_list.ldap]",
        )
    for name in names_for(contact):
        if name not in found.taken:
            return name
    raise _refused(
        f"{dn_in(found.place, names_for(contact)[0])} exists already and does not have the address {contact.address}",
        "Export the contact with another --name, or remove that entry",
    )


def _all_of_it(contact: Contact, found: Found, name: str) -> tuple[Change, ...]:
    wanted: dict[str, tuple[Value, ...]] = {
        "objectClass": found.schema.classes("contact"),
        "cn": (name,),
        "displayName": (contact.display_name,),
        "mail": (contact.address,),
        "mailNickname": (alias(contact.address),),
        "targetAddress": (f"SMTP:{contact.address}",),
        "proxyAddresses": (f"SMTP:{contact.address}",),
        **{name: (value,) for name, value in {**_MAIL_CONTACT, **_KIND_OF_RECIPIENT}.items()},
        "showInAddressBook": found.address_lists,
        "userCertificate": (contact.certificate,),
        "userSMIMECertificate": (contact.smime_value,),
    }
    return tuple(Change(name, (), values) for name, values in wanted.items() if values and found.schema.knows(name))


def _differences(contact: Contact, found: Found, entry: Entry) -> Iterable[Change]:
    """Attributes that are ours to set; the name of the entry, its alias and further addresses stay as they are."""
    wanted: dict[str, tuple[Value, ...]] = {
        "displayName": (contact.display_name,),
        "mail": entry.texts("mail") or (contact.address,),
        "mailNickname": entry.texts("mailNickname") or (alias(contact.address),),
        "targetAddress": entry.texts("targetAddress") or (f"SMTP:{contact.address}",),
        "proxyAddresses": _proxy_addresses(contact, entry),
        **{name: (value,) for name, value in _MAIL_CONTACT.items()},
        **{name: entry.texts(name) or (value,) for name, value in _KIND_OF_RECIPIENT.items()},
        "showInAddressBook": _shown_in(found, entry),
    }
    if entry.text("msExchHideFromAddressLists").upper() == "TRUE":
        wanted["msExchHideFromAddressLists"] = ("FALSE",)
    for name, values in wanted.items():
        old = _values(entry, name)
        if found.schema.knows(name) and not _same(old, values):
            yield Change(name, old, values)
    yield from _certificate_changes(contact, found, entry)


def _certificate_changes(contact: Contact, found: Found, entry: Entry) -> Iterable[Change]:
    """Both or none, so that they never speak of two certificates."""
    pairs = zip(CERTIFICATES, (contact.certificate, contact.smime_value), strict=True)
    changes = [Change(name, _values(entry, name), (new,)) for name, new in pairs if found.schema.knows(name)]
    if any(not _same(change.old, change.new) for change in changes):
        yield from changes


def _proxy_addresses(contact: Contact, entry: Entry) -> tuple[Value, ...]:
    """The IME address first, and what Exchange's address policies have added besides."""
    old = entry.texts("proxyAddresses")
    ours = f"smtp:{contact.address.lower()}"
    if any(one.startswith("SMTP:") and one.lower() == ours for one in old):
        return old
    return (f"SMTP:{contact.address}", *(one for one in old if one.lower() != ours))


def _shown_in(found: Found, entry: Entry) -> tuple[Value, ...]:
    """Address lists are added, never taken away: administrators have their own besides."""
    old = entry.texts("showInAddressBook")
    known = {one.lower() for one in old}
    return (*old, *(one for one in found.address_lists if one.lower() not in known))


def _values(entry: Entry, name: str) -> tuple[Value, ...]:
    return entry.values(name) if name in CERTIFICATES else entry.texts(name)


def _same(left: Iterable[Value], right: Iterable[Value]) -> bool:
    """A directory keeps no order."""
    return sorted(map(_bytes, left)) == sorted(map(_bytes, right))


def _bytes(value: Value) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _refused(happened: str, advice: str) -> AddressListError:
    return AddressListError(f"{happened}. Nothing was changed. {advice}.")
