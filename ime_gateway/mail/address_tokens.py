"""Cuts an address list into the tokens of RFC 5322 section 3.2, in one pass.

Comments nest and quoted strings hide every special character, so no expression over the whole
text can find the commas; a list of tokens can, in time linear in the text.
"""

import re
from typing import NamedTuple

from ime_gateway.base.errors import UnreadableMail

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)
    |(?P<quoted>"(?>[^"\\]+|\\.)*+")
    |(?P<literal>\[(?>[^\[\]\\]+|\\.)*+\])
    |(?P<atom>[^\x00-\x20()<>@,;:\\".\[\]\x7f-\x9f]+)
    |(?P<special>[<>@,;:.()])""",
    re.VERBOSE | re.DOTALL,
)
_IN_COMMENT = re.compile(r"[^()\\]*+(?:([()])|\\.)", re.DOTALL)


class Token(NamedTuple):
    """One piece of an address list; a tuple because long lists make many of them."""

    kind: str
    """`atom`, `quoted`, `literal`, `comment`, or the special character itself."""
    text: str
    """As written; a comment with its parentheses, a quoted string with its quotes."""
    spaced: bool
    """Blanks stand before it."""


def tokenize(text: str) -> list[Token]:
    """Cut the text; raises UnreadableMail for control characters and what is never closed."""
    tokens: list[Token] = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise UnreadableMail("an address list has a character or quote that may not stand there")
        kind, piece = match.lastgroup or "", match[0]
        position = match.end()
        if kind == "blank":
            spaced = True
            continue
        if piece == "(":
            position = _comment_end(text, position)
            kind, piece = "comment", text[match.start() : position]
        elif kind == "special":
            if piece == ")":
                raise UnreadableMail("an address list closes a comment that it never opened")
            kind = piece
        tokens.append(Token(kind, piece, spaced))
        spaced = False
    return tokens


def _comment_end(text: str, position: int) -> int:
    """The place after the comment whose opening parenthesis stands before `position`."""
    depth = 1
    while depth:
        match = _IN_COMMENT.match(text, position)
        if match is None:
            raise UnreadableMail("an address list has a comment that is not closed")
        position = match.end()
        depth += {"(": 1, ")": -1, None: 0}[match[1]]
    return position
