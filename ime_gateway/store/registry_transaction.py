"""One use case of an administrator: reads and changes of live data that stand or fall together."""

from collections.abc import Sequence

from sqlalchemy import Connection

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.registry import AuditLine, CertificateEntry
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from ime_gateway.store import audit_rows, domain_rows, key_rows
from ime_gateway.store.sealed_secrets import SecretBox


class LiveDataTransaction:
    """The RegistryTransaction of ports/registry. Methods say what the port says."""

    def __init__(self, connection: Connection, box: SecretBox, clock: Clock, *, writable: bool) -> None:
        """Built by the registry."""
        self._connection = connection
        self._box = box
        self._clock = clock
        self._writable = writable
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
        return self._changed(domain_rows.delete_domain(self._writing(), name))

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
