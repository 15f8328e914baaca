"""Checks the order and number of XML elements, as Exchange does with its schema before it looks at a mail.

A small table per file says what may stand in each element, in the notation of DTDs (`a b? (c|d) e*`), written
down from the public schema's facts; nothing of Microsoft's schema files is here. A name with a parent
(`m:CreateItem/m:Items`) goes before a name alone. Content `#any` is not looked into; `#empty`, `#text`, `#bool`,
`#int`, `#time`, `#base64` and `#of a|b` (one of these words) have no children. Attributes stand in brackets:
`Name!` must be there, `Name=a|b` has one of these values, `Name=#int` is a number; all that may stand there are
listed.
"""

import base64
import binascii
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.servers.ews.xml_names import local_name, namespace, short

_NAME = re.compile(r"[a-z]:\w+")
_SIMPLE = {
    "#empty": re.compile(""),
    "#tag": re.compile(r"\d+|0[xX][0-9A-Fa-f]{1,4}"),
    "#bool": re.compile(r"(?i:true|false)|0|1"),
    "#int": re.compile(r"[+-]?\d+"),
    "#time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"),
}


@dataclass(frozen=True)
class Rule:
    """What one element may hold."""

    content: str
    pattern: re.Pattern[str] | None
    """None: a simple type, or anything."""
    attributes: Mapping[str, tuple[str, ...]]
    """Allowed attributes with their values; no values: any."""
    needed: frozenset[str]


def read_table(text: str) -> dict[str, Rule]:
    """The rules of a table; a line that begins with blanks continues the one before."""
    rules: dict[str, Rule] = {}
    for line in re.sub(r"\n[ \t]+", " ", text.strip()).splitlines():
        found = re.fullmatch(r"([^\s\[]+)\s*(?:\[([^]]*)\])?\s*=\s*(.*)", line)
        assert found, line
        name, attributes, content = found.groups()
        rules[name] = _rule(attributes or "", content.strip())
    return rules


def _rule(attributes: str, content: str) -> Rule:
    allowed: dict[str, tuple[str, ...]] = {}
    needed = set()
    for word in attributes.split():
        name, _, values = word.partition("=")
        if name.endswith("!"):
            name = name[:-1]
            needed.add(name)
        allowed[name] = tuple(values.split("|")) if values else ()
    if content.startswith("#"):
        return Rule(content, None, allowed, frozenset(needed))
    pattern = re.compile(_NAME.sub(lambda name: f"(?:{name.group()},)", content).replace(" ", ""))
    return Rule(content, pattern, allowed, frozenset(needed))


class Grammar:
    """The tables of one direction: requests, or answers."""

    def __init__(self, *tables: Mapping[str, Rule]) -> None:
        self._rules: dict[str, Rule] = {}
        for table in tables:
            self._rules.update(table)

    def violations(self, element: ET.Element, parent: str = "") -> Iterator[str]:
        """What is wrong with this element and all in it, in the words of Exchange; nothing: it is valid."""
        name = short(element)
        rule = self._rules.get(f"{parent}/{name}") or self._rules.get(name)
        if rule is None:
            yield f"The '{element.tag}' element is not declared."
            return
        yield from _attribute_violations(element, rule)
        if rule.content == "#any":
            return
        if rule.pattern is None:
            yield from _text_violations(element, rule)
            return
        names = [short(part) for part in element]
        if not rule.pattern.fullmatch("".join(f"{part}," for part in names)):
            yield _wrong_children(element, names, rule)
        elif (element.text or "").strip():
            yield f"The element '{local_name(element)}' cannot contain text."
        for part in element:
            yield from self.violations(part, name)


def _attribute_violations(element: ET.Element, rule: Rule) -> Iterator[str]:
    for name in sorted(rule.needed - element.attrib.keys()):
        yield f"The required attribute '{name}' is missing."
    for name, value in element.attrib.items():
        if name not in rule.attributes:
            yield f"The '{name}' attribute is not declared."
        elif not _is_one(value, rule.attributes[name]):
            yield f"The '{name}' attribute is invalid - The value '{value}' is invalid according to its datatype."


def _is_one(value: str, allowed: tuple[str, ...]) -> bool:
    if not allowed:
        return True
    return bool(_SIMPLE[allowed[0]].fullmatch(value.strip())) if allowed[0] in _SIMPLE else value in allowed


def _text_violations(element: ET.Element, rule: Rule) -> Iterator[str]:
    text = (element.text or "").strip()
    name = local_name(element)
    if len(element):
        yield f"The element '{name}' cannot contain child elements."
    elif rule.content == "#base64":
        try:
            base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            yield f"The '{name}' element is invalid - its value is not valid Base64."
    elif rule.content.startswith("#of "):
        if text not in rule.content.removeprefix("#of ").replace(" ", "").split("|"):
            yield f"The '{name}' element is invalid - The value '{text}' is invalid according to its datatype."
    elif rule.content in _SIMPLE and not _SIMPLE[rule.content].fullmatch(text):
        yield f"The '{name}' element is invalid - The value '{text}' is invalid according to its datatype."


def _wrong_children(element: ET.Element, names: list[str], rule: Rule) -> str:
    assert rule.pattern is not None
    where = f"The element '{local_name(element)}' in namespace '{namespace(element)}'"
    expected = ", ".join(dict.fromkeys(_NAME.findall(rule.content)))
    for count in range(len(names), 0, -1):
        if _may_begin(rule, names[:count]):
            break
    else:
        count = 0
    if count == len(names):
        return f"{where} has incomplete content. Possible elements, in this order: {expected}."
    return f"{where} has invalid child element '{names[count]}'. Possible elements, in this order: {expected}."


def _may_begin(rule: Rule, names: list[str]) -> bool:
    """Whether some end makes these names a valid content: each of the rule's names is tried as optional."""
    optional = re.sub(_NAME, lambda name: f"(?:{name.group()},)?", rule.content).replace(" ", "")
    optional = optional.replace("?*", "*").replace("?+", "*").replace("??", "?")
    return re.fullmatch(optional, "".join(f"{name}," for name in names)) is not None
