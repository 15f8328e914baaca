"""Where the world finds the certificates and revocation lists of the built-in CA: plain http addresses.

They stand in every certificate that the CA signs, for as long as it lives, so they are decided before the first one.
http, not https: a list is signed already, and to fetch it by TLS would ask for the next list (RFC 5280 section 8).
"""

from typing import Final

from ime_gateway.base.errors import UserError
from ime_gateway.certs.authority import Places
from ime_gateway.ports.authorities import AuthorityEntry
from ime_gateway.ports.registry import Registry

PKI_FOLDER: Final = "/pki/"
NO_ADDRESS: Final = (
    "certificates must say where their revocation list is, and there is no address for it yet; set"
    ' [web] pki_url = "http://..." (or portal_url) in gateway.toml to a name that partners can reach'
)


def places_of(pki_url: str, authority: AuthorityEntry) -> Places:
    """Where the list and the certificate of a CA are; raises UserError when the installation has no address."""
    require_address(pki_url)
    return places_named(pki_url, authority.name)


def places_named(pki_url: str, name: str) -> Places:
    """The same by the short name of the CA."""
    base = pki_url.rstrip("/") + PKI_FOLDER + name
    return Places(crl=f"{base}.crl", certificate=f"{base}.cer")


def require_address(pki_url: str) -> None:
    """Raises UserError that says what to set when there is no address."""
    if not pki_url:
        raise UserError(NO_ADDRESS)


class PkiFiles:
    """What is served to everybody. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def crl(self, name: str) -> bytes | None:
        """The newest list of the CA of this short name in DER; None: there is none."""
        found = self._find(name)
        return None if found is None else found.crl

    def certificate(self, name: str) -> bytes | None:
        """The certificate of the CA of this short name in DER; None: there is none."""
        found = self._find(name)
        return None if found is None else found.certificate.der

    def _find(self, name: str) -> AuthorityEntry | None:
        with self._registry.transaction(write=False) as live:
            return next((entry for entry in live.authorities.list() if entry.name == name), None)
