"""Opens everything that a SITE.toml names and checks it, before anything is changed.

What comes out is complete and readable, so that applying it is one transaction that can only fail
as a whole. Every error names the file, the line and the key (design 6.3).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ime_gateway.admin.domain_keys import require_fit_for_domain
from ime_gateway.admin.ime_keys import require_fit
from ime_gateway.admin.intake import Arrival, address_key, arrivals, roots_and_links
from ime_gateway.admin.key_pairs import KeyPair, pair_of
from ime_gateway.admin.trust_desk import may_be_denied_together
from ime_gateway.base.errors import ConfigurationError, GatewayError, UserError
from ime_gateway.certs.bundle import Bundle, PasswordMissing, read_bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.keyring import DomainKeyState
from ime_gateway.ports.thumbprint_checks import ThumbprintCheck
from ime_gateway.settings.load import SiteFile
from ime_gateway.settings.site import AddressSettings, CertificateFile, ManagedDomain, PartnerDomain, Policy

_PASSWORDS = ("password", "password_file", "password_env")

Read = Callable[[Path], bytes]
"""Reads a file by its absolute path; raises OSError."""


@dataclass(frozen=True, slots=True)
class ImeKeyWish:
    """What a file wants of the key of a managed domain's IME address."""

    domain: str
    address: str
    pair: KeyPair | None
    """None: make one when there is none."""
    file: str = ""
    """As the SITE.toml names it, for people."""
    where: str = ""
    """File, line and key that name it."""


@dataclass(frozen=True, slots=True)
class DomainKeyWish:
    """What a file wants of the key that stands for a whole managed domain."""

    domain: str
    pair: KeyPair | None
    """None: make one when there is none."""
    file: str = ""
    """As the SITE.toml names it, for people."""
    where: str = ""
    """File, line and key that name it."""
    place: DomainKeyState = "current"
    """What the file calls it: `domain_key`, `next_domain_key`, or one of `older_domain_keys`."""


@dataclass(frozen=True, slots=True)
class SiteContents:
    """Live data as a file wants it, certificates included; no paths are left in it."""

    policy: Policy | None
    """None: the file has no [policy], the policy in force stays."""
    additional: tuple[Certificate, ...] = ()
    """`additional_certificates` of that policy."""
    managed: tuple[tuple[ManagedDomain, tuple[Certificate, ...]], ...] = ()
    partners: tuple[tuple[PartnerDomain, tuple[Certificate, ...]], ...] = ()
    people: tuple[Arrival, ...] = ()
    """Each certificate once."""
    roots: tuple[Certificate, ...] = ()
    root_links: tuple[Certificate, ...] = ()
    """CAs that stood beside their root in its file; among `people`, too."""
    trust: tuple[TrustEntry, ...] = ()
    addresses: tuple[AddressSettings, ...] = ()
    """By `Address.key`, each once."""
    ime_keys: tuple[ImeKeyWish, ...] = ()
    domain_keys: tuple[DomainKeyWish, ...] = ()
    checks: tuple[ThumbprintCheck, ...] = ()
    skipped: tuple[str, ...] = ()
    """One sentence for each certificate that could not be read beside others of its file."""
    ime_places: Mapping[str, str] = field(default_factory=dict)
    """File, line and key of the `ime_address` of each managed domain that has one."""


def read_site(file: SiteFile, read: Read, environment: Mapping[str, str]) -> SiteContents:
    """Open and check all files that `file` names; `environment` serves `password_env`.

    Raises ConfigurationError, naming file, line and key.
    """
    site = file.site
    reader = _Reader(file, read, environment)
    people: dict[str, Arrival] = {}
    for position, wanted in enumerate(site.certificate):
        for item in reader.people(position, wanted):
            before = people.get(item.certificate.thumbprint)
            people[item.certificate.thumbprint] = item if before is None else _merged(before, item)
    roots, trust = reader.roots(), reader.trust()
    links = [link for link in reader.root_links if link not in roots]
    for authority in (*reader.denied_authorities, *links):
        people.setdefault(authority.thumbprint, Arrival(authority, (), None))
    return SiteContents(
        policy=site.policy.at_rest() if "policy" in site.model_fields_set else None,
        additional=reader.all(site.policy.additional_certificates, "policy", "additional_certificates"),
        managed=tuple(
            (
                domain.at_rest(),
                reader.all(domain.internal_certificates, "managed_domain", position, "internal_certificates"),
            )
            for position, domain in enumerate(site.managed_domain)
        ),
        partners=tuple(
            (
                domain.at_rest(),
                reader.all(domain.smime_certificates, "partner_domain", position, "smime_certificates"),
            )
            for position, domain in enumerate(site.partner_domain)
        ),
        people=tuple(people.values()),
        roots=roots,
        root_links=tuple(links),
        trust=trust,
        addresses=tuple(reader.addresses()),
        ime_keys=tuple(reader.ime_keys()),
        domain_keys=tuple(reader.domain_keys()),
        checks=tuple(
            ThumbprintCheck(one.thumbprint, one.at.timestamp(), one.actor, one.method, one.person, one.note)
            for one in site.thumbprint_check
        ),
        skipped=tuple(reader.skipped),
        ime_places={
            domain.name: file.where("managed_domain", position, "ime_address")
            for position, domain in enumerate(site.managed_domain)
            if domain.ime_address
        },
    )


class _Reader:
    """Reads certificate files, and words what is wrong with them."""

    def __init__(self, file: SiteFile, read: Read, environment: Mapping[str, str]) -> None:
        self._file = file
        self._read = read
        self._environment = environment
        self.skipped: list[str] = []
        self.denied_authorities: list[Certificate] = []
        """CA certificates that `trust` came across."""
        self.root_links: list[Certificate] = []
        """CA certificates that `roots` came across beside the roots that are above them."""
        self._seen_keys: set[str] = set()

    def people(self, position: int, wanted: CertificateFile) -> list[Arrival]:
        key = ("certificate", position)
        bundle = self._bundle(wanted.file, (*key, "file"), self._password(wanted, key), _PASSWORDS)
        try:
            return arrivals(bundle, wanted.addresses)
        except GatewayError as error:
            where = self._file.where(*key, "addresses" if wanted.addresses else "file")
            raise ConfigurationError(f"{where}: {wanted.file}: {error}", error.evidence) from None

    def all(self, paths: Iterable[Path], *key: str | int) -> tuple[Certificate, ...]:
        """The certificates of several files, each once."""
        found: dict[str, Certificate] = {}
        for path in paths:
            for certificate in self._bundle(path, key, None).certificates:
                found[certificate.thumbprint] = certificate
        return tuple(found.values())

    def ime_keys(self) -> Iterator[ImeKeyWish]:
        for position, domain in enumerate(self._file.site.managed_domain):
            if not domain.ime_address or not domain.ime_key:
                continue
            if domain.ime_key == "generate":
                yield ImeKeyWish(domain.name, domain.ime_address, None)
                continue
            path = Path(domain.ime_key)
            pair = self._pair(position, domain, path, "ime_key", "an IME key", domain.ime_address)
            where = self._file.where("managed_domain", position, "ime_key")
            yield ImeKeyWish(domain.name, domain.ime_address, pair, domain.ime_key, where)

    def domain_keys(self) -> Iterator[DomainKeyWish]:
        for position, domain in enumerate(self._file.site.managed_domain):
            where = self._file.where("managed_domain", position, "domain_key")
            if domain.domain_key == "generate":
                yield DomainKeyWish(domain.name, None, "", where)
            elif domain.domain_key:
                yield self._domain_key(position, domain, Path(domain.domain_key), "domain_key", "current")
            if domain.next_domain_key is not None:
                yield self._domain_key(position, domain, domain.next_domain_key, "next_domain_key", "next")
            for path in domain.older_domain_keys:
                yield self._domain_key(position, domain, path, "older_domain_keys", "older")

    def _domain_key(
        self, position: int, domain: ManagedDomain, path: Path, name: str, place: DomainKeyState
    ) -> DomainKeyWish:
        pair = self._pair(position, domain, path, name, "a domain key", domain.name)
        where = self._file.where("managed_domain", position, name)
        if pair.certificate.thumbprint in self._seen_keys:
            raise ConfigurationError(f"{where}: {path}: another key of this file names the same domain key")
        self._seen_keys.add(pair.certificate.thumbprint)
        return DomainKeyWish(domain.name, pair, str(path), where, place)

    def addresses(self) -> Iterator[AddressSettings]:
        seen: set[str] = set()
        for position, line in enumerate(self._file.site.address):
            where = self._file.where("address", position, "address")
            try:
                address = address_key(line.address)
            except UserError as error:
                raise ConfigurationError(f"{where}: {error}", error.evidence) from None
            if address in seen:
                raise ConfigurationError(f"{where}: {address} stands twice")
            seen.add(address)
            yield line.model_copy(update={"address": address})

    def _pair(self, position: int, domain: ManagedDomain, path: Path, name: str, what: str, owner: str) -> KeyPair:
        """The key pair in a file that key `name` gives; it must fit `owner`, an IME address or the domain."""
        key = ("managed_domain", position)
        prefix = "ime_key_" if name == "ime_key" else "domain_key_"
        names = tuple(f"{prefix}{one}" for one in _PASSWORDS)
        bundle = self._bundle(path, (*key, name), self._password(domain, key, prefix), names)
        try:
            pair = pair_of(bundle, what)
            (require_fit if "@" in owner else require_fit_for_domain)(pair.certificate, owner)
        except UserError as error:
            raise ConfigurationError(f"{self._file.where(*key, name)}: {path}: {error}", error.evidence) from None
        return pair

    def roots(self) -> tuple[Certificate, ...]:
        found: dict[str, Certificate] = {}
        for position, root in enumerate(self._file.site.root):
            key = ("root", position, "file")
            certificates = self._bundle(root.file, key, None).certificates
            if any(not one.is_ca and one.subject != one.issuer for one in certificates):
                sentence = "is no CA certificate; to allow a single certificate, use [[trust]]"
                raise ConfigurationError(f"{self._file.where(*key)}: {root.file}: {sentence}")
            anchors, links = roots_and_links(certificates)
            found.update((anchor.thumbprint, anchor) for anchor in anchors)
            self.root_links += links
        return tuple(found.values())

    def trust(self) -> tuple[TrustEntry, ...]:
        found: dict[str, TrustEntry] = {}
        for position, line in enumerate(self._file.site.trust):
            thumbprints = [line.thumbprint]
            if line.file is not None:
                certificates = self._bundle(line.file, ("trust", position, "file"), None).certificates
                denied = line.verdict == "deny" and may_be_denied_together(certificates)
                if len(certificates) != 1 and not denied:
                    where = self._file.where("trust", position, "file")
                    sentence = f"holds {len(certificates)} certificates; give the thumbprint of the one that is meant"
                    raise ConfigurationError(f"{where}: {line.file}: {sentence}")
                thumbprints = [one.thumbprint for one in certificates]
                # Kept, since only so its other certificates, of the same name and key, are known for a CA's own.
                self.denied_authorities += [one for one in certificates if denied and one.is_ca]
            for thumbprint in thumbprints:
                if thumbprint in found:
                    raise ConfigurationError(f"{self._file.where('trust', position)}: {thumbprint} stands twice")
                found[thumbprint] = TrustEntry(thumbprint, line.verdict, line.allow_expired, line.note)
        return tuple(found.values())

    def _bundle(
        self, path: Path, key: Sequence[str | int], password: str | None, password_keys: Sequence[str] = ()
    ) -> Bundle:
        """`password_keys`: the keys that could have given a password."""
        try:
            bundle = read_bundle(self._bytes(path, key), password)
        except PasswordMissing as error:
            advice = f"; set {', '.join(password_keys[:-1])} or {password_keys[-1]}" if password_keys else ""
            raise ConfigurationError(f"{self._file.where(*key)}: {path}: {error}{advice}", error.evidence) from None
        except GatewayError as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(f"{self._file.where(*key)}: {path}: {error}", error.evidence) from None
        if not bundle.certificates:
            raise ConfigurationError(f"{self._file.where(*key)}: {path}: holds no certificate")
        self.skipped += [f"{path}: {sentence}" for sentence in bundle.skipped]
        return bundle

    def _bytes(self, path: Path, key: Sequence[str | int]) -> bytes:
        try:
            return self._read(self._file.beside(path))
        except OSError as error:
            sentence = f"{self._file.where(*key)}: {path}: cannot be read: {error.strerror or error}"
            raise ConfigurationError(sentence) from None

    def _password(self, wanted: CertificateFile | ManagedDomain, key: tuple[str, int], prefix: str = "") -> str | None:
        names = [f"{prefix}{name}" for name in _PASSWORDS]
        given = [name for name in names if getattr(wanted, name)]
        if len(given) > 1:
            raise ConfigurationError(f"{self._file.where(*key, given[1])}: give only one of {' and '.join(given)}")
        password, file, variable = (getattr(wanted, name) for name in names)
        if file is not None:
            where = (*key, names[1])
            content = self._bytes(file, where)
            try:
                return content.decode().removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError:
                raise ConfigurationError(f"{self._file.where(*where)}: is not UTF-8 text") from None
        if variable:
            found = self._environment.get(variable)
            if found is None:
                raise ConfigurationError(
                    f"{self._file.where(*key, names[2])}: environment variable {variable} is not set"
                )
            return found
        return password or None


def _merged(one: Arrival, other: Arrival) -> Arrival:
    addresses = tuple(sorted({*one.addresses, *other.addresses}))
    return Arrival(one.certificate, addresses, one.private_key or other.private_key)
