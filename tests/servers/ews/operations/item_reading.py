"""GetItem and FindItem (MS-OXWSCORE section 3.1.4.4, MS-OXWSSRCH section 3.1.4.2)."""

import xml.etree.ElementTree as ET

from tests.servers.ews.item_view import NOT_IN_SEARCH, shape_names, show
from tests.servers.ews.operations.call import Call, refused, succeeded
from tests.servers.ews.property_paths import Field, Path, read_path
from tests.servers.ews.refusals import EwsError
from tests.servers.ews.search_terms import matches, ordered, page, query_matches
from tests.servers.ews.store import StoredFolder, StoredItem
from tests.servers.ews.xml_names import child, make, need, said, text_of, truth


class Shape:
    """What of an item the request wants to see."""

    def __init__(self, element: ET.Element, in_search: bool = False, in_sync: bool = False) -> None:
        self._base = text_of(element, "t:BaseShape")
        self._mime = truth(text_of(element, "t:IncludeMimeContent"))
        self._body = text_of(element, "t:BodyType") or "Best"
        more = child(element, "t:AdditionalProperties")
        self._paths: list[Path] = [read_path(path) for path in more] if more is not None else []
        self._in_search = in_search or in_sync
        large = [path for path in self._paths if isinstance(path, Field) and path.name in NOT_IN_SEARCH]
        if large and in_search:
            raise EwsError("ErrorInvalidPropertyRequest", f"Property {large[0].name} is not valid for FindItem.")
        if in_sync:  # SyncFolderItems leaves them out without a word
            self._paths = [path for path in self._paths if path not in large]

    def show(self, item: StoredItem) -> ET.Element:
        """The item in this shape."""
        names = shape_names(self._base, item, self._in_search)
        if self._mime and not self._in_search:
            names.append("MimeContent")
        return show(item, names, self._paths, body_type=self._body, in_search=self._in_search)


def get_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """Items by their ids, one response message for each."""
    shape = Shape(need(request, "m:ItemShape"))
    answers = []
    for element in need(request, "m:ItemIds"):
        try:
            _, item = call.item(element)
            answers.append(succeeded("GetItem", make("m:Items", [shape.show(item)])))
        except EwsError as error:
            answers.append(refused("GetItem", error))
    return answers


def find_item(call: Call, request: ET.Element) -> list[ET.Element]:
    """The items of folders that fulfil a restriction, one response message per folder."""
    answers = []
    for element in need(request, "m:ParentFolderIds"):
        try:
            shape = Shape(need(request, "m:ItemShape"), in_search=True)
            _, folder = call.folder(element)
            answers.append(_found(request, folder, shape))
        except EwsError as error:
            answers.append(refused("FindItem", error))
    return answers


def _found(request: ET.Element, folder: StoredFolder, shape: Shape) -> ET.Element:
    restriction = child(request, "m:Restriction")
    query = text_of(request, "m:QueryString")
    items = [
        item
        for item in (folder.items.values() if request.get("Traversal") == "Shallow" else ())
        if (restriction is None or matches(item, restriction[0])) and (not query or query_matches(item, query))
    ]
    chosen, offset, last = page(ordered(items, child(request, "m:SortOrder")), child(request, "m:IndexedPageItemView"))
    found = make("t:Items", [shape.show(item) for item in chosen])
    root = make(
        "m:RootFolder", [found], IndexedPagingOffset=str(offset), TotalItemsInView=str(len(items)),
        IncludesLastItemInRange=said(last),
    )  # fmt: skip
    return succeeded("FindItem", root)
