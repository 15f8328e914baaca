"""Restrictions, sort orders and pages of FindItem (MS-OXWSSRCH section 3.1.4)."""

import base64
import xml.etree.ElementTree as ET
from datetime import datetime

from tests.servers.ews.item_view import read_values
from tests.servers.ews.property_paths import Extended, Path, read_path
from tests.servers.ews.store import StoredItem
from tests.servers.ews.xml_names import need, short, text_of, truth

LARGEST_PAGE = 1000
"""The throttling policy's EwsFindCountLimit."""


def matches(item: StoredItem, term: ET.Element) -> bool:
    """Whether the item fulfils one search expression."""
    kind = short(term)
    if kind in ("t:And", "t:Or"):
        return (all if kind == "t:And" else any)(matches(item, part) for part in term)
    if kind == "t:Not":
        return not matches(item, term[0])
    path = read_path(term[0])
    values = read_values(item, path)
    if kind == "t:Exists":
        return values is not None
    if kind == "t:Contains":
        return any(_contains(value, term) for value in values or ())
    if kind == "t:Excludes":
        mask = int(need(term, "t:Bitmask").get("Value", "0"), 0)
        return not any(int(value) & mask for value in values or ("0",))
    if values is None:
        return kind == "t:IsNotEqualTo"
    wanted = _operand(item, need(term, "t:FieldURIOrConstant")[0])
    return any(_compare(kind, value, wanted) for value in values)


def _operand(item: StoredItem, element: ET.Element) -> str:
    if short(element) == "t:Constant":
        return element.get("Value", "")
    return (read_values(item, read_path(element)) or ("",))[0]


def _contains(value: str, term: ET.Element) -> bool:
    wanted = need(term, "t:Constant").get("Value", "")
    if "Case" in term.get("ContainmentComparison", "") or "Loose" in term.get("ContainmentComparison", ""):
        value, wanted = value.casefold(), wanted.casefold()
    mode = term.get("ContainmentMode", "FullString")
    if mode == "FullString":
        return value == wanted
    if mode == "Prefixed":
        return value.startswith(wanted)
    if mode == "PrefixOnWords":
        return any(word.startswith(wanted) for word in value.split())
    return wanted in value


def _compare(kind: str, left: str, right: str) -> bool:
    one, other = comparable(left), comparable(right)
    if type(one) is not type(other):
        one, other = left, right
    if kind == "t:IsEqualTo":
        return one == other
    if kind == "t:IsNotEqualTo":
        return one != other
    less, equal = bool(one < other), one == other  # type: ignore[operator]  # same type, see above
    return {
        "t:IsGreaterThan": not less and not equal,
        "t:IsGreaterThanOrEqualTo": not less,
        "t:IsLessThan": less,
        "t:IsLessThanOrEqualTo": less or equal,
    }[kind]


def comparable(value: str) -> str | int | datetime:
    """A text as number, truth or moment when it is one, so that comparing makes sense."""
    if value.lower() in ("true", "false"):
        return int(truth(value))
    if value.isascii() and value.lstrip("-").isdigit():
        return int(value)
    if len(value) >= 19 and value[4:5] == "-" and value[10:11] == "T":
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment if moment.tzinfo else datetime.fromisoformat(value + "+00:00")
    return value


def ordered(items: list[StoredItem], sort_order: ET.Element | None) -> list[StoredItem]:
    """The items as SortOrder wants them; without one, the newest first, as Exchange does."""
    if sort_order is None:
        return list(reversed(items))
    for field in reversed(list(sort_order)):
        path = read_path(field[0])

        def key(item: StoredItem, path: Path = path) -> tuple[int, str]:
            return _sort_key(item, path)

        items = sorted(items, key=key, reverse=field.get("Order") == "Descending")
    return items


def _sort_key(item: StoredItem, path: Path) -> tuple[int, str]:
    values = read_values(item, path)
    if values is None:
        return 0, ""
    found = comparable(values[0])
    if isinstance(found, int):
        return 1, f"{found + 2**63:020d}"
    if isinstance(path, Extended) and path.key[2] == "Binary":
        return 1, base64.b64decode(values[0]).hex()
    return 1, found.isoformat() if isinstance(found, datetime) else found.casefold()


def page(items: list[StoredItem], view: ET.Element | None) -> tuple[list[StoredItem], int, bool]:
    """The items of one page, the offset of the next, and whether this is the last page."""
    if view is None:
        return items[:LARGEST_PAGE], min(len(items), LARGEST_PAGE), len(items) <= LARGEST_PAGE
    size = min(int(view.get("MaxEntriesReturned", LARGEST_PAGE)), LARGEST_PAGE)
    offset = int(view.get("Offset", "0"))
    if view.get("BasePoint") == "End":
        stop = max(0, len(items) - offset)
        start = max(0, stop - size)
        return items[start:stop], len(items) - start, start == 0
    stop = offset + size
    return items[offset:stop], min(stop, len(items)), stop >= len(items)


def query_matches(item: StoredItem, query: str) -> bool:
    """A much simplified Advanced Query Syntax: `field:word`, or words that subject or sender contain."""
    subject = text_of(item.fields.get("Subject")).casefold()
    words = query.replace('"', "").casefold().split()
    return all(word.rpartition(":")[2] in subject for word in words)
