"""PowerShell as statements: keywords, operators and what stands on either side of them; see `powershell`.

Rules: about_Language_Keywords, about_If, about_Foreach, about_Operators, about_Hash_Tables; specification 3.0, sections
7 and 8. Only what our scripts use is known; anything else is a fault.
"""

import re
from collections.abc import Collection
from typing import Final

from tests.powershell_tokens import Fault, Token

_WITH_CONDITION: Final = frozenset({"if", "elseif", "foreach", "while", "switch"})
_WITH_BLOCK: Final = frozenset({"else", "try", "finally"})
_ALONE: Final = frozenset({"function", "param", "return", "throw", "continue", "break", "catch"})
_BETWEEN: Final = re.compile(
    "in|-|-(and|or|join|is|isnot|as|f|[ci]?(eq|ne|lt|le|gt|ge|(not)?(contains|in|match|like)|split|replace))"
)
_BEGINS: Final = frozenset({"\n", ";", "|", "{", "(", "@(", "$(", "=", "+=", "!", "-not", "-and", "-or", "in"})
"""After which a word is a command, a keyword or a number."""
_CALLABLE: Final = re.compile(r"[A-Z][A-Za-z]*-[A-Z]\w*")
_NUMBER: Final = re.compile(r"\d+(\.\d+)?(KB|MB|GB)?", re.IGNORECASE)


def check(tokens: list[Token], arguments: Collection[int]) -> None:
    """Raises `Fault`; `arguments` are the places of cmdlets with all that is given to them."""
    _Statements(tokens, arguments).check()


class _Statements:
    def __init__(self, tokens: list[Token], arguments: Collection[int]) -> None:
        self.tokens = tokens
        self.arguments = arguments
        self.keys: set[tuple[int, str]] = set()

    def check(self) -> None:
        for place, token in enumerate(self.tokens):
            if "[" in self._around(place) or token.kind == "newline":
                continue
            if self._around(place)[-1:] == ["@{"] and self._before(place) in ("\n", ";", "@{"):
                self._key(place)
            elif place not in self.arguments:
                self._word(place)
                self._operand(place)
            if token.text == "|" and self._next(place) in ("|", ")", "}", ""):
                raise Fault(token.line, "nothing follows the |")

    def _word(self, place: int) -> None:
        word, line = self.tokens[place].text, self.tokens[place].line
        if self.tokens[place].kind != "word":
            return
        if word in _WITH_CONDITION:
            closed = self._closed(place + 1) if self._at(place + 1) == "(" else 0
            if closed <= place + 2 or self._next(closed) != "{":
                raise Fault(line, f"{word} needs a condition and a block")
        elif word in _WITH_BLOCK:
            if self._next(place) != "{" or (word != "try" and self._last(place) != "}"):
                raise Fault(line, f"{word} without its blocks")
            if word == "try" and self._next(self._closed(self._opens(place))) not in ("catch", "finally"):
                raise Fault(line, "try without catch or finally")
        elif _BETWEEN.fullmatch(word):
            if not self._ends_a_value(place - 1) or self._next(place) in (")", "}", "{", ";", "|", ""):
                raise Fault(line, f"{word} needs something on both sides")
        elif re.match("-[A-Za-z]", word):
            if word != "-not":
                raise Fault(line, f"{word} is no operator")
        elif self._before(place) in _BEGINS and word not in _ALONE:
            if not (_CALLABLE.fullmatch(word) or _NUMBER.fullmatch(word)):
                raise Fault(line, f"{word} is no command")
        elif place and self._ends_a_value(place - 1) and not word.startswith("."):
            raise Fault(line, f"no operator before {word}")

    def _operand(self, place: int) -> None:
        token = self.tokens[place]
        if token.text in ("=", "+=") and token.kind == "symbol" and self._next(place) in ("=", ")", "}", ";", "|", ""):
            raise Fault(token.line, "nothing is assigned")
        if token.text == "&" and token.kind == "symbol":
            raise Fault(token.line, "Windows PowerShell has no &&, and our scripts run nothing by &")
        begins = token.kind in ("string", "variable", "splat") or token.text in ("@(", "@{", "(")
        called = token.text == "(" and re.match(r"\.\w|\w", self._before(place)) is not None
        if begins and not called and place and self._ends_a_value(place - 1):
            raise Fault(token.line, f"no operator before {token.text}")

    def _key(self, place: int) -> None:
        token = self.tokens[place]
        if token.text == "}":
            return
        if self._at(place + 1) != "=" or self._next(place + 1) in ("=", "}", ";", ""):
            raise Fault(token.line, f"{token.text} in a table has no value")
        if (token.blocks[-1], token.text.lower()) in self.keys:
            raise Fault(token.line, f"{token.text} stands in the table twice")
        self.keys.add((token.blocks[-1], token.text.lower()))

    def _ends_a_value(self, place: int) -> bool:
        """Nothing but an operator, a member or an end may follow on this line."""
        token = self.tokens[place]
        if token.kind in ("string", "variable"):
            return True
        if token.kind == "word":
            return bool(re.match(r"\.\w", token.text) or _NUMBER.fullmatch(token.text) or self._before(place) == "::")
        return token.text == ")" or (token.text == "}" and self.tokens[self._opened(place)].text == "@{")

    def _around(self, place: int) -> list[str]:
        return [self.tokens[one].text for one in self.tokens[place].blocks]

    def _opened(self, place: int) -> int:
        """Where the bracket begins that ends here."""
        depth = self.tokens[place].depth
        return next(at for at in range(place - 1, -1, -1) if self.tokens[at].depth == depth)

    def _closed(self, place: int) -> int:
        """Where the bracket ends that begins here."""
        depth = self.tokens[place].depth
        return next(at for at in range(place + 1, len(self.tokens)) if self.tokens[at].depth == depth)

    def _opens(self, place: int) -> int:
        """Where the next bracket begins."""
        return next(at for at in range(place + 1, len(self.tokens)) if self.tokens[at].kind == "open")

    def _at(self, place: int) -> str:
        return _shown(self.tokens[place]) if place < len(self.tokens) else ""

    def _before(self, place: int) -> str:
        return _shown(self.tokens[place - 1]) if place else "\n"

    def _next(self, place: int) -> str:
        """The first token on this line or below."""
        return next((_shown(one) for one in self.tokens[place + 1 :] if one.kind != "newline"), "")

    def _last(self, place: int) -> str:
        return next((_shown(one) for one in reversed(self.tokens[:place]) if one.kind != "newline"), "")


def _shown(token: Token) -> str:
    """A string is none of the signs that may stand in it."""
    return f"'{token.text}'" if token.kind == "string" else token.text
