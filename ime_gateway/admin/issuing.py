"""Certificates for people, domains and IME addresses: whose a name is, and key pairs signed by us or by themselves.

One word on the command line says what is meant: an address of a managed domain is a person, the name of a managed
domain the domain itself, its IME address the IME key.
"""

from dataclasses import dataclass
from typing import Final, Literal

from ime_gateway.admin.authority_desk import active, no_authority
from ime_gateway.admin.domain_keys import state_of_new
from ime_gateway.admin.intake import address_key
from ime_gateway.admin.key_pairs import DAY_SECONDS, DEFAULT_OVERLAP_DAYS, KeyPair
from ime_gateway.admin.managed_names import managed_named
from ime_gateway.admin.pki_places import places_of
from ime_gateway.admin.revocation_lists import signer_of
from ime_gateway.base.errors import UserError
from ime_gateway.certs.authority import LONGEST_LEAF_DAYS, issue, permits
from ime_gateway.certs.issue import self_signed
from ime_gateway.certs.key_kinds import KeyKind, MailPrivateKey, SigningPrivateKey, make_key, to_pkcs8
from ime_gateway.certs.profile import ENCRYPTION_NAME, SIGNING_NAME
from ime_gateway.ports.authorities import IssuedEntry, RequestPurpose
from ime_gateway.ports.clock import Randomness
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.registry import RegistryTransaction
from ime_gateway.settings.site import domain_name

PairKind = Literal["rsa-3072", "rsa-4096", "p-256", "p-384", "curve25519"]
"""`curve25519`: an Ed25519 pair for signing and an X25519 pair for encryption."""
DEFAULT_DAYS: Final = 730
LONGEST_DAYS: Final = LONGEST_LEAF_DAYS
"""For certificates of the built-in CA; self-signed ones have no bound of the kind, and get none longer either."""


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom a certificate is."""

    purpose: RequestPurpose
    name: str
    """`Address.key` of a person; the managed domain otherwise."""
    addresses: tuple[str, ...]
    """What stands in the certificate, the naming one first."""

    @property
    def domain(self) -> str:
        """The managed domain."""
        return self.name.rpartition("@")[2]

    @property
    def words(self) -> str:
        """For sentences."""
        return {"user": self.name, "domain": f"domain {self.name}", "ime": f"the IME address of {self.name}"}[
            self.purpose
        ]


def owner_of(view: SiteView, text: str) -> Owner:
    """Whom a word on the command line means; raises UserError that says why nobody."""
    if "@" not in text:
        return _domain_owner(view, text)
    key = address_key(text)
    for domain in view.managed.values():
        if domain.ime_address and address_key(domain.ime_address) == key:
            return Owner("ime", domain.name, (domain.ime_address,))
    local, _, domain_part = key.rpartition("@")
    if domain_part not in view.managed:
        raise UserError(f"{domain_part} is no managed domain; certificates are made for our own addresses only")
    if local in (ENCRYPTION_NAME, SIGNING_NAME):
        return _domain_owner(view, domain_part)
    return Owner("user", key, (text.strip(),))


def _domain_owner(view: SiteView, text: str) -> Owner:
    try:
        domain_name(text.strip())
    except ValueError as error:
        raise UserError(f"{text!r} is neither an address nor a domain: {error}") from None
    name = managed_named(view, text)
    return Owner("domain", name, (f"{ENCRYPTION_NAME}@{name}", f"{SIGNING_NAME}@{name}"))


def make_keys(owner: Owner, kind: PairKind) -> tuple[MailPrivateKey, ...]:
    """Fresh keys; never call it while a transaction is open. Raises UserError where one certificate must do both."""
    if kind != "curve25519":
        return (make_key(kind),)
    if owner.purpose != "user":
        raise UserError(
            f"{owner.words} needs one key for signing and encryption; choose rsa-3072, rsa-4096, p-256 or p-384"
        )
    return make_key("ed25519"), make_key("x25519")


def key_kinds(kind: PairKind) -> tuple[KeyKind, ...]:
    """The kinds of keys behind a kind of pair."""
    return ("ed25519", "x25519") if kind == "curve25519" else (kind,)


@dataclass(frozen=True, slots=True)
class Maker:
    """Signs certificates within one transaction, by the CA or by their own keys."""

    live: RegistryTransaction
    pki_url: str
    moment: float
    """Now, seconds since 1970 UTC."""
    days: int
    randomness: Randomness

    def self_signed(self, owner: Owner, key: MailPrivateKey) -> KeyPair:
        """Signed by its own key; raises UserError for a key that cannot sign."""
        if not isinstance(key, SigningPrivateKey):
            raise UserError("X25519 keys cannot sign themselves; use the built-in CA, or another kind")
        certificate = self_signed(
            owner.addresses[0],
            "",
            key,
            moment=self.moment,
            days=self.days,
            randomness=self.randomness,
            also=owner.addresses[1:],
            opened_here=owner.purpose != "user",
        )
        return KeyPair(certificate, to_pkcs8(key))

    def by_authority(self, owner: Owner, key: MailPrivateKey) -> KeyPair:
        """Signed by the active issuing CA and remembered as issued; raises UserError when there is none that may."""
        entry = active(self.live, "issuing")
        if entry is None:
            raise UserError(f"{no_authority()}; or let the certificate sign itself: --self-signed")
        domains = {address_key(address).rpartition("@")[2] for address in owner.addresses}
        outside = sorted(domain for domain in domains if not permits(entry.certificate, domain))
        if outside:
            raise UserError(
                f"the CA may not certify {', '.join(outside)}, which became managed later; run: ime-gateway ca renew"
            )
        if entry.certificate.not_after <= self.moment:
            raise UserError(f"{entry.name} has expired; run: ime-gateway ca renew")
        certificate = issue(
            signer_of(self.live, entry),
            owner.addresses,
            key.public_key(),
            places_of(self.pki_url, entry),
            moment=self.moment,
            days=self.days,
            randomness=self.randomness,
            opened_here=owner.purpose != "user",
        )
        self.live.authorities.put_issued(
            IssuedEntry(entry.certificate.thumbprint, certificate, owner.name, owner.purpose, self.moment)
        )
        return KeyPair(certificate, to_pkcs8(key))


def keep_pair(live: RegistryTransaction, owner: Owner, pair: KeyPair, moment: float) -> str:
    """Put a pair where its purpose wants it; what that means, in one sentence."""
    match owner.purpose:
        case "user":
            live.put_certificate(
                pair.certificate, sorted({address_key(one) for one in owner.addresses}), pair.private_key
            )
            return f"{owner.name} has it with its key on the gateway"
        case "domain":
            state = state_of_new(live.domain_keys.list(owner.name))
            live.domain_keys.put(owner.name, pair.certificate, pair.private_key, state)
            if state == "next":
                return (
                    f"it is the next domain key of {owner.name}; announce it: ime-gateway domain announce {owner.name}"
                )
            return f"it is the domain key of {owner.name} now"
        case "ime":
            until = moment + DEFAULT_OVERLAP_DAYS * DAY_SECONDS
            live.put_ime_key(owner.name, pair.certificate, pair.private_key, older_open_until=until)
            return (
                f"it is the IME key of {owner.name} now; publish it:"
                f" ime-gateway ime export-contact {owner.name} --out DIR"
            )


def trust_own(live: RegistryTransaction, pair: KeyPair) -> None:
    """A person's certificate that nobody but itself signed is used only when the trust list allows it."""
    note = "made here, signed by its own key"
    live.put_trust(TrustEntry(pair.certificate.thumbprint, "allow", allow_expired=False, note=note))
