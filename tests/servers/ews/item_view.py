"""What can be read of an item: stored fields, and those that follow from its MIME or from the mailbox."""

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable

from tests.servers.ews import mime_fields
from tests.servers.ews.item_grammar import CONTACT_FIELDS, ITEM_FIELDS, MESSAGE_FIELDS
from tests.servers.ews.mime_fields import header_block, people_in
from tests.servers.ews.property_paths import INTERNET_HEADERS, TAG, Entry, Extended, Field, Path, extended_element
from tests.servers.ews.store import StoredFolder, StoredItem, stamp
from tests.servers.ews.xml_names import clean, make, said, text_of, truth

KIND_FIELDS = {"Message": MESSAGE_FIELDS, "Contact": CONTACT_FIELDS, "Item": []}
NOT_IN_SEARCH = {
    "MimeContent", "Body", "UniqueBody", "TextBody", "ToRecipients", "CcRecipients", "BccRecipients", "ReplyTo",
    "Attachments", "InternetMessageHeaders", "UserSMIMECertificate", "MSExchangeCertificate",
}  # fmt: skip
"""Fields that FindItem never shows; GetItem does ([MS] "EWS, MIME, and the missing message properties")."""
_DEFAULT = {
    "ItemId", "ParentFolderId", "ItemClass", "Subject", "Sensitivity", "Body", "Attachments", "DateTimeReceived",
    "Size", "Importance", "IsSubmitted", "IsDraft", "IsFromMe", "DateTimeSent", "DateTimeCreated", "HasAttachments",
    "Sender", "ToRecipients", "CcRecipients", "BccRecipients", "From", "InternetMessageId", "IsRead", "References",
    "FileAs", "DisplayName", "GivenName", "Surname", "CompanyName", "EmailAddresses", "PhoneNumbers",
    "PhysicalAddresses", "JobTitle",
}  # fmt: skip


def whole_mime(item: StoredItem) -> bytes:
    """The mail as MIME: as it came, or built from its fields."""
    if item.mime is not None:
        return item.mime
    return mime_fields.to_mime(item.fields, header_properties(item))


def header_properties(item: StoredItem) -> list[tuple[str, str]]:
    """The internet headers that a client set as properties."""
    return [(name, values[0]) for (where, name, _), values in item.extended.items() if where == INTERNET_HEADERS]


def field_element(item: StoredItem, name: str, body_type: str = "Best") -> ET.Element | None:
    """A field as an element; None when the item has no such field."""
    if name in item.fields and name != "Body":
        return item.fields[name]
    computed = _COMPUTED.get(name)
    if computed and not (item.kind == "Contact" and name in MESSAGE_FIELDS):
        return computed(item)
    if name in ("Body", "TextBody", "UniqueBody"):
        return _body(item, name, "Text" if name == "TextBody" else body_type)
    return None


def _body(item: StoredItem, name: str, wanted: str) -> ET.Element:
    stored = item.fields.get("Body")
    if stored is not None:
        return make(f"t:{name}", stored.text or "", BodyType=stored.get("BodyType", "Text"))
    kind, text = mime_fields.body_of(item.mime or b"\r\n\r\n", wanted)
    return make(f"t:{name}", text, BodyType=kind)


def _item_id(item: StoredItem) -> ET.Element:
    return make("t:ItemId", "", Id=item.id, ChangeKey=item.change_key)


def _display(source: str, name: str) -> Callable[[StoredItem], ET.Element]:
    def shown(item: StoredItem) -> ET.Element:
        people = people_in(item.fields.get(source))
        return make(f"t:{name}", "; ".join(who or address for who, address in people))

    return shown


def _default(name: str, value: str) -> Callable[[StoredItem], ET.Element]:
    return lambda item: make(f"t:{name}", value)


def _headers(item: StoredItem) -> ET.Element | None:
    return mime_fields.internet_headers(item.mime) if item.mime is not None else None


_COMPUTED: dict[str, Callable[[StoredItem], ET.Element | None]] = {
    "ItemId": _item_id,
    "ParentFolderId": lambda item: make("t:ParentFolderId", "", Id=item.folder_id, ChangeKey="AQAAAA=="),
    "MimeContent": lambda item: mime_fields.mime_element(whole_mime(item)) if item.kind == "Message" else None,
    "ItemClass": lambda item: make("t:ItemClass", "IPM.Contact" if item.kind == "Contact" else "IPM.Note"),
    "Size": lambda item: make("t:Size", str(len(item.mime or b"") + 512)),
    "HasAttachments": lambda item: mime_fields.flag("HasAttachments", mime_fields.has_attachments(item.mime or b"")),
    "InternetMessageHeaders": _headers,
    "DateTimeCreated": lambda item: make("t:DateTimeCreated", stamp(item.created)),
    "DateTimeReceived": lambda item: make("t:DateTimeReceived", stamp(item.created)),
    "LastModifiedTime": lambda item: make("t:LastModifiedTime", stamp(item.modified)),
    "DisplayTo": _display("ToRecipients", "DisplayTo"),
    "DisplayCc": _display("CcRecipients", "DisplayCc"),
    "DisplayBcc": _display("BccRecipients", "DisplayBcc"),
    "Sensitivity": _default("Sensitivity", "Normal"),
    "Importance": _default("Importance", "Normal"),
    **{name: _default(name, "false") for name in ("IsSubmitted", "IsDraft", "IsFromMe", "IsResend", "IsUnmodified")},
    **{name: _default(name, "false") for name in ("IsAssociated", "ReminderIsSet", "IsRead")},
}


def read_extended(item: StoredItem, path: Extended) -> tuple[str, ...] | None:
    """The values of a MAPI property; None when the item has no such property."""
    where, name, _ = path.key
    if where == INTERNET_HEADERS and time.monotonic() < item.headers_seen_from:
        return None
    if path.key in item.extended:
        return item.extended[path.key]
    if where == TAG and int(name) in _BY_TAG:
        value = _BY_TAG[int(name)](item)
        return None if value is None else (value,)
    return None


def _flags(item: StoredItem) -> str:
    """PidTagMessageFlags (MS-OXCMSG section 2.2.1.6): read, unsent, has attachments, from me."""
    bits = {"IsRead": 1, "IsDraft": 8, "HasAttachments": 0x10, "IsFromMe": 0x20}
    return str(sum(bit for name, bit in bits.items() if truth(text_of(field_element(item, name)))))


def _field_text(name: str) -> Callable[[StoredItem], str | None]:
    def read(item: StoredItem) -> str | None:
        element = field_element(item, name)
        return None if element is None else element.text or ""

    return read


def _transport_headers(item: StoredItem) -> str | None:
    if item.mime is None:
        return None
    return clean("".join(f"{name}: {value}\r\n" for name, value in header_block(item.mime)) + "\r\n")


_BY_TAG: dict[int, Callable[[StoredItem], str | None]] = {
    0x001A: _field_text("ItemClass"),
    0x0037: _field_text("Subject"),
    0x0039: _field_text("DateTimeSent"),
    0x007D: _transport_headers,
    0x0E06: _field_text("DateTimeReceived"),
    0x0E07: _flags,
    0x0E08: _field_text("Size"),
    0x1035: _field_text("InternetMessageId"),
    0x1042: _field_text("InReplyTo"),
    0x3007: _field_text("DateTimeCreated"),
    0x3008: _field_text("LastModifiedTime"),
}


def read_values(item: StoredItem, path: Path) -> tuple[str, ...] | None:
    """The property as texts, to compare and to sort; None when it is not there."""
    if isinstance(path, Extended):
        return read_extended(item, path)
    element = field_element(item, path.container if isinstance(path, Entry) else path.name)
    if element is None:
        return None
    if isinstance(path, Field):
        return tuple(text for text in element.itertext() if text.strip()) or ("",)
    found = [entry for entry in element if path.key.lower() in _keys(entry)]
    if path.part:
        return tuple(text_of(entry, f"t:{path.part}") for entry in found) or None
    return tuple(entry.text or "" for entry in found) or None


def show(
    item: StoredItem, names: Iterable[str], paths: Iterable[Path], *, body_type: str = "Best", in_search: bool = False
) -> ET.Element:
    """The item as an element with these fields, in the schema's order."""
    fields: dict[str, list[ET.Element]] = {}
    for name in names:
        _put(fields, name, field_element(item, name, body_type))
    for path in paths:
        if isinstance(path, Field):
            _put(fields, path.name, field_element(item, path.name, body_type))
        elif isinstance(path, Extended):
            values = read_extended(item, path)
            if values is not None:
                shown = tuple(value[:255] for value in values) if in_search and path.key[2] == "String" else values
                fields.setdefault("ExtendedProperty", []).append(extended_element(path, shown))
        else:
            _put_entry(fields, item, path)
    order = ITEM_FIELDS + KIND_FIELDS[item.kind]
    return make(f"t:{item.kind}", [part for name in order for part in fields.get(name, ())])


def _put(fields: dict[str, list[ET.Element]], name: str, element: ET.Element | None) -> None:
    if element is not None:
        fields[name] = [element]


def _put_entry(fields: dict[str, list[ET.Element]], item: StoredItem, path: Entry) -> None:
    whole = field_element(item, path.container)
    if whole is None:
        return
    wanted = [entry for entry in whole if path.key.lower() in _keys(entry)]
    if wanted:
        kept = fields.setdefault(path.container, [make(f"t:{path.container}")])[0]
        kept.extend(entry for entry in wanted if entry not in list(kept))


def _keys(entry: ET.Element) -> tuple[str, str]:
    return entry.get("Key", "").lower(), entry.get("HeaderName", "").lower()


def shape_names(shape: str, item: StoredItem, in_search: bool) -> list[str]:
    """The fields of a base shape (`IdOnly`, `Default`, `AllProperties`)."""
    known = ITEM_FIELDS + KIND_FIELDS[item.kind]
    if shape == "IdOnly":
        return ["ItemId"]
    wanted = [name for name in known if shape == "AllProperties" or name in _DEFAULT]
    return [name for name in wanted if name != "MimeContent" and not (in_search and name in NOT_IN_SEARCH)]


def show_folder(folder: StoredFolder, child_count: int, paths: Iterable[Path], ids_only: bool) -> ET.Element:
    """A folder as an element."""
    contacts = folder.folder_class.startswith("IPF.Contact")
    parts = [make("t:FolderId", "", Id=folder.id, ChangeKey="AQAAAA==")]
    wanted = {path.name for path in paths if isinstance(path, Field)}

    def add(name: str, value: str) -> None:
        if (not ids_only or name in wanted) and value:
            parts.append(make(f"t:{name}", value))

    if folder.parent_id and (not ids_only or "ParentFolderId" in wanted):
        parts.append(make("t:ParentFolderId", "", Id=folder.parent_id, ChangeKey="AQAAAA=="))
    add("FolderClass", folder.folder_class)
    add("DisplayName", folder.name)
    add("TotalCount", str(len(folder.items)))
    add("ChildFolderCount", str(child_count))
    for path in paths:
        if isinstance(path, Extended) and path.key in folder.extended:
            parts.append(extended_element(path, folder.extended[path.key]))
    if not ids_only or "EffectiveRights" in wanted:
        rights = ("CreateAssociated", "CreateContents", "CreateHierarchy", "Delete", "Modify", "Read")
        parts.append(make("t:EffectiveRights", [make(f"t:{right}", said(True)) for right in rights]))
    add("DistinguishedFolderId", folder.well_known)
    if not contacts:
        add("UnreadCount", str(folder.unread))
    return make("t:ContactsFolder" if contacts else "t:Folder", parts)
