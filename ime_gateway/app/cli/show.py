"""Prints for people (tables) and for programs (JSON).

What is printed may come from strangers (addresses, replies of servers, subjects of certificates),
so nothing of it may steer the terminal.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

Cell = str | Text
_GAP = "   "


def safe(text: str) -> str:
    """The text without control and bidirectional characters, which could rewrite what a terminal shows."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def say(line: str = "") -> None:
    """One line for people on standard output."""
    print(safe(line))


def say_error(text: str) -> None:
    """One line on standard error for each line of `text`."""
    for line in text.split("\n"):
        print(safe(line), file=sys.stderr)


def as_json(value: object) -> None:
    """A JSON answer on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def as_table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str, prose: int = 0) -> None:
    """A table on standard output, or the sentence `empty` when there are no rows.

    An address or a reason in pieces cannot be read or searched, so no cell is ever folded. The last
    `prose` columns are sentences: in a terminal that is too narrow each stands below its row, folded between
    words; one word, such as a thumbprint, stays whole, so that it can be copied.
    Into a file or pipe a row is always one line.
    """
    cells = [tuple(cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row) for row in rows]
    if not cells:
        say(empty)
        return
    console = Console(highlight=False)
    widths = [max(len(heading), *(row[column].cell_len for row in cells)) for column, heading in enumerate(headings)]
    across = len(headings)
    if console.is_terminal and sum(widths) + len(_GAP) * (across - 1) > console.width:
        across -= prose
    title = Text(_GAP).join(_filled([Text(heading, "bold") for heading in headings[:across]], widths))
    console.print(title, soft_wrap=True)
    console.print("-" * min(title.cell_len, console.width), soft_wrap=True)
    for row in cells:
        line = Text(_GAP).join(_filled(row[:across], widths))
        line.rstrip()
        console.print(line, soft_wrap=True)
        for heading, cell in zip(headings[across:], row[across:], strict=True):
            if cell:
                label = f"{heading}: " if prose > 1 else ""
                text = Text.assemble((label, "dim"), cell)
                if len(cell.plain.split()) == 1:
                    console.print(Text(_GAP) + text, soft_wrap=True)
                else:
                    console.print(Padding(text, (0, 0, 0, len(_GAP))))


def _filled(cells: Sequence[Text], widths: Sequence[int]) -> Iterator[Text]:
    """The cells, each as wide as its column."""
    for cell, width in zip(cells, widths, strict=False):
        filled = cell.copy()
        filled.pad_right(width - cell.cell_len)
        yield filled


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
        "approved": "green",
        "pending": "yellow",
        "warning": "yellow",
        "defer": "yellow",
    }
    return Text(safe(word), style=styles.get(word, "bold red"))
