"""GetFolder, FindFolder, CreateFolder and DeleteFolder (MS-OXWSFOLD section 3.1.4)."""

import xml.etree.ElementTree as ET

from tests.servers.ews.item_view import show_folder
from tests.servers.ews.operations.call import Call, refused, succeeded
from tests.servers.ews.property_paths import Path, read_extended_value, read_path
from tests.servers.ews.refusals import EwsError
from tests.servers.ews.search_terms import matches
from tests.servers.ews.store import PUBLIC, Mailbox, StoredFolder, StoredItem
from tests.servers.ews.xml_names import child, children, make, need, said, short, text_of


def _paths(request: ET.Element) -> tuple[list[Path], bool]:
    shape = need(request, "m:FolderShape")
    more = child(shape, "t:AdditionalProperties")
    return [read_path(path) for path in more] if more is not None else [], text_of(shape, "t:BaseShape") == "IdOnly"


def _show(mailbox: Mailbox, folder: StoredFolder, paths: list[Path], ids_only: bool) -> ET.Element:
    return show_folder(folder, sum(1 for _ in mailbox.beneath(folder, deep=False)), paths, ids_only)


def get_folder(call: Call, request: ET.Element) -> list[ET.Element]:
    """Folders by id or well-known name."""
    paths, ids_only = _paths(request)
    answers = []
    for element in need(request, "m:FolderIds"):
        try:
            mailbox, folder = call.folder(element)
            answers.append(succeeded("GetFolder", make("m:Folders", [_show(mailbox, folder, paths, ids_only)])))
        except EwsError as error:
            answers.append(refused("GetFolder", error))
    return answers


def find_folder(call: Call, request: ET.Element) -> list[ET.Element]:
    """The folders in a folder."""
    paths, ids_only = _paths(request)
    answers = []
    for element in need(request, "m:ParentFolderIds"):
        try:
            mailbox, parent = call.folder(element)
            deep = request.get("Traversal") == "Deep"
            if deep and mailbox.address == PUBLIC:
                raise EwsError("ErrorInvalidOperation", "Deep traversal is not allowed in public folders.")
            found = [
                folder for folder in mailbox.beneath(parent, deep) if _fulfils(folder, child(request, "m:Restriction"))
            ]
            answers.append(_page(request, [_show(mailbox, folder, paths, ids_only) for folder in found]))
        except EwsError as error:
            answers.append(refused("FindFolder", error))
    return answers


def _fulfils(folder: StoredFolder, restriction: ET.Element | None) -> bool:
    if restriction is None:
        return True
    fields = {
        name: make(f"t:{name}", text)
        for name, text in (("DisplayName", folder.name), ("FolderClass", folder.folder_class))
    }
    return matches(StoredItem(folder.id, "Item", folder.parent_id, fields=fields), restriction[0])


def _page(request: ET.Element, shown: list[ET.Element]) -> ET.Element:
    view = child(request, "m:IndexedPageFolderView")
    offset = int(view.get("Offset", "0")) if view is not None else 0
    size = int(view.get("MaxEntriesReturned", "1000")) if view is not None else 1000
    stop = min(offset + size, len(shown))
    root = make(
        "m:RootFolder", [make("t:Folders", shown[offset:stop])], IndexedPagingOffset=str(stop),
        TotalItemsInView=str(len(shown)), IncludesLastItemInRange=said(stop >= len(shown)),
    )  # fmt: skip
    return succeeded("FindFolder", root)


def create_folder(call: Call, request: ET.Element) -> list[ET.Element]:
    """New folders; a name that the parent has already is ErrorFolderExists."""
    answers = []
    for element in need(request, "m:Folders"):
        try:
            mailbox, parent = call.folder(need(request, "m:ParentFolderId")[0])
            name = text_of(element, "t:DisplayName")
            if not name:
                raise EwsError("ErrorFolderSave", "Folder save property error: DisplayName is required.")
            if any(folder.name.lower() == name.lower() for folder in mailbox.beneath(parent, deep=False)):
                raise EwsError("ErrorFolderExists", "A folder with the specified name already exists.")
            usual = "IPF.Contact" if short(element) == "t:ContactsFolder" else "IPF.Note"
            folder = mailbox.add_folder(parent.id, name, text_of(element, "t:FolderClass") or usual)
            for part in children(element, "t:ExtendedProperty"):
                path, values = read_extended_value(part)
                folder.extended[path.key] = values
            answers.append(succeeded("CreateFolder", make("m:Folders", [show_folder(folder, 0, [], ids_only=True)])))
        except EwsError as error:
            answers.append(refused("CreateFolder", error))
    return answers


def delete_folder(call: Call, request: ET.Element) -> list[ET.Element]:
    """Remove folders with all in them; the well-known ones stay."""
    answers = []
    for element in need(request, "m:FolderIds"):
        try:
            mailbox, folder = call.folder(element)
            if folder.well_known:
                raise EwsError("ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted.")
            for gone in [folder, *mailbox.beneath(folder, deep=True)]:
                for item in list(gone.items.values()):
                    call.world.remove(mailbox, item)
                del mailbox.folders[gone.id]
            answers.append(succeeded("DeleteFolder"))
        except EwsError as error:
            answers.append(refused("DeleteFolder", error))
    return answers
