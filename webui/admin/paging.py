"""Long lists in pages of fifty, by page number in the address, so that they can be linked and gone back in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flask import request

PAGE_SIZE = 50
_LAST_PAGE = 100_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    items: Sequence[T]
    number: int
    """From 1."""
    more: bool
    """There is a page after this one."""

    @property
    def first(self) -> int:
        """Position of the first item in the whole list, from 1."""
        return (self.number - 1) * PAGE_SIZE + 1


def asked_page(fetch: Callable[[int, int], Sequence[T]]) -> Page[T]:
    """The page that `?page=` asks for; `fetch(limit, offset)` gets one item more than is shown."""
    number = asked_number()
    found = fetch(PAGE_SIZE + 1, (number - 1) * PAGE_SIZE)
    return Page(found[:PAGE_SIZE], number, more=len(found) > PAGE_SIZE)


def asked_number() -> int:
    """`?page=` as a number from 1; nonsense is page 1."""
    text = request.args.get("page", "1")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1
    return min(max(number, 1), _LAST_PAGE)


def asked_words(name: str) -> str:
    """A search field of the address, without blanks around it and never longer than an address can be."""
    return request.args.get(name, "").strip()[:1000]
