"""Values written into PowerShell so that none of them can leave its quotes, and templates with comments kept.

Names of domains and contacts come from people. In a single-quoted string of PowerShell nothing is expanded and only
the quote itself must be doubled; the typographic quotes U+2018 to U+201B end such a string, too, so they are doubled
alike (about_Quoting_Rules; the tokenizer's `IsSingleQuote`).
"""

import re
from collections.abc import Iterable, Mapping

from ime_gateway.base.errors import UserError

_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")
_ENTRY = re.compile(r"^(?P<code>[ ]+\w+ += .*?) {2,}(?P<why># .*)$", re.MULTILINE)
_WIDEST = 90
"""Columns of code before a comment; a longer entry would push the others off the screen."""
_PLACE = re.compile(r"<<([a-z_]+)>>")


def quoted(text: str) -> str:
    """A single-quoted string. Raises UserError for control characters, which no name of ours has."""
    if not text.isprintable():
        raise UserError(f"{text!r} has control characters, so it cannot stand in a script")
    return "'" + _QUOTES.sub(r"\1\1", text) + "'"


def listed(texts: Iterable[str]) -> str:
    """An array of strings; `@()` when there is none."""
    return "@(" + ", ".join(quoted(text) for text in texts) + ")"


def listed_numbers(numbers: Iterable[int]) -> str:
    """An array of numbers."""
    return "@(" + ", ".join(str(number) for number in numbers) + ")"


def remark(text: str) -> str:
    """Text for a comment: one line, and nothing in it ends a block comment."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split()).replace("#>", "# >")


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with each `<<name>>` replaced, once: a value that looks like a place stays as it is.

    Raises KeyError for a place without value: a mistake of ours, found by every test."""
    return _PLACE.sub(lambda found: values[found[1]], template)


def with_names(template: str, names: Mapping[str, str]) -> str:
    """A template of ours with names of ours in it and its comments in columns; other places stay to be filled.

    Raises KeyError as `filled` does, for a name that the template does not want: a mistake of ours."""
    wanted = set(_PLACE.findall(template))
    if not names.keys() <= wanted:
        raise KeyError(*(names.keys() - wanted))
    text = _PLACE.sub(lambda found: names.get(found[1], found[0]), template)
    blocks = re.split(r"(?<=\n)(?=[^\n]*[@({]\n)|(?<=[@({]\n)", text)
    return "".join(_in_columns(block) for block in blocks)


def _in_columns(block: str) -> str:
    """The comments at the ends of entries of a table stand below each other; a very long entry keeps its own place."""
    entries = [found for found in _ENTRY.finditer(block) if len(found["code"]) <= _WIDEST]
    width = max((len(found["code"]) for found in entries), default=0)
    wide = {found["code"] for found in entries}
    return _ENTRY.sub(
        lambda found: f"{found['code']:<{width}}  {found['why']}" if found["code"] in wide else found[0], block
    )


def script(text: str) -> bytes:
    """The bytes of a .ps1 file: UTF-8 with BOM, because Windows PowerShell 5.1 takes files without one for ANSI, and
    CRLF, as administrators' editors expect."""
    return b"\xef\xbb\xbf" + text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8")
