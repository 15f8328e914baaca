"""PowerShell as tokens: quotes, here-strings, comments, brackets, line continuation; see `powershell`.

Rules: about_Quoting_Rules, about_Comments, about_Parsing, about_Special_Characters; specification 3.0, section 2.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

SINGLE: Final = "'\u2018\u2019\u201a\u201b"
DOUBLE: Final = '"\u201c\u201d\u201e'
_CLOSES: Final = {"(": ")", "@(": ")", "$(": ")", "{": "}", "@{": "}", "[": "]"}
_VARIABLE = re.compile(r"\$(?:\{[^}`]+\}|[\w:]*\w|[$?^])")
_SPLAT = re.compile(r"@[A-Za-z_]\w*")
_WORD = re.compile(r"[^\s'\"\u2018-\u201f`(){}\[\];,|$@=+*/!<>&]+")
Kind = Literal["word", "variable", "string", "splat", "symbol", "open", "close", "newline"]


class Fault(AssertionError):
    """The script is not PowerShell, or nobody can be sure of it."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line}: {sentence}")


@dataclass(frozen=True)
class Token:
    kind: Kind
    text: str
    """Of a string what it means, with the variables in an expanding one as they stand."""
    line: int
    depth: int
    """How many brackets are open around it."""
    blocks: tuple[int, ...]
    """Places (in `Script.tokens`) of the brackets around it, from the outside."""


def tokens_of(text: str) -> tuple[list[Token], dict[int, str]]:
    """The tokens, and the comments by line. Raises `Fault`."""
    reader = _Reader(text.replace("\r\n", "\n"))
    reader.run()
    return reader.tokens, reader.comments


class _Reader:
    def __init__(self, text: str, line: int = 1) -> None:
        self.text = text
        self.place = 0
        self.line = line
        self.tokens: list[Token] = []
        self.comments: dict[int, str] = {}
        self.open: list[tuple[str, int, int]] = []

    def run(self) -> None:
        while self.place < len(self.text):
            self._step()
        if self.open:
            raise Fault(self.open[-1][1], f"{self.open[-1][0]} is never closed")

    def _step(self) -> None:
        letter = self.text[self.place]
        if letter == "\n":
            self._add("newline", "\n", 1)
        elif letter in " \t":
            self.place += 1
        elif letter == "`":
            self._backtick()
        elif self.text.startswith("<#", self.place) or (letter == "#" and self._begins()):
            self._comment()
        elif letter == "@" and self.text[self.place + 1 : self.place + 2] in tuple(SINGLE + DOUBLE):
            self._here_string()
        elif letter in SINGLE:
            self._single()
        elif letter in DOUBLE:
            self._double()
        else:
            self._plain(letter)

    def _plain(self, letter: str) -> None:
        two = self.text[self.place : self.place + 2]
        if two in _CLOSES or letter in _CLOSES:
            opening = two if two in _CLOSES else letter
            self._add("open", opening, len(opening))
            self.open.append((opening, self.line, len(self.tokens) - 1))
        elif letter in ")}]":
            if not self.open or _CLOSES[self.open[-1][0]] != letter:
                raise Fault(self.line, f"{letter} closes nothing")
            self.open.pop()
            self._add("close", letter, 1)
        elif letter == "$":
            self._add("variable", self._match(_VARIABLE), 0)
        elif letter == "@":
            self._add("splat", self._match(_SPLAT), 0)
        elif two in ("+=", "-=", "::"):
            self._add("symbol", two, 2)
        elif letter in ";,|=+*/!<>&":
            self._add("symbol", letter, 1)
        else:
            self._add("word", self._match(_WORD), 0)

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.place)
        if found is None:
            raise Fault(self.line, f"{self.text[self.place : self.place + 12]!r} means nothing here")
        self.place = found.end()
        return found[0]

    def _begins(self) -> bool:
        """A # begins a comment only where a token could begin."""
        return self.place == 0 or self.text[self.place - 1] in " \t\n(){}[];,|"

    def _add(self, kind: Kind, text: str, length: int) -> None:
        blocks = tuple(place for _, _, place in self.open)
        self.tokens.append(Token(kind, text, self.line, len(self.open), blocks))
        self.place += length
        self.line += text.count("\n") if kind == "newline" else 0

    def _backtick(self) -> None:
        rest = self.text[self.place + 1 :].partition("\n")[0]
        if not rest:
            self.place, self.line = self.place + 2, self.line + 1
        elif not rest.strip():
            raise Fault(self.line, "spaces after the backtick: the line is not continued")
        else:
            raise Fault(self.line, "a backtick outside of a string")

    def _comment(self) -> None:
        block = self.text.startswith("<#", self.place)
        end = self.text.find("#>" if block else "\n", self.place)
        if end < 0 and block:
            raise Fault(self.line, "<# is never closed")
        end = len(self.text) if end < 0 else end + 2 * block
        self.comments[self.line] = self.text[self.place : end]
        self.line += self.text.count("\n", self.place, end)
        self.place = end

    def _here_string(self) -> None:
        quotes = SINGLE if self.text[self.place + 1] in SINGLE else DOUBLE
        found = re.compile(rf"@[{quotes}][ \t]*\n(.*?)\n?^[{quotes}]@", re.DOTALL | re.MULTILINE).match(
            self.text, self.place
        )
        if found is None:
            raise Fault(self.line, "a here-string begins a line too late or never ends at the start of a line")
        self._add("string", found[1], 0)
        self.place, self.line = found.end(), self.line + found[0].count("\n")

    def _single(self) -> None:
        start, meaning, place = self.line, "", self.place + 1
        while True:
            letter = self.text[place : place + 1]
            if letter in ("", "\n"):
                raise Fault(start, "a quote is not closed on its line")
            if letter not in SINGLE:
                meaning, place = meaning + letter, place + 1
            elif self.text[place + 1 : place + 2] in tuple(SINGLE):
                meaning, place = meaning + letter, place + 2
            else:
                break
        self._add("string", meaning, 0)
        self.place = place + 1

    def _double(self) -> None:
        start, place = self.place + 1, self.place + 1
        while True:
            letter = self.text[place : place + 1]
            if letter in ("", "\n"):
                raise Fault(self.line, "a double quote is not closed on its line")
            if letter == "`":
                place += 2
            elif self.text.startswith("$(", place):
                place = self._inner(place + 2)
            elif letter == "$" and (found := _VARIABLE.match(self.text, place)):
                braced = found[0].startswith("${")
                if not braced and (":" in found[0] or self.text.startswith(":", found.end())):
                    raise Fault(self.line, f"{found[0]} in a string is a variable of another drive; write ${{name}}")
                if not braced and re.match(r"\.[A-Za-z]", self.text[found.end() : found.end() + 2]):
                    raise Fault(self.line, f"of {found[0]} in a string no member is shown; write $({found[0]}.…)")
                place = found.end()
            elif letter in DOUBLE and self.text[place + 1 : place + 2] not in tuple(DOUBLE):
                break
            else:
                place += 2 if letter in DOUBLE else 1
        self._add("string", self.text[start:place], 0)
        self.place = place + 1

    def _inner(self, place: int) -> int:
        """An expression in a string, by itself as right as any other; the place after its bracket."""
        inner = _Reader(self.text, self.line)
        inner.place, inner.open = place, [("$(", self.line, 0)]
        while inner.open:
            if inner.place >= len(self.text) or self.text[inner.place] == "\n":
                raise Fault(self.line, "$( in a string is not closed on its line")
            inner._step()
        return inner.place
