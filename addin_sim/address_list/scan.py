"""Looks for the IME contact from the top of the address list, as the add-in does at each start of Outlook.

How long that takes depends on where the contact stands, so what is read is counted: the leading `_` of its name
exists for that alone. The list is read stretch by stretch in Windows' order (`windows_sort`), each page by page
(RFC 2696) and sorted here, until an entry has the address that `InternalRecipient` names.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from addin_sim.address_list.windows_sort import STRETCHES, Stretch, sort_key, stretch_of


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as the list shows it."""

    dn: str
    name: str
    """What it is sorted by: the display name, else the common name."""
    addresses: tuple[str, ...]
    """In small letters."""
    hidden: bool = False
    """Exchange leaves it out of address lists (msExchHideFromAddressLists)."""


Pages = Callable[[Stretch], Iterator[Sequence[Row]]]
"""Reads one stretch of the list, page by page in any order."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a look from the top came to."""

    row: Row | None
    """The first entry with the address."""
    entries_read: int
    """Taken from the server."""
    pages_read: int
    position: int
    """Where the entry stands in the list, from 1; without one: how many there are."""
    page_size: int
    seconds: float
    twins: tuple[str, ...] = ()
    """DNs of further entries with the address that were read by then."""
    hidden: tuple[str, ...] = ()
    """DNs of entries with the address that Exchange hides."""

    @property
    def page(self) -> int:
        """The page of the list that the entry stands on, from 1: Outlook reads that many."""
        return max(1, math.ceil(self.position / self.page_size))


def scan(pages: Pages, address: str, page_size: int, clock: Callable[[], float]) -> Scan:
    """Read until an entry has `address`; `clock` gives seconds. Raises what `pages` raises."""
    begun, wanted = clock(), address.lower()
    entries_read = pages_read = passed = 0
    later: dict[str, list[Row]] = {}
    hidden: list[str] = []
    for stretch in STRETCHES:
        rows: dict[str, Row] = {row.dn: row for row in later.pop(stretch.label, ())}
        for page in pages(stretch):
            pages_read += 1
            entries_read += len(page)
            for row in page:
                _put(row, stretch, rows, later)
        hidden += [row.dn for row in rows.values() if row.hidden and wanted in row.addresses]
        shown = sorted((row for row in rows.values() if not row.hidden), key=lambda row: sort_key(row.name))
        places = [place for place, row in enumerate(shown, 1) if wanted in row.addresses]
        if places:
            first, *twins = (shown[place - 1] for place in places)
            position, seconds = passed + places[0], clock() - begun
            others = tuple(row.dn for row in twins)
            return Scan(first, entries_read, pages_read, position, page_size, seconds, others, tuple(hidden))
        passed += len(shown)
    return Scan(None, entries_read, pages_read, passed, page_size, clock() - begun, hidden=tuple(hidden))


def _put(row: Row, stretch: Stretch, rows: dict[str, Row], later: dict[str, list[Row]]) -> None:
    """A name such as `'t Hart` comes with the punctuation, but stands among the letters: it waits for them."""
    own = stretch_of(row.name)
    if _ORDER[own] > _ORDER[stretch.label]:
        later.setdefault(own, []).append(row)
    else:
        rows[row.dn] = row


_ORDER = {stretch.label: place for place, stretch in enumerate(STRETCHES)}
