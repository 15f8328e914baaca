"""What administrators read and change, as the admin desks ask for it; synchronous, for CLI and web.

All changes of one use case happen inside one `transaction()`; leaving it without an error commits
them, raises `generation` by one when live data changed, and writes the audit line. Nothing is half
applied (contract of `apply`).
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.authorities import Authorities
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.domain_keys import DomainKeys
from ime_gateway.ports.exchange import CandidateBook, PartnerTests
from ime_gateway.ports.queue import Event, HeldEvidence, QueueLine
from ime_gateway.ports.revocation import RevocationAnswers
from ime_gateway.ports.thumbprint_checks import Notices, ThumbprintChecks
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """A certificate in the store."""

    certificate: Certificate
    addresses: tuple[str, ...]
    """Address keys (`Address.key`) for which it may be chosen."""
    has_private_key: bool
    imported_at: float


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """When a stored certificate of a person ends; what a daily walk over 100,000 of them needs and no more."""

    thumbprint: str
    subject: str
    addresses: tuple[str, ...]
    """Address keys."""
    not_after: float
    """Seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class ImeKeyEntry:
    """A key pair of a managed domain's IME address, without the private key."""

    domain: str
    certificate: Certificate
    opens_until: float
    """Seconds since 1970 UTC; infinity for the current key, the end of the overlap for older ones."""
    made_at: float
    has_private_key: bool
    """False once the overlap is over: the key was erased, the certificate is kept for the record."""

    @property
    def is_current(self) -> bool:
        """The key that address books should have, and the only one of its domain without an end."""
        return self.opens_until == math.inf


@dataclass(frozen=True, slots=True)
class ContainerCounts:
    """Signer pins by state, and challenges that nobody has answered yet."""

    approved: int = 0
    pending: int = 0
    revoked: int = 0
    open_challenges: int = 0


@dataclass(frozen=True, slots=True)
class AdminAccount:
    """A person who may use the administrators' site."""

    name: str
    password_hash: str
    """argon2id, encoded form."""
    must_change: bool
    """The password is the one-time password of `init`."""


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One act of an administrator."""

    at: float
    actor: str
    action: str
    detail: str


class RegistryTransaction(Protocol):
    """Live data within one transaction. Domain names and patterns are as in `SiteView`."""

    def view(self) -> SiteView:
        """All small live data, this transaction's changes included."""
        ...

    def put_policy(self, policy: Policy) -> None:
        """Replace the policy."""
        ...

    def put_managed_domain(self, domain: ManagedDomain, certificates: Sequence[Certificate]) -> None:
        """Add or replace a managed domain and its `internal_certificates`."""
        ...

    def put_partner_domain(self, domain: PartnerDomain, certificates: Sequence[Certificate]) -> None:
        """Add or replace a partner domain and its `smime_certificates`."""
        ...

    def delete_domain(self, name: str) -> bool:
        """Remove a managed or partner domain, with its keys and those of its IME address; False when there is none."""
        ...

    def put_address(self, settings: AddressSettings) -> bool:
        """Set what holds for one address (`Address.key`), whatever was set before; False when nothing changed."""
        ...

    def delete_address(self, address: str) -> bool:
        """Let an address inherit everything again; False when nothing was set."""
        ...

    def put_additional_certificates(self, certificates: Sequence[Certificate]) -> bool:
        """Replace the certificates to which everything is encrypted, too; False when nothing changed."""
        ...

    @property
    def domain_keys(self) -> DomainKeys:
        """Key pairs that stand for whole managed domains."""
        ...

    @property
    def checks(self) -> ThumbprintChecks:
        """Who compared which thumbprint with whom."""
        ...

    @property
    def notices(self) -> Notices:
        """What administrators were told already."""
        ...

    def put_certificate(self, certificate: Certificate, addresses: Sequence[str], private_key: bytes | None) -> bool:
        """Add a certificate for address keys, or add addresses or key to a known one.
        `private_key`: PKCS#8 DER, sealed before it is written. False when nothing changed."""
        ...

    def delete_certificate(self, thumbprint: str) -> bool:
        """Remove a certificate and its private key; False when there is none."""
        ...

    def certificates(
        self, *, address: str = "", search: str = "", limit: int = 1000, offset: int = 0
    ) -> list[CertificateEntry]:
        """Certificates by address key, or by a part of address, subject or thumbprint."""
        ...

    def people_ends(self, *, after: str = "", limit: int = 1000) -> list[CertificateEnd]:
        """Ends of the certificates of people, by thumbprint: those after this one."""
        ...

    def certificate(self, thumbprint: str) -> CertificateEntry | None:
        """One certificate by its whole thumbprint or an unambiguous beginning of it."""
        ...

    def private_key(self, thumbprint: str) -> bytes | None:
        """PKCS#8 DER, unsealed."""
        ...

    def put_root(self, certificate: Certificate) -> bool:
        """Make a certificate a trust anchor; False when it is one."""
        ...

    def delete_root(self, thumbprint: str) -> bool:
        """Remove a trust anchor."""
        ...

    def put_trust(self, entry: TrustEntry) -> bool:
        """Set a line of the trust list; False when it was there unchanged."""
        ...

    def delete_trust(self, thumbprint: str) -> bool:
        """Remove a line of the trust list."""
        ...

    def ime_keys(self, domain: str = "") -> list[ImeKeyEntry]:
        """Keys of the IME address of one managed domain or of all: by domain, the current one first."""
        ...

    def put_ime_key(
        self, domain: str, certificate: Certificate, private_key: bytes, *, older_open_until: float
    ) -> bool:
        """Make a key the domain's current one; the one that was current opens containers until then (seconds since
        1970 UTC). `private_key`: PKCS#8 DER, sealed before it is written. False when it is the current one."""
        ...

    def close_older_ime_keys(self, domain: str) -> int:
        """End every overlap now and erase those private keys; how many."""
        ...

    def ime_private_key(self, domain: str, thumbprint: str) -> bytes | None:
        """PKCS#8 DER, unsealed; None when it was erased."""
        ...

    def delete_ime_keys(self, domain: str) -> int:
        """Remove all keys of a domain's IME address; how many."""
        ...

    def pins(
        self, *, address: str = "", state: str = "", thumbprint: str = "", limit: int = 1000, offset: int = 0
    ) -> list[Pin]:
        """Signer pins that match all (`address`: `Address.key`; `thumbprint`: whole, or its beginning with
        `sha256:`); pending ones first, then the newest."""
        ...

    def put_pin(self, pin: Pin) -> bool:
        """An administrator's word about a signer, whatever was there before; unless it is `pending`, it also ends the
        open challenge, which would count against the person's next one. False when nothing changed."""
        ...

    def container_counts(self, domain: str = "") -> ContainerCounts:
        """Pins and open challenges of the people of one domain, or of all."""
        ...

    @property
    def authorities(self) -> Authorities:
        """The built-in CA, what it issued, and requests that wait for their certificate."""
        ...

    @property
    def revocations(self) -> RevocationAnswers:
        """What is stored about revocations."""
        ...

    @property
    def candidates(self) -> CandidateBook:
        """Certificates that mail or directories brought."""
        ...

    @property
    def partner_tests(self) -> PartnerTests:
        """Self-tests with partners."""
        ...

    def audit(self, actor: str, action: str, detail: str) -> None:
        """Write an audit line; never with secrets."""
        ...

    def audit_lines(self, limit: int = 100) -> list[AuditLine]:
        """The newest audit lines, newest first."""
        ...


class Registry(Protocol):
    """The door of admin desks to the store. Every method may raise StoreUnavailable."""

    def transaction(self, *, write: bool) -> AbstractContextManager[RegistryTransaction]:
        """All reads and changes of one use case. `write=False` refuses changes."""
        ...

    def admin(self, name: str) -> AdminAccount | None:
        """An account by its name."""
        ...

    def admins(self) -> list[AdminAccount]:
        """All accounts, by name."""
        ...

    def put_admin(self, account: AdminAccount) -> None:
        """Add or replace an account."""
        ...

    def events(
        self,
        *,
        id: str = "",  # noqa: A002 - the contract's word
        message_id: str = "",
        sender: str = "",
        recipient: str = "",
        limit: int = 1000,
    ) -> list[Event]:
        """Tracking events, oldest first; the newest `limit` of those that match all filters."""
        ...

    def queue_lines(self, *, id: str = "", limit: int = 1000, offset: int = 0) -> list[QueueLine]:  # noqa: A002
        """Rows of the queue, oldest message first; all rows of one message with `id`."""
        ...

    def queue_counts(self) -> dict[str, int]:
        """Rows by state."""
        ...

    def retry(self, ids: Sequence[str], actor: str) -> int:
        """Make rows (by row or message id; empty: all deferred) due now; how many were."""
        ...

    def hold(self, ids: Sequence[str], actor: str) -> int:
        """Keep rows from being delivered until released."""
        ...

    def release(self, ids: Sequence[str], actor: str) -> int:
        """Let held rows go again."""
        ...

    def drop(self, ids: Sequence[str], actor: str, *, silent: bool) -> int:
        """Mark rows to be dropped: the next worker (or the desk) settles them, with a DSN to the
        sender unless `silent`; audited."""
        ...

    def held(self, limit: int = 100) -> list[HeldEvidence]:
        """Evidence of messages that failed again and again, newest first."""
        ...

    def check_live_data(self) -> None:
        """Prove that live data can be read as mail needs it; raises StoreUnavailable. Cheap while nothing changed."""
        ...

    def check_write(self) -> None:
        """Write and roll back, to prove that the store writes; raises StoreUnavailable."""
        ...
