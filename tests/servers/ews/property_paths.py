"""Paths to a property of an item, as requests name them: field, entry of a list, or MAPI property.

`t:FieldURI`, `t:IndexedFieldURI` and `t:ExtendedFieldURI` (MS-OXWSCDATA section 2.2.4); property sets by name
or by GUID are the same thing (MS-OXPROPS section 1.3.2).
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from tests.servers.ews.item_grammar import CONTACT_FIELDS, ITEM_FIELDS, MESSAGE_FIELDS
from tests.servers.ews.refusals import EwsFault
from tests.servers.ews.store import ExtendedKey
from tests.servers.ews.xml_names import children, make, need, short, text_of

INTERNET_HEADERS = "00020386-0000-0000-c000-000000000046"
PUBLIC_STRINGS = "00020329-0000-0000-c000-000000000046"
TAG = "tag"

_SETS = {
    "InternetHeaders": INTERNET_HEADERS,
    "PublicStrings": PUBLIC_STRINGS,
    "Common": "00062008-0000-0000-c000-000000000046",
    "Address": "00062004-0000-0000-c000-000000000046",
    "Appointment": "00062002-0000-0000-c000-000000000046",
    "Task": "00062003-0000-0000-c000-000000000046",
    "Meeting": "6ed8da90-450b-101b-98da-00aa003f1305",
    "Sharing": "00062040-0000-0000-c000-000000000046",
    "CalendarAssistant": "11000e07-b51b-40d6-af21-caa85edab1d0",
    "UnifiedMessaging": "4442858e-a9e3-4e80-b900-317a210cc15b",
}
_LISTS = {
    "EmailAddress": "EmailAddresses", "PhoneNumber": "PhoneNumbers", "ImAddress": "ImAddresses",
    "PhysicalAddress": "PhysicalAddresses", "InternetMessageHeader": "InternetMessageHeaders",
}  # fmt: skip
_KNOWN = {
    *ITEM_FIELDS, *MESSAGE_FIELDS, *CONTACT_FIELDS,
    # known to Exchange, never there in this double
    "ResponseObjects", "ReminderNextTime", "NormalizedBody", "EntityExtractionResult", "PolicyTag", "ArchiveTag",
    "RetentionDate", "ApprovalRequestData", "VotingInformation", "ReminderMessageData", "RightsManagementLicenseData",
    "IconIndex", "FolderId", "FolderClass", "TotalCount", "ChildFolderCount",
    "UnreadCount", "DistinguishedFolderId", "PermissionSet", "ManagedFolderInformation", "SharingEffectiveRights",
    "HasBlockedImages", "BlockStatus", "SearchKey", "SortKey", "Hashtags", "Mentions", "MentionedMe",
}  # fmt: skip

_OTHER_KINDS = {"calendar", "task", "meeting", "meetingRequest", "distributionlist", "postitem", "conversation"}
"""Kinds of items that this double never has, with fields that a client may ask for all the same."""


@dataclass(frozen=True)
class Field:
    """A named field of an item or folder."""

    name: str


@dataclass(frozen=True)
class Entry:
    """One entry of a list of a contact, or one header field of a message."""

    container: str
    key: str
    part: str = ""
    """Of a postal address: `Street`, `City`…"""


@dataclass(frozen=True)
class Extended:
    """A MAPI property."""

    key: ExtendedKey
    attributes: tuple[tuple[str, str], ...]
    """As the request wrote them; the answer repeats them."""

    @property
    def is_list(self) -> bool:
        """Whether it holds several values."""
        return self.key[2].endswith("Array")

    @property
    def header_name(self) -> str:
        """The internet header that it stands for; empty for every other property."""
        return dict(self.attributes).get("PropertyName", "") if self.key[0] == INTERNET_HEADERS else ""


Path = Field | Entry | Extended


def read_path(element: ET.Element) -> Path:
    """The path that one of the three elements says; a field that no item has is a schema violation."""
    kind = short(element)
    if kind == "t:ExtendedFieldURI":
        return read_extended(element)
    uri = element.get("FieldURI", "")
    name = uri.partition(":")[2]
    if kind == "t:FieldURI":
        if name not in _KNOWN and uri.partition(":")[0] not in _OTHER_KINDS:
            raise _no_field(uri)
        return Field(name)
    container, _, part = name.partition(":")
    if container not in _LISTS:
        raise _no_field(uri)
    return Entry(_LISTS[container], element.get("FieldIndex", ""), part)


def _no_field(uri: str) -> EwsFault:
    return EwsFault(
        "ErrorSchemaValidation",
        "The request failed schema validation: The 'FieldURI' attribute is invalid - "
        f"The value '{uri}' is invalid according to its datatype.",
    )


def read_extended(element: ET.Element) -> Extended:
    """A MAPI property by tag, or by set and name or number; raises ErrorInvalidExtendedProperty."""
    given = element.attrib
    kind = given["PropertyType"]
    attributes = tuple(given.items())
    if "PropertyTag" in given:
        if given.keys() & {"PropertyName", "PropertyId", "PropertySetId", "DistinguishedPropertySetId"}:
            raise _no_property()
        return Extended((TAG, str(int(given["PropertyTag"], 0)), kind), attributes)
    name = given.get("PropertyName", given.get("PropertyId", "")).lower()
    one_set = ("PropertySetId" in given) != ("DistinguishedPropertySetId" in given)
    one_name = ("PropertyName" in given) != ("PropertyId" in given)
    if not (name and one_set and one_name):
        raise _no_property()
    known = given.get("DistinguishedPropertySetId", "")
    return Extended(((_SETS.get(known, known) or given["PropertySetId"]).lower(), name, kind), attributes)


def _no_property() -> EwsFault:
    return EwsFault("ErrorInvalidExtendedProperty", "The extended property attribute combination is invalid.")


def read_extended_value(element: ET.Element) -> tuple[Extended, tuple[str, ...]]:
    """A `t:ExtendedProperty` with its value or values."""
    path = read_extended(need(element, "t:ExtendedFieldURI"))
    many = element.find("{*}Values")
    if path.is_list != (many is not None):
        raise EwsFault("ErrorInvalidExtendedPropertyValue", "The extended property value doesn't match its type.")
    if many is not None:
        return path, tuple(text_of(value) for value in children(many, "t:Value"))
    return path, ((need(element, "t:Value").text or ""),)


def extended_element(path: Extended, values: tuple[str, ...]) -> ET.Element:
    """A property and its values as an answer shows them."""
    parts = [make("t:Value", value) for value in values]
    content = make("t:Values", parts) if path.is_list else parts[0]
    return make("t:ExtendedProperty", [make("t:ExtendedFieldURI", "", **dict(path.attributes)), content])


def header_key(name: str) -> ExtendedKey:
    """The key of the property that stands for an internet header."""
    return INTERNET_HEADERS, name.lower(), "String"
