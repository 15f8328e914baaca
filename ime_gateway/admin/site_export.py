"""Writes the live data as a SITE.toml with its certificate files, to read, keep or move elsewhere.

Private keys stay behind unless a passphrase is given; then each goes into a PKCS#12 file
(RFC 7292) sealed to it. The same live data always gives the same text, so two exports can be
compared line by line.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import PrivateFormat, load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    serialize_key_and_certificates,
)

from ime_gateway.admin.site_apply import all_certificates
from ime_gateway.admin.toml_text import toml_table
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.registry import CertificateEntry, Registry, RegistryTransaction
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, SubjectKeywords

PASSPHRASE_VARIABLE = "IMEGW_EXPORT_PASSPHRASE"  # noqa: S105 - the name of a variable
"""Where `apply` finds the passphrase of an export with keys."""

_KDF_ROUNDS = 600_000
"""OWASP's figure for PBKDF2 with SHA-256; an export may lie about for years."""


@dataclass(frozen=True, slots=True)
class SiteExport:
    """A SITE.toml, and the files it names by their relative paths."""

    text: str
    files: dict[str, bytes]


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
            parts = [_policy(view)]
            parts += [writer.domain(domain, view) for _, domain in sorted(view.managed.items())]
            parts += [writer.domain(domain, view) for _, domain in sorted(view.partners.items())]
            parts += [writer.person(entry) for entry in entries]
            parts += [writer.root(root) for root in sorted(view.roots, key=lambda root: root.thumbprint)]
            parts += [_trust(view, thumbprint) for thumbprint in sorted(view.trust)]
            if passphrase is not None:
                live.audit(actor, "site-export-with-keys", f"{len(entries)} certificates")
        return SiteExport("\n".join(parts), writer.files)


class _Writer:
    """Collects the files while the text is written."""

    def __init__(self, live: RegistryTransaction, passphrase: str | None) -> None:
        self._live = live
        self._passphrase = passphrase
        self.files: dict[str, bytes] = {}

    def domain(self, domain: ManagedDomain | PartnerDomain, view: SiteView) -> str:
        managed = isinstance(domain, ManagedDomain)
        files_key = "internal_certificates" if managed else "smime_certificates"
        certificates = view.domain_certificates.get(domain.name, ())
        pairs = list(_settings(domain, always=("name", "deliver_to", "encryption"), never=(files_key,)))
        if certificates:
            ordered = sorted(certificates, key=lambda certificate: certificate.thumbprint)
            pairs.append((files_key, [self._file(domain.name, certificate) for certificate in ordered]))
        return toml_table("[[managed_domain]]" if managed else "[[partner_domain]]", pairs)

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


def pem(certificate: Certificate) -> bytes:
    """A certificate in RFC 7468 form, with its subject above for people."""
    lines = base64.encodebytes(certificate.der).replace(b"\n", b"")
    body = b"\n".join(lines[start : start + 64] for start in range(0, len(lines), 64))
    subject = re.sub(r"[^ -~]", "?", certificate.subject).encode()
    return b"# " + subject + b"\n-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"


def sealed_pair(certificate: Certificate, private_key: bytes, passphrase: str) -> bytes:
    """A PKCS#12 file with one certificate and its PKCS#8 key, sealed with AES-256 to a passphrase."""
    key = load_der_private_key(private_key, None)
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey):
        raise UserError(f"the private key of {certificate.thumbprint} is of a kind that PKCS#12 files cannot carry")
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_KDF_ROUNDS)
        .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(passphrase.encode())
    )
    return serialize_key_and_certificates(None, key, certificate.x509, None, protection)


def _policy(view: SiteView) -> str:
    policy = view.policy
    pairs = _settings(policy, always=tuple(type(policy).model_fields), never=("subject_keywords",))
    keywords = _settings(policy.subject_keywords, always=tuple(SubjectKeywords.model_fields), never=())
    return toml_table("[policy]", pairs) + "\n" + toml_table("[policy.subject_keywords]", keywords)


def _trust(view: SiteView, thumbprint: str) -> str:
    line = view.trust[thumbprint]
    pairs: list[tuple[str, object]] = [("thumbprint", thumbprint), ("verdict", line.verdict)]
    if line.allow_expired:
        pairs.append(("allow_expired", True))
    if line.note:
        pairs.append(("note", line.note))
    return toml_table("[[trust]]", pairs)


def _settings(section: object, *, always: Iterable[str], never: Iterable[str]) -> Iterable[tuple[str, object]]:
    """The keys of a section that differ from their defaults, and those that always stand there."""
    fields = type(section).model_fields  # type: ignore[attr-defined]
    for name, field in fields.items():
        value = getattr(section, name)
        if name not in never and (name in always or value != field.get_default(call_default_factory=True)):
            yield name, value


def _path(whose: str, certificate: Certificate, suffix: str) -> str:
    """A file name that people recognise and that cannot leave its folder."""
    readable = re.sub(r"[^a-z0-9@_-]+|^[.]+", ".", whose.lower())[:60].strip(".")
    digits = certificate.thumbprint.removeprefix("sha256:")[:16]
    return f"certs/{readable or 'certificate'}-{digits}.{suffix}"
