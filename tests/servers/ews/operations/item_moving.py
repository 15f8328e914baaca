"""MoveItem, CopyItem and DeleteItem (MS-OXWSCORE sections 3.1.4.7, 3.1.4.1 and 3.1.4.3)."""

import xml.etree.ElementTree as ET

from tests.servers.ews.operations.call import Call, item_ids, refused, succeeded
from tests.servers.ews.refusals import EwsError
from tests.servers.ews.xml_names import need, text_of, truth


def move_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """Move; each item gets a new id."""
    return _transfer(call, request, "MoveItem", copy=False)


def copy_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """Copy."""
    return _transfer(call, request, "CopyItem", copy=True)


def _transfer(call: Call, request: ET.Element, operation: str, copy: bool) -> list[ET.Element]:
    answers = []
    tells_ids = truth(text_of(request, "m:ReturnNewItemIds") or "true")
    for element in need(request, "m:ItemIds"):
        try:
            target, folder = call.folder(need(request, "m:ToFolderId")[0])
            mailbox, item = call.item(element)
            arrived = call.world.transfer(mailbox, item, target, folder, copy)
            shown = [arrived] if tells_ids and mailbox is target else []
            answers.append(succeeded(operation, item_ids(shown)))
        except EwsError as error:
            if error.code == "ErrorFolderNotFound":
                error = EwsError("ErrorToFolderNotFound", "The destination folder could not be found.")
            answers.append(refused(operation, error))
    return answers


def delete_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """Remove for good, to the recoverable items, or to Deleted Items."""
    answers = []
    for element in need(request, "m:ItemIds"):
        try:
            mailbox, item = call.item(element)
            how = request.get("DeleteType")
            if how == "MoveToDeletedItems":
                call.world.transfer(mailbox, item, mailbox, mailbox.well_known("deleteditems"), copy=False)
            elif how == "SoftDelete":
                bin_folder = mailbox.well_known("recoverableitemsdeletions")
                call.world.transfer(mailbox, item, mailbox, bin_folder, copy=False)
            else:
                call.world.remove(mailbox, item)
            answers.append(succeeded("DeleteItem"))
        except EwsError as error:
            answers.append(refused("DeleteItem", error))
    return answers
