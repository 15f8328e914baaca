"""The keys of IME addresses: make, show, change and export the certificate that users' programs encrypt to.

A key is changed with an overlap: the old one opens containers for some days more, because Outlook encrypts with
what its offline address book holds. Only a key that somebody stole is closed at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ime_gateway.admin.ime_contact import ContactFiles, contact_files
from ime_gateway.admin.ime_keys import make_key_pair, require_fit
from ime_gateway.admin.ime_notes import current_key, key_notes, signer_notes
from ime_gateway.admin.judging import certificate_json
from ime_gateway.admin.key_pairs import DAY_SECONDS, DEFAULT_OVERLAP_DAYS, KeyPair, groups
from ime_gateway.admin.managed_names import managed_named
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import ContainerCounts, ImeKeyEntry, Registry, RegistryTransaction
from ime_gateway.settings.site import ManagedDomain


@dataclass(frozen=True, slots=True)
class ImeRow:
    """The IME address of one managed domain with its keys."""

    domain: str
    address: str
    """Empty: the domain has none."""
    signers: str
    """Who is believed: `ime_signers` of the domain."""
    current: ImeKeyEntry | None
    older: tuple[ImeKeyEntry, ...]
    """The newest first; those whose overlap is over have no private key any more."""
    counts: ContainerCounts
    notes: tuple[str, ...]
    """What should be done, one sentence each."""


class ImeDesk:
    """The desk of IME keys. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock, randomness: Randomness) -> None:
        self._registry = registry
        self._clock = clock
        self._randomness = randomness

    def rows(self) -> list[ImeRow]:
        """Managed domains that have an IME address or keys of one, by name."""
        with self._registry.transaction(write=False) as live:
            managed = live.view().managed
            rows = [self._row(live, managed[name]) for name in sorted(managed)]
        return [row for row in rows if row.address or row.current or row.older]

    def show(self, domain: str) -> ImeRow:
        """One managed domain; raises UserError when it is none."""
        with self._registry.transaction(write=False) as live:
            return self._row(live, _managed(live.view(), domain))

    def issue(self, domain: str, *, days: int, replace: bool, actor: str) -> ImeRow:
        """Make the key of a domain's IME address. With `replace` also when there is one, which then opens containers
        for 14 days more. Raises UserError."""
        overlap = DEFAULT_OVERLAP_DAYS * DAY_SECONDS

        def permitted(row: ImeRow) -> None:
            if row.current is not None and not replace:
                digits = groups(row.current.certificate.thumbprint)
                sentence = f"{row.domain} has an IME key already ({digits}); to change it: ime-gateway ime rotate"
                raise UserError(f"{sentence} {row.domain}, or give --replace")

        return self._change(domain, days, overlap, permitted, actor, "ime-issue")

    def rotate(self, domain: str, *, days: int, overlap_days: int, at_once: bool, actor: str) -> ImeRow:
        """A new current key; the old one opens containers for `overlap_days` more, or with `at_once`, which is for a
        key that was stolen, nothing older than the new one opens anything. Raises UserError."""

        def permitted(row: ImeRow) -> None:
            if row.current is None:
                raise _no_key(row)

        overlap = 0.0 if at_once else overlap_days * DAY_SECONDS
        return self._change(domain, days, overlap, permitted, actor, "ime-rotate-at-once" if at_once else "ime-rotate")

    def export_contact(self, domain: str, display_name: str, actor: str) -> ContactFiles:
        """What the address list needs to know of the IME address; raises UserError when there is no key, or one of
        another address. Uses the private key to sign, so it is audited."""
        with self._registry.transaction(write=True) as live:
            row = self._row(live, _managed(live.view(), domain))
            if row.current is None:
                raise _no_key(row)
            _require_address(row)
            certificate = row.current.certificate
            _require_fit(row, certificate)
            private_key = live.ime_private_key(row.domain, certificate.thumbprint)
            if private_key is None:
                raise UserError(f"the private key of {row.domain}'s IME certificate is missing from the store")
            pair = KeyPair(certificate, private_key)
            try:
                files = contact_files(row.domain, row.address, pair, display_name, self._clock.now())
            except UnreadableCertificate as error:
                raise UserError(f"the IME key cannot sign the contact: {error}", error.evidence) from None
            live.audit(actor, "ime-export-contact", f"{row.domain} {certificate.thumbprint}")
        return files

    def _change(
        self,
        domain: str,
        days: int,
        overlap: float,
        permitted: Callable[[ImeRow], None],
        actor: str,
        action: str,
    ) -> ImeRow:
        before = self.show(domain)
        _require_address(before)
        permitted(before)
        now = self._clock.now()
        # Made before the transaction: mail would wait for the prime numbers otherwise.
        pair = make_key_pair(before.address, now, days, self._randomness)
        with self._registry.transaction(write=True) as live:
            row = self._row(live, _managed(live.view(), domain))
            if row.address != before.address:
                raise UserError(f"the IME address of {row.domain} was changed meanwhile; try again")
            permitted(row)
            live.put_ime_key(row.domain, pair.certificate, pair.private_key, older_open_until=now + overlap)
            if not overlap:
                live.close_older_ime_keys(row.domain)
            live.audit(actor, action, _change_detail(row, pair, now + overlap))
            return self._row(live, _managed(live.view(), domain))

    def _row(self, live: RegistryTransaction, domain: ManagedDomain) -> ImeRow:
        keys = live.ime_keys(domain.name)
        current = current_key(keys)
        counts = live.container_counts(domain.name)
        notes = key_notes(domain, keys, live.view().policy, self._clock.now())
        return ImeRow(
            domain=domain.name,
            address=domain.ime_address,
            signers=domain.ime_signers,
            current=current,
            older=tuple(key for key in keys if key is not current),
            counts=counts,
            notes=(*notes, *signer_notes(domain, counts.pending)),
        )


def ime_json(row: ImeRow) -> dict[str, object]:
    """`ime show --json`."""
    return {
        "domain": row.domain,
        "address": row.address or None,
        "signers": row.signers,
        "current": None if row.current is None else _key_json(row.current),
        "older": [_key_json(key) for key in row.older],
        "pins": {"approved": row.counts.approved, "pending": row.counts.pending, "revoked": row.counts.revoked},
        "open_challenges": row.counts.open_challenges,
        "notes": list(row.notes),
    }


def _key_json(key: ImeKeyEntry) -> dict[str, object]:
    return certificate_json(key.certificate) | {
        "thumbprint_groups": groups(key.certificate.thumbprint),
        "addresses": sorted(key.certificate.addresses),
        "made_at": rfc3339(key.made_at),
        "opens_until": None if key.is_current else rfc3339(key.opens_until),
        "private_key": key.has_private_key,
    }


def _change_detail(row: ImeRow, pair: KeyPair, older_open_until: float) -> str:
    if row.current is None:
        return f"{row.domain} {pair.certificate.thumbprint}"
    before = f"before {row.current.certificate.thumbprint}, which opens until {rfc3339(older_open_until)}"
    return f"{row.domain} {pair.certificate.thumbprint}, {before}"


def _no_key(row: ImeRow) -> UserError:
    return UserError(f"{row.domain} has no IME key yet; make one: ime-gateway ime issue {row.domain}")


def _require_fit(row: ImeRow, certificate: Certificate) -> None:
    """`ime_address` may have been changed since the key was made."""
    try:
        require_fit(certificate, row.address)
    except UserError as error:
        raise UserError(
            f"the IME certificate of {row.domain} {str(error).removeprefix('the certificate ')}; nothing was written;"
            f" make a new one and run this again: ime-gateway ime rotate {row.domain}"
        ) from None


def _require_address(row: ImeRow) -> None:
    if not row.address:
        example = f'ime_address = "domain-confidentiality-authority@ime.{row.domain}"'
        raise UserError(f"{row.domain} has no IME address; set it in SITE.toml, as in {example}, and apply it")


def _managed(view: SiteView, name: str) -> ManagedDomain:
    for domain in view.managed.values():
        if domain.ime_domain == name.strip().lower():
            raise UserError(
                f"{domain.ime_domain} is the domain of the IME address of {domain.name}; say: {domain.name}"
            )
    return view.managed[managed_named(view, name)]
