"""What the schema of a directory allows, read before anything is written: Active Directory with Exchange or without.

Without Exchange's schema there is no mailNickname and no targetAddress, and naming them would spoil the whole change
(noSuchAttribute). Definitions are read in the form of RFC 4512 section 4.1, which Active Directory serves too.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from addin_sim.address_list.ldap_directory import LdapDirectory
from addin_sim.address_list.ldap_errors import LdapError

_NAMES = re.compile(r"\bNAME\s+(?:'([^']*)'|\(([^)]*)\))")
_SUPERIORS = re.compile(r"\bSUP\s+(?:\(([^)]*)\)|([\w.-]+))")


@dataclass(frozen=True, slots=True)
class DirectorySchema:
    """The names that may be written, and where the configuration of the forest lies."""

    attributes: frozenset[str]
    """Names of attributes, lower case."""
    superiors: Mapping[str, tuple[str, ...]]
    """By the lower-case name of an object class the names of those above it."""
    configuration: str = ""
    """`configurationNamingContext` of Active Directory (MS-ADTS section 3.1.1.3.2.4); empty elsewhere."""

    def knows(self, attribute: str) -> bool:
        """Whether there is such an attribute."""
        return attribute.lower() in self.attributes

    @property
    def exchange(self) -> bool:
        """Whether Exchange has extended the schema: without both names it sees no recipient."""
        return self.knows("mailNickname") and self.knows("targetAddress")

    @property
    def profile(self) -> str:
        """For people."""
        return "Active Directory with Exchange" if self.exchange else "Active Directory without Exchange"

    def classes(self, name: str) -> tuple[str, ...]:
        """The object class and all above it, the highest first; empty when there is no such class."""
        chain: list[str] = []
        waiting = [name]
        while waiting:
            one = waiting.pop(0)
            if one.lower() in self.superiors and one not in chain:
                chain.insert(0, one)
                waiting += self.superiors[one.lower()]
        return tuple(chain)


def read_schema(directory: LdapDirectory) -> DirectorySchema:
    """Ask the directory; raises `LdapError` when it does not tell."""
    root = directory.read("", ["subschemaSubentry", "configurationNamingContext"])
    place = root.text("subschemaSubentry") if root else ""
    names = ["attributeTypes", "objectClasses"]
    found = directory.search(place, "(objectClass=subschema)", names, scope="base") if place else []
    if not found or not found[0].values("attributeTypes"):
        raise LdapError(
            f"{directory.server} does not show its schema",
            "Let the account read it; without it nobody knows which attributes may be written",
        )
    configuration = root.text("configurationNamingContext") if root else ""
    return parse_schema(found[0].texts("attributeTypes"), found[0].texts("objectClasses"), configuration)


def parse_schema(attribute_types: Iterable[str], object_classes: Iterable[str], configuration: str) -> DirectorySchema:
    """From definitions such as `( 2.5.6.6 NAME 'person' SUP top ABSTRACT MUST cn )`."""
    attributes = frozenset(name.lower() for text in attribute_types for name in _names(text))
    superiors = {name.lower(): _superiors(text) for text in object_classes for name in _names(text)}
    return DirectorySchema(attributes, superiors, configuration)


def _names(definition: str) -> list[str]:
    found = _NAMES.search(definition)
    if found is None:
        return []
    return [found.group(1)] if found.group(1) else re.findall(r"'([^']*)'", found.group(2) or "")


def _superiors(definition: str) -> tuple[str, ...]:
    found = _SUPERIORS.search(definition)
    if found is None:
        return ()
    return tuple(filter(None, re.split(r"[\s$]+", found.group(1) or found.group(2))))
