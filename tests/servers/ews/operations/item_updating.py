"""UpdateItem: set, append to and delete single fields (MS-OXWSCORE section 3.1.4.9)."""

import base64
import xml.etree.ElementTree as ET

from tests.servers.ews import mime_fields
from tests.servers.ews.operations.call import Call, item_ids, refused, succeeded
from tests.servers.ews.operations.item_making import READ_ONLY, set_extended, set_field, take_mime
from tests.servers.ews.operations.item_sending import send
from tests.servers.ews.property_paths import Entry, Extended, Field, Path, read_extended_value, read_path
from tests.servers.ews.refusals import EwsError, EwsFault
from tests.servers.ews.store import Mailbox, StoredItem
from tests.servers.ews.xml_names import children, local_name, make, need, short


def update_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """Set, append to and delete fields."""
    answers = []
    for change in need(request, "m:ItemChanges"):
        try:
            item = _update(call, request, change)
            conflicts = make("m:ConflictResults", [make("t:Count", "0")])
            answers.append(succeeded("UpdateItem", item_ids([item]), conflicts))
        except EwsError as error:
            answers.append(refused("UpdateItem", error))
    return answers


def _update(call: Call, request: ET.Element, change: ET.Element) -> StoredItem:
    wanted = need(change, "t:ItemId")
    mailbox, item = call.item(wanted)
    if item.kind == "Message" and not request.get("MessageDisposition"):
        raise EwsFault("ErrorMessageDispositionRequired", "Message disposition is required.")
    known = wanted.get("ChangeKey", "")
    if not known and request.get("ConflictResolution") != "AlwaysOverwrite":
        raise EwsError("ErrorChangeKeyRequiredForWriteOperations", "Change key is required for this operation.")
    if known not in ("", item.change_key) and request.get("ConflictResolution") == "NeverOverwrite":
        raise EwsError(
            "ErrorIrresolvableConflict",
            "The send or update operation could not be performed because the change key passed in the request does not"
            " match the current change key for the item.",
        )
    touched = []
    for step in need(change, "t:Updates"):
        path = read_path(step[0])
        touched.append(path)
        _apply(mailbox, item, path, step)
    read_flag_only = touched == [Field("IsRead")]
    call.world.touch(mailbox, item, read_flag_only=read_flag_only)
    if request.get("MessageDisposition", "SaveOnly") != "SaveOnly":
        send(call, item)
    return item


def _apply(mailbox: Mailbox, item: StoredItem, path: Path, step: ET.Element) -> None:
    if short(step) == "t:DeleteItemField":
        _forget(item, path)
        return
    given = list(step[1])
    if len(given) != 1:
        raise EwsFault(
            "ErrorIncorrectUpdatePropertyCount",
            "An object within a change description must contain one and only one property to modify.",
        )
    value = given[0]
    if isinstance(path, Extended):
        found, values = read_extended_value(value)
        if found.key != path.key:
            raise _mismatch()
        if short(step) == "t:AppendToItemField":
            values = item.extended.get(path.key, ()) + values
        set_extended(mailbox, item, found, values)
        return
    name = path.container if isinstance(path, Entry) else path.name
    if local_name(value) != name:
        raise _mismatch()
    if name in READ_ONLY:
        raise EwsError("ErrorInvalidPropertySet", f"Set action is invalid for property {name}.")
    if isinstance(path, Entry):
        _set_entry(item, path, value)
    elif name == "MimeContent":
        take_mime(item, base64.b64decode(value.text or ""))
        item.fields.pop("Body", None)
    elif short(step) == "t:AppendToItemField":
        _append(item, name, value)
    else:
        set_field(item, name, value)


def _mismatch() -> EwsFault:
    return EwsFault("ErrorUpdatePropertyMismatch", "The property in the change description doesn't match its path.")


def _append(item: StoredItem, name: str, value: ET.Element) -> None:
    old = item.fields.get(name)
    if old is None:
        item.fields[name] = value
        return
    joined = make(f"t:{name}", [*old, *value], **old.attrib)
    joined.text = (old.text or "") + (value.text or "") or None
    item.fields[name] = joined


def _set_entry(item: StoredItem, path: Entry, value: ET.Element) -> None:
    old = item.fields.get(path.container)
    entries = list(old) if old is not None else []
    new = next((entry for entry in children(value, "t:Entry") if entry.get("Key") == path.key), None)
    if new is None:
        raise _mismatch()
    same = next((entry for entry in entries if entry.get("Key") == path.key), None)
    if path.part and same is not None:
        kept = [part for part in same if local_name(part) != path.part]
        order = ["Street", "City", "State", "CountryOrRegion", "PostalCode"]
        new = make("t:Entry", sorted([*kept, *new], key=lambda part: order.index(local_name(part))), Key=path.key)
    rest = [entry for entry in entries if entry.get("Key") != path.key]
    item.fields[path.container] = make(f"t:{path.container}", [*rest, new])


def _forget(item: StoredItem, path: Path) -> None:
    if isinstance(path, Extended):
        item.extended.pop(path.key, None)
        if path.header_name and item.mime is not None:
            item.mime = mime_fields.with_header(item.mime, path.header_name, None)
    elif isinstance(path, Field):
        if path.name in READ_ONLY:
            raise EwsError("ErrorInvalidPropertyDelete", f"Delete action is invalid for property {path.name}.")
        item.fields.pop(path.name, None)
    elif path.container in item.fields:
        kept = [entry for entry in item.fields[path.container] if entry.get("Key") != path.key]
        item.fields[path.container] = make(f"t:{path.container}", kept)
