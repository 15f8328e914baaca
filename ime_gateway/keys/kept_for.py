"""For whom a certificate counts that is trusted by the trust list alone.

A CA checks every name that it writes into a certificate. Who allows one by its thumbprint has compared it with one
owner: it counts for whom it is kept here, whomever else it names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ime_gateway.keys.domain_names import is_within


@dataclass(frozen=True, slots=True)
class KeptFor:
    """Whom administrators gave a certificate to."""

    domains: Sequence[str] = ()
    """Partner domains, by name or `*.x`."""
    people: Sequence[str] = ()
    """`Address.key`."""

    def leaves_out(self, address: str) -> str:
        """Why it does not count for an address (`Address.key`); empty: it does. Kept for nobody, it leaves out none."""
        owners = (*self.domains, *self.people)
        if not owners or address in self.people:
            return ""
        domain = address.rpartition("@")[2]
        if any(is_within(domain, name) for name in self.domains):
            return ""
        return f"the certificate is kept for {owners[0]}, not for {address}"
