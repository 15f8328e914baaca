"""Certificates from the gateway itself: issued, renewed and revoked.

A renewed certificate has a new key; the old one goes on opening mail that is under way. A revoked one stands on the
next revocation list, which is signed in the same transaction.
"""

from dataclasses import dataclass

from ime_gateway.admin.authority_desk import named
from ime_gateway.admin.issuing import DEFAULT_DAYS, Maker, Owner, PairKind, keep_pair, make_keys, owner_of, trust_own
from ime_gateway.admin.judging import certificate_json
from ime_gateway.admin.key_pairs import KeyPair
from ime_gateway.admin.pki_places import require_address
from ime_gateway.admin.revocation_lists import renew_list, signer_of
from ime_gateway.base.errors import UserError
from ime_gateway.certs.authority import REVOCATION_REASONS
from ime_gateway.certs.certificate import Certificate, thumbprint_digits
from ime_gateway.certs.fitness import is_self_signed
from ime_gateway.certs.key_kinds import kind_of, make_key
from ime_gateway.ports.authorities import IssuedEntry
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.ports.registry import Registry, RegistryTransaction

_SHORTEST_BEGINNING = 6


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate that was made, and where it went."""

    owner: Owner
    certificate: Certificate
    by_authority: bool
    """False: it signed itself."""
    placed: str
    """What was done with it, in one sentence."""


class IssueDesk:
    """The desk of certificates that we make. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock, randomness: Randomness, pki_url: str) -> None:
        """`pki_url`: the http address under which partners reach `/pki/`; empty: there is none."""
        self._registry = registry
        self._clock = clock
        self._randomness = randomness
        self._pki_url = pki_url

    def issue(
        self, name: str, *, kind: PairKind, days: int = DEFAULT_DAYS, self_signed: bool, again: bool, actor: str
    ) -> list[Made]:
        """Make keys and certificates for an address, a managed domain or an IME address. again: also when there is
        one. Raises UserError, and makes nothing."""
        if not self_signed:
            require_address(self._pki_url)
        if self_signed and kind == "curve25519":
            raise UserError("X25519 keys cannot sign themselves; use the built-in CA, or another kind")
        with self._registry.transaction(write=False) as live:
            owner = owner_of(live.view(), name)
            self._require_none(live, owner, again=again)
        keys = make_keys(owner, kind)
        with self._registry.transaction(write=True) as live:
            if owner_of(live.view(), name) != owner:
                raise UserError(f"the settings of {owner.words} were changed meanwhile; try again")
            self._require_none(live, owner, again=again)
            maker = self._maker(live, days)
            made = [maker.self_signed(owner, key) if self_signed else maker.by_authority(owner, key) for key in keys]
            return self._keep(live, owner, made, "cert-issue", actor, by_authority=not self_signed)

    def renew(self, which: str, *, days: int = DEFAULT_DAYS, actor: str) -> Made:
        """A new key and certificate in place of one that we made, with the same owner and kind of key; `which`: its
        thumbprint, or an address or domain that has one. Raises UserError."""
        with self._registry.transaction(write=False) as live:
            owner, old, by_authority = self._renewable(live, which)
        kind = kind_of(old.public_key)
        if kind is None:
            raise UserError(f"keys like that of {old.thumbprint} are not made here; see: ime-gateway cert issue")
        if by_authority:
            require_address(self._pki_url)
        key = make_keys(owner, kind)[0] if kind in ("rsa-3072", "rsa-4096", "p-256", "p-384") else make_key(kind)
        with self._registry.transaction(write=True) as live:
            if self._renewable(live, old.thumbprint)[0] != owner:
                raise UserError(f"the settings of {owner.words} were changed meanwhile; try again")
            maker = self._maker(live, days)
            pair = maker.by_authority(owner, key) if by_authority else maker.self_signed(owner, key)
            return self._keep(live, owner, [pair], "cert-renew", actor, by_authority=by_authority)[0]

    def revoke(self, thumbprint: str, reason: str, actor: str) -> IssuedEntry:
        """Revoke a certificate that our CA issued and sign its list anew. `reason`: a word of RFC 5280 section 5.3.1
        in any spelling. Raises UserError, and revokes nothing."""
        word = revocation_reason(reason)
        with self._registry.transaction(write=True) as live:
            entry = self._issued(live, thumbprint)
            authority = named(live, entry.authority)
            signer_of(live, authority)  # refuses now when its key is offline: the list could not be signed
            if not live.authorities.revoke(entry.certificate.thumbprint, self._clock.now(), word):
                raise UserError(f"{entry.certificate.thumbprint} was revoked already")
            if entry.purpose == "authority":
                live.authorities.set_state(entry.certificate.thumbprint, "retired")
            renew_list(live, authority, self._clock.now())
            live.audit(actor, "cert-revoke", f"{entry.certificate.thumbprint} {word}")
            return entry

    def _maker(self, live: RegistryTransaction, days: int) -> Maker:
        return Maker(live, self._pki_url, self._clock.now(), days, self._randomness)

    def _keep(
        self,
        live: RegistryTransaction,
        owner: Owner,
        pairs: list[KeyPair],
        action: str,
        actor: str,
        *,
        by_authority: bool,
    ) -> list[Made]:
        made = []
        for pair in pairs:
            placed = keep_pair(live, owner, pair, self._clock.now())
            if owner.purpose == "user" and not by_authority:
                trust_own(live, pair)
            made.append(Made(owner, pair.certificate, by_authority, placed))
        live.audit(actor, action, f"{owner.words} {', '.join(pair.certificate.thumbprint for pair in pairs)}")
        return made

    def _require_none(self, live: RegistryTransaction, owner: Owner, *, again: bool) -> None:
        there = None if again else usable_now(live, owner, self._clock.now())
        if there is None:
            return
        advice = {
            "user": f"ime-gateway cert renew {owner.name}",
            "domain": f"ime-gateway domain key rollover {owner.name}",
            "ime": f"ime-gateway ime rotate {owner.name}",
        }[owner.purpose]
        raise UserError(
            f"{owner.words} has a certificate with its key here already ({there.thumbprint[:19]}); to change it:"
            f" {advice}, or give --again"
        )

    def _renewable(self, live: RegistryTransaction, which: str) -> tuple[Owner, Certificate, bool]:
        """Whose certificate is meant, which one, and whether our CA signed it."""
        if "@" in which or "." in which:
            owner = owner_of(live.view(), which)
            old = usable_now(live, owner, -1.0)
            if old is None:
                raise UserError(f"{owner.words} has no certificate with its key here; see: ime-gateway cert issue")
        else:
            owner, old = self._owned(live, which)
        ours = live.authorities.issued(thumbprint=old.thumbprint)
        if not ours and not is_self_signed(old):
            raise UserError(
                f"{old.thumbprint} was issued by {old.issuer}; ask there for the next one:"
                f" ime-gateway cert request {owner.name} --out FILE"
            )
        return owner, old, bool(ours)

    def _owned(self, live: RegistryTransaction, thumbprint: str) -> tuple[Owner, Certificate]:
        """A certificate with its key here, of whatever purpose."""
        digits = _digits(thumbprint)
        view = live.view()
        found: list[tuple[Owner, Certificate]] = []
        for key in live.domain_keys.list():
            found += [(owner_of(view, key.domain), key.certificate)] if _begins(key.certificate, digits) else []
        for ime in live.ime_keys():
            if _begins(ime.certificate, digits) and view.managed[ime.domain].ime_address:
                found.append((owner_of(view, view.managed[ime.domain].ime_address), ime.certificate))
        entry = live.certificate(digits)
        if entry is not None and entry.has_private_key and entry.addresses:
            found.append((owner_of(view, entry.addresses[0]), entry.certificate))
        if len(found) != 1:
            many = (
                "more than one certificate with its key here begins"
                if found
                else "no certificate with its key here begins"
            )
            raise UserError(f"{many} with {thumbprint}; see: ime-gateway cert list")
        return found[0]

    def _issued(self, live: RegistryTransaction, thumbprint: str) -> IssuedEntry:
        found = live.authorities.issued(thumbprint=f"sha256:{_digits(thumbprint)}", limit=2)
        if len(found) > 1:
            raise UserError(f"more than one certificate begins with {thumbprint}; give more digits")
        if not found:
            raise UserError(
                f"{thumbprint} was not issued by the CA of this gateway, so it can be revoked only where it came from;"
                " to use it no more here: ime-gateway trust deny THUMBPRINT"
            )
        return found[0]


def usable_now(live: RegistryTransaction, owner: Owner, moment: float) -> Certificate | None:
    """The newest certificate of the owner whose key is here, that has not ended at `moment` and is not revoked."""
    found: list[Certificate] = []
    match owner.purpose:
        case "user":
            entries = live.certificates(address=owner.name)
            found = [entry.certificate for entry in entries if entry.has_private_key]
        case "domain":
            found = [key.certificate for key in live.domain_keys.list(owner.name) if key.state == "current"]
        case "ime":
            found = [key.certificate for key in live.ime_keys(owner.name) if key.is_current]
    living = [one for one in found if one.not_after > moment and not is_revoked(live, one)]
    return max(living, key=lambda one: one.not_before, default=None)


def is_revoked(live: RegistryTransaction, certificate: Certificate) -> bool:
    """Whether our CA issued this certificate and revoked it."""
    return bool(live.authorities.issued(thumbprint=certificate.thumbprint, revoked=True, limit=1))


def revocation_reason(text: str) -> str:
    """The word of RFC 5280 section 5.3.1, however it is written; raises UserError with all words."""
    plain = text.replace("-", "").replace("_", "").replace(" ", "").lower()
    for word in REVOCATION_REASONS:
        if word.lower() == plain:
            return word
    raise UserError(f"{text!r} is no reason for a revocation; say one of: {', '.join(REVOCATION_REASONS)}")


def made_json(made: Made) -> dict[str, object]:
    """One element of `cert issue --json`."""
    return certificate_json(made.certificate) | {
        "owner": made.owner.name,
        "purpose": made.owner.purpose,
        "addresses": list(made.certificate.addresses),
        "self_signed": not made.by_authority,
        "placed": made.placed,
    }


def _digits(thumbprint: str) -> str:
    digits = thumbprint_digits(thumbprint)
    if len(digits) < _SHORTEST_BEGINNING or set(digits) - set("0123456789abcdef"):
        raise UserError(f"give at least {_SHORTEST_BEGINNING} digits of the thumbprint, not {thumbprint!r}")
    return digits


def _begins(certificate: Certificate, digits: str) -> bool:
    return certificate.thumbprint.startswith(f"sha256:{digits}")
