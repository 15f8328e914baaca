"""Folder names as IMAP writes them: modified UTF-7, quoted strings, LIST answers (RFC 3501 section 5.1.3)."""

import base64
import re
from collections.abc import Iterable

_LIST_ANSWER = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?:\\.|[^"\\])*"|NIL) (?P<name>.+)', re.DOTALL)


def encode(name: str) -> str:
    """The name in modified UTF-7 and quotes, ready for a command."""
    pieces = []
    for run in re.findall(r"[ -~]+|[^ -~]+", name):
        if run.isascii() and run.isprintable():
            pieces.append(run.replace("&", "&-"))
        else:
            packed = base64.b64encode(run.encode("utf-16-be")).decode("ascii")
            pieces.append(f"&{packed.rstrip('=').replace('/', ',')}-")
    return quote("".join(pieces))


def quote(text: str) -> str:
    """A quoted string (RFC 3501 section 4.3); the text must hold no line break."""
    if re.search(r"[\r\n\0]", text):
        raise ValueError("a quoted string holds no line break")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def marked_as(special_use: str, answers: Iterable[object]) -> str | None:
    """The folder that LIST answers mark with this special use (RFC 6154), quoted as a command wants it.

    `answers` is what imaplib returns: bytes, or (bytes ending in a literal's length, literal).
    """
    for answer in answers:
        line, literal = answer if isinstance(answer, tuple) else (answer, None)
        if not isinstance(line, bytes) or (match := _LIST_ANSWER.match(line)) is None:
            continue
        if special_use.lower() not in match["flags"].decode("ascii", "replace").lower().split():
            continue
        if isinstance(literal, bytes):
            return quote(literal.decode("ascii", "replace"))
        name = match["name"].decode("ascii", "replace").strip()
        return name if name.startswith('"') else quote(name)
    return None
