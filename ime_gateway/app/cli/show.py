"""Prints for people (tables) and for programs (JSON).

What is printed may come from strangers (addresses, replies of servers, subjects of certificates),
so nothing of it may steer the terminal.
"""

import json
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cell = str | Text


def safe(text: str) -> str:
    """The text without control and bidirectional characters, which could rewrite what a terminal shows."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def say(line: str = "") -> None:
    """One line for people on standard output."""
    print(safe(line))


def say_error(line: str) -> None:
    """One line on standard error."""
    print(safe(line), file=sys.stderr)


def as_json(value: object) -> None:
    """A JSON answer on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def as_table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str) -> None:
    """A table on standard output, or the sentence `empty` when there are no rows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row))
    if table.row_count:
        console = Console()
        # Into a file or pipe: one line for each row, whatever its length.
        (console if console.is_terminal else Console(width=10_000)).print(table)
    else:
        say(empty)


def as_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line, values in one column."""
    listed = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        say(f"{name + ':':<{width + 1}} {value}")


def coloured(word: str) -> Text:
    """A verdict in the colour of its weight."""
    styles = {
        "ok": "green",
        "yes": "green",
        "deliver": "green",
        "allow": "green",
        "warning": "yellow",
        "defer": "yellow",
    }
    return Text(safe(word), style=styles.get(word, "bold red"))
