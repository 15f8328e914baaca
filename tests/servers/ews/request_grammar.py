"""The order of elements in what a client sends (the request types of the messages schema of EWS)."""

from tests.servers.ews.grammar import Grammar, read_table
from tests.servers.ews.item_grammar import ITEMS

_SHAPES = "IdOnly|Default|AllProperties"
_PATH = "(t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI)"
_ITEM = "(t:Item|t:Message|t:Contact)"
_FOLDER = "(t:FolderId|t:DistinguishedFolderId)"
_SEARCH = (
    "(t:And|t:Or|t:Not|t:Contains|t:Exists|t:Excludes|t:IsEqualTo|t:IsNotEqualTo|t:IsGreaterThan"
    "|t:IsGreaterThanOrEqualTo|t:IsLessThan|t:IsLessThanOrEqualTo)"
)
_OPERANDS = f"{_PATH} t:FieldURIOrConstant"
_FORMATS = "EwsLegacyId|EwsId|EntryId|HexEntryId|StoreId|OwaId"
_MODES = "FullString|Prefixed|Substring|PrefixOnWords|ExactPhrase"
_COMPARISONS = (
    "Exact|IgnoreCase|IgnoreNonSpacingCharacters|Loose|IgnoreCaseAndNonSpacingCharacters"
    "|LooseAndIgnoreCase|LooseAndIgnoreNonSpace|LooseAndIgnoreCaseAndIgnoreNonSpace"
)
_DISPOSITIONS = "SaveOnly|SendOnly|SendAndSaveCopy"
_MEETINGS = "SendToNone|SendOnlyToAll|SendToAllAndSaveCopy"
_CHANGED_MEETINGS = f"{_MEETINGS}|SendOnlyToChanged|SendToChangedAndSaveCopy"
_EVENTS = "t:FolderIds? t:EventTypes"

_REQUESTS = read_table(f"""
s:Envelope = s:Header? s:Body
s:Header = t:RequestServerVersion? t:MailboxCulture? t:ExchangeImpersonation? t:TimeZoneContext?
    t:DateTimePrecision?
t:RequestServerVersion [Version!] = #empty
t:MailboxCulture = #text
t:DateTimePrecision = #text
t:TimeZoneContext = #any
t:ExchangeImpersonation = t:ConnectingSID
t:ConnectingSID = (t:PrincipalName|t:SID|t:PrimarySmtpAddress|t:SmtpAddress)
t:PrincipalName = #text
t:SID = #text
t:PrimarySmtpAddress = #text
t:SmtpAddress = #text
s:Body = (m:ConvertId|m:GetFolder|m:FindFolder|m:CreateFolder|m:DeleteFolder|m:CreateItem|m:GetItem|m:FindItem
    |m:UpdateItem|m:MoveItem|m:CopyItem|m:DeleteItem|m:SendItem|m:ResolveNames|m:ExpandDL|m:SyncFolderItems
    |m:Subscribe|m:Unsubscribe|m:GetStreamingEvents|m:GetEvents)
m:ConvertId [DestinationFormat!={_FORMATS}] = m:SourceIds
m:SourceIds = (t:AlternateId|t:AlternatePublicFolderId|t:AlternatePublicFolderItemId)+
t:AlternateId [Format!={_FORMATS} Id! Mailbox! IsArchive=#bool] = #empty
t:AlternatePublicFolderId [Format!={_FORMATS} FolderId!] = #empty
t:AlternatePublicFolderItemId [Format!={_FORMATS} FolderId! ItemId!] = #empty
m:GetFolder = m:FolderShape m:FolderIds
m:FolderShape = t:BaseShape t:AdditionalProperties?
m:FolderIds = {_FOLDER}+
t:FolderIds = {_FOLDER}+
t:BaseShape = #of IdOnly|Default|AllProperties
t:AdditionalProperties = {_PATH}+
m:FindFolder [Traversal!=Shallow|Deep|SoftDeleted] = m:FolderShape m:IndexedPageFolderView? m:Restriction?
    m:ParentFolderIds
m:IndexedPageFolderView [MaxEntriesReturned=#int Offset!=#int BasePoint!=Beginning|End] = #empty
m:ParentFolderIds = {_FOLDER}+
m:CreateFolder = m:ParentFolderId m:Folders
m:ParentFolderId = {_FOLDER}
m:Folders = (t:Folder|t:ContactsFolder)+
m:DeleteFolder [DeleteType!=HardDelete|SoftDelete|MoveToDeletedItems] = m:FolderIds
m:CreateItem [MessageDisposition={_DISPOSITIONS} SendMeetingInvitations={_MEETINGS}] = m:SavedItemFolderId? m:Items
m:SavedItemFolderId = {_FOLDER}
m:Items = {_ITEM}+
m:GetItem = m:ItemShape m:ItemIds
m:ItemShape = t:BaseShape t:IncludeMimeContent? t:BodyType? t:UniqueBodyType? t:FilterHtmlContent?
    t:ConvertHtmlCodePageToUTF8? t:AdditionalProperties?
t:IncludeMimeContent = #bool
t:BodyType = #of Best|HTML|Text
t:UniqueBodyType = #of Best|HTML|Text
t:FilterHtmlContent = #bool
t:ConvertHtmlCodePageToUTF8 = #bool
m:ItemIds = t:ItemId+
m:FindItem [Traversal!=Shallow|SoftDeleted|Associated] = m:ItemShape m:IndexedPageItemView? m:Restriction?
    m:SortOrder? m:ParentFolderIds m:QueryString?
m:IndexedPageItemView [MaxEntriesReturned=#int Offset!=#int BasePoint!=Beginning|End] = #empty
m:SortOrder = t:FieldOrder+
t:FieldOrder [Order!=Ascending|Descending] = {_PATH}
m:QueryString = #text
m:Restriction = {_SEARCH}
t:And = {_SEARCH}+
t:Or = {_SEARCH}+
t:Not = {_SEARCH}
t:Contains [ContainmentMode={_MODES} ContainmentComparison={_COMPARISONS}] = {_PATH} t:Constant
t:Exists = {_PATH}
t:Excludes = {_PATH} t:Bitmask
t:Bitmask [Value!] = #empty
t:IsEqualTo = {_OPERANDS}
t:IsNotEqualTo = {_OPERANDS}
t:IsGreaterThan = {_OPERANDS}
t:IsGreaterThanOrEqualTo = {_OPERANDS}
t:IsLessThan = {_OPERANDS}
t:IsLessThanOrEqualTo = {_OPERANDS}
t:FieldURIOrConstant = (t:Constant|t:FieldURI|t:IndexedFieldURI|t:ExtendedFieldURI)
t:Constant [Value!] = #empty
m:UpdateItem [ConflictResolution!=NeverOverwrite|AutoResolve|AlwaysOverwrite MessageDisposition={_DISPOSITIONS}
    SendMeetingInvitationsOrCancellations={_CHANGED_MEETINGS} SuppressReadReceipts=#bool] =
    m:SavedItemFolderId? m:ItemChanges
m:ItemChanges = t:ItemChange+
t:ItemChange = t:ItemId t:Updates
t:Updates = (t:SetItemField|t:AppendToItemField|t:DeleteItemField)+
t:SetItemField = {_PATH} {_ITEM}
t:AppendToItemField = {_PATH} {_ITEM}
t:DeleteItemField = {_PATH}
m:MoveItem = m:ToFolderId m:ItemIds m:ReturnNewItemIds?
m:CopyItem = m:ToFolderId m:ItemIds m:ReturnNewItemIds?
m:ToFolderId = {_FOLDER}
m:ReturnNewItemIds = #bool
m:DeleteItem [DeleteType!=HardDelete|SoftDelete|MoveToDeletedItems SendMeetingCancellations={_MEETINGS}
    AffectedTaskOccurrences=AllOccurrences|SpecifiedOccurrenceOnly SuppressReadReceipts=#bool] = m:ItemIds
m:SendItem [SaveItemToFolder!=#bool] = m:ItemIds m:SavedItemFolderId?
m:ResolveNames [ReturnFullContactData!=#bool ContactDataShape={_SHAPES}
    SearchScope=ActiveDirectory|ActiveDirectoryContacts|Contacts|ContactsActiveDirectory] =
    m:ParentFolderIds? m:UnresolvedEntry
m:UnresolvedEntry = #text
m:ExpandDL = m:Mailbox
m:Mailbox = t:Name? t:EmailAddress? t:RoutingType? t:MailboxType? t:ItemId?
m:SyncFolderItems = m:ItemShape m:SyncFolderId m:SyncState? m:Ignore? m:MaxChangesReturned m:SyncScope?
m:SyncFolderId = {_FOLDER}
m:SyncState = #base64
m:Ignore = t:ItemId+
m:MaxChangesReturned = #int
m:SyncScope = #of NormalItems|NormalAndAssociatedItems
m:Subscribe = (m:PullSubscriptionRequest|m:StreamingSubscriptionRequest)
m:PullSubscriptionRequest [SubscribeToAllFolders=#bool] = {_EVENTS} t:Watermark? t:Timeout
m:StreamingSubscriptionRequest [SubscribeToAllFolders=#bool] = {_EVENTS}
t:EventTypes = t:EventType+
t:EventType = #of CopiedEvent|CreatedEvent|DeletedEvent|ModifiedEvent|MovedEvent|NewMailEvent
    |FreeBusyChangedEvent
t:Watermark = #text
t:Timeout = #int
m:Unsubscribe = m:SubscriptionId
m:SubscriptionId = #text
m:GetStreamingEvents = m:SubscriptionIds m:ConnectionTimeout
m:SubscriptionIds = t:SubscriptionId+
t:SubscriptionId = #text
m:ConnectionTimeout = #int
m:GetEvents = m:SubscriptionId m:Watermark
m:Watermark = #text
""")

REQUESTS = Grammar(ITEMS, _REQUESTS)
"""For the whole envelope of a request."""
