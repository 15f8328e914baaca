"""Decides what publishing the IME contact in a contacts folder of Exchange comes to; reads and writes nothing itself.

Outlook takes the certificate of such a contact from PidTagUserX509Certificate (0x3A70, MS-OXOCNTC), whose values have
the same form as `userSMIMECertificate` (MS-OXOABK section 2.2.4.36). One value only: Outlook may take any of several.
A contacts folder is no address list; everything shown to people says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.publisher import Action, Change, Contact, Plan, Value

DISPLAY_NAME = "DisplayName"
FILE_AS = "FileAs"
ADDRESS = "EmailAddress1"
CERTIFICATES = "UserX509Certificate"
FOLDER = "folder"

NO_ADDRESS_LIST = (
    "This is a contacts folder and not the address list: everybody has to show it as an address book in Outlook "
    "(folder properties, Outlook Address Book)."
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A contact as the folder holds it now."""

    key: str
    """The item's Id and ChangeKey, one space between; the second changes with every change of the item."""
    display_name: str
    file_as: str
    addresses: tuple[str, ...]
    """EmailAddress1 to 3, empty ones left out."""
    values: tuple[bytes, ...]
    """Of property 0x3A70."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The named folder, and who in it has the address."""

    name: str
    """For people: whose it is, and its path."""
    exists: bool
    holders: tuple[Stored, ...] = ()


def plan_publication(contact: Contact, folder: Folder) -> Plan:
    """What is to be added or changed. Raises `AddressListError` for an entry that is not clearly our contact."""
    place = f"{folder.name}/{contact.display_name}"
    stored = _ours(contact, folder)
    wanted = _wanted(contact)
    if stored is None:
        changes = [Change(name, (), values) for name, values in wanted.items()]
        if not folder.exists:
            changes.insert(0, Change(FOLDER, (), (folder.name,)))
        return Plan(Action.ADD, place, "", contact, tuple(changes), (NO_ADDRESS_LIST,))
    before = _held(stored)
    differing = tuple(
        Change(name, before[name], values) for name, values in wanted.items() if not _same(name, before[name], values)
    )
    action = Action.CHANGE if differing else Action.NOTHING
    return Plan(action, place, stored.key, contact, differing, (NO_ADDRESS_LIST,))


def plan_withdrawal(contact: Contact, folder: Folder) -> Plan:
    """What is to be removed: our contact, whatever certificate it has by now; the folder stays."""
    stored = _ours(contact, folder)
    if stored is None:
        return Plan(Action.NOTHING, folder.name, "", contact)
    gone = tuple(Change(name, values, ()) for name, values in _held(stored).items() if values)
    return Plan(Action.REMOVE, f"{folder.name}/{stored.display_name}", stored.key, contact, gone)


def holds(folder: Folder, plan: Plan) -> bool:
    """Whether a folder that was read anew is as the plan wants it."""
    if plan.action is Action.REMOVE:
        return not folder.holders
    if len(folder.holders) != 1:
        return False
    before = _held(folder.holders[0])
    return all(_same(one.attribute, before[one.attribute], one.new) for one in plan.changes if one.attribute != FOLDER)


def state_after(folder: Folder, plan: Plan) -> str:
    """What a folder that was read anew holds, in a sentence, for somebody whose change of it went wrong."""
    if holds(folder, plan):
        return "The folder was read again: the change is there, complete."
    if not folder.holders:
        return "The folder was read again: there is no such contact in it."
    if len(folder.holders) > 1:
        return f"The folder was read again: {len(folder.holders)} contacts in it have the address."
    before = _held(folder.holders[0])
    if all(_same(one.attribute, before[one.attribute], one.old) for one in plan.changes):
        return "The folder was read again: the contact is as it was before."
    return "The folder was read again: the contact in it is not as wanted."


def _ours(contact: Contact, folder: Folder) -> Stored | None:
    if len(folder.holders) > 1:
        names = ", ".join(repr(one.display_name) for one in folder.holders)
        raise AddressListError(
            f"The address {contact.address} exists {len(folder.holders)} times in {folder.name}: {names}. "
            "Nothing was changed. Delete all of them but one in Outlook, then run the command again."
        )
    if not folder.holders:
        return None
    stored = folder.holders[0]
    others = [one for one in stored.addresses if one.lower() != contact.address.lower()]
    if others:
        raise AddressListError(
            f"The contact {stored.display_name!r} in {folder.name} has the address {contact.address} and also "
            f"{', '.join(others)}, so it is somebody else's. Nothing was changed. Take one of the addresses away."
        )
    return stored


def _wanted(contact: Contact) -> dict[str, tuple[Value, ...]]:
    return {
        DISPLAY_NAME: (contact.display_name,),
        FILE_AS: (contact.display_name,),
        ADDRESS: (contact.address,),
        CERTIFICATES: (contact.smime_value,),
    }


def _held(stored: Stored) -> dict[str, tuple[Value, ...]]:
    texts = {DISPLAY_NAME: stored.display_name, FILE_AS: stored.file_as}
    return {
        **{name: (text,) if text else () for name, text in texts.items()},
        ADDRESS: stored.addresses[:1],
        CERTIFICATES: stored.values,
    }


def _same(attribute: str, old: Sequence[Value], new: Sequence[Value]) -> bool:
    if attribute == ADDRESS:
        return [str(one).lower() for one in old] == [str(one).lower() for one in new]
    return tuple(old) == tuple(new)
