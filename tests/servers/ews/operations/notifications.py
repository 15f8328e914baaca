"""Subscribe, Unsubscribe, GetEvents and SyncFolderItems (MS-OXWSNTIF and MS-OXWSSYNC, sections 3.1.4)."""

import base64
import xml.etree.ElementTree as ET

from tests.servers.ews.operations.call import Call, refused, succeeded
from tests.servers.ews.operations.item_reading import Shape
from tests.servers.ews.refusals import EwsError
from tests.servers.ews.store import Change, Event, Mailbox, StoredFolder
from tests.servers.ews.subscriptions import event_element, position_of, watermark
from tests.servers.ews.xml_names import child, make, need, said, short, text_of, truth

_MOST_CHANGES = 512


def subscribe(call: Call, request: ET.Element) -> list[ET.Element]:
    """A pull or streaming subscription."""
    wanted = request[0]
    streaming = short(wanted) == "m:StreamingSubscriptionRequest"
    try:
        folders = child(wanted, "t:FolderIds")
        everywhere = truth(wanted.get("SubscribeToAllFolders", ""))
        if everywhere == (folders is not None):
            raise EwsError("ErrorInvalidSubscriptionRequest", "Name folders, or subscribe to all folders.")
        places = [call.folder(element) for element in folders] if folders is not None else []
        owners = {mailbox.address for mailbox, _ in places} or {call.mailbox().address}
        if len(owners) > 1:
            raise EwsError("ErrorInvalidSubscriptionRequest", "All folders must be in one mailbox.")
        kinds = [text_of(kind) for kind in need(wanted, "t:EventTypes")]
        minutes = int(text_of(wanted, "t:Timeout") or 30)
        made = call.subscriptions.add(
            call.user,
            owners.pop(),
            streaming,
            None if everywhere else [folder.id for _, folder in places],
            kinds,
            minutes,
        )
        given = text_of(wanted, "t:Watermark")
        if given:
            made.position = position_of(given)
    except EwsError as error:
        return [refused("Subscribe", error)]
    parts = [make("m:SubscriptionId", made.id)]
    if not streaming:
        parts.append(make("m:Watermark", watermark(made.position)))
    return [succeeded("Subscribe", *parts)]


def unsubscribe(call: Call, request: ET.Element) -> list[ET.Element]:
    """End a subscription."""
    try:
        call.subscriptions.remove(text_of(request, "m:SubscriptionId"))
    except EwsError as error:
        return [refused("Unsubscribe", error)]
    return [succeeded("Unsubscribe")]


def get_events(call: Call, request: ET.Element) -> list[ET.Element]:
    """What happened since a watermark; when nothing did, one StatusEvent."""
    try:
        subscription = call.subscriptions.get(text_of(request, "m:SubscriptionId"), streaming=False)
        before = text_of(request, "m:Watermark")
        events = call.subscriptions.since(subscription, position_of(before))
    except EwsError as error:
        return [refused("GetEvents", error)]
    shown = [event_element(event, root_of(call, subscription.user), with_watermark=True) for event in events]
    if not shown:
        shown = [make("t:StatusEvent", [make("t:Watermark", watermark(len(call.world.journal)))])]
    parts = [make("t:SubscriptionId", subscription.id), make("t:PreviousWatermark", before)]
    return [succeeded("GetEvents", make("m:Notification", [*parts, make("t:MoreEvents", "false"), *shown]))]


def root_of(call: Call, address: str) -> str:
    """The id of the folder above Inbox and the others."""
    mailbox = call.world.mailboxes[address]
    return next(
        folder.id for folder in mailbox.folders.values() if folder.well_known in ("msgfolderroot", "publicfoldersroot")
    )


def sync_folder_items(call: Call, request: ET.Element) -> list[ET.Element]:
    """What changed in a folder since a sync state; an empty one means everything."""
    try:
        shape = Shape(need(request, "m:ItemShape"), in_sync=True)
        mailbox, folder = call.folder(need(request, "m:SyncFolderId")[0])
        start = _read_state(call, folder, text_of(request, "m:SyncState"))
        most = int(text_of(request, "m:MaxChangesReturned"))
        if not 1 <= most <= _MOST_CHANGES:
            raise EwsError("ErrorInvalidSyncStateData", f"MaxChangesReturned must be between 1 and {_MOST_CHANGES}.")
    except EwsError as error:
        nothing = (make("m:SyncState"), make("m:IncludesLastItemInRange", "true"))
        message = refused("SyncFolderItems", error)
        message.extend(nothing)
        return [message]
    ignored = child(request, "m:Ignore")
    changes = _changes(call, mailbox, folder, start, {item.get("Id", "") for item in ignored or ()})
    end = changes[most][0] - 1 if len(changes) > most else len(call.world.journal)
    shown = [_change_element(folder, shape, kind, item_id) for _, kind, item_id in changes[:most]]
    return [
        succeeded(
            "SyncFolderItems",
            make("m:SyncState", base64.b64encode(f"ews-double|{folder.id}|{end}".encode()).decode()),
            make("m:IncludesLastItemInRange", said(len(changes) <= most)),
            make("m:Changes", shown),
        )
    ]


def _read_state(call: Call, folder: StoredFolder, text: str) -> int:
    if not text:
        return 0
    parts = base64.b64decode(text).decode("utf-8", "replace").split("|")
    known = len(parts) == 3 and parts[:2] == ["ews-double", folder.id] and parts[2].isdigit()
    if not known or call.quirks.expired_sync_states:
        raise EwsError("ErrorInvalidSyncStateData", "Synchronization state data is corrupt or otherwise invalid.")
    return int(parts[2])


def _changes(
    call: Call, mailbox: Mailbox, folder: StoredFolder, start: int, ignored: set[str]
) -> list[tuple[int, str, str]]:
    """(number of its first event, kind of change, id) of each item of the folder that changed, oldest first."""
    first: dict[str, int] = {}
    seen: dict[str, list[Event]] = {}
    for event in call.world.journal[start:]:
        if event.mailbox != mailbox.address or not event.item_id:
            continue
        for item_id, place in ((event.item_id, event.folder_id), (event.old_item_id, event.old_folder_id)):
            if item_id and place == folder.id and not (item_id == event.old_item_id and event.change is Change.COPIED):
                first.setdefault(item_id, event.number)
                seen.setdefault(item_id, []).append(event)
    found = []
    for item_id, number in sorted(first.items(), key=lambda pair: pair[1]):
        kind = _kind_of_change(item_id, seen[item_id], item_id in folder.items)
        if kind and item_id not in ignored:
            found.append((number, kind, item_id))
    return found


def _kind_of_change(item_id: str, events: list[Event], exists: bool) -> str:
    arrived = any(
        event.change is Change.CREATED or (event.change in (Change.MOVED, Change.COPIED) and event.item_id == item_id)
        for event in events
    )
    if not exists:
        return "" if arrived else "Delete"
    if arrived:
        return "Create"
    return "ReadFlagChange" if all(event.read_flag_only for event in events) else "Update"


def _change_element(folder: StoredFolder, shape: Shape, kind: str, item_id: str) -> ET.Element:
    if kind == "Delete":
        return make("t:Delete", [make("t:ItemId", "", Id=item_id, ChangeKey="AQAAAA==")])
    item = folder.items[item_id]
    if kind == "ReadFlagChange":
        identity = make("t:ItemId", "", Id=item.id, ChangeKey=item.change_key)
        return make("t:ReadFlagChange", [identity, make("t:IsRead", text_of(item.fields.get("IsRead")) or "false")])
    return make(f"t:{kind}", [shape.show(item)])
