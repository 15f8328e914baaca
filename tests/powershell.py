"""Reads PowerShell scripts as PowerShell would, because it cannot be had here: tokens, blocks, commands, parameters.

Statements (keywords, operators, tables) are judged by `powershell_statements`.

PowerShell is in no package of Debian, PyPI or npm, so scripts that we write for others are judged by this reader. It is
made from the language (about_Quoting_Rules, about_Parsing, about_Comments, about_Splatting; the specification 3.0,
section 2) and knows nothing of those who write the scripts. It is stricter than PowerShell: what it cannot read for
sure is a fault. `cmdlets` holds what Microsoft's reference says of each cmdlet.

    script = read(text)                 # raises Fault: line and sentence
    for command in script.commands: ...
    script.unknown("server")            # what the reference of that Exchange does not have
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from tests.powershell_statements import check
from tests.powershell_tokens import Fault, Token, tokens_of

__all__ = ["COMMON", "Command", "Fault", "Script", "Token", "cmdlets", "read"]

_CALLABLE = re.compile(r"[A-Z][A-Za-z]*-[A-Z]\w*")
_HEREAFTER: Final = frozenset(
    {"\n", ";", "|", "{", "(", "@(", "$(", "=", "+=", "!", "&", "-not", "-and", "-or", "in", "return", "throw", "else"}
)
"""After which a word is a command (the start of a pipeline)."""
COMMON: Final = frozenset({"ErrorAction", "WarningAction", "Verbose", "ErrorVariable", "OutVariable", "Debug"})
"""about_CommonParameters."""
Where = Literal["server", "online"]


@dataclass(frozen=True)
class Command:
    """A cmdlet with what is given to it; splatted tables resolved."""

    name: str
    line: int
    place: int
    """In `Script.tokens`."""
    parameters: dict[str, str]
    """Name to the text of its value, names of splatted tables included."""
    splatted: tuple[str, ...]


@dataclass
class Script:
    tokens: list[Token]
    comments: dict[int, str]
    """By line; of a block comment the first line."""
    commands: list[Command] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)

    def calls(self, *names: str) -> list[Command]:
        """The commands of these names, in order."""
        return [one for one in self.commands if one.name in names]

    def text(self, start: int, end: int) -> str:
        """Tokens as text; a string in single quotes."""
        return " ".join(f"'{one.text}'" if one.kind == "string" else one.text for one in self.tokens[start:end])

    def headers(self, command: Command) -> list[str]:
        """What stands before the braces around a command: `if ( … )`, `foreach ( … )`; from the outside."""
        return [self._header(place) for place in self.tokens[command.place].blocks if self.tokens[place].text == "{"]

    def before(self, command: Command) -> str:
        """Everything from the beginning of the innermost loop (or the script) to the command."""
        braces = [place for place in self.tokens[command.place].blocks if self.tokens[place].text == "{"]
        loops = [place for place in braces if self._header(place).startswith(("foreach", "while"))]
        return self.text(loops[-1] if loops else 0, command.place)

    def uncommented(self) -> list[str]:
        """Lines of code that neither end in a comment nor follow one; brackets that only close need none."""
        found = []
        for line in sorted({one.line for one in self.tokens if one.kind != "newline"} - set(self.comments)):
            here = [one for one in self.tokens if one.line == line and one.kind != "newline"]
            closing = all(one.kind == "close" or one.text in ("else", "{") for one in here)
            if line - 1 not in self._own_comments() and not closing:
                found.append(f"line {line}: {' '.join(one.text for one in here)}")
        return found

    def _own_comments(self) -> set[int]:
        """Lines that are nothing but comment."""
        code = {one.line for one in self.tokens if one.kind != "newline"}
        return {
            first + step
            for first, text in self.comments.items()
            for step in range(text.count("\n") + 1)
            if first + step not in code
        }

    def strings(self) -> list[str]:
        return [one.text for one in self.tokens if one.kind == "string"]

    def unknown(self, where: Where) -> list[str]:
        """Cmdlets and parameters that Microsoft's reference does not have for Exchange Server or Exchange Online."""
        found = []
        for one in self.commands:
            if one.name in self.functions:
                continue
            entry = cmdlets().get(one.name)
            if entry is None or where not in entry["where"]:
                found.append(f"line {one.line}: {one.name}")
                continue
            names = {name.lower(): place for name, place in entry["parameters"].items()}
            for name, value in one.parameters.items():
                if name not in COMMON and where not in names.get(name.lower(), ""):
                    found.append(f"line {one.line}: {one.name} -{name}")
                if re.fullmatch(r"'\w+'", value) and value[1:-1] not in entry.get("values", {}).get(
                    name, [value[1:-1]]
                ):
                    found.append(f"line {one.line}: {one.name} -{name} {value}")
        return found

    def _header(self, place: int) -> str:
        depth, start = self.tokens[place].depth, place
        while start and not (self.tokens[start - 1].depth <= depth and self.tokens[start - 1].text in "\n;{"):
            start -= 1
        return self.text(start, place)


def cmdlets() -> dict[str, Any]:
    """tests/data/powershell_cmdlets.json: name to source, where it exists, and parameters with where they exist."""
    path = Path(__file__).with_name("data") / "powershell_cmdlets.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["cmdlets"]
    return found


def read(text: str) -> Script:
    """The script taken apart. Raises `Fault`."""
    script = Script(*tokens_of(text))
    for place, token in enumerate(script.tokens[:-1]):
        if token.text == "function":
            script.functions.add(script.tokens[place + 1].text)
    script.commands.extend(_commands(script))
    check(script.tokens, _arguments(script))
    return script


def _arguments(script: Script) -> set[int]:
    """Places of the cmdlets and of all that is given to them, without what stands in brackets."""
    return {
        place
        for one in script.commands
        for place in range(one.place, _end(script, one.place))
        if script.tokens[place].depth == script.tokens[one.place].depth
    }


def _commands(script: Script) -> Iterator[Command]:
    for place, token in enumerate(script.tokens):
        before = script.tokens[place - 1].text if place else "\n"
        if token.kind != "word" or not _CALLABLE.fullmatch(token.text) or before not in _HEREAFTER:
            continue
        end = _end(script, place)
        given, splats = _given(script, place + 1, end)
        for name in splats:
            given |= _table(script, name, place)
        yield Command(token.text, token.line, place, given, tuple(splats))


def _end(script: Script, place: int) -> int:
    depth = script.tokens[place].depth
    for end in range(place + 1, len(script.tokens)):
        token = script.tokens[end]
        if token.depth < depth or (token.depth == depth and token.text in ("\n", ";", "|")):
            return end
    return len(script.tokens)


def _given(script: Script, start: int, end: int) -> tuple[dict[str, str], list[str]]:
    depth = script.tokens[start - 1].depth
    places = [
        place
        for place in range(start, end)
        if script.tokens[place].depth == depth
        and script.tokens[place].kind == "word"
        and re.fullmatch(r"-[A-Za-z]\w*:?", script.tokens[place].text)
    ]
    names = [script.tokens[place].text.strip("-:").lower() for place in places]
    if len(set(names)) < len(names):
        raise Fault(script.tokens[start - 1].line, "a parameter is given twice")
    given = {
        script.tokens[place].text.strip("-:"): script.text(place + 1, following)
        for place, following in zip(places, [*places, end][1:], strict=True)
    }
    here = [one.text[1:] for one in script.tokens[start:end] if one.kind == "splat" and one.depth == depth]
    return given, here


def _table(script: Script, name: str, place: int) -> dict[str, str]:
    """What was put into the table (or the tables of a list) of that name before; keys of all of them."""
    source = _looped(script, name, place) or name
    starts = [at for at in range(place) if _assigns(script, at, source)]
    plain = [at for at in starts if script.tokens[at + 1].text == "="]
    if not plain:
        raise Fault(script.tokens[place].line, f"@{name} was never made")
    found: dict[str, str] = {}
    for at in starts:
        if at >= plain[-1]:
            found |= _keys(script, at, _end(script, at))
    member = re.compile(rf"\$?{re.escape(source)}\.(\w+)")
    for at in range(plain[-1], place):
        token, after = script.tokens[at], script.tokens[at + 1]
        dotted = member.fullmatch(f"{token.text}{after.text}") if token.kind == "variable" else None
        if dotted and script.tokens[at + 2].text == "=":
            found[dotted[1]] = script.text(at + 3, _end(script, at))
    return found


def _assigns(script: Script, at: int, name: str) -> bool:
    return script.tokens[at].text == f"${name}" and script.tokens[at + 1].text in ("=", "+=")


def _looped(script: Script, name: str, place: int) -> str:
    """Of `foreach ($rule in $rules)` around the place: the list behind the name."""
    for at in range(place, 3, -1):
        one = script.tokens[at - 3 : at]
        if [one[0].text, one[1].text] == [f"${name}", "in"] and one[2].kind == "variable":
            return one[2].text[1:]
    return ""


def _keys(script: Script, start: int, end: int) -> dict[str, str]:
    """Keys of the outermost tables of an expression."""
    found: dict[str, str] = {}
    for at in range(start, end):
        token = script.tokens[at]
        inside = [one for one in token.blocks if one >= start and script.tokens[one].text == "@{"]
        if script.tokens[at + 1].text == "=" and len(inside) == 1 and token.blocks[-1] == inside[0]:
            last = next(place for place in range(at + 2, end + 1) if script.tokens[place].text in ("\n", ";", "}"))
            found[token.text] = script.text(at + 2, last)
    return found
