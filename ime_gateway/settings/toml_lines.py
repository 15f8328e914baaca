"""Finds the line of a key in a TOML file, so that an error can say where to look.

`tomllib` gives values without positions; an administrator with 200 domains in a file needs the
line. The text has been parsed before, so this reader may assume correct TOML 1.0.
"""

import re
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""Names and, inside `[[arrays]]`, positions: `("listener", 0, "port")`."""

_KEY_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")
_VALUE_MARK = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|' + r"'''.*?'''|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'|#[^\n]*|[\[\]{}\n]", re.DOTALL
)


class LineIndex:
    """The lines of one TOML text, by key path; lines count from 1."""

    def __init__(self, lines: Mapping[KeyPath, int]) -> None:
        self._lines = lines

    @classmethod
    def of(cls, text: str) -> "LineIndex":
        """Index a TOML text that `tomllib` has accepted."""
        return cls(_index(text.replace("\r\n", "\n")))

    def find(self, path: KeyPath) -> int:
        """The line of a key (of an array of tables: of its first), else of the nearest table around it, else 1."""
        for length in range(len(path), 0, -1):
            line = self._lines.get(path[:length]) or self._lines.get((*path[:length], 0))
            if line is not None:
                return line
        return 1


def _index(text: str) -> dict[KeyPath, int]:
    lines: dict[KeyPath, int] = {}
    arrays: dict[tuple[str, ...], int] = {}
    table: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        content = text[position:end].strip()
        if content.startswith("["):
            double = content.startswith("[[")
            names, _ = _key(content[2 if double else 1 :])
            table = _enter(names, arrays, new=double)
            lines.setdefault(table, line)
        elif content and not content.startswith("#"):
            names, after = _key(text[position:end])
            lines.setdefault((*table, *names), line)
            end = _value_end(text, position + after)
        line += text.count("\n", position, end) + 1
        position = end + 1
    return lines


def _key(text: str) -> tuple[tuple[str, ...], int]:
    """A dotted key at the beginning of `text`, and where it ends."""
    names: list[str] = []
    position = 0
    while match := _KEY_PART.match(text, position):
        names.append(next(part for part in match.groups() if part is not None))
        position = match.end()
        if text[position : position + 1] != ".":
            break
        position += 1
    return tuple(names), position


def _enter(names: tuple[str, ...], arrays: dict[tuple[str, ...], int], *, new: bool) -> KeyPath:
    """The path of a table header; inside an array of tables, of its newest element."""
    if new:
        arrays[names] = arrays.get(names, -1) + 1
    path: list[str | int] = []
    for length in range(1, len(names) + 1):
        path.append(names[length - 1])
        if names[:length] in arrays:
            path.append(arrays[names[:length]])
    return tuple(path)


def _value_end(text: str, position: int) -> int:
    """Where the line ends on which the value ends: past strings, arrays and inline tables."""
    depth = 0
    while match := _VALUE_MARK.search(text, position):
        mark = match.group()
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        elif mark == "\n" and depth == 0:
            return match.start()
        position = match.end()
    return len(text)
