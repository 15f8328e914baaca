"""Certificates of people, and whether an address is a group, from LDAP directories (RFC 2798, RFC 4523, MS-OXLDAP)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.directory_values import certificates_in
from ime_gateway.lookup.ldap_entries import (
    CERTIFICATE_ATTRIBUTES,
    PERSON_ATTRIBUTES,
    LdapSession,
    address_filter,
    addresses,
    is_group,
    shown_name,
    values,
)
from ime_gateway.lookup.ldap_source import LdapSource
from ime_gateway.mail.address import Address
from ime_gateway.ports.address_directory import DirectoryAnswer, FoundCertificate, NoDirectoryAnswer
from ime_gateway.settings.model import Ldap

_MOST_ENTRIES = 10
"""Entries with one address that are looked at; there should be one."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What one directory has under an address."""

    certificates: tuple[Certificate, ...] = ()
    group: str = ""


class LdapCertificates:
    """`CertificateLookup` over any number of directories, all asked at once."""

    def __init__(self, sources: Sequence[LdapSource[Listed]]) -> None:
        self._sources = sources

    def covers(self, domain: str, *, managed: bool) -> bool:
        """As the port says."""
        return any(covers(source.directory, domain, managed=managed) for source in self._sources)

    async def about(self, address: Address, *, managed: bool) -> DirectoryAnswer | NoDirectoryAnswer:
        """As the port says. One directory that knows something makes up for another that does not answer."""
        asked = [one for one in self._sources if covers(one.directory, address.domain, managed=managed)]
        answers = await asyncio.gather(*(_ask(source, address) for source in asked))
        found: list[FoundCertificate] = []
        group, failed = "", None
        for source, answer in zip(asked, answers, strict=True):
            if isinstance(answer, NoDirectoryAnswer):
                failed = failed or answer
                continue
            level = source.directory.certificates
            if level != "off":
                name = source.directory.name
                found += (FoundCertificate(one, name, level == "trusted") for one in answer.certificates)
            group = group or answer.group
        if failed is not None and not found and not group:
            return failed
        return DirectoryAnswer(tuple(found), group)

    def close(self) -> None:
        """Hang up."""
        for source in self._sources:
            source.close()


def covers(directory: Ldap, domain: str, *, managed: bool) -> bool:
    """Whether a directory is asked about a domain: one that is for groups alone knows our own only, unless it is said
    for which domains it is."""
    if directory.for_domains:
        return any(
            domain == one or (one.startswith("*.") and domain.endswith(one[1:])) for one in directory.for_domains
        )
    return managed or directory.certificates != "off"


async def _ask(source: LdapSource[Listed], address: Address) -> Listed | NoDirectoryAnswer:
    base = source.directory.base
    return await source.ask(address.key, lambda session: _look_up(session, base, address))


def _look_up(session: LdapSession, base: str, address: Address) -> Listed:
    """In a thread. An entry counts only if it has this very address: servers compare more loosely than mail does."""
    wanted = (*PERSON_ATTRIBUTES, *CERTIFICATE_ATTRIBUTES)
    entries = session.search(base, address_filter(address), "subtree", wanted, _MOST_ENTRIES)
    entries = [one for one in entries if any(known.key == address.key for known in addresses(one))]
    group = next((shown_name(one) for one in entries if is_group(one)), "")
    encoded = [value for name in CERTIFICATE_ATTRIBUTES for one in entries for value in values(one, name)]
    return Listed(certificates_in(encoded), group)
