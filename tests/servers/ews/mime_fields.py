"""What Exchange reads out of a mail in MIME form, and how it writes MIME for an item made field by field.

Header fields become properties (MS-OXCMAIL section 2.2); the MIME itself is kept byte for byte, where Exchange
would build it anew.
"""

import base64
import email
import email.header
import email.message
import email.utils
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.policy import SMTP

from tests.servers.ews.store import stamp
from tests.servers.ews.xml_names import children, clean, make, said, text_of

_ADDRESS_FIELDS = {
    "From": "From", "Sender": "Sender", "To": "ToRecipients", "Cc": "CcRecipients", "Bcc": "BccRecipients",
    "Reply-To": "ReplyTo",
}  # fmt: skip
_TEXT_FIELDS = {
    "Subject": "Subject", "Message-ID": "InternetMessageId", "In-Reply-To": "InReplyTo", "References": "References"
}  # fmt: skip
_SINGLE = ("From", "Sender")


def header_block(mime: bytes) -> list[tuple[str, str]]:
    """Names and unfolded values of the header fields, in their order, undecoded (RFC 5322 section 2.2.3)."""
    head = re.split(rb"\r?\n\r?\n", mime.lstrip(b"\r\n"), maxsplit=1)[0]
    lines = re.sub(rb"\r?\n([ \t])", rb"\1", head).splitlines()
    fields = (line.decode("utf-8", "replace").partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, colon, value in fields if colon and name.strip()]


def decoded(value: str) -> str:
    """A header value with its encoded words read (RFC 2047)."""
    try:
        return clean(str(email.header.make_header(email.header.decode_header(value))))
    except (ValueError, LookupError):
        return clean(value)


def mailbox_element(name: str, address: str) -> ET.Element:
    """A `t:Mailbox` with an SMTP address."""
    parts = [make("t:Name", clean(name or address))]
    parts += [make("t:EmailAddress", clean(address)), make("t:RoutingType", "SMTP"), make("t:MailboxType", "OneOff")]
    return make("t:Mailbox", parts)


def from_mime(mime: bytes) -> dict[str, ET.Element]:
    """The fields of an item that its MIME says, by element name."""
    fields: dict[str, ET.Element] = {}
    headers = header_block(mime)
    for header, name in _ADDRESS_FIELDS.items():
        values = [value for key, value in headers if key.lower() == header.lower()]
        people = [(decoded(who), address) for who, address in email.utils.getaddresses(values) if "@" in address]
        if people and header in _SINGLE:
            fields[name] = make(f"t:{name}", [mailbox_element(*people[0])])
        elif people:
            fields[name] = make(f"t:{name}", [mailbox_element(*person) for person in people])
    for header, name in _TEXT_FIELDS.items():
        found = next((value for key, value in headers if key.lower() == header.lower()), None)
        if found is not None:
            fields[name] = make(f"t:{name}", decoded(found))
    if "From" in fields and "Sender" not in fields:
        fields["Sender"] = make("t:Sender", list(fields["From"]))
    sent = _date(next((value for key, value in headers if key.lower() == "date"), ""))
    if sent:
        fields["DateTimeSent"] = make("t:DateTimeSent", stamp(sent))
    fields["ItemClass"] = make("t:ItemClass", item_class(mime))
    return fields


def item_class(mime: bytes) -> str:
    """The message class that Exchange gives a mail by its outermost content type (MS-OXCMAIL section 2.2.3.8)."""
    message = email.message_from_bytes(re.split(rb"\r?\n\r?\n", mime, maxsplit=1)[0] + b"\r\n\r\n")
    kind = message.get_content_type()
    if kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        return "IPM.Note.SMIME"
    if kind == "multipart/signed":
        return "IPM.Note.SMIME.MultipartSigned"
    if kind == "multipart/report" and str(message.get_param("report-type", "")).lower() == "delivery-status":
        return "REPORT.IPM.Note.DR" if re.search(rb"(?im)^action:\s*delivered", mime) else "REPORT.IPM.Note.NDR"
    return "IPM.Note"


def body_of(mime: bytes, wanted: str) -> tuple[str, str]:
    """Kind (`HTML` or `Text`) and text of the body; `wanted` is the kind preferred."""
    texts: dict[str, str] = {}
    for part in email.message_from_bytes(mime).walk():
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                texts.setdefault(kind, _text(payload, part.get_content_charset("utf-8")))
    order = ("text/plain", "text/html") if wanted == "Text" else ("text/html", "text/plain")
    for kind in order:
        if kind in texts:
            return ("HTML" if kind == "text/html" else "Text"), clean(texts[kind])
    return "Text", ""


def _text(payload: bytes, charset: str) -> str:
    try:
        return payload.decode(charset, "replace")
    except LookupError:
        return payload.decode("utf-8", "replace")


def has_attachments(mime: bytes) -> bool:
    """Whether a part is neither a body nor a container; the blob of an S/MIME mail counts."""
    for part in email.message_from_bytes(mime).walk():
        if part.get_content_disposition() == "attachment" or part.get_content_type() == "message/rfc822":
            return True
        if not part.is_multipart() and part.get_content_maintype() != "text":
            return True
    return False


def _date(value: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def people_in(element: ET.Element | None) -> list[tuple[str, str]]:
    """Names and addresses in a field of recipients."""
    if element is None:
        return []
    found = [(text_of(box, "t:Name"), text_of(box, "t:EmailAddress")) for box in children(element, "t:Mailbox")]
    return [(name, address) for name, address in found if address]


def to_mime(fields: dict[str, ET.Element], headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A mail with these fields and further header fields."""
    message = email.message.EmailMessage(policy=SMTP)
    for header, name in _ADDRESS_FIELDS.items():
        people = people_in(fields.get(name))
        if people:
            message[header] = [_address(who, address) for who, address in people]
    for header, name in _TEXT_FIELDS.items():
        if name in fields and text_of(fields[name]):
            message[header] = " ".join(text_of(fields[name]).split())
    for name, value in headers:
        del message[name]
        message[name] = " ".join(value.split())
    body = fields.get("Body")
    subtype = "html" if body is not None and body.get("BodyType") == "HTML" else "plain"
    message.set_content((body.text if body is not None else "") or "", subtype=subtype)
    return message.as_bytes()


def _address(name: str, address: str) -> Address:
    return Address(display_name="" if name == address else name, addr_spec=address)


def with_header(mime: bytes, name: str, value: str | None) -> bytes:
    """The mail with that header field set, or without it (None); everything else stays byte for byte."""
    found = re.match(rb"(?s)(.*?)(\r?\n\r?\n|\Z)(.*)\Z", mime)
    assert found
    head, gap, rest = found.groups()
    end = b"\n" if gap == b"\n\n" else b"\r\n"
    pattern = rb"(?im)^" + re.escape(name.encode()) + rb"[ \t]*:.*(?:\r?\n[ \t].*)*(?:\r?\n|\Z)"
    head = re.sub(pattern, b"", head + end)
    if value is not None:
        head += (
            f"{name}: {email.header.Header(value, 'utf-8' if not value.isascii() else 'us-ascii').encode()}".encode()
            + end
        )
    return head + end + rest


def internet_headers(mime: bytes) -> ET.Element | None:
    """The `InternetMessageHeaders` of an item."""
    fields = [make("t:InternetMessageHeader", decoded(value), HeaderName=name) for name, value in header_block(mime)]
    return make("t:InternetMessageHeaders", fields) if fields else None


def mime_element(mime: bytes) -> ET.Element:
    """The `MimeContent` of an item."""
    return make("t:MimeContent", base64.b64encode(mime).decode(), CharacterSet="UTF-8")


def flag(name: str, value: bool) -> ET.Element:
    """A field with a boolean."""
    return make(f"t:{name}", said(value))
