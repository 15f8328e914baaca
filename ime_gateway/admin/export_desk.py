"""A person's key for their own mail program: PKCS#12 with a one-time password.

The password is made here, shown once and stored nowhere, so that no weak one protects a key that lies in a download
folder. Old programs (Windows before 10, older NSS, GnuPG 2.2) read 3DES only: `compatible`.
"""

from dataclasses import dataclass, field
from typing import Final

from ime_gateway.admin.accounts import one_time_password
from ime_gateway.admin.certificate_files import sealed_pair
from ime_gateway.admin.intake import address_key
from ime_gateway.admin.issue_desk import is_revoked
from ime_gateway.admin.judging import anchors_in
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.registry import CertificateEntry, Registry, RegistryTransaction

_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Export:
    """A PKCS#12 file and what opens it."""

    addresses: tuple[str, ...]
    certificate: Certificate
    chain: int
    """How many CA certificates came along."""
    data: bytes = field(repr=False)
    password: str = field(repr=False)


class ExportDesk:
    """The desk of people's keys that leave the gateway. May raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock, randomness: Randomness) -> None:
        self._registry = registry
        self._clock = clock
        self._randomness = randomness

    def export(self, which: str, *, compatible: bool, actor: str) -> Export:
        """The key of an address or thumbprint with certificate and chain, audited. compatible: 3DES, for old
        programs. Raises UserError."""
        with self._registry.transaction(write=True) as live:
            entry = self._entry(live, which)
            private_key = live.private_key(entry.certificate.thumbprint)
            if private_key is None:
                raise UserError(f"the private key of {entry.certificate.thumbprint} is not here; it cannot be exported")
            chain = anchors_in(live).named_above(entry.certificate)
            live.audit(actor, "cert-export", entry.certificate.thumbprint)
        password = one_time_password(self._randomness)
        name = (entry.addresses or (entry.certificate.subject,))[0][:_LONGEST_NAME]
        data = sealed_pair(entry.certificate, private_key, password, chain=chain, name=name, compatible=compatible)
        return Export(entry.addresses, entry.certificate, len(chain), data, password)

    def _entry(self, live: RegistryTransaction, which: str) -> CertificateEntry:
        if "@" not in which:
            entry = live.certificate(which)
            if entry is None:
                raise UserError(
                    f"no person's certificate begins with {which}; see: ime-gateway cert list; for the key of a domain:"
                    " ime-gateway domain key export DOMAIN"
                )
            return entry
        entries = live.certificates(address=address_key(which))
        now = self._clock.now()
        living = [one for one in entries if one.has_private_key and one.certificate.not_after > now]
        owned = [one for one in living if not is_revoked(live, one.certificate)]
        if not owned:
            state = "none with a private key that is valid now" if entries else "none"
            raise UserError(f"of the certificates of {which} there is {state} here; see: ime-gateway cert list {which}")
        if len({one.certificate.key_kind for one in owned}) > 1:
            choice = ", ".join(f"{one.certificate.key_kind} {one.certificate.thumbprint[:19]}" for one in owned)
            raise UserError(f"{which} has keys of several kinds; name one by its thumbprint: {choice}")
        return max(owned, key=lambda one: one.certificate.not_before)
