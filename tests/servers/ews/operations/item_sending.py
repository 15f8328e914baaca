"""CreateItem and SendItem: store, send, or both (MS-OXWSCORE section 3.1.4.2, MS-OXWSMSG section 3.1.4.6)."""

import email.utils
import xml.etree.ElementTree as ET

from tests.servers.ews import mime_fields
from tests.servers.ews.item_view import header_properties, whole_mime
from tests.servers.ews.operations.call import Call, item_ids, refused, succeeded
from tests.servers.ews.operations.item_making import new_item
from tests.servers.ews.refusals import EwsError, EwsFault
from tests.servers.ews.store import Change, Mailbox, StoredFolder, StoredItem, now, stamp
from tests.servers.ews.xml_names import child, make, need, short, text_of, truth


def create_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """Store, send, or both."""
    disposition = request.get("MessageDisposition", "")
    target = child(request, "m:SavedItemFolderId")
    answers = []
    for element in need(request, "m:Items"):
        try:
            item = _create(call, element, disposition, target[0] if target is not None else None)
            answers.append(succeeded("CreateItem", item_ids([item] if item else [])))
        except EwsError as error:
            answers.append(refused("CreateItem", error))
    return answers


def _create(call: Call, element: ET.Element, disposition: str, target: ET.Element | None) -> StoredItem | None:
    is_message = short(element) == "t:Message"
    if is_message and not disposition:
        raise EwsFault("ErrorMessageDispositionRequired", "Message disposition is required.")
    sends = is_message and disposition != "SaveOnly"
    if disposition == "SendOnly" and target is not None:
        raise EwsFault("ErrorInvalidRequest", "SavedItemFolderId must not be given with SendOnly.")
    mailbox, folder = call.folder(target) if target is not None else _usual_folder(call, element, sends)
    item = new_item(mailbox, folder, element)
    if sends:
        send(call, item)
    if disposition == "SendOnly" and is_message:
        return None
    item.id = call.world.new_id(mailbox.address, "item")
    folder.items[item.id] = item
    call.world.tell(mailbox, Change.CREATED, item)
    return item if not sends else None


def _usual_folder(call: Call, element: ET.Element, sends: bool) -> tuple[Mailbox, StoredFolder]:
    mailbox = call.mailbox()
    if short(element) == "t:Contact":
        return mailbox, mailbox.well_known("contacts")
    return mailbox, mailbox.well_known("sentitems" if sends else "drafts")


def send(call: Call, item: StoredItem) -> None:
    """Hand the mail to the transport; raises ErrorInvalidRecipients or ErrorSendAsDenied."""
    people = [
        address
        for name in ("ToRecipients", "CcRecipients", "BccRecipients")
        for _, address in mime_fields.people_in(item.fields.get(name))
    ]
    if not people:
        raise EwsError(
            "ErrorInvalidRecipients",
            "At least one recipient isn't valid., A message can't be sent because it contains no recipients.",
        )
    sender = call.user
    given = mime_fields.people_in(item.fields.get("From"))
    if given and given[0][1].lower() != sender:
        if (sender, given[0][1].lower()) not in call.grants:
            raise EwsError(
                "ErrorSendAsDenied",
                "The user account which was used to submit this request does not have the right to send mail on behalf"
                " of the specified sending account.",
            )
        sender = given[0][1].lower()
    _stamp_as_sent(item, sender)
    mime = _complete_header(item, whole_mime(item))
    if item.mime is not None:
        item.mime = mime
    call.transport.submit(sender, people, mime_fields.with_header(mime, "Bcc", None))


def _stamp_as_sent(item: StoredItem, sender: str) -> None:
    me = [mime_fields.mailbox_element(sender, sender)]
    item.fields.setdefault("From", make("t:From", me))
    item.fields.setdefault("Sender", make("t:Sender", me))
    item.fields["IsDraft"] = mime_fields.flag("IsDraft", False)
    item.fields["IsRead"] = mime_fields.flag("IsRead", True)
    item.fields["IsFromMe"] = mime_fields.flag("IsFromMe", True)
    item.fields["DateTimeSent"] = make("t:DateTimeSent", stamp(now()))
    item.fields["DateTimeReceived"] = make("t:DateTimeReceived", stamp(now()))
    if not text_of(item.fields.get("InternetMessageId")):
        message_id = email.utils.make_msgid(domain="exchange.invalid")
        item.fields["InternetMessageId"] = make("t:InternetMessageId", message_id)


def _complete_header(item: StoredItem, mime: bytes) -> bytes:
    """The mail with what every mail has (RFC 5322 section 3.6) and the internet headers that are properties."""
    present = {name.lower() for name, _ in mime_fields.header_block(mime)}
    for header, value in (
        ("From", mime_fields.people_in(item.fields.get("From"))[0][1]),
        ("Date", email.utils.format_datetime(now())),
        ("Message-ID", text_of(item.fields["InternetMessageId"])),
        *header_properties(item),
    ):
        if header.lower() not in present:
            mime = mime_fields.with_header(mime, header, value)
    return mime


def send_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """Send a draft."""
    answers = []
    target = child(request, "m:SavedItemFolderId")
    for element in need(request, "m:ItemIds"):
        try:
            if not truth(request.get("SaveItemToFolder", "")) and target is not None:
                raise EwsFault("ErrorInvalidSendItemSaveSettings", "Send item save settings are invalid.")
            _send_draft(call, element, truth(request.get("SaveItemToFolder", "")), target)
            answers.append(succeeded("SendItem"))
        except EwsError as error:
            answers.append(refused("SendItem", error))
    return answers


def _send_draft(call: Call, element: ET.Element, saves: bool, target: ET.Element | None) -> None:
    mailbox, item = call.item(element)
    if not element.get("ChangeKey"):
        raise EwsError("ErrorChangeKeyRequired", "The change key is required for this operation.")
    if element.get("ChangeKey") != item.change_key:
        raise EwsError("ErrorStaleObject", "The operation failed because the object is stale.")
    if not truth(text_of(item.fields.get("IsDraft"))):
        raise EwsError("ErrorItemSave", "The item was sent already.")
    send(call, item)
    if saves:
        home, folder = call.folder(target[0]) if target is not None else (mailbox, mailbox.well_known("sentitems"))
        call.world.transfer(mailbox, item, home, folder, copy=False)
    else:
        call.world.remove(mailbox, item)
