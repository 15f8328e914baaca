"""The order of elements in what this server answers, checked before anything is sent.

One answer breaks the public schema on purpose: in streaming notifications the schema says `t:Notification`,
Exchange and its clients use `m:Notification` (MS-OXWSNTIF section 3.1.4.2, the sample message).
"""

from tests.servers.ews.grammar import Grammar, read_table
from tests.servers.ews.item_grammar import ITEMS

_STATUS = "[ResponseClass!=Success|Warning|Error] = m:MessageText? m:ResponseCode? m:DescriptiveLinkKey? m:MessageXml?"
_ITEMS = "(t:Item|t:Message|t:Contact)*"
_PAGED = "[IndexedPagingOffset=#int TotalItemsInView=#int IncludesLastItemInRange=true|false]"
_CHANGED = "t:Watermark? t:TimeStamp (t:FolderId|t:ItemId) t:ParentFolderId"
_EVENT = (
    "(t:CopiedEvent|t:CreatedEvent|t:DeletedEvent|t:ModifiedEvent|t:MovedEvent|t:NewMailEvent|t:StatusEvent"
    "|t:FreeBusyChangedEvent)+"
)
_FIELDS = {
    **dict.fromkeys(("CreateItem", "GetItem", "MoveItem", "CopyItem"), "m:Items"),
    "UpdateItem": "m:Items m:ConflictResults?",
    **dict.fromkeys(("DeleteItem", "SendItem", "DeleteFolder", "Unsubscribe"), ""),
    **dict.fromkeys(("GetFolder", "CreateFolder"), "m:Folders?"),
    **dict.fromkeys(("FindFolder", "FindItem"), "m:RootFolder?"),
    "ConvertId": "m:AlternateId*",
    "ResolveNames": "m:ResolutionSet?",
    "ExpandDL": "m:DLExpansion?",
    "SyncFolderItems": "m:SyncState? m:IncludesLastItemInRange? m:Changes?",
    "Subscribe": "m:SubscriptionId? m:Watermark?",
    "GetEvents": "m:Notification?",
    "GetStreamingEvents": "m:Notifications? m:ErrorSubscriptionIds? m:ConnectionStatus?",
}


def _operations() -> str:
    lines = [f"s:Body = ({'|'.join(f'm:{name}Response' for name in _FIELDS)}|s:Fault)"]
    for name, fields in _FIELDS.items():
        lines.append(f"m:{name}Response = m:ResponseMessages")
        lines.append(f"m:{name}Response/m:ResponseMessages = m:{name}ResponseMessage+")
        lines.append(f"m:{name}ResponseMessage {_STATUS} {fields}")
    return "\n".join(lines)


_ANSWERS = read_table(f"""
s:Envelope = s:Header? s:Body
s:Header = t:ServerVersionInfo
s:Fault = #any
t:ServerVersionInfo [MajorVersion MinorVersion MajorBuildNumber MinorBuildNumber Version] = #empty
m:ResponseMessages = #any
{_operations()}
m:MessageText = #text
m:ResponseCode = #text
m:DescriptiveLinkKey = #int
m:MessageXml = #any
m:Items = {_ITEMS}
t:Items = {_ITEMS}
m:ConflictResults = t:Count
t:Count = #int
m:Folders = (t:Folder|t:ContactsFolder)*
t:Folders = (t:Folder|t:ContactsFolder)*
m:FindFolderResponseMessage/m:RootFolder {_PAGED} = t:Folders?
m:FindItemResponseMessage/m:RootFolder {_PAGED} = t:Items
m:AlternateId [Format! Id! Mailbox! IsArchive] = #empty
m:ResolutionSet {_PAGED} = t:Resolution*
t:Resolution = t:Mailbox t:Contact?
m:DLExpansion {_PAGED} = t:Mailbox*
m:SyncState = #base64
m:IncludesLastItemInRange = #bool
m:Changes = (t:Create|t:Update|t:Delete|t:ReadFlagChange)*
t:Create = (t:Item|t:Message|t:Contact)
t:Update = (t:Item|t:Message|t:Contact)
m:Changes/t:Delete = t:ItemId
t:ReadFlagChange = t:ItemId t:IsRead
m:SubscriptionId = #text
m:Watermark = #text
m:Notifications = m:Notification+
m:Notification = t:SubscriptionId t:PreviousWatermark? t:MoreEvents? {_EVENT}
t:SubscriptionId = #text
t:PreviousWatermark = #text
t:MoreEvents = #bool
t:Watermark = #text
t:TimeStamp = #time
t:OldFolderId [Id! ChangeKey] = #empty
t:OldItemId [Id! ChangeKey] = #empty
t:OldParentFolderId [Id! ChangeKey] = #empty
t:StatusEvent = t:Watermark?
t:CreatedEvent = {_CHANGED}
t:DeletedEvent = {_CHANGED}
t:NewMailEvent = {_CHANGED}
t:FreeBusyChangedEvent = {_CHANGED}
t:ModifiedEvent = {_CHANGED} t:UnreadCount?
t:MovedEvent = {_CHANGED} (t:OldFolderId|t:OldItemId) t:OldParentFolderId
t:CopiedEvent = {_CHANGED} (t:OldFolderId|t:OldItemId) t:OldParentFolderId
m:ErrorSubscriptionIds = t:SubscriptionId+
m:ConnectionStatus = #of OK|Closed
""")

ANSWERS = Grammar(ITEMS, _ANSWERS)
"""For the whole envelope of an answer."""
