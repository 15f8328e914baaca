"""The certificate trust list: which certificate is allowed or denied by its thumbprint, whatever its path.

Deny beats everything and is in force for every MAIL FROM after it is committed (design 6.1, 6.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.bundle import PasswordMissing, read_bundle
from ime_gateway.certs.certificate import Certificate, thumbprint_digits, whole_thumbprint
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.registry import Registry, RegistryTransaction

_DENY_ONE: Final = (
    "Nothing was denied. Give the thumbprint of the one that is meant; for a CA, a file with its certificate alone:"
    " only then its other certificates, of the same name and key, are denied with it"
)


@dataclass(frozen=True, slots=True)
class TrustRow:
    """A line of the trust list, and whose certificate it is when that is stored here."""

    entry: TrustEntry
    subject: str
    """Empty: the certificate itself is not stored."""


class TrustDesk:
    """The trust list. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def rows(self) -> list[TrustRow]:
        """All lines, denied ones first."""
        with self._registry.transaction(write=False) as live:
            view = live.view()
            known = {root.thumbprint: root.subject for root in (*view.roots, *view.intermediates)}
            known |= {c.thumbprint: c.subject for group in view.domain_certificates.values() for c in group}
            rows = []
            for entry in sorted(view.trust.values(), key=lambda line: (line.verdict != "deny", line.thumbprint)):
                stored = live.certificate(entry.thumbprint) if entry.thumbprint not in known else None
                subject = stored.certificate.subject if stored else known.get(entry.thumbprint, "")
                rows.append(TrustRow(entry, subject))
            return rows

    def put(self, entry: TrustEntry, actor: str, certificate: Certificate | None = None) -> bool:
        """Allow or deny a certificate by its whole thumbprint; False when nothing changed. certificate: the denied one
        itself, if at hand: that of a CA is kept, since only so its other certificates are known for its own."""
        if entry.allow_expired and entry.verdict == "deny":
            raise UserError("allow_expired makes no sense with deny")
        with self._registry.transaction(write=True) as live:
            changed = live.put_trust(entry)
            if certificate is not None and certificate.is_ca and not _is_known(live, entry.thumbprint):
                changed = live.put_certificate(certificate, (), None) or changed
            if changed:
                live.audit(actor, f"trust-{entry.verdict}", entry.thumbprint)
        return changed

    def certificate(self, thumbprint: str) -> Certificate | None:
        """The certificate with this whole thumbprint, if it is kept here in whatever role."""
        with self._registry.transaction(write=False) as live:
            return _stored(live, thumbprint)

    def is_known(self, thumbprint: str) -> bool:
        """Whether the certificate with this whole thumbprint is kept here, in whatever role."""
        with self._registry.transaction(write=False) as live:
            return _is_known(live, thumbprint)

    def whole_thumbprint(self, text: str) -> str:
        """A thumbprint from a whole one, or from the beginning of a stored certificate's; raises UserError."""
        if whole := whole_thumbprint(text):
            return whole
        with self._registry.transaction(write=False) as live:
            return _known(live, f"sha256:{thumbprint_digits(text)}")

    def remove(self, thumbprint: str, actor: str) -> str:
        """Remove a line by its thumbprint or an unambiguous beginning; returns the whole one."""
        digits = thumbprint_digits(thumbprint)
        with self._registry.transaction(write=True) as live:
            matching = [line for line in live.view().trust if digits and line.startswith(f"sha256:{digits}")]
            if len(matching) != 1:
                raise UserError(
                    f"{len(matching) or 'no'} lines of the trust list begin with {thumbprint}; see trust list"
                )
            live.delete_trust(matching[0])
            live.audit(actor, "trust-remove", matching[0])
        return matching[0]


def trust_json(row: TrustRow) -> dict[str, object]:
    """One row of `trust list --json`."""
    return {
        "thumbprint": row.entry.thumbprint,
        "verdict": row.entry.verdict,
        "allow_expired": row.entry.allow_expired,
        "note": row.entry.note,
        "subject": row.subject or None,
    }


def certificate_of_file(data: bytes) -> Certificate:
    """The one certificate in a file; raises UserError."""
    certificates = _read(data)
    if len(certificates) != 1:
        raise UserError(f"it holds {len(certificates)} certificates; give the thumbprint of the one that is meant")
    return certificates[0]


def certificates_to_deny(data: bytes) -> tuple[Certificate, ...]:
    """What denying a file means: its one certificate, or every CA of a file of nothing but CAs (`ca export`). Raises
    UserError, saying what to do, where it could mean less or more than that."""
    certificates = _read(data)
    if not may_be_denied_together(certificates):
        lines = [f"  {one.thumbprint} {one.subject}{' (a CA)' if one.is_ca else ''}" for one in certificates]
        raise UserError("\n".join([f"it holds {len(certificates)} certificates, not of CAs alone:", *lines, _DENY_ONE]))
    return certificates


def may_be_denied_together(certificates: Sequence[Certificate]) -> bool:
    """Whether it is clear what denying a file with these certificates means."""
    return len(certificates) == 1 or (len(certificates) > 1 and all(one.is_ca for one in certificates))


def _read(data: bytes) -> tuple[Certificate, ...]:
    try:
        return read_bundle(data, None).certificates
    except PasswordMissing as error:
        raise UserError(f"{error}; ask for the certificate alone (.cer, .pem)", error.evidence) from None
    except UnreadableCertificate as error:
        raise UserError(str(error), error.evidence) from None


def _is_known(live: RegistryTransaction, thumbprint: str) -> bool:
    return _stored(live, thumbprint) is not None


def _stored(live: RegistryTransaction, thumbprint: str) -> Certificate | None:
    view = live.view()
    elsewhere = [*view.roots, *view.intermediates, *view.additional_certificates]
    elsewhere += [one for group in view.domain_certificates.values() for one in group]
    elsewhere += [key.certificate for key in live.domain_keys.list()]
    found = next((one for one in elsewhere if one.thumbprint == thumbprint), None)
    if found is not None:
        return found
    entry = live.certificate(thumbprint)
    return None if entry is None else entry.certificate


def _known(live: RegistryTransaction, beginning: str) -> str:
    """The whole thumbprint of the one stored certificate of a person, domain or CA that begins so."""
    view = live.view()
    elsewhere = [*view.roots, *view.intermediates, *view.additional_certificates]
    elsewhere += [one for group in view.domain_certificates.values() for one in group]
    elsewhere += [key.certificate for key in live.domain_keys.list()]
    found = {one.thumbprint for one in elsewhere if one.thumbprint.startswith(beginning)}
    entry = live.certificate(beginning)  # also says when the beginning is too short
    if entry is not None:
        found.add(entry.certificate.thumbprint)
    if len(found) != 1:
        raise UserError(f"{beginning} is no whole thumbprint, and no stored certificate (or several) begins so")
    return found.pop()
