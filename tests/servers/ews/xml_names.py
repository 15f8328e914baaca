"""Names and small builders for the XML of Exchange Web Services, so that every other file speaks of mail only.

An element is written `t:Message` here, as the documentation of EWS writes it: `t` holds the things in a
mailbox, `m` the requests and answers, `s` the SOAP envelope (MS-OXWSCORE section 1.5, SOAP 1.1).
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

NAMESPACES = {
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "m": "http://schemas.microsoft.com/exchange/services/2006/messages",
    "t": "http://schemas.microsoft.com/exchange/services/2006/types",
    "e": "http://schemas.microsoft.com/exchange/services/2006/errors",
}
_PREFIXES = {uri: prefix for prefix, uri in NAMESPACES.items()}

for _prefix, _uri in NAMESPACES.items():
    ET.register_namespace(_prefix, _uri)


def full(name: str) -> str:
    """`t:Message` as the XML library wants it; a name without a prefix has no namespace."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}" if local else prefix


def short(element: ET.Element) -> str:
    """The name of an element as `t:Message`; a foreign namespace stays as it is."""
    uri, _, local = element.tag.removeprefix("{").rpartition("}")
    return f"{_PREFIXES[uri]}:{local}" if uri in _PREFIXES else element.tag


def local_name(element: ET.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def namespace(element: ET.Element) -> str:
    """The namespace of an element, empty when it has none."""
    return element.tag.removeprefix("{").rpartition("}")[0]


def make(name: str, content: str | Iterable[ET.Element] = (), **attributes: str) -> ET.Element:
    """An element with text or with children."""
    element = ET.Element(full(name), attributes)
    if isinstance(content, str):
        element.text = content
    else:
        element.extend(content)
    return element


def child(element: ET.Element, name: str) -> ET.Element | None:
    """The first child of that name."""
    return element.find(full(name))


def need(element: ET.Element, name: str) -> ET.Element:
    """The child of that name, which the grammar has already promised."""
    found = child(element, name)
    assert found is not None, f"{short(element)} has no {name}"
    return found


def children(element: ET.Element, name: str) -> list[ET.Element]:
    """All children of that name."""
    return element.findall(full(name))


def text_of(element: ET.Element | None, name: str = "") -> str:
    """The text of the element (or of its child of that name), stripped; empty when there is none."""
    found = child(element, name) if element is not None and name else element
    return (found.text or "").strip() if found is not None else ""


def truth(value: str) -> bool:
    """An `xs:boolean`: both spellings (XML Schema Part 2 section 3.2.2), and exchangelib's `True`."""
    return value.strip().lower() in ("true", "1")


def said(value: bool) -> str:
    """A boolean as Exchange writes it."""
    return "true" if value else "false"


_ILLEGAL = dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0xFFFE, 0xFFFF])


def clean(text: str) -> str:
    """The text without characters that XML 1.0 cannot hold (section 2.2)."""
    return text.translate(_ILLEGAL).encode("utf-8", "replace").decode("utf-8")


def written(element: ET.Element) -> bytes:
    """A document with its XML declaration."""
    body: bytes = ET.tostring(element, encoding="utf-8", xml_declaration=False)
    return b'<?xml version="1.0" encoding="utf-8"?>' + body
