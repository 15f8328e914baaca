"""The look from the top of the list: what is read is counted, and where the contact stands."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import pytest

from addin_sim.address_list.ldap_directory import Entry
from addin_sim.address_list.ldap_list import addresses_of
from addin_sim.address_list.scan import Row, Scan, scan
from addin_sim.address_list.windows_sort import STRETCHES, Stretch

IME = "dca@ime.acme.example"


def listing(rows: Sequence[Row], page_size: int = 2) -> Callable[[Stretch], Iterator[Sequence[Row]]]:
    """Serves names by their initials alone, as a directory server does, and in no order."""
    known = tuple(initial for stretch in STRETCHES for initial in stretch.initials)

    def pages(stretch: Stretch) -> Iterator[Sequence[Row]]:
        found = [
            row
            for row in rows
            if row.name.casefold().startswith(stretch.initials or ("",))
            and (stretch.initials or not row.name.casefold().startswith(known))
        ][::-1]
        yield found[:page_size]
        for at in range(page_size, len(found), page_size):
            yield found[at : at + page_size]

    return pages


def row(name: str, address: str = "", *, hidden: bool = False) -> Row:
    return Row(f"CN={name}", name, (address or f"{name}@acme.example".lower(),), hidden)


def clock() -> Callable[[], float]:
    ticks = count()
    return lambda: float(next(ticks))


PEOPLE = [row(name) for name in ("Anna", "anton", "Bert", "Zoe", "4711", "Жанна")]


def test_with_an_underscore_only_the_first_page_is_read() -> None:
    found = scan(listing([*PEOPLE, row("_IME", IME)]), IME.upper(), 2, clock())
    assert found.row == row("_IME", IME)
    assert (found.position, found.page, found.pages_read, found.entries_read) == (1, 1, 1, 1)
    assert found.seconds == 1.0


def test_a_late_name_costs_all_that_stands_before_it() -> None:
    found = scan(listing([*PEOPLE, row("Zentrale", IME)]), IME, 2, clock())
    assert found.row is not None and found.row.name == "Zentrale"
    assert (found.position, found.page, found.entries_read) == (5, 3, 6)


def test_a_name_of_another_script_is_found_last() -> None:
    found = scan(listing([*PEOPLE, row("Ящик", IME)]), IME, 2, clock())
    assert (found.position, found.entries_read) == (7, 7)


def test_a_hyphen_at_the_front_does_not_make_a_name_early() -> None:
    found = scan(listing([*PEOPLE, row("'z IME", IME), row("-a", "x@y.example")]), IME, 2, clock())
    assert found.row is not None and found.position == 6


def test_nobody_has_the_address() -> None:
    found = scan(listing(PEOPLE), IME, 2, clock())
    assert (found.row, found.position, found.entries_read) == (None, 6, 6)


def test_hidden_entries_are_not_in_the_list() -> None:
    found = scan(listing([row("_IME", IME, hidden=True), *PEOPLE]), IME, 2, clock())
    assert (found.row, found.hidden) == (None, ("CN=_IME",))
    assert found.position == 6


def test_the_first_of_two_counts_and_the_other_is_told() -> None:
    found = scan(listing([row("_IME 2", IME), row("_IME", IME)]), IME, 2, clock())
    assert found.row is not None and (found.row.name, found.twins) == ("_IME", ("CN=_IME 2",))


def test_an_entry_that_a_server_gives_twice_counts_once() -> None:
    pages = listing([row("Anna"), row("Bert", IME)])
    found = scan(lambda stretch: iter([*pages(stretch), *pages(stretch)]), IME, 2, clock())
    assert (found.position, found.twins) == (2, ())


@pytest.mark.parametrize(("position", "page"), [(1, 1), (50, 1), (51, 2), (100, 2)])
def test_the_last_entry_of_a_page_is_on_it(position: int, page: int) -> None:
    assert Scan(None, 0, 0, position, 50, 0.0).page == page


def test_only_mail_addresses_of_an_entry_count() -> None:
    values = (b"SIP:dca@ime.acme.example", b"x500:/o=acme/cn=dca@ime.acme.example", b"smtp:Other@acme.example")
    assert addresses_of(Entry("CN=a", {"proxyaddresses": values})) == ("other@acme.example",)
