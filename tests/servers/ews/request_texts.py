"""Requests of EWS written by hand, for the bare client: the order of their elements is that of the public schema."""

import base64

from tests.servers.ews.xml_names import clean


def well_known(name: str) -> str:
    """A folder by its well-known name."""
    return f'<t:DistinguishedFolderId Id="{name}"/>'


def field(uri: str) -> str:
    """A path such as `item:Subject`."""
    return f'<t:FieldURI FieldURI="{uri}"/>'


def named(property_set: str, name: str) -> str:
    """A path to a named string property: an internet header, or a property of one's own."""
    where = f'DistinguishedPropertySetId="{property_set}" PropertyName="{name}"'
    return f'<t:ExtendedFieldURI {where} PropertyType="String"/>'


def tag(number: int, kind: str) -> str:
    """A path to a MAPI property with a number."""
    return f'<t:ExtendedFieldURI PropertyTag="0x{number:04X}" PropertyType="{kind}"/>'


def value(path: str, text: str) -> str:
    """An extended property with a value."""
    return f"<t:ExtendedProperty>{path}<t:Value>{clean(text)}</t:Value></t:ExtendedProperty>"


def compare(kind: str, path: str, constant: str) -> str:
    """A search expression such as `IsEqualTo`."""
    operand = f'<t:FieldURIOrConstant><t:Constant Value="{constant}"/></t:FieldURIOrConstant>'
    return f"<t:{kind}>{path}{operand}</t:{kind}>"


def contains(mode: str, comparison: str, path: str, constant: str) -> str:
    """The search expression `Contains`."""
    how = f'ContainmentMode="{mode}" ContainmentComparison="{comparison}"'
    return f'<t:Contains {how}>{path}<t:Constant Value="{constant}"/></t:Contains>'


def shape(base: str, paths: str = "", *, kind: str = "ItemShape", with_mime: bool = False) -> str:
    """What of an item or folder is wanted."""
    mime_too = "<t:IncludeMimeContent>true</t:IncludeMimeContent>" if with_mime else ""
    more = f"<t:AdditionalProperties>{paths}</t:AdditionalProperties>" if paths else ""
    return f"<m:{kind}><t:BaseShape>{base}</t:BaseShape>{mime_too}{more}</m:{kind}>"


def item_ids(*ids: str) -> str:
    """`m:ItemIds`."""
    return "<m:ItemIds>" + "".join(f'<t:ItemId Id="{item_id}"/>' for item_id in ids) + "</m:ItemIds>"


def find_item(
    folder: str = "inbox", *, paths: str = "", restriction: str = "", size: int = 100, offset: int = 0
) -> str:
    """FindItem by subject, ids only unless `paths` wants more."""
    view = f'<m:IndexedPageItemView MaxEntriesReturned="{size}" Offset="{offset}" BasePoint="Beginning"/>'
    where = f"<m:Restriction>{restriction}</m:Restriction>" if restriction else ""
    order = f'<m:SortOrder><t:FieldOrder Order="Ascending">{field("item:Subject")}</t:FieldOrder></m:SortOrder>'
    parents = f"<m:ParentFolderIds>{well_known(folder)}</m:ParentFolderIds>"
    content = f"{shape('IdOnly', paths)}{view}{where}{order}{parents}"
    return f'<m:FindItem Traversal="Shallow">{content}</m:FindItem>'


def get_item(*ids: str, base: str = "AllProperties", paths: str = "") -> str:
    """GetItem with MIME."""
    return f"<m:GetItem>{shape(base, paths, with_mime=True)}{item_ids(*ids)}</m:GetItem>"


def mime_content(data: bytes) -> str:
    """The field MimeContent."""
    return f"<t:MimeContent>{base64.b64encode(data).decode()}</t:MimeContent>"


def to_recipients(*addresses: str) -> str:
    """The field ToRecipients."""
    boxes = "".join(f"<t:Mailbox><t:EmailAddress>{one}</t:EmailAddress></t:Mailbox>" for one in addresses)
    return f"<t:ToRecipients>{boxes}</t:ToRecipients>"


def create_message(content: str, how: str = "SaveOnly", folder: str = "") -> str:
    """CreateItem with one message."""
    target = f"<m:SavedItemFolderId>{well_known(folder)}</m:SavedItemFolderId>" if folder else ""
    items = f"<m:Items><t:Message>{content}</t:Message></m:Items>"
    return f'<m:CreateItem MessageDisposition="{how}">{target}{items}</m:CreateItem>'


def transfer(operation: str, item_id: str, folder: str) -> str:
    """MoveItem or CopyItem."""
    return f"<m:{operation}><m:ToFolderId>{well_known(folder)}</m:ToFolderId>{item_ids(item_id)}</m:{operation}>"


def delete_item(item_id: str, how: str = "HardDelete") -> str:
    """DeleteItem."""
    return f'<m:DeleteItem DeleteType="{how}">{item_ids(item_id)}</m:DeleteItem>'


def update_item(item_id: str, *steps: str, change_key: str = "", conflict: str = "AlwaysOverwrite") -> str:
    """UpdateItem of one item."""
    key = f' ChangeKey="{change_key}"' if change_key else ""
    change = f'<t:ItemId Id="{item_id}"{key}/><t:Updates>{"".join(steps)}</t:Updates>'
    changes = f"<m:ItemChanges><t:ItemChange>{change}</t:ItemChange></m:ItemChanges>"
    return f'<m:UpdateItem ConflictResolution="{conflict}" MessageDisposition="SaveOnly">{changes}</m:UpdateItem>'


def set_field(path: str, content: str) -> str:
    """One step of UpdateItem."""
    return f"<t:SetItemField>{path}<t:Message>{content}</t:Message></t:SetItemField>"


def subscribe(kind: str, *folders: str, events: str = "NewMailEvent CreatedEvent MovedEvent DeletedEvent") -> str:
    """Subscribe, `Pull` or `Streaming`; without folders, to all of them."""
    places = "".join(well_known(name) for name in folders)
    where = f"<t:FolderIds>{places}</t:FolderIds>" if folders else ""
    kinds = "".join(f"<t:EventType>{event}</t:EventType>" for event in events.split())
    timeout = "<t:Timeout>10</t:Timeout>" if kind == "Pull" else ""
    everywhere = "" if folders else ' SubscribeToAllFolders="true"'
    content = f"{where}<t:EventTypes>{kinds}</t:EventTypes>{timeout}"
    return (
        f"<m:Subscribe><m:{kind}SubscriptionRequest{everywhere}>{content}</m:{kind}SubscriptionRequest></m:Subscribe>"
    )


def stream(*subscriptions: str, minutes: int = 1) -> str:
    """GetStreamingEvents."""
    names = "".join(f"<t:SubscriptionId>{name}</t:SubscriptionId>" for name in subscriptions)
    timeout = f"<m:ConnectionTimeout>{minutes}</m:ConnectionTimeout>"
    return f"<m:GetStreamingEvents><m:SubscriptionIds>{names}</m:SubscriptionIds>{timeout}</m:GetStreamingEvents>"


def get_events(subscription: str, watermark: str) -> str:
    """GetEvents."""
    content = f"<m:SubscriptionId>{subscription}</m:SubscriptionId><m:Watermark>{watermark}</m:Watermark>"
    return f"<m:GetEvents>{content}</m:GetEvents>"


def sync(state: str = "", *, folder: str = "inbox", most: int = 100) -> str:
    """SyncFolderItems."""
    known = f"<m:SyncState>{state}</m:SyncState>" if state else ""
    content = f"{shape('IdOnly')}<m:SyncFolderId>{well_known(folder)}</m:SyncFolderId>{known}"
    return f"<m:SyncFolderItems>{content}<m:MaxChangesReturned>{most}</m:MaxChangesReturned></m:SyncFolderItems>"


def resolve(words: str, *, scope: str = "ActiveDirectory", shape_name: str = "AllProperties") -> str:
    """ResolveNames."""
    how = f'ReturnFullContactData="true" SearchScope="{scope}" ContactDataShape="{shape_name}"'
    return f"<m:ResolveNames {how}><m:UnresolvedEntry>{words}</m:UnresolvedEntry></m:ResolveNames>"


def expand(address: str) -> str:
    """ExpandDL."""
    return f"<m:ExpandDL><m:Mailbox><t:EmailAddress>{address}</t:EmailAddress></m:Mailbox></m:ExpandDL>"
