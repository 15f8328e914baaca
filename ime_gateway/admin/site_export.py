"""Writes the live data as a SITE.toml with its certificate files, to read, keep or move elsewhere.

Private keys stay behind unless a passphrase is given; then each goes into a PKCS#12 file
(RFC 7292) sealed to it. The same live data always gives the same text, so two exports can be
compared line by line.
"""

import re
from dataclasses import dataclass
from typing import Final

from ime_gateway.admin.certificate_files import pem, sealed_pair
from ime_gateway.admin.ime_notes import current_key
from ime_gateway.admin.site_apply import all_certificates
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.admin.toml_text import toml_table
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import CertificateEntry, Registry, RegistryTransaction
from ime_gateway.ports.thumbprint_checks import ThumbprintCheck
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, StoredSection

PASSPHRASE_VARIABLE = "IMEGW_EXPORT_PASSPHRASE"  # noqa: S105 - the name of a variable
"""Where `apply` finds the passphrase of an export with keys."""

_DOMAIN_KEYS: Final = {"current": "domain_key", "next": "next_domain_key", "older": "older_domain_keys"}
"""Keys of SITE.toml by the state of a domain key."""


@dataclass(frozen=True, slots=True)
class SiteExport:
    """A SITE.toml, and the files it names by their relative paths."""

    text: str
    files: dict[str, bytes]
    left_behind: tuple[str, ...] = ()
    """What a SITE.toml cannot carry, one sentence each; they stand in `text` as comments, too."""


class ExportDesk:
    """Exports a site. May raise StoreUnavailable."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def export(self, *, passphrase: str | None = None, actor: str = "") -> SiteExport:
        """All live data of one moment; with `passphrase` the private keys too, which is audited."""
        with self._registry.transaction(write=passphrase is not None) as live:
            writer = _Writer(live, passphrase)
            view = live.view()
            entries = sorted(all_certificates(live), key=lambda entry: (entry.addresses, entry.certificate.thumbprint))
            parts = [writer.not_for_files(), writer.policy(view)]
            parts += [writer.domain(domain, view) for _, domain in sorted(view.managed.items())]
            parts += [writer.domain(domain, view) for _, domain in sorted(view.partners.items())]
            parts += [writer.person(entry) for entry in entries]
            parts += [writer.root(root) for root in sorted(view.roots, key=lambda root: root.thumbprint)]
            parts += [_trust(view, thumbprint) for thumbprint in sorted(view.trust)]
            parts += [
                toml_table("[[address]]", _settings(view.addresses[address])) for address in sorted(view.addresses)
            ]
            parts += [_check(one) for one in sorted(live.checks.list(), key=lambda one: (one.thumbprint, one.at))]
            if passphrase is not None:
                live.audit(actor, "site-export-with-keys", f"{len(entries)} certificates")
        return SiteExport("\n".join(part for part in parts if part), writer.files, tuple(writer.left_behind))


class _Writer:
    """Collects the files while the text is written."""

    def __init__(self, live: RegistryTransaction, passphrase: str | None) -> None:
        self._live = live
        self._passphrase = passphrase
        self.files: dict[str, bytes] = {}
        self.left_behind: list[str] = []

    def domain(self, domain: ManagedDomain | PartnerDomain, view: SiteView) -> str:
        managed = isinstance(domain, ManagedDomain)
        files_key = "internal_certificates" if managed else "smime_certificates"
        certificates = view.domain_certificates.get(domain.name, ())
        pairs = _settings(domain)
        if certificates:
            ordered = sorted(certificates, key=lambda certificate: certificate.thumbprint)
            pairs.append((files_key, [self._file(domain.name, certificate) for certificate in ordered]))
        if not managed:
            return toml_table("[[partner_domain]]", pairs)
        pairs += [*self._ime_key(domain.name), *self._domain_keys(domain.name)]
        return self._keys_left_behind(domain.name) + toml_table("[[managed_domain]]", pairs)

    def policy(self, view: SiteView) -> str:
        """The keys that were named: the others are defaults, which may differ in another version."""
        named = view.policy.as_stored()
        pairs = [(key, value) for key, value in named.items() if not isinstance(value, dict)]
        if view.additional_certificates:
            files = [self._file("additional", one) for one in view.additional_certificates]
            pairs.append(("additional_certificates", files))
        tables = [toml_table("[policy]", pairs)]
        for key, value in named.items():
            if isinstance(value, dict):
                tables.append(toml_table(f"[policy.{key}]", value.items()))
        return "\n".join(tables)

    def _domain_keys(self, domain: str) -> list[tuple[str, object]]:
        """The domain's keys, in an export with keys. Older ones in an order that tells nothing of when they came."""
        if self._passphrase is None:
            return []
        files: dict[str, list[str]] = {state: [] for state in _DOMAIN_KEYS}
        for key in sorted(self._live.domain_keys.list(domain), key=lambda one: one.certificate.thumbprint):
            private_key = self._live.domain_keys.private_key(domain, key.certificate.thumbprint)
            if private_key is not None:
                path = _path(f"domain-{domain}", key.certificate, "p12")
                self.files[path] = sealed_pair(key.certificate, private_key, self._passphrase)
                files[key.state].append(path)
        pairs: list[tuple[str, object]] = []
        for state, name in _DOMAIN_KEYS.items():
            if files[state]:
                pairs.append((name, files[state] if state == "older" else files[state][0]))
        return [*pairs, ("domain_key_password_env", PASSPHRASE_VARIABLE)] if pairs else []

    def _ime_key(self, domain: str) -> list[tuple[str, object]]:
        """The current key of the IME address, in an export with keys; without them a new place makes its own."""
        current = current_key(self._live.ime_keys(domain))
        if self._passphrase is None or current is None:
            return []
        certificate = current.certificate
        private_key = self._live.ime_private_key(domain, certificate.thumbprint)
        if private_key is None:
            return []
        path = _path(f"ime-{domain}", certificate, "p12")
        self.files[path] = sealed_pair(certificate, private_key, self._passphrase)
        return [("ime_key", path), ("ime_key_password_env", PASSPHRASE_VARIABLE)]

    def not_for_files(self) -> str:
        """Comments on what only the store has; nobody shall think it was carried."""
        lines = []
        if names := ", ".join(one.certificate.subject for one in self._live.authorities.list()):
            lines.append(
                f"The keys of the built-in CA ({names}) and its list of issued and revoked certificates stay behind:"
                " they move only with the whole store (its database and the master key). Elsewhere a new CA is made by:"
                " ime-gateway ca init; what this one has issued is listed by: ime-gateway ca list"
            )
        if self._live.pins(limit=1):
            lines.append(
                "Signers of IME mail stay behind: elsewhere they are asked again; listed by: ime-gateway ime signers"
                " list"
            )
        return self._said(lines)

    def _keys_left_behind(self, domain: str) -> str:
        """Comments on keys of a domain that are not carried."""
        keys = self._live.ime_keys(domain)
        lines = []
        if self._passphrase is None and current_key(keys) is not None:
            lines.append(
                f"The IME key stays behind (--with-keys takes it along): elsewhere a new one is made for {domain}."
            )
        lines += [
            f"An older IME key ({key.certificate.thumbprint}) of {domain} opens until {rfc3339(key.opens_until)}; not"
            " exported."
            for key in keys
            if key.has_private_key and not key.is_current
        ]
        for own in self._live.domain_keys.list(domain) if self._passphrase is None else ():
            if own.state == "current":
                lines.append(f"The domain key stays behind (--with-keys takes it along): that of {domain}.")
            else:
                lines.append(
                    f"The {own.state} domain key of {domain} ({own.certificate.thumbprint}) opens mail, too; it stays"
                    " behind (--with-keys takes it along)."
                )
        return self._said(lines)

    def _said(self, lines: list[str]) -> str:
        self.left_behind += lines
        return "".join(f"# {line}\n" for line in lines)

    def person(self, entry: CertificateEntry) -> str:
        whose = entry.addresses[0] if entry.addresses else "ca"
        private_key = None
        if self._passphrase is not None and entry.has_private_key:
            private_key = self._live.private_key(entry.certificate.thumbprint)
        pairs: list[tuple[str, object]]
        if private_key is None:
            pairs = [("file", self._file(whose, entry.certificate))]
        else:
            path = _path(whose, entry.certificate, "p12")
            self.files[path] = sealed_pair(entry.certificate, private_key, self._passphrase or "")
            pairs = [("file", path), ("password_env", PASSPHRASE_VARIABLE)]
        if entry.addresses:
            pairs.append(("addresses", sorted(entry.addresses)))
        return toml_table("[[certificate]]", pairs)

    def root(self, root: Certificate) -> str:
        return toml_table("[[root]]", [("file", self._file("root", root))])

    def _file(self, whose: str, certificate: Certificate) -> str:
        path = _path(whose, certificate, "pem")
        self.files[path] = pem(certificate)
        return path


def _check(one: ThumbprintCheck) -> str:
    pairs: list[tuple[str, object]] = [("thumbprint", one.thumbprint), ("person", one.person), ("method", one.method)]
    pairs += [("at", rfc3339(one.at)), ("actor", one.actor)]
    if one.note:
        pairs.append(("note", one.note))
    return toml_table("[[thumbprint_check]]", pairs)


def _trust(view: SiteView, thumbprint: str) -> str:
    line = view.trust[thumbprint]
    pairs: list[tuple[str, object]] = [("thumbprint", thumbprint), ("verdict", line.verdict)]
    if line.allow_expired:
        pairs.append(("allow_expired", True))
    if line.note:
        pairs.append(("note", line.note))
    return toml_table("[[trust]]", pairs)


def _settings(section: StoredSection) -> list[tuple[str, object]]:
    """The keys of a section that were named; a key that is not named is inherited, which is another thing than the
    default."""
    return list(section.as_stored().items())


def _path(whose: str, certificate: Certificate, suffix: str) -> str:
    """A file name that people recognise and that cannot leave its folder."""
    readable = re.sub(r"[^a-z0-9@_-]+|^[.]+", ".", whose.lower())[:60].strip(".")
    digits = certificate.thumbprint.removeprefix("sha256:")[:16]
    return f"certs/{readable or 'certificate'}-{digits}.{suffix}"
