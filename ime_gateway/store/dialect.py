"""The few places where the two engines speak different SQL; everything else is one text for both.

Hot statements are written once with `?` for values and `{now}` for the store's own clock, which
alone decides what is due (nodes may disagree about the time, the database does not).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine.interfaces import DBAPICursor

_REPEATED = re.compile(r"\[([^\]]*)\]")
_LARGEST_BATCH = 64
_MOST_VALUES = 30_000  # SQLite allows 32,766 parameters in a statement, PostgreSQL 65,535


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one engine writes what the standard leaves open."""

    name: str
    placeholder: str
    words: dict[str, str]
    _texts: dict[tuple[str, int], str] = field(default_factory=dict)

    def text(self, template: str, count: int = 1) -> str:
        """The engine's text of a template; `{list}` stands for `count` placeholders, `[…]` is repeated."""
        known = self._texts.get((template, count))
        if known is None:
            repeated = _REPEATED.sub(lambda found: ",".join([found[1]] * count), template)
            words = {**self.words, "list": ",".join("?" * count)}
            known = repeated.format(**words).replace("?", self.placeholder)
            self._texts[template, count] = known
        return known


SQLITE = Dialect(
    "sqlite",
    "?",
    {
        # unixepoch('subsec') came with SQLite 3.42; the Julian day of 1970-01-01 is 2440587.5.
        "now": "((julianday('now') - 2440587.5) * 86400.0)",
        "skip_locked": "",  # one writer at a time: nothing can be locked
        "for_update": "",
    },
)

POSTGRESQL = Dialect(
    "postgresql",
    "%s",
    {
        "now": "(extract(epoch from statement_timestamp())::double precision)",
        "skip_locked": "FOR UPDATE SKIP LOCKED",
        "for_update": "FOR UPDATE",
    },
)


def batch_sizes(count: int, largest: int = _LARGEST_BATCH) -> Iterator[int]:
    """Powers of two that add up to `count`, so that few different texts are ever prepared."""
    while count:
        size = min(largest, 1 << (count.bit_length() - 1))
        yield size
        count -= size


class Transaction:
    """Statements on the driver's cursor: no layer in between where thousands run in a second."""

    __slots__ = ("_cursor", "dialect")

    def __init__(self, cursor: DBAPICursor, dialect: Dialect) -> None:
        self._cursor = cursor
        self.dialect = dialect

    def run(self, template: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Run one statement; its rows, if it gives any."""
        self._cursor.execute(self.dialect.text(template), parameters)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def run_for(self, template: str, keys: Sequence[object]) -> list[Any]:
        """Run a statement with `{list}` for many keys; all rows that it gives."""
        rows: list[Any] = []
        start = 0
        for size in batch_sizes(len(keys)):
            self._cursor.execute(self.dialect.text(template, size), keys[start : start + size])
            start += size
            if self._cursor.description:
                rows += self._cursor.fetchall()
        return rows

    def insert(self, template: str, rows: Sequence[Sequence[object]]) -> None:
        """`template` is `INSERT … VALUES [(?, …)]`, the part in brackets being repeated. Many rows go in
        one statement, because each statement costs a switch between threads on the way to the database."""
        if not rows:
            return
        largest = min(_LARGEST_BATCH, max(1, _MOST_VALUES // len(rows[0])))
        start = 0
        for size in batch_sizes(len(rows), largest):
            parameters = [value for row in rows[start : start + size] for value in row]
            self._cursor.execute(self.dialect.text(template, size), parameters)
            start += size
