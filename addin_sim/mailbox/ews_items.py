"""Mail items of Exchange as the add-in sees them: markers, header fields, and the questions that find them.

The marker "Internal Encryption" is a named property of the set PS_PUBLIC_STRINGS (MS-OXPROPS section 1.3.2), which
never leaves the mailbox. Header fields of the gateway are named properties of PS_INTERNET_HEADERS. Exchange makes
such a property of a received X-header only when the mailbox has seen that name before (MS-OXCMAIL section 2.2.3.1;
"Provision x-headers by using EWS"), so the first copies of a mailbox are found by reading their headers.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from exchangelib import EWSDateTime, ExtendedProperty, Message, Q
from exchangelib.fields import BooleanField, ExtendedPropertyField, MimeContentField
from exchangelib.items.base import BaseItem
from exchangelib.properties import Fields

from addin_sim.challenges import CHALLENGE_HEADER
from addin_sim.ime1 import MARKER
from addin_sim.mailbox.header_fields import LOOKED_AT
from addin_sim.mailbox.interface import SEEN, Item, MailboxError, Uid
from addin_sim.raw_mail import RawMail, make_field, parse
from addin_sim.sent_items import COPY_HEADER, FILED

FALLBACK_DAYS = 30
"""How old a mail of the Inbox may be whose headers are read because Exchange may not have noted them."""

_YES = "yes"
_NEEDED = ("Message-ID", "From", "Content-Type")
"""A mail without these headers was told in part only (Exchange makes some mails itself)."""

_LOOKED_AT = frozenset(name.lower() for name in LOOKED_AT)


class _Original(ExtendedProperty):  # type: ignore[misc]
    distinguished_property_set_id = "PublicStrings"
    property_name = "Internal Encryption"
    property_type = "String"


class _Filed(ExtendedProperty):  # type: ignore[misc]
    distinguished_property_set_id = "PublicStrings"
    property_name = "Internal Encryption Sent Copy"
    property_type = "String"


class _CopyHeader(ExtendedProperty):  # type: ignore[misc]
    distinguished_property_set_id = "InternetHeaders"
    property_name = COPY_HEADER
    property_type = "String"


class _ChallengeHeader(ExtendedProperty):  # type: ignore[misc]
    distinguished_property_set_id = "InternetHeaders"
    property_name = CHALLENGE_HEADER
    property_type = "String"


class _MessageFlags(ExtendedProperty):  # type: ignore[misc]
    """PidTagMessageFlags: without it a stored message would be a draft (MS-OXCMSG section 2.2.1.6)."""

    property_tag = 0x0E07
    property_type = "Integer"


class _DeliveryTime(ExtendedProperty):  # type: ignore[misc]
    """PidTagMessageDeliveryTime (MS-OXOMSG section 2.2.3.9)."""

    property_tag = 0x0E06
    property_type = "SystemTime"


_READ, _UNREAD = 1, 0
"""Values of PidTagMessageFlags: mfRead or nothing, and in no case mfUnsent, which means a draft."""

_KEYWORDS = {MARKER: "ime_original", FILED: "ime_filed"}
_HEADERS = {COPY_HEADER.lower(): "ime_copy_header", CHALLENGE_HEADER.lower(): "ime_challenge_header"}

SUMMARY = ("datetime_created", "datetime_received", "is_read", "ime_original", "ime_filed", "ime_copy_header")
"""What is asked for of every message that is found."""

for _name, _property in (
    ("ime_original", _Original),
    ("ime_filed", _Filed),
    ("ime_copy_header", _CopyHeader),
    ("ime_challenge_header", _ChallengeHeader),
):
    Message.register(_name, _property)
    Message.get_field_by_fieldname(_name).is_complex = False  # so short that FindItem shows it whole


class MimeMessage(BaseItem):  # type: ignore[misc]
    """A mail that is handed to Exchange as it is.

    exchangelib's own Message adds importance, sensitivity and receipts, which would overrule the mail's header.
    """

    ELEMENT_NAME = "Message"
    INSERT_AFTER_FIELD = "mime_content"
    mime_content = MimeContentField(field_uri="item:MimeContent")
    _id = BaseItem.FIELDS["_id"]
    ime_original = ExtendedPropertyField("ime_original", value_cls=_Original)
    ime_filed = ExtendedPropertyField("ime_filed", value_cls=_Filed)
    message_flags = ExtendedPropertyField("message_flags", value_cls=_MessageFlags)
    delivery_time = ExtendedPropertyField("delivery_time", value_cls=_DeliveryTime)
    is_read = BooleanField(field_uri="message:IsRead")
    FIELDS = Fields()


def keyword_field(keyword: str) -> str:
    """exchangelib's name of the property that plays this IMAP keyword."""
    try:
        return _KEYWORDS[keyword]
    except KeyError:
        raise MailboxError(f"The mailbox has no property for the marker {keyword}.") from None


def header_field(name: str) -> str | None:
    """exchangelib's name of the property that Exchange makes of this header field, for those of the gateway."""
    return _HEADERS.get(name.lower())


def marked(keyword: str) -> Q:
    """Messages with this marker."""
    return Q(**{keyword_field(keyword): _YES})


def with_header(name: str, value: str) -> Q | None:
    """Messages of which Exchange itself knows that header field; None when it does not note such fields."""
    match name.lower():
        case "message-id" if value.startswith("<") and value.endswith(">"):
            return Q(message_id=value)  # a whole one, for which Exchange need not read every message
        case "message-id":
            return Q(message_id__icontains=value)
        case "references":
            return Q(references__icontains=value)
        case "content-type" if value == "delivery-status":
            return Q(item_class__startswith="REPORT")  # MS-OXOMSG section 2.2.3.1
        case other if (field := header_field(other)) is not None:
            return Q(**{f"{field}__icontains": value}) if value else Q(**{f"{field}__exists": True})
        case _:
            return None


def received_lately(moment: float) -> Q:
    """Messages that came within the last days before `moment` (seconds since 1970 UTC)."""
    since = datetime.fromtimestamp(moment, UTC) - timedelta(days=FALLBACK_DAYS)
    return Q(datetime_received__gte=EWSDateTime.from_datetime(since))


def new_message(data: bytes, flags: Iterable[str], arrived: str) -> MimeMessage:
    """The mail as it is stored: no draft, with markers, and as old as it was (`arrived` in ISO 8601)."""
    flags = set(flags)
    properties: dict[str, Any] = {keyword_field(flag): _YES for flag in flags - {SEEN}}
    if arrived:
        properties["delivery_time"] = EWSDateTime.from_string(arrived)
    read = SEEN in flags
    return MimeMessage(mime_content=data, message_flags=_READ if read else _UNREAD, is_read=read, **properties)


def filing(uid: Uid, keyword: str) -> tuple[Message, list[str]]:
    """The change that marks a copy as filed and read."""
    field = keyword_field(keyword)
    return Message(id=uid, is_read=True, **{field: _YES}), ["is_read", field]


def without_header(uid: Uid, name: str) -> tuple[Message, list[str]] | None:
    """The change that takes a header field of the gateway away; None for any other field."""
    field = header_field(name)
    return None if field is None else (Message(id=uid), [field])


def unfinished(found: Iterable[Any]) -> list[tuple[Message, list[str]]]:
    """The changes that finish what an ended program left: filed copies that still have the header of a copy."""
    changes = (without_header(Uid(one.id), COPY_HEADER) for one in found if one.ime_filed and one.ime_copy_header)
    return [change for change in changes if change is not None]


def seen(uid: Uid) -> tuple[Message, list[str]]:
    """The change that marks a message as read."""
    return Message(id=uid, is_read=True), ["is_read"]


def as_item(found: Any, header: RawMail) -> Item:
    """A message as the add-in sees it."""
    flags = {keyword for keyword, field in _KEYWORDS.items() if getattr(found, field, None)}
    if getattr(found, "is_read", False):
        flags.add(SEEN)
    received = found.datetime_received
    return Item(Uid(found.id), header, frozenset(flags), received.timestamp() if received else 0.0)


def in_common_order(found: Iterable[Any]) -> list[Any]:
    """By the time of creation, which Exchange keeps when a message moves; of one second, by id."""
    return sorted(found, key=lambda one: (one.datetime_created or datetime.max.replace(tzinfo=UTC), one.id))


def told_header(headers: Iterable[Any] | None) -> RawMail | None:
    """The header fields as Exchange lists them; None when it leaves out what every received mail has."""
    fields = [
        make_field(header.name, "".join(letter if letter.isprintable() else " " for letter in header.value or ""))
        for header in headers or ()
        if header.name.lower() in _LOOKED_AT
    ]
    told = RawMail(tuple(fields), b"")
    return told if all(told.all(name) for name in _NEEDED) else None


def header_of(data: bytes) -> RawMail:
    """The header fields that are looked at, of a whole mail."""
    return RawMail(tuple(field for field in parse(data).fields if field.name.lower() in _LOOKED_AT), b"")
