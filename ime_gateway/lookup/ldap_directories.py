"""All directories of an installation behind the two ports: each for certificates, and those that may for groups."""

from collections.abc import Callable, Sequence
from functools import partial

from ime_gateway.lookup.ldap_certificates import LdapCertificates
from ime_gateway.lookup.ldap_entries import LdapSession
from ime_gateway.lookup.ldap_groups import LdapGroups
from ime_gateway.lookup.ldap_source import LdapSource
from ime_gateway.settings.model import Ldap


class LdapDirectories:
    """Made once per worker; one event loop uses it."""

    def __init__(self, directories: Sequence[Ldap], connect: Callable[[Ldap, float], LdapSession]) -> None:
        """connect: gives a bound session with a directory, given the longest wait for anything in seconds; raises
        LdapTrouble."""
        self.certificates = LdapCertificates([LdapSource(one, partial(connect, one)) for one in directories])
        """`ports.address_directory.CertificateLookup`."""
        self.groups = LdapGroups([LdapSource(one, partial(connect, one)) for one in directories if one.groups])
        """`ports.address_directory.GroupLookup`."""

    def close(self) -> None:
        """Hang up."""
        self.certificates.close()
        self.groups.close()
