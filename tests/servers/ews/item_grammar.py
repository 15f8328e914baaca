"""In which order the fields of messages, contacts, folders and addresses stand (t:ItemType and its heirs).

Only fields that this double knows are named: a request with another one is refused, although Exchange knows
it, which is honest. Order: the fields of every item, then those of the kind of item.
"""

from tests.servers.ews.grammar import read_table

ITEM_FIELDS = [
    "MimeContent",
    "ItemId",
    "ParentFolderId",
    "ItemClass",
    "Subject",
    "Sensitivity",
    "Body",
    "Attachments",
    "DateTimeReceived",
    "Size",
    "Categories",
    "Importance",
    "InReplyTo",
    "IsSubmitted",
    "IsDraft",
    "IsFromMe",
    "IsResend",
    "IsUnmodified",
    "InternetMessageHeaders",
    "DateTimeSent",
    "DateTimeCreated",
    "ReminderDueBy",
    "ReminderIsSet",
    "ReminderMinutesBeforeStart",
    "DisplayCc",
    "DisplayTo",
    "DisplayBcc",
    "HasAttachments",
    "ExtendedProperty",
    "Culture",
    "EffectiveRights",
    "LastModifiedName",
    "LastModifiedTime",
    "IsAssociated",
    "WebClientReadFormQueryString",
    "WebClientEditFormQueryString",
    "ConversationId",
    "UniqueBody",
    "Flag",
    "StoreEntryId",
    "InstanceKey",
    "Preview",
    "TextBody",
]
"""Of every item."""

MESSAGE_FIELDS = [
    "Sender",
    "ToRecipients",
    "CcRecipients",
    "BccRecipients",
    "IsReadReceiptRequested",
    "IsDeliveryReceiptRequested",
    "ConversationIndex",
    "ConversationTopic",
    "From",
    "InternetMessageId",
    "IsRead",
    "IsResponseRequested",
    "References",
    "ReplyTo",
    "ReceivedBy",
    "ReceivedRepresenting",
]
"""Of a message, after those of every item."""

CONTACT_FIELDS = [
    "FileAs",
    "FileAsMapping",
    "DisplayName",
    "GivenName",
    "Initials",
    "MiddleName",
    "Nickname",
    "CompleteName",
    "CompanyName",
    "EmailAddresses",
    "PhysicalAddresses",
    "PhoneNumbers",
    "AssistantName",
    "Birthday",
    "BusinessHomePage",
    "Children",
    "Companies",
    "ContactSource",
    "Department",
    "Generation",
    "ImAddresses",
    "JobTitle",
    "Manager",
    "Mileage",
    "OfficeLocation",
    "PostalAddressIndex",
    "Profession",
    "SpouseName",
    "Surname",
    "WeddingAnniversary",
    "HasPicture",
    "PhoneticFullName",
    "PhoneticFirstName",
    "PhoneticLastName",
    "Alias",
    "Notes",
    "Photo",
    "UserSMIMECertificate",
    "MSExchangeCertificate",
    "DirectoryId",
    "ManagerMailbox",
    "DirectReports",
]
"""Of a contact, after those of every item."""


def _sequence(fields: list[str]) -> str:
    return " ".join(f"t:{name}" + ("*" if name == "ExtendedProperty" else "?") for name in fields)


_BOOLEANS = (
    "IsSubmitted IsDraft IsFromMe IsResend IsUnmodified ReminderIsSet HasAttachments IsAssociated IsRead"
    " IsReadReceiptRequested IsDeliveryReceiptRequested IsResponseRequested HasPicture"
)
_TIMES = "DateTimeReceived DateTimeSent DateTimeCreated ReminderDueBy LastModifiedTime Birthday WeddingAnniversary"
_RECIPIENT_LISTS = "ToRecipients CcRecipients BccRecipients ReplyTo DirectReports"
_ONE_RECIPIENT = "Sender From ReceivedBy ReceivedRepresenting ManagerMailbox"
_TEXTS = (
    "ItemClass Subject InReplyTo ReminderMinutesBeforeStart DisplayCc DisplayTo DisplayBcc Culture LastModifiedName"
    " WebClientReadFormQueryString WebClientEditFormQueryString Preview ConversationTopic InternetMessageId"
    " References FileAs DisplayName GivenName Initials MiddleName Nickname CompanyName AssistantName"
    " BusinessHomePage Department Generation JobTitle Manager Mileage OfficeLocation"
    " Profession SpouseName Surname PhoneticFullName PhoneticFirstName PhoneticLastName Alias Notes DirectoryId"
    " String"
)


def _each(names: str, content: str) -> str:
    return "\n".join(f"t:{name} = {content}" for name in names.split())


_SETS = (
    "Meeting|Appointment|Common|PublicStrings|Address|InternetHeaders|CalendarAssistant|UnifiedMessaging|Task|Sharing"
)
_IDS = f"DistinguishedPropertySetId={_SETS} PropertySetId PropertyTag=#tag PropertyName PropertyId=#int"
_ID_TYPES = (
    "PropertyType!=Integer|IntegerArray|String|StringArray|Binary|BinaryArray|Boolean|SystemTime|SystemTimeArray"
    "|Long|LongArray|Short|ShortArray|CLSID|CLSIDArray|Double|DoubleArray|Float|FloatArray|Currency|CurrencyArray"
    "|ApplicationTime|ApplicationTimeArray|Null|Object|ObjectArray|Error"
)

_MAILBOX_TYPES = "Unknown|OneOff|Mailbox|PublicDL|PrivateDL|Contact|PublicFolder|GroupMailbox|ImplicitContact"
_PHONES = (
    "AssistantPhone|BusinessFax|BusinessPhone|BusinessPhone2|Callback|CarPhone|CompanyMainPhone|HomeFax|HomePhone"
    "|HomePhone2|Isdn|MobilePhone|OtherFax|OtherTelephone|Pager|PrimaryPhone|RadioPhone|Telex|TtyTddPhone"
    "|BusinessMobile|IPPhone|Mms|Msn"
)
_FILE_AS = (
    "None|LastCommaFirst|FirstSpaceLast|Company|LastCommaFirstCompany|CompanyLastFirst|LastFirst|LastFirstCompany"
    "|CompanyLastCommaFirst|LastFirstSuffix|LastSpaceFirstCompany|CompanyLastSpaceFirst|LastSpaceFirst|DisplayName"
    "|FirstName|LastFirstMiddleSuffix|LastName|Empty"
)

ITEMS = read_table(f"""
t:Item = {_sequence(ITEM_FIELDS)}
t:Message = {_sequence(ITEM_FIELDS + MESSAGE_FIELDS)}
t:Contact = {_sequence(ITEM_FIELDS + CONTACT_FIELDS)}
t:MimeContent [CharacterSet] = #base64
t:ItemId [Id! ChangeKey] = #empty
t:ParentFolderId [Id! ChangeKey] = #empty
t:FolderId [Id! ChangeKey] = #empty
t:ConversationId [Id! ChangeKey] = #empty
t:DistinguishedFolderId [Id! ChangeKey] = t:Mailbox?
t:Sensitivity = #of Normal|Personal|Private|Confidential
t:Importance = #of Low|Normal|High
t:Body [BodyType!=HTML|Text IsTruncated=#bool] = #text
t:UniqueBody [BodyType!=HTML|Text IsTruncated=#bool] = #text
t:TextBody [BodyType!=HTML|Text IsTruncated=#bool] = #text
t:Size = #int
t:Categories = t:String*
t:Children = t:String*
t:Companies = t:String*
t:InternetMessageHeaders = t:InternetMessageHeader+
t:InternetMessageHeader [HeaderName!] = #text
t:ExtendedProperty = t:ExtendedFieldURI (t:Value|t:Values)
t:ExtendedFieldURI [{_IDS} {_ID_TYPES}] = #empty
t:FieldURI [FieldURI!] = #empty
t:IndexedFieldURI [FieldURI! FieldIndex!] = #empty
t:Value = #text
t:Values = t:Value+
t:EffectiveRights = t:CreateAssociated t:CreateContents t:CreateHierarchy t:Delete t:Modify t:Read
    t:ViewPrivateItems?
t:Flag = t:FlagStatus t:StartDate? t:DueDate? t:CompleteDate?
t:FlagStatus = #of NotFlagged|Flagged|Complete
t:StoreEntryId = #base64
t:InstanceKey = #base64
t:ConversationIndex = #base64
t:Photo = #base64
t:Attachments = (t:FileAttachment|t:ItemAttachment)*
t:FileAttachment = t:AttachmentId? t:Name? t:ContentType? t:ContentId? t:ContentLocation? t:Size?
    t:LastModifiedTime? t:IsInline? t:IsContactPhoto? t:Content?
t:ItemAttachment = t:AttachmentId? t:Name? t:ContentType? t:ContentId? t:ContentLocation? t:Size?
    t:LastModifiedTime? t:IsInline? (t:Item|t:Message|t:Contact)?
t:AttachmentId [Id! RootItemId RootItemChangeKey] = #empty
t:FileAttachment/t:Name = #text
t:ItemAttachment/t:Name = #text
t:ContentType = #text
t:ContentId = #text
t:ContentLocation = #text
t:IsInline = #bool
t:IsContactPhoto = #bool
t:Content = #base64
t:Mailbox = t:Name? t:EmailAddress? t:RoutingType? t:MailboxType? t:ItemId? t:OriginalDisplayName?
t:Name = #text
t:EmailAddress = #text
t:RoutingType = #text
t:MailboxType = #of {_MAILBOX_TYPES}
t:OriginalDisplayName = #text
t:CompleteName = t:Title? t:FirstName? t:MiddleName? t:LastName? t:Suffix? t:Initials? t:FullName? t:Nickname?
    t:YomiFirstName? t:YomiLastName?
{_each("Title FirstName LastName Suffix FullName YomiFirstName YomiLastName", "#text")}
t:EmailAddresses = t:Entry+
t:PhysicalAddresses = t:Entry+
t:PhoneNumbers = t:Entry+
t:ImAddresses = t:Entry+
t:EmailAddresses/t:Entry [Key!=EmailAddress1|EmailAddress2|EmailAddress3 Name RoutingType
    MailboxType={_MAILBOX_TYPES}] = #text
t:PhoneNumbers/t:Entry [Key!={_PHONES}] = #text
t:ImAddresses/t:Entry [Key!=ImAddress1|ImAddress2|ImAddress3] = #text
t:PhysicalAddresses/t:Entry [Key!=Business|Home|Other] = t:Street? t:City? t:State? t:CountryOrRegion? t:PostalCode?
{_each("Street City State CountryOrRegion PostalCode", "#text")}
t:FileAsMapping = #of {_FILE_AS}
t:PostalAddressIndex = #of None|Home|Business|Other
t:ContactSource = #of ActiveDirectory|Store
t:UserSMIMECertificate = t:Base64Binary*
t:MSExchangeCertificate = t:Base64Binary*
t:Base64Binary = #base64
{_each(_BOOLEANS, "#bool")}
{_each(_TIMES, "#time")}
{_each(_TEXTS, "#text")}
{_each(_RECIPIENT_LISTS, "t:Mailbox*")}
{_each(_ONE_RECIPIENT, "t:Mailbox")}
t:Folder = t:FolderId? t:ParentFolderId? t:FolderClass? t:DisplayName? t:TotalCount? t:ChildFolderCount?
    t:ExtendedProperty* t:EffectiveRights? t:DistinguishedFolderId? t:UnreadCount?
t:ContactsFolder = t:FolderId? t:ParentFolderId? t:FolderClass? t:DisplayName? t:TotalCount? t:ChildFolderCount?
    t:ExtendedProperty* t:EffectiveRights? t:DistinguishedFolderId? t:SharingEffectiveRights?
t:Folder/t:DistinguishedFolderId = #text
t:ContactsFolder/t:DistinguishedFolderId = #text
t:FolderClass = #text
t:TotalCount = #int
t:ChildFolderCount = #int
t:UnreadCount = #int
t:SharingEffectiveRights = #text
{_each("CreateAssociated CreateContents CreateHierarchy Delete Modify Read ViewPrivateItems", "#bool")}
""")
