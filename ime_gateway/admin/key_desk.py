"""Certificates of people: look, import, delete, each shown with the verdict that mail would get."""

from collections.abc import Sequence

from ime_gateway.admin.intake import Arrival, arrivals
from ime_gateway.admin.judging import JudgedCertificate, anchors_in, judged
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.bundle import PasswordMissing, read_bundle
from ime_gateway.certs.certificate import thumbprint_digits
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.registry import CertificateEntry, Registry, RegistryTransaction

_LOOKS_LIKE_DIGITS = 8
"""A shorter word of such letters may be part of a name."""


class KeyDesk:
    """The certificates' desk. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def certificates(
        self, *, address: str = "", search: str = "", limit: int = 1000, offset: int = 0
    ) -> list[JudgedCertificate]:
        """Certificates by address key, or by a part of address, subject or thumbprint (in any spelling)."""
        with self._registry.transaction(write=False) as live:
            anchors = anchors_in(live)
            entries = live.certificates(address=address, search=_term(search), limit=limit, offset=offset)
            return [judged(entry, anchors, self._clock.now()) for entry in entries]

    def certificate(self, thumbprint: str) -> JudgedCertificate:
        """One certificate by its thumbprint or an unambiguous beginning; raises UserError."""
        with self._registry.transaction(write=False) as live:
            entry = live.certificate(thumbprint)
            if entry is None:
                raise UserError(f"no certificate, or more than one, begins with {thumbprint}; see cert list")
            return judged(entry, anchors_in(live), self._clock.now())

    def take(
        self, data: bytes, *, password: str | None, addresses: Sequence[str], actor: str
    ) -> list[tuple[JudgedCertificate, bool]]:
        """Import a file (PEM, DER, PKCS#7, PKCS#12); each certificate, and whether it was new.

        Raises UserError when the file cannot be used; then nothing of it is stored.
        """
        try:
            found = arrivals(read_bundle(data, password), addresses)
        except PasswordMissing as error:
            raise UserError(f"{error}; give --password-file or --password-env", error.evidence) from None
        except UnreadableCertificate as error:
            raise UserError(str(error), error.evidence) from None
        with self._registry.transaction(write=True) as live:
            new = [live.put_certificate(item.certificate, item.addresses, item.private_key) for item in found]
            if any(new):
                live.audit(actor, "cert-import", ", ".join(item.certificate.thumbprint for item in found))
            anchors = anchors_in(live)
            entries = [_stored(live, item) for item in found]
            now = self._clock.now()
            return [(judged(entry, anchors, now), was_new) for entry, was_new in zip(entries, new, strict=True)]

    def delete(self, thumbprint: str, actor: str) -> str:
        """Remove a certificate and its private key; returns the whole thumbprint."""
        with self._registry.transaction(write=True) as live:
            entry = live.certificate(thumbprint)
            if entry is None:
                raise UserError(f"no certificate, or more than one, begins with {thumbprint}; see cert list")
            whole = entry.certificate.thumbprint
            live.delete_certificate(whole)
            live.audit(actor, "cert-delete", whole)
        return whole


def _stored(live: RegistryTransaction, item: Arrival) -> CertificateEntry:
    entry = live.certificate(item.certificate.thumbprint)
    if entry is None:
        raise UserError(f"the store did not keep {item.certificate.thumbprint}")
    return entry


def _term(search: str) -> str:
    """Thumbprints are shown in groups and written with colons elsewhere; every spelling finds its certificate."""
    digits = thumbprint_digits(search)
    return digits if len(digits) >= _LOOKS_LIKE_DIGITS and set(digits) <= set("0123456789abcdef") else search
