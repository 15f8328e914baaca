"""The built-in CA: set up, shown, renewed; its root key taken offline and brought back.

One root and one issuing CA are active at a time. Retired ones sign nothing but their revocation lists, for as long
as certificates of theirs may live.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.x509 import Name

from ime_gateway.admin.certificate_files import sealed_pair
from ime_gateway.admin.judging import certificate_json
from ime_gateway.admin.key_pairs import groups, pair_of
from ime_gateway.admin.pki_places import places_named, places_of, require_address
from ime_gateway.admin.revocation_lists import DAY_SECONDS, list_notes, renew_list, signer_of
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.authority import authority_name, make_issuing, make_root, permits
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.key_kinds import KeyKind, SigningPrivateKey, make_key, to_pkcs8
from ime_gateway.ports.authorities import AuthorityEntry, AuthorityRole, IssuedEntry
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import Registry, RegistryTransaction

ROOT_DAYS: Final = 10 * 365
ISSUING_DAYS: Final = 5 * 365
_ENDS_SOON_DAYS: Final = 400
"""An issuing CA cannot give certificates their whole time any more."""
LEAST_PASSPHRASE: Final = 12
_WORDS = {"root": "S/MIME Root CA", "issuing": "S/MIME CA"}


@dataclass(frozen=True, slots=True)
class AuthorityRow:
    """A CA and what should be known about it."""

    entry: AuthorityEntry
    crl_url: str
    """Where its list is; empty: the installation has no address."""
    notes: tuple[str, ...]
    """What should be done, one sentence each."""


class AuthorityDesk:
    """The desk of the built-in CA. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock, randomness: Randomness, pki_url: str) -> None:
        """`pki_url`: the http address under which partners reach `/pki/`; empty: there is none."""
        self._registry = registry
        self._clock = clock
        self._randomness = randomness
        self._pki_url = pki_url

    def rows(self) -> list[AuthorityRow]:
        """All CAs: roots first, active before retired."""
        with self._registry.transaction(write=False) as live:
            return self._rows(live)

    def row(self, name: str) -> AuthorityRow:
        """One CA by its short name or thumbprint, or the beginning of one; raises UserError."""
        with self._registry.transaction(write=False) as live:
            wanted = named(live, name)
            return next(row for row in self._rows(live) if row.entry == wanted)

    def init(
        self, organization: str, country: str, kind: KeyKind, *, open_root: bool, replace: bool, actor: str
    ) -> list[AuthorityRow]:
        """Make root and issuing CA for the managed domains, and trust the root here. open_root: only the issuing CA
        is bound to the domains, so that the root may serve those that come later. replace: there is a CA already,
        which then retires. Raises UserError."""
        require_address(self._pki_url)
        with self._registry.transaction(write=False) as live:
            self._require_room(live, replace=replace)
            _domains(live.view())
        keys = _signing_key(kind), _signing_key(kind)
        with self._registry.transaction(write=True) as live:
            self._require_room(live, replace=replace)
            domains = _domains(live.view())
            organization = organization.strip() or min(domains, key=len)
            root = self._put_root(live, organization, country, keys[0], () if open_root else domains)
            issuing = self._put_issuing(live, root, organization, country, keys[1], domains)
            _retire_others(live, (root, issuing))
            live.audit(actor, "ca-init", f"{root.certificate.thumbprint} {issuing.certificate.thumbprint}")
            return self._rows(live)

    def renew(self, kind: KeyKind, actor: str) -> AuthorityRow:
        """A new issuing CA below the same root for the domains that are managed now; the old one retires. Raises
        UserError when the root's key is offline or a domain is outside its constraints."""
        require_address(self._pki_url)
        key = _signing_key(kind)
        with self._registry.transaction(write=True) as live:
            root = active(live, "root")
            if root is None:
                raise no_authority()
            domains = _domains(live.view())
            outside = [domain for domain in domains if not permits(root.certificate, domain)]
            if outside:
                raise UserError(
                    f"the root may not certify {', '.join(outside)}, which came later; make a new CA, and give partners"
                    " its root: ime-gateway ca init --replace"
                )
            organization, country = _name_parts(root)
            issuing = self._put_issuing(live, root, organization, country, key, domains)
            _retire_others(live, (root, issuing))
            live.audit(actor, "ca-renew", issuing.certificate.thumbprint)
            return next(row for row in self._rows(live) if row.entry.certificate == issuing.certificate)

    def take_offline(self, passphrase: str, keep: Callable[[AuthorityEntry, bytes], None], actor: str) -> AuthorityRow:
        """Export the active root's key, sealed to `passphrase`, and erase it here. `keep` must store the file for
        good before it returns, or raise; then nothing is erased. Raises UserError."""
        if len(passphrase) < LEAST_PASSPHRASE:
            raise UserError(f"the passphrase must have {LEAST_PASSPHRASE} characters at least: the file opens the CA")
        with self._registry.transaction(write=False) as live:
            root = active(live, "root")
            if root is None:
                raise no_authority()
            private_key = live.authorities.private_key(root.certificate.thumbprint)
            if private_key is None:
                raise UserError(f"the private key of {root.name} is offline already")
        keep(root, sealed_pair(root.certificate, private_key, passphrase))
        with self._registry.transaction(write=True) as live:
            entry = named(live, root.certificate.thumbprint)
            renew_list(live, entry, self._clock.now())  # the last one for a long time
            live.authorities.put_private_key(root.certificate.thumbprint, None)
            live.audit(actor, "ca-take-offline", root.certificate.thumbprint)
            return next(row for row in self._rows(live) if row.entry.certificate == root.certificate)

    def bring_back(self, data: bytes, passphrase: str, actor: str) -> AuthorityRow:
        """Take the key of a CA of ours into the store again; raises UserError that says what is wrong."""
        try:
            pair = pair_of(read_bundle(data, passphrase))
        except UnreadableCertificate as error:
            raise UserError(str(error), error.evidence) from None
        with self._registry.transaction(write=True) as live:
            thumbprint = pair.certificate.thumbprint
            entry = next((one for one in live.authorities.list() if one.certificate.thumbprint == thumbprint), None)
            if entry is None:
                raise UserError(f"{pair.certificate.subject} is no CA of this gateway; see: ime-gateway ca show")
            if entry.has_private_key:
                raise UserError(f"the private key of {entry.name} is here already")
            live.authorities.put_private_key(thumbprint, pair.private_key)
            live.audit(actor, "ca-bring-back", thumbprint)
            return next(row for row in self._rows(live) if row.entry.certificate == pair.certificate)

    def sign_lists(self, actor: str) -> tuple[list[AuthorityRow], list[str]]:
        """Renew the list of every CA whose key is here; and the short names of those whose key is not."""
        with self._registry.transaction(write=True) as live:
            now, entries = self._clock.now(), live.authorities.list()
            if not entries:
                raise no_authority()
            for entry in entries:
                if entry.has_private_key:
                    renew_list(live, entry, now)
            live.audit(actor, "ca-crl", ", ".join(entry.name for entry in entries if entry.has_private_key))
            return self._rows(live), [entry.name for entry in entries if not entry.has_private_key]

    def issued(self, *, owner: str = "", revoked: bool | None = None, limit: int = 1000) -> list[IssuedEntry]:
        """What the CAs signed, the newest first."""
        with self._registry.transaction(write=False) as live:
            return list(live.authorities.issued(owner=owner, revoked=revoked, limit=limit))

    def _put_root(
        self,
        live: RegistryTransaction,
        organization: str,
        country: str,
        key: SigningPrivateKey,
        domains: tuple[str, ...],
    ) -> AuthorityEntry:
        name = _authority_name(live, organization, country, "root")
        now = self._clock.now()
        certificate = make_root(name, key, domains, moment=now, days=ROOT_DAYS, randomness=self._randomness)
        live.authorities.put(certificate, "root", to_pkcs8(key))
        live.put_root(certificate)
        entry = named(live, certificate.thumbprint)
        renew_list(live, entry, now)
        return entry

    def _put_issuing(
        self,
        live: RegistryTransaction,
        root: AuthorityEntry,
        organization: str,
        country: str,
        key: SigningPrivateKey,
        domains: tuple[str, ...],
    ) -> AuthorityEntry:
        now = self._clock.now()
        certificate = make_issuing(
            signer_of(live, root),
            _authority_name(live, organization, country, "issuing"),
            key.public_key(),
            domains,
            places_of(self._pki_url, root),
            moment=now,
            days=ISSUING_DAYS,
            randomness=self._randomness,
        )
        live.authorities.put(certificate, "issuing", to_pkcs8(key))
        live.put_certificate(certificate, (), None)
        entry = named(live, certificate.thumbprint)
        live.authorities.put_issued(IssuedEntry(root.certificate.thumbprint, certificate, entry.name, "authority", now))
        renew_list(live, entry, now)
        return entry

    def _require_room(self, live: RegistryTransaction, *, replace: bool) -> None:
        there = active(live, "root")
        if there is not None and not replace:
            raise UserError(
                f"there is a CA already ({there.name}); for a new issuing CA: ime-gateway ca renew; for a new root,"
                " which partners must then trust: ime-gateway ca init --replace"
            )

    def _rows(self, live: RegistryTransaction) -> list[AuthorityRow]:
        now, domains = self._clock.now(), live.view().managed
        rows = []
        for entry in live.authorities.list():
            url = places_named(self._pki_url, entry.name).crl if self._pki_url else ""
            notes = (*list_notes(entry, now), *_notes(entry, list(domains), now))
            rows.append(AuthorityRow(entry, url, notes))
        return rows


def active(live: RegistryTransaction, role: AuthorityRole) -> AuthorityEntry | None:
    """The CA of this role that is in service."""
    return next((one for one in live.authorities.list() if one.role == role and one.state == "active"), None)


def named(live: RegistryTransaction, name: str) -> AuthorityEntry:
    """A CA by its short name or thumbprint, or the beginning of one; raises UserError."""
    entries = live.authorities.list()
    found = [one for one in entries if name in (one.name, one.certificate.thumbprint)] or [
        one
        for one in entries
        if len(name) >= 4 and (one.name.startswith(name) or one.certificate.thumbprint.startswith(f"sha256:{name}"))
    ]
    if len(found) != 1:
        raise UserError(f"{'no CA' if not found else 'more than one CA'} is called {name!r}; see: ime-gateway ca show")
    return found[0]


def no_authority() -> UserError:
    """There is no CA to work with."""
    return UserError("there is no built-in CA yet; make one: ime-gateway ca init")


def authority_json(row: AuthorityRow) -> dict[str, object]:
    """One element of `ca show --json`."""
    entry = row.entry
    return (
        {"name": entry.name, "role": entry.role, "state": entry.state}
        | certificate_json(entry.certificate)
        | {
            "thumbprint_groups": groups(entry.certificate.thumbprint),
            "private_key": entry.has_private_key,
            "crl_number": entry.crl_number,
            "crl_next_update": None if entry.crl_next_update is None else rfc3339(entry.crl_next_update),
            "crl_url": row.crl_url or None,
            "notes": list(row.notes),
        }
    )


def issued_json(entry: IssuedEntry) -> dict[str, object]:
    """One element of `ca list --json`."""
    return certificate_json(entry.certificate) | {
        "authority": entry.authority,
        "owner": entry.owner,
        "purpose": entry.purpose,
        "issued_at": rfc3339(entry.made_at),
        "revoked_at": None if entry.revoked_at is None else rfc3339(entry.revoked_at),
        "revocation_reason": entry.revocation_reason or None,
    }


def _notes(entry: AuthorityEntry, domains: list[str], moment: float) -> list[str]:
    if entry.state != "active":
        return []
    renewal = "ime-gateway ca renew" if entry.role == "issuing" else "ime-gateway ca init --replace"
    found = []
    if moment > entry.certificate.not_after:
        found.append(f"{entry.name} expired at {rfc3339(entry.certificate.not_after)}; run: {renewal}")
    elif entry.certificate.not_after - moment < _ENDS_SOON_DAYS * DAY_SECONDS:
        found.append(f"{entry.name} ends at {rfc3339(entry.certificate.not_after)}; run: {renewal}")
    outside = [domain for domain in sorted(domains) if not permits(entry.certificate, domain)]
    if outside:
        found.append(f"{entry.name} may not certify {', '.join(outside)}; run: {renewal}")
    return found


def _authority_name(live: RegistryTransaction, organization: str, country: str, role: AuthorityRole) -> Name:
    number = 1 + sum(1 for one in live.authorities.list() if one.role == role)
    try:
        return authority_name(organization, country, f"{_WORDS[role]} G{number}")
    except ValueError as error:
        raise UserError(f"the CA cannot be called so: {error}") from None


def _name_parts(root: AuthorityEntry) -> tuple[str, str]:
    values = {one.rfc4514_attribute_name: str(one.value) for one in root.certificate.x509.subject}
    return values.get("O", ""), values.get("C", "")


def _retire_others(live: RegistryTransaction, kept: tuple[AuthorityEntry, ...]) -> None:
    names = {entry.name for entry in kept}
    for one in live.authorities.list():
        if one.state == "active" and one.name not in names:
            live.authorities.set_state(one.certificate.thumbprint, "retired")


def _domains(view: SiteView) -> tuple[str, ...]:
    """Those the CA is for: managed domains, and domains of IME addresses that do not lie below them."""
    managed = sorted(view.managed)
    if not managed:
        raise UserError("there is no managed domain yet; the CA is bound to them, so apply SITE.toml first")
    apart = sorted({domain.ime_domain for domain in view.managed.values() if domain.ime_domain})
    return (*managed, *(one for one in apart if not any(one == name or one.endswith(f".{name}") for name in managed)))


def _signing_key(kind: KeyKind) -> SigningPrivateKey:
    key = make_key(kind)
    if not isinstance(key, SigningPrivateKey):
        raise UserError(f"keys of kind {kind} do not sign; a CA needs rsa-3072, rsa-4096, p-256, p-384 or ed25519")
    return key
