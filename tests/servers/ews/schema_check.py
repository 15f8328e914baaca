"""Checks what was said against the public schema of EWS, where somebody has it at hand.

The schema (Messages.xsd and Types.xsd, as Exchange serves them beside Exchange.asmx) is Microsoft's and under no
open licence, so it is not part of this project. With `EWS_SCHEMA_FOLDER=folder pytest …` every server that stops
checks all of its dialogues, requests and answers; without it, only the project's own tables are used.
"""

import importlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.servers.ews.dispatch import Dialogue
from tests.servers.ews.xml_names import full

_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
_XML_SCHEMA = (
    f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{_XML_NAMESPACE}">'
    '<xs:attribute name="lang" type="xs:language"/></xs:schema>'
)


def folder_of_schema() -> Path | None:
    """Where the schema is, when somebody has said so."""
    value = os.environ.get("EWS_SCHEMA_FOLDER", "")
    return Path(value) if value else None


def violations(dialogues: Iterable[Dialogue], folder: Path) -> Iterator[str]:
    """What is wrong with requests that were carried out, and with answers; faults have no schema."""
    etree: Any = importlib.import_module("lxml.etree")
    schema = _compiled(etree, folder)
    for dialogue in dialogues:
        if b"<s:Fault>" in dialogue.answer:
            continue
        for what, data in (("request", dialogue.request), ("answer", dialogue.answer)):
            root = etree.fromstring(data)
            parts = [part for name in ("s:Header", "s:Body") for part in root.findall(f"{full(name)}/*")]
            for part in parts:
                if not schema.validate(etree.ElementTree(etree.fromstring(etree.tostring(part)))):
                    text = str(schema.error_log[0].message)
                    # the schema says t:Notification in streams, Exchange says m:Notification (answer_grammar.py)
                    if not (dialogue.operation == "GetStreamingEvents" and text.count("Notification") == 2):
                        yield f"{dialogue.operation} {what}: {text}"


def _compiled(etree: Any, folder: Path) -> Any:
    types = (folder / "Types.xsd").read_text(encoding="utf-8-sig")
    types = re.sub(r"<\?xml.*?\?>", "", types)
    imported = rf'<xs:import namespace="{re.escape(_XML_NAMESPACE)}"[^>]*/>'
    types = re.sub(imported, f'<xs:import namespace="{_XML_NAMESPACE}" schemaLocation="xml.xsd"/>', types)

    class Resolver(etree.Resolver):  # type: ignore[misc]
        """Answers both file names that the schema asks for."""

        def resolve(self, url: str, public_id: str, context: Any) -> Any:
            if url.endswith("xml.xsd"):
                return self.resolve_string(_XML_SCHEMA, context)
            if url.lower().endswith("types.xsd"):
                return self.resolve_string(types, context, base_url=str(folder / "Types.xsd"))
            return None

    parser = etree.XMLParser()
    parser.resolvers.add(Resolver())
    return etree.XMLSchema(etree.parse(str(folder / "Messages.xsd"), parser))
