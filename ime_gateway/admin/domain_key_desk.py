"""The keys of whole managed domains: make, bring, show, export, change with an overlap, and retire.

The next key is announced to partners and opens mail before it is used, so that nobody is surprised: after the overlap
housekeeping makes it the current one. Only an administrator ever takes an older one away.
"""

from dataclasses import dataclass

from ime_gateway.admin.certificate_files import pem, sealed_pair
from ime_gateway.admin.domain_keys import (
    current_domain_key,
    domain_key_notes,
    due_at,
    make_domain_pair,
    next_domain_key,
    require_fit_for_domain,
    require_not_denied,
    state_of_new,
    takes_over,
    withdrawn_key_notes,
)
from ime_gateway.admin.judging import anchors_in
from ime_gateway.admin.key_pairs import KeyPair, pair_of
from ime_gateway.admin.managed_names import managed_named
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.bundle import PasswordMissing, read_bundle
from ime_gateway.certs.certificate import thumbprint_digits
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.domain_keys import DomainKeyEntry
from ime_gateway.ports.keyring import DomainKeyState
from ime_gateway.ports.registry import Registry, RegistryTransaction


@dataclass(frozen=True, slots=True)
class DomainKeyRow:
    """The keys of one managed domain."""

    domain: str
    keys: tuple[DomainKeyEntry, ...]
    """The current one first, then the next, then older ones from the newest."""
    takes_over_at: float | None
    """When the next key becomes the current one, seconds since 1970 UTC; None: there is none."""
    notes: tuple[str, ...]
    """What should be done, one sentence each."""

    @property
    def current(self) -> DomainKeyEntry | None:
        """The key that partners should use."""
        return current_domain_key(self.keys)

    @property
    def following(self) -> DomainKeyEntry | None:
        """The key that will be the current one."""
        return next_domain_key(self.keys)


class DomainKeyDesk:
    """The desk of domain keys. Every method may raise StoreUnavailable, and UserError when `domain` is not ours."""

    def __init__(self, registry: Registry, clock: Clock, randomness: Randomness) -> None:
        self._registry = registry
        self._clock = clock
        self._randomness = randomness

    def show(self, domain: str) -> DomainKeyRow:
        """One managed domain."""
        with self._registry.transaction(write=False) as live:
            return self._row(live, managed_named(live.view(), domain))

    def generate(self, domain: str, *, days: int, actor: str) -> DomainKeyRow:
        """The first key of a domain, self-signed. Raises UserError when there is one."""
        before = self.show(domain)
        _require_none(before)
        pair = make_domain_pair(before.domain, self._clock.now(), days, self._randomness)
        with self._registry.transaction(write=True) as live:
            _require_none(self._row(live, before.domain))
            return self._put(live, before.domain, pair, "current", "domain-key-generate", actor)

    def take(
        self, domain: str, data: bytes, *, password: str | None, state: DomainKeyState | None, actor: str
    ) -> DomainKeyRow:
        """Bring a key from a file (PKCS#12, PEM). `state` None: the current one where there is none, else the next.
        Raises UserError when the file cannot be used or the key is here; then nothing is stored."""
        try:
            pair = pair_of(read_bundle(data, password), "a domain key")
        except PasswordMissing as error:
            raise UserError(f"{error}; give --password-file or --password-env", error.evidence) from None
        except UnreadableCertificate as error:
            raise UserError(str(error), error.evidence) from None
        with self._registry.transaction(write=True) as live:
            name = managed_named(live.view(), domain)
            keys = live.domain_keys.list(name)
            require_fit_for_domain(pair.certificate, name)
            require_not_denied(pair.certificate, live.view().trust)
            for key in keys:
                if key.certificate == pair.certificate:
                    raise UserError(f"this key of {name} is here already: it is the {key.state} one")
            if pair.certificate.not_after <= self._clock.now() and state != "older":
                raise UserError(
                    f"the certificate expired at {rfc3339(pair.certificate.not_after)}; give a newer one,"
                    " or --as older if it shall only open mail"
                )
            return self._put(live, name, pair, state or state_of_new(keys), "domain-key-import", actor)

    def rollover(self, domain: str, *, now: bool, days: int, actor: str) -> DomainKeyRow:
        """Begin the change to a new key, made here unless one waits; with `now` also end it: the next key is the
        current one at once, and the one before only opens mail. Raises UserError when there is nothing to change."""
        before = self.show(domain)
        if before.following is not None and not now:
            assert before.takes_over_at is not None
            when = takes_over(before.takes_over_at, self._clock.now())
            raise UserError(
                f"a next key of {before.domain} waits already and {when};"
                f" at once: ime-gateway domain key rollover {before.domain} --now"
            )
        if before.current is None and before.following is None:
            raise UserError(f"{before.domain} has no domain key yet: ime-gateway domain key generate {before.domain}")
        made = None
        if before.following is None:
            made = make_domain_pair(before.domain, self._clock.now(), days, self._randomness)
        with self._registry.transaction(write=True) as live:
            row = self._row(live, before.domain)
            if (row.following is None) != (before.following is None):
                raise UserError(f"the keys of {row.domain} were changed meanwhile; try again")
            if made is not None:
                row = self._put(live, row.domain, made, "current" if now else "next", "domain-key-rollover", actor)
            else:
                assert row.following is not None
                self._promote(live, row.following, actor)
            return self._row(live, row.domain)

    def retire(self, domain: str, thumbprint: str, *, actor: str) -> DomainKeyEntry:
        """Erase a key that is not the current one: what is encrypted to it opens no more, and the trust list denies
        its certificate, so that no file brings it back. Raises UserError."""
        with self._registry.transaction(write=True) as live:
            name = managed_named(live.view(), domain)
            key = _chosen(live.domain_keys.list(name), name, thumbprint)
            if key.state == "current":
                raise UserError(
                    f"this is the key that partners of {name} use; first: ime-gateway domain key rollover {name} --now"
                )
            whole = key.certificate.thumbprint
            live.domain_keys.delete(name, whole)
            note = f"domain key of {name}, retired {rfc3339(self._clock.now())}"
            live.put_trust(TrustEntry(whole, "deny", note=note))
            live.audit(actor, "domain-key-retire", f"{name} {whole}")
        return key

    def certificate(self, domain: str, thumbprint: str = "") -> tuple[DomainKeyEntry, bytes]:
        """A certificate for partners, as PEM: the current one, or by thumbprint. Raises UserError."""
        with self._registry.transaction(write=False) as live:
            name = managed_named(live.view(), domain)
            key = _chosen(live.domain_keys.list(name), name, thumbprint)
        return key, pem(key.certificate)

    def sealed(self, domain: str, thumbprint: str, passphrase: str, actor: str) -> tuple[DomainKeyEntry, bytes]:
        """The same with its private key, as a PKCS#12 file sealed to a passphrase; audited. Raises UserError."""
        with self._registry.transaction(write=True) as live:
            name = managed_named(live.view(), domain)
            key = _chosen(live.domain_keys.list(name), name, thumbprint)
            private_key = live.domain_keys.private_key(name, key.certificate.thumbprint)
            if private_key is None:
                raise UserError(f"the private key of {key.certificate.thumbprint} is missing from the store")
            file = sealed_pair(key.certificate, private_key, passphrase)
            live.audit(actor, "domain-key-export", f"{name} {key.certificate.thumbprint}")
        return key, file

    def promote_due(self, actor: str) -> list[DomainKeyEntry]:
        """Make next keys whose overlap is over the current ones; those keys. Expired ones are left alone."""
        now = self._clock.now()
        with self._registry.transaction(write=False) as live:
            if not _due(live, now):
                return []
        with self._registry.transaction(write=True) as live:
            due = _due(live, now)
            for key in due:
                self._promote(live, key, actor)
        return due

    def _promote(self, live: RegistryTransaction, key: DomainKeyEntry, actor: str) -> None:
        now = self._clock.now()
        if key.certificate.not_before > now:
            raise UserError(f"the next certificate is not valid before {rfc3339(key.certificate.not_before)}")
        if key.certificate.not_after <= now:
            raise UserError(
                f"the next certificate expired at {rfc3339(key.certificate.not_after)}; retire it and make another"
            )
        live.domain_keys.set_state(key.domain, key.certificate.thumbprint, "current")
        live.audit(actor, "domain-key-takes-over", f"{key.domain} {key.certificate.thumbprint}")

    def _put(
        self, live: RegistryTransaction, domain: str, pair: KeyPair, state: DomainKeyState, action: str, actor: str
    ) -> DomainKeyRow:
        live.domain_keys.put(domain, pair.certificate, pair.private_key, state)
        live.audit(actor, action, f"{domain} {pair.certificate.thumbprint} as {state}")
        return self._row(live, domain)

    def _row(self, live: RegistryTransaction, domain: str) -> DomainKeyRow:
        keys = tuple(live.domain_keys.list(domain))
        view, now = live.view(), self._clock.now()
        policy = view.policy
        following = next_domain_key(keys)
        due = None if following is None else due_at(following, current_domain_key(keys), policy.overlap_days)
        withdrawn = withdrawn_key_notes(domain, keys, anchors_in(live, view, mail_will_ask=True), now)
        return DomainKeyRow(domain, keys, due, (*withdrawn, *domain_key_notes(domain, keys, policy, now)))


def _due(live: RegistryTransaction, now: float) -> list[DomainKeyEntry]:
    overlap, keys = live.view().policy.overlap_days, live.domain_keys.list()
    found = []
    for key in keys:
        if key.state == "next":
            current = current_domain_key(one for one in keys if one.domain == key.domain)
            if due_at(key, current, overlap) <= now < key.certificate.not_after:
                found.append(key)
    return found


def _chosen(keys: list[DomainKeyEntry], domain: str, thumbprint: str) -> DomainKeyEntry:
    """By thumbprint, its beginning or the word `next`; empty: the current one."""
    if thumbprint == "next":
        following = next_domain_key(keys)
        if following is None:
            raise UserError(f"{domain} has no next domain key; first: ime-gateway domain key rollover {domain}")
        return following
    if not thumbprint:
        current = current_domain_key(keys)
        if current is None:
            raise UserError(f"{domain} has no current domain key; see: ime-gateway domain key show {domain}")
        return current
    digits = thumbprint_digits(thumbprint)
    matching = [key for key in keys if digits and key.certificate.thumbprint.startswith(f"sha256:{digits}")]
    if len(matching) != 1:
        raise UserError(
            f"{len(matching) or 'no'} keys of {domain} begin with {thumbprint};"
            f" see: ime-gateway domain key show {domain}"
        )
    return matching[0]


def _require_none(row: DomainKeyRow) -> None:
    if row.keys:
        raise UserError(
            f"{row.domain} has a domain key already; to change it: ime-gateway domain key rollover {row.domain}"
        )
