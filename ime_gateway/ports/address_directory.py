"""Directories of people (LDAP, Active Directory): which certificates an address has there, and who is in a group.

An answer is a definite one, or there is none and it must be asked for again; the two are never mixed up, or a directory
that is down would turn encrypted mail into clear mail. Not to be confused with `directory`, our own live data.
"""

from dataclasses import dataclass
from typing import Protocol

from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import Address


@dataclass(frozen=True, slots=True)
class FoundCertificate:
    """A certificate that a directory gives for an address."""

    certificate: Certificate
    directory: str
    """Name of the directory in `gateway.toml`."""
    trusted: bool
    """The administrators take this directory's word; otherwise the certificate must prove itself."""


@dataclass(frozen=True, slots=True)
class DirectoryAnswer:
    """What the directories know of an address; nothing at all is an answer, too."""

    certificates: tuple[FoundCertificate, ...] = ()
    group: str = ""
    """The name of the distribution group that the address is; empty: it is none."""


@dataclass(frozen=True, slots=True)
class NoDirectoryAnswer:
    """A directory is down, slow, or does not let us in: try again later."""

    detail: str


@dataclass(frozen=True, slots=True)
class GroupMembers:
    """Everybody in a group and the groups inside it, once each, who has an address; groups themselves are not."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class NotExpandable:
    """A definite no: the group is dynamic, too large, nested too deeply, or empty."""

    detail: str


class CertificateLookup(Protocol):
    """Never raises for what a directory does."""

    def covers(self, domain: str, *, managed: bool) -> bool:
        """Whether any directory is asked about addresses of this domain (A-labels); managed: it is ours."""
        ...

    async def about(self, address: Address, *, managed: bool) -> DirectoryAnswer | NoDirectoryAnswer:
        """What is known of an address."""
        ...


class GroupLookup(Protocol):
    """Never raises for what a directory does."""

    def covers(self, domain: str, *, managed: bool) -> bool:
        """Whether groups with addresses of this domain are expanded."""
        ...

    async def members(self, address: Address, *, managed: bool) -> GroupMembers | NotExpandable | NoDirectoryAnswer:
        """The people in a group."""
        ...
