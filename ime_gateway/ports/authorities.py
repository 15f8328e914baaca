"""The built-in CA as administrators' desks read and change it: its certificates, what it issued, what was revoked,
and requests to other CAs that wait for an answer.

Private keys go in and come out unsealed and rest sealed. `RegistryTransaction.authorities` gives this facet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ime_gateway.certs.certificate import Certificate

AuthorityRole = Literal["root", "issuing"]
AuthorityState = Literal["active", "retired"]
"""Signs certificates; signs only lists of revoked ones any more."""
IssuedPurpose = Literal["user", "domain", "ime", "authority"]
RequestPurpose = Literal["user", "domain", "ime"]


@dataclass(frozen=True, slots=True)
class AuthorityEntry:
    """A CA of ours, without its private key."""

    certificate: Certificate
    role: AuthorityRole
    state: AuthorityState
    has_private_key: bool
    """False: it lies offline; nothing can be signed."""
    crl_number: int
    """Of the newest list; 0 before the first."""
    crl: bytes | None
    """The newest list in DER."""
    crl_next_update: float | None
    """Until when that list holds, seconds since 1970 UTC."""
    made_at: float

    @property
    def name(self) -> str:
        """Its short name: in addresses of lists and certificates, in file names and on the command line."""
        return f"{self.role}-{self.certificate.thumbprint.removeprefix('sha256:')[:16]}"


@dataclass(frozen=True, slots=True)
class IssuedEntry:
    """A certificate that one of our CAs signed."""

    authority: str
    """Thumbprint of the CA."""
    certificate: Certificate
    owner: str
    """`Address.key`, a managed domain, or the short name of a CA."""
    purpose: IssuedPurpose
    made_at: float
    revoked_at: float | None = None
    """Seconds since 1970 UTC."""
    revocation_reason: str = ""
    """A word of RFC 5280 section 5.3.1."""


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A request that waits for its certificate."""

    id: str
    owner: str
    purpose: RequestPurpose
    request: bytes = field(repr=False)
    """PKCS#10 in DER."""
    made_at: float


class Authorities(Protocol):
    """Within one transaction; every method may raise StoreUnavailable."""

    def list(self) -> Sequence[AuthorityEntry]:
        """All CAs, roots first, then the newest; active ones before retired ones."""
        ...

    def put(self, certificate: Certificate, role: AuthorityRole, private_key: bytes) -> None:
        """Add an active CA with its key (PKCS#8 DER)."""
        ...

    def set_state(self, thumbprint: str, state: AuthorityState) -> None:
        """Retire a CA, or take it into service again."""
        ...

    def private_key(self, thumbprint: str) -> bytes | None:
        """PKCS#8 DER, unsealed; None when it lies offline."""
        ...

    def put_private_key(self, thumbprint: str, private_key: bytes | None) -> None:
        """Bring a key back, or (None) erase it."""
        ...

    def put_crl(self, thumbprint: str, number: int, crl: bytes, next_update: float) -> None:
        """Replace the list of a CA."""
        ...

    def issued(
        self,
        *,
        authority: str = "",
        owner: str = "",
        thumbprint: str = "",
        revoked: bool | None = None,
        limit: int | None = 1000,
        offset: int = 0,
    ) -> Sequence[IssuedEntry]:
        """Certificates that match all (`thumbprint`: whole, or its beginning with `sha256:`), the newest first."""
        ...

    def thumbprints(self) -> frozenset[str]:
        """Those of all CAs and of everything that they issued."""
        ...

    def put_issued(self, entry: IssuedEntry) -> None:
        """Remember a certificate that was signed."""
        ...

    def revoke(self, thumbprint: str, at: float, reason: str) -> bool:
        """Mark an issued certificate as revoked; False when it is already, or is not ours."""
        ...

    def requests(self, owner: str = "") -> Sequence[KeyRequest]:
        """Requests that wait, of one owner or all, oldest first."""
        ...

    def put_request(self, request: KeyRequest, private_key: bytes) -> None:
        """Keep a request with its key (PKCS#8 DER)."""
        ...

    def request_key(self, id: str) -> bytes | None:  # noqa: A002 - the column's name
        """PKCS#8 DER, unsealed."""
        ...

    def delete_request(self, id: str) -> bool:  # noqa: A002
        """Forget a request and its key."""
        ...
