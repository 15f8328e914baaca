"""ResolveNames, ExpandDL and ConvertId (MS-OXWSRSLNM, MS-OXWSDLIST, MS-OXWSCVTID)."""

import base64
import xml.etree.ElementTree as ET

from tests.servers.ews import mime_fields
from tests.servers.ews.directory import mailbox_parts
from tests.servers.ews.item_view import field_element
from tests.servers.ews.operations.call import Call, refused, succeeded, warned
from tests.servers.ews.refusals import EwsError
from tests.servers.ews.store import StoredItem
from tests.servers.ews.xml_names import child, children, make, need, said, text_of, truth

_MOST_CANDIDATES = 100
_NO_RESULTS = "No results were found."


def resolve_names(call: Call, request: ET.Element) -> list[ET.Element]:
    """Who may be meant by a name or address."""
    words = text_of(request, "m:UnresolvedEntry")
    scope = request.get("SearchScope", "ContactsActiveDirectory")
    full = truth(request.get("ReturnFullContactData", ""))
    certificates = request.get("ContactDataShape") == "AllProperties"
    if not words:
        return [refused("ResolveNames", EwsError("ErrorNameResolutionNoResults", _NO_RESULTS))]
    try:
        found: list[ET.Element] = []
        if "Contacts" in scope:
            found += _contacts(call, request, words, full)
        if "ActiveDirectory" in scope:
            for entry in call.directory.resolve(words):
                parts = [entry.mailbox()]
                if full and entry.kind != "PublicDL":
                    parts.append(entry.contact(certificates))
                found.append(make("t:Resolution", parts))
    except EwsError as error:
        return [refused("ResolveNames", error)]
    if not found:
        return [refused("ResolveNames", EwsError("ErrorNameResolutionNoResults", _NO_RESULTS))]
    shown = found[:_MOST_CANDIDATES]
    answer = make(
        "m:ResolutionSet",
        shown,
        TotalItemsInView=str(len(shown)),
        IncludesLastItemInRange=said(len(shown) == len(found)),
    )
    if len(found) == 1:
        return [succeeded("ResolveNames", answer)]
    return [warned("ResolveNames", "ErrorNameResolutionMultipleResults", "Multiple results were found.", answer)]


def _contacts(call: Call, request: ET.Element, words: str, full: bool) -> list[ET.Element]:
    places = child(request, "m:ParentFolderIds")
    folders = [call.folder(place)[1] for place in places] if places is not None else []
    folders = folders or [call.mailbox().well_known("contacts")]
    found = []
    for item in (item for folder in folders for item in folder.items.values() if item.kind == "Contact"):
        address, name = _first_address(item), text_of(item.fields.get("DisplayName"))
        wanted = words.lower().removeprefix("smtp:")
        if address.lower() == wanted or any(word.startswith(wanted) for word in (name.lower(), *name.lower().split())):
            identity = make("t:ItemId", "", Id=item.id, ChangeKey=item.change_key)
            parts = [make("t:Mailbox", [*mailbox_parts(name, address, "Contact"), identity])]
            found.append(make("t:Resolution", [*parts, _as_contact(item)] if full else parts))
    return found


def _first_address(item: StoredItem) -> str:
    entries = item.fields.get("EmailAddresses")
    return next((text_of(entry) for entry in entries), "") if entries is not None else ""


def _as_contact(item: StoredItem) -> ET.Element:
    shown = [field_element(item, name) for name in ("DisplayName", "GivenName", "EmailAddresses")]
    return make("t:Contact", [*(part for part in shown if part is not None), make("t:ContactSource", "Store")])


def expand_dl(call: Call, request: ET.Element) -> list[ET.Element]:
    """The direct members of a group; groups in it are expanded by asking again."""
    address = text_of(need(request, "m:Mailbox"), "t:EmailAddress").lower().removeprefix("smtp:")
    entry = next((one for one in call.directory.entries.values() if one.has_address(address)), None)
    if entry is None or entry.kind != "PublicDL" or entry.hidden_members:
        return [refused("ExpandDL", EwsError("ErrorNameResolutionNoResults", _NO_RESULTS))]
    members = []
    for member in entry.members:
        known = call.directory.entries.get(member.lower())
        members.append(known.mailbox() if known else mime_fields.mailbox_element(member, member))
    shown = members[: call.quirks.members_at_once]
    complete = said(len(shown) == len(members))
    answer = make("m:DLExpansion", shown, TotalItemsInView=str(len(members)), IncludesLastItemInRange=complete)
    return [succeeded("ExpandDL", answer)]


def convert_id(call: Call, request: ET.Element) -> list[ET.Element]:
    """Ids in another notation; here all notations but HexEntryId are the same text."""
    wanted = request.get("DestinationFormat", "EwsId")
    answers = []
    for source in children(need(request, "m:SourceIds"), "t:AlternateId"):
        try:
            text = source.get("Id", "")
            if source.get("Format") == "HexEntryId":
                text = base64.b64encode(_bytes_of_hex(text)).decode()
            box = call.mailbox(source.get("Mailbox", ""))
            call.item(make("t:ItemId", "", Id=text))
            shown = base64.b64decode(text).hex().upper() if wanted == "HexEntryId" else text
            found = make("m:AlternateId", "", Format=wanted, Id=shown, Mailbox=box.address)
            answers.append(succeeded("ConvertId", found))
        except EwsError as error:
            answers.append(refused("ConvertId", error))
    return answers or [refused("ConvertId", EwsError("ErrorInvalidIdMalformed", "Id is malformed."))]


def _bytes_of_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise EwsError("ErrorInvalidIdMalformed", "Id is malformed.") from None
