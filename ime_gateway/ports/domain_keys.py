"""Key pairs that stand for whole managed domains, as administrators read and change them (RFC 3183).

Partners encrypt to the current one and check our signatures with it. The next one is announced and opens already;
older ones only open, so that mail encrypted to them can be read as long as it is under way. A part of
`RegistryTransaction`: what is changed here stands or falls with the rest of the use case.
"""

from dataclasses import dataclass
from typing import Protocol

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.keyring import DomainKeyState


@dataclass(frozen=True, slots=True)
class DomainKeyEntry:
    """A key pair of a managed domain, without the private key."""

    domain: str
    certificate: Certificate
    state: DomainKeyState
    since: float
    """When it came into that state, seconds since 1970 UTC."""
    announced_at: float | None
    """When partners were told of it; None: never."""
    made_at: float
    """When it came into the store."""


class DomainKeys(Protocol):
    """`domain_keys` of a `RegistryTransaction`. Domains are names as in `SiteView.managed`."""

    def list(self, domain: str = "") -> list[DomainKeyEntry]:
        """Keys of one domain or of all: by domain, the current one first, then the next, then older ones from the
        newest."""
        ...

    def put(self, domain: str, certificate: Certificate, private_key: bytes, state: DomainKeyState) -> bool:
        """Add a key in a state, or change the state of a known one. A domain has one `current` and one `next`: the one
        that was so before becomes `older`. `private_key`: PKCS#8 DER, sealed before it is written. False when nothing
        changed."""
        ...

    def set_state(self, domain: str, thumbprint: str, state: DomainKeyState) -> bool:
        """Change the state of a known key, as `put` does; False when nothing changed or there is no such key."""
        ...

    def set_announced(self, domain: str, thumbprint: str, at: float) -> bool:
        """Partners were told of this key; False when there is no such key."""
        ...

    def delete(self, domain: str, thumbprint: str) -> bool:
        """Remove a key: what is encrypted to it opens no more. False when there is no such key."""
        ...

    def private_key(self, domain: str, thumbprint: str) -> bytes | None:
        """PKCS#8 DER, unsealed; None when there is no such key."""
        ...
