"""The revocation lists of the built-in CA: made new at each revocation, and before the old one ends.

A partner who finds only an old list refuses our certificates, or trusts revoked ones; so a list is renewed when half
of its time is over, and what a missing key prevents is said in time.
"""

from dataclasses import dataclass
from typing import Final

from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.certs.authority import Revoked, Signer, make_crl
from ime_gateway.certs.key_kinds import signing_key
from ime_gateway.ports.authorities import AuthorityEntry
from ime_gateway.ports.registry import Registry, RegistryTransaction

DAY_SECONDS: Final = 86_400.0
LIST_DAYS: Final = {"root": 360.0, "issuing": 7.0}
"""At most 12 months and 10 days (S/MIME baseline requirements section 4.9.7)."""
_WARN_DAYS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ListRound:
    """What one look at all lists brought."""

    renewed: tuple[str, ...]
    """Short names of CAs."""
    notes: tuple[str, ...]
    """What an administrator must do, one sentence each."""


def signer_of(live: RegistryTransaction, entry: AuthorityEntry) -> Signer:
    """A CA ready to sign; raises UserError when its key lies offline."""
    private_key = live.authorities.private_key(entry.certificate.thumbprint)
    if private_key is None:
        raise UserError(f"the private key of {entry.name} is offline; first: ime-gateway ca bring-back FILE")
    return Signer(entry.certificate, signing_key(private_key))


def renew_list(live: RegistryTransaction, entry: AuthorityEntry, moment: float) -> bytes:
    """Sign the next list of a CA now (`moment`: seconds since 1970 UTC) and keep it. Raises UserError when its key is
    offline."""
    issuer = signer_of(live, entry)
    thumbprint = entry.certificate.thumbprint
    # What has expired stays on it: mail that was signed before must not look good again (RFC 5280 section 3.3).
    lines = [
        Revoked(one.certificate.serial, one.revoked_at, one.revocation_reason)
        for one in live.authorities.issued(authority=thumbprint, revoked=True, limit=None)
        if one.revoked_at is not None
    ]
    number = entry.crl_number + 1
    next_update = moment + LIST_DAYS[entry.role] * DAY_SECONDS
    crl = make_crl(issuer, number, lines, moment=moment, next_update=next_update)
    live.authorities.put_crl(thumbprint, number, crl, next_update)
    return crl


def renew_due_lists(registry: Registry, now: float) -> ListRound:
    """Renew each list whose half time is over `now` (seconds since 1970 UTC); for housekeeping. May raise
    StoreUnavailable."""
    with registry.transaction(write=False) as live:
        entries = live.authorities.list()
    notes = tuple(note for entry in entries for note in list_notes(entry, now))
    if not any(_is_due(entry, now) for entry in entries):
        return ListRound((), notes)
    renewed = []
    with registry.transaction(write=True) as live:
        for entry in live.authorities.list():
            if _is_due(entry, now):  # another node may have been faster
                renew_list(live, entry, now)
                renewed.append(entry.name)
    return ListRound(tuple(renewed), notes)


def list_notes(entry: AuthorityEntry, moment: float) -> list[str]:
    """What must be done about the list of a CA whose key is offline, in time."""
    left = (entry.crl_next_update or 0.0) - moment
    if entry.has_private_key or moment > entry.certificate.not_after or left > _WARN_DAYS * DAY_SECONDS:
        return []
    ends = f"ends at {rfc3339(entry.crl_next_update)}" if entry.crl_next_update else "was never made"
    mend = "ime-gateway ca bring-back FILE, ime-gateway ca crl, ime-gateway ca take-offline"
    return [f"the revocation list of {entry.name} {ends} and its key is offline; run: {mend}"]


def _is_due(entry: AuthorityEntry, moment: float) -> bool:
    if not entry.has_private_key or moment > entry.certificate.not_after:
        return False
    half = LIST_DAYS[entry.role] * DAY_SECONDS / 2
    return entry.crl_next_update is None or entry.crl_next_update - moment < half
