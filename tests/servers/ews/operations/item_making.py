"""How an item comes out of the XML or the MIME that a client gives (MS-OXWSCORE section 2.2.4.24).

Nothing here is stored or sent.
"""

import base64
import xml.etree.ElementTree as ET

from tests.servers.ews import mime_fields
from tests.servers.ews.property_paths import INTERNET_HEADERS, TAG, Extended, read_extended_value
from tests.servers.ews.refusals import EwsError
from tests.servers.ews.store import Mailbox, StoredFolder, StoredItem
from tests.servers.ews.transport import promote_headers
from tests.servers.ews.xml_names import child, local_name, make, truth

READ_ONLY = {
    "ItemId", "ParentFolderId", "DateTimeReceived", "Size", "DateTimeCreated", "DateTimeSent", "DisplayTo", "DisplayCc",
    "DisplayBcc", "HasAttachments", "LastModifiedTime", "LastModifiedName", "InternetMessageHeaders", "IsDraft",
    "IsSubmitted", "IsFromMe", "ReceivedBy", "ReceivedRepresenting", "ConversationId", "EffectiveRights",
    "UserSMIMECertificate", "MSExchangeCertificate",
}  # fmt: skip
"""Fields that no client may set."""
_TAGS = {
    0x0037: "Subject", 0x001A: "ItemClass", 0x0039: "DateTimeSent", 0x0E06: "DateTimeReceived",
    0x1035: "InternetMessageId",
}  # fmt: skip


def new_item(mailbox: Mailbox, folder: StoredFolder, element: ET.Element) -> StoredItem:
    """An item, not yet in its folder, from what a client gives."""
    item = StoredItem("", local_name(element), folder.id)
    content = child(element, "t:MimeContent")
    if content is not None:
        take_mime(item, base64.b64decode(content.text or ""))
    for part in element:
        name = local_name(part)
        if name == "ExtendedProperty":
            path, values = read_extended_value(part)
            set_extended(mailbox, item, path, values)
        elif name in READ_ONLY:
            raise EwsError("ErrorInvalidPropertySet", f"Set action is invalid for property {name}.")
        elif name != "MimeContent":
            set_field(item, name, part)
    if item.kind == "Message":
        _complete(item)
        if item.mime is not None:
            promote_headers(mailbox, item, everything=True)
    return item


def take_mime(item: StoredItem, mime: bytes) -> None:
    """Give the message this MIME; raises ErrorMimeContentInvalid."""
    if item.kind != "Message":
        raise EwsError("ErrorMimeContentInvalid", "MIME content is invalid for this kind of item.")
    if not mime_fields.header_block(mime):
        raise EwsError("ErrorMimeContentInvalid", "Mime content is not valid.")
    item.mime = mime
    item.fields.update(mime_fields.from_mime(mime))


def _complete(item: StoredItem) -> None:
    """A message that a client stores is an unsent draft, unless PidTagMessageFlags says otherwise."""
    stored = item.extended.pop((TAG, str(0x0E07), "Integer"), None)
    flags = int(stored[0]) if stored else None
    draft = flags is None or bool(flags & 8)
    item.fields["IsDraft"] = mime_fields.flag("IsDraft", draft)
    if flags is not None:
        item.fields["IsRead"] = mime_fields.flag("IsRead", bool(flags & 1))
        item.fields["IsFromMe"] = mime_fields.flag("IsFromMe", bool(flags & 0x20))
    item.fields.setdefault("IsRead", mime_fields.flag("IsRead", True))


def set_extended(mailbox: Mailbox, item: StoredItem, path: Extended, values: tuple[str, ...]) -> None:
    """Set a MAPI property; those that mirror a field set the field."""
    where, name, _ = path.key
    if where == TAG and int(name) in _TAGS:
        field = _TAGS[int(name)]
        item.fields[field] = make(f"t:{field}", values[0])
        return
    item.extended[path.key] = values
    if where == INTERNET_HEADERS:
        mailbox.named_headers.add(name)
        if item.mime is not None:
            item.mime = mime_fields.with_header(item.mime, path.header_name, values[0])


def set_field(item: StoredItem, name: str, value: ET.Element) -> None:
    """Exchange answers `true` and `false`, however a client wrote them (XML Schema part 2, section 3.2.2.2)."""
    item.fields[name] = mime_fields.flag(name, truth(value.text or "")) if name.startswith("Is") else value
    if name == "Subject" and item.mime is not None:
        item.mime = mime_fields.with_header(item.mime, "Subject", value.text or "")
