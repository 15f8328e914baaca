"""One use case of an administrator: reads and changes of live data that stand or fall together."""

from collections.abc import Sequence

from sqlalchemy import Connection

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.registry import AuditLine, CertificateEnd, CertificateEntry, ContainerCounts, ImeKeyEntry
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy
from ime_gateway.store import audit_rows, domain_rows, ime_rows, key_rows
from ime_gateway.store.authority_rows import AuthorityRows
from ime_gateway.store.candidate_rows import CandidateRows, PartnerTestRows
from ime_gateway.store.check_rows import CheckRows, NoticeRows
from ime_gateway.store.domain_key_rows import DomainKeyRows
from ime_gateway.store.revocation_rows import RevocationRows
from ime_gateway.store.row_access import RowAccess
from ime_gateway.store.sealed_secrets import SecretBox


class LiveDataTransaction:
    """The RegistryTransaction of ports/registry. Methods say what the port says."""

    def __init__(self, connection: Connection, box: SecretBox, clock: Clock, *, writable: bool) -> None:
        """Built by the registry."""
        self._connection = connection
        self._box = box
        self._clock = clock
        self._writable = writable
        rows = RowAccess(connection, box, clock, self._writing, self._changed)
        self.domain_keys = DomainKeyRows(rows)
        self.checks = CheckRows(rows)
        self.notices = NoticeRows(rows)
        self.authorities = AuthorityRows(rows)
        self.live_data_changed = False
        """A worker must load its view anew."""

    def view(self) -> SiteView:
        """As the port says."""
        return domain_rows.load_view(self._connection)

    def put_policy(self, policy: Policy) -> None:
        """As the port says."""
        self._changed(domain_rows.put_policy(self._writing(), policy))

    def put_managed_domain(self, domain: ManagedDomain, certificates: Sequence[Certificate]) -> None:
        """As the port says."""
        self._changed(domain_rows.put_domain(self._writing(), domain, certificates))

    def put_partner_domain(self, domain: PartnerDomain, certificates: Sequence[Certificate]) -> None:
        """As the port says."""
        self._changed(domain_rows.put_domain(self._writing(), domain, certificates))

    def delete_domain(self, name: str) -> bool:
        """As the port says."""
        ime_rows.delete_keys(self._writing(), name)
        self.domain_keys.delete_all(name)
        return self._changed(domain_rows.delete_domain(self._writing(), name))

    def put_address(self, settings: AddressSettings) -> bool:
        """As the port says."""
        return self._changed(domain_rows.put_address(self._writing(), settings))

    def delete_address(self, address: str) -> bool:
        """As the port says."""
        return self._changed(domain_rows.delete_address(self._writing(), address))

    def put_additional_certificates(self, certificates: Sequence[Certificate]) -> bool:
        """As the port says."""
        return self._changed(domain_rows.put_additional(self._writing(), certificates))

    def put_certificate(self, certificate: Certificate, addresses: Sequence[str], private_key: bytes | None) -> bool:
        """As the port says."""
        moment = self._clock.now()
        return self._changed(
            key_rows.put_certificate(self._writing(), self._box, certificate, addresses, private_key, moment)
        )

    def delete_certificate(self, thumbprint: str) -> bool:
        """As the port says."""
        return self._changed(key_rows.delete_certificate(self._writing(), thumbprint))

    def certificates(
        self, *, address: str = "", search: str = "", limit: int = 1000, offset: int = 0
    ) -> list[CertificateEntry]:
        """As the port says."""
        return key_rows.find_certificates(self._connection, address, search, limit, offset)

    def people_ends(self, *, after: str = "", limit: int = 1000) -> list[CertificateEnd]:
        """As the port says."""
        return key_rows.people_ends(self._connection, after, limit)

    def certificate(self, thumbprint: str) -> CertificateEntry | None:
        """As the port says; UserError when the beginning is too short or fits several."""
        return key_rows.find_certificate(self._connection, thumbprint)

    def private_key(self, thumbprint: str) -> bytes | None:
        """As the port says."""
        return key_rows.private_key(self._connection, self._box, thumbprint)

    def put_root(self, certificate: Certificate) -> bool:
        """As the port says."""
        return self._changed(domain_rows.put_root(self._writing(), certificate))

    def delete_root(self, thumbprint: str) -> bool:
        """As the port says."""
        return self._changed(domain_rows.delete_root(self._writing(), thumbprint))

    def put_trust(self, entry: TrustEntry) -> bool:
        """As the port says."""
        return self._changed(domain_rows.put_trust(self._writing(), entry))

    def delete_trust(self, thumbprint: str) -> bool:
        """As the port says."""
        return self._changed(domain_rows.delete_trust(self._writing(), thumbprint))

    def ime_keys(self, domain: str = "") -> list[ImeKeyEntry]:
        """As the port says."""
        return ime_rows.find_keys(self._connection, domain)

    def put_ime_key(
        self, domain: str, certificate: Certificate, private_key: bytes, *, older_open_until: float
    ) -> bool:
        """As the port says."""
        moment = self._clock.now()
        return self._changed(
            ime_rows.put_key(
                self._writing(),
                self._box,
                domain,
                certificate,
                private_key,
                moment=moment,
                older_open_until=older_open_until,
            )
        )

    def close_older_ime_keys(self, domain: str) -> int:
        """As the port says."""
        ended = ime_rows.close_older_keys(self._writing(), domain, self._clock.now())
        self._changed(ended > 0)
        return ended

    def ime_private_key(self, domain: str, thumbprint: str) -> bytes | None:
        """As the port says."""
        return ime_rows.private_key(self._connection, self._box, domain, thumbprint)

    def delete_ime_keys(self, domain: str) -> int:
        """As the port says."""
        removed = ime_rows.delete_keys(self._writing(), domain)
        self._changed(removed > 0)
        return removed

    def pins(
        self, *, address: str = "", state: str = "", thumbprint: str = "", limit: int = 1000, offset: int = 0
    ) -> list[Pin]:
        """As the port says."""
        return ime_rows.find_pins(self._connection, address, state, thumbprint, limit, offset)

    def put_pin(self, pin: Pin) -> bool:
        """As the port says. Pins are read for each container: no worker needs a new view."""
        return ime_rows.put_pin(self._writing(), pin)

    def container_counts(self, domain: str = "") -> ContainerCounts:
        """As the port says."""
        return ime_rows.count(self._connection, domain, self._clock.now())

    @property
    def revocations(self) -> RevocationRows:
        """As the port says. Administrators only look; mail writes (`StoredRevocations`)."""
        return RevocationRows(self._connection)

    @property
    def candidates(self) -> CandidateRows:
        """As the port says. Candidates are used for nothing: no worker needs a new view."""
        return CandidateRows(self._connection, self._writing)

    @property
    def partner_tests(self) -> PartnerTestRows:
        """As the port says."""
        return PartnerTestRows(self._connection, self._writing)

    def audit(self, actor: str, action: str, detail: str) -> None:
        """As the port says."""
        audit_rows.append_line(self._writing(), self._box, AuditLine(self._clock.now(), actor, action, detail))

    def audit_lines(self, limit: int = 100) -> list[AuditLine]:
        """As the port says."""
        return audit_rows.newest_lines(self._connection, limit)

    def _writing(self) -> Connection:
        if not self._writable:
            raise RuntimeError("this transaction was opened for reading only")
        return self._connection

    def _changed(self, changed: bool) -> bool:
        self.live_data_changed |= changed
        return changed
