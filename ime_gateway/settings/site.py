"""The live data of `SITE.toml`: policy, domains, certificates and trust (design 6.3).

The file is one way to write these objects, the web pages are another; the store keeps them, and
`generation` in the store says when they changed. A key that the design names but this version
cannot serve yet is an error here: nothing is silently ignored.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from ime_gateway.settings.model import Route, Section

CipherChoice = Literal["auto", "aes-256-gcm", "aes-256-cbc"]
Protection = Literal["smime-personal", "smime-domain"]


def domain_name(value: str) -> str:
    """A domain as it is stored and compared: A-labels (RFC 5890), lower case, without final dot; ValueError."""
    name = value.strip().rstrip(".").lower()
    bare = name.removeprefix("*.")
    try:
        ascii_name = bare.encode("idna").decode("ascii") if not bare.isascii() else bare
    except UnicodeError as error:
        raise ValueError(f"{value!r} is no domain name") from error
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", ascii_name):
        raise ValueError(f"{value!r} is no domain name")
    return name.removesuffix(bare) + ascii_name


def _plain_domain(value: str) -> str:
    if value.strip().startswith("*"):
        raise ValueError("a managed domain cannot be a wildcard")
    return domain_name(value)


DomainName = Annotated[str, AfterValidator(_plain_domain)]
DomainPattern = Annotated[str, AfterValidator(domain_name)]
"""A domain, or `*.x` for every domain below x."""


_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def _ime_address(value: str) -> str:
    """An address as it is stored and compared: lower case, the domain as `domain_name` gives it; empty: none."""
    local, at, domain = value.strip().rpartition("@")
    if not value.strip():
        return ""
    if not at or len(local) > 64 or not _LOCAL_PART.fullmatch(local.lower()) or "." not in domain:
        raise ValueError(
            f"{value!r} is no mail address; give one as in domain-confidentiality-authority@ime.acme.example"
        )
    return f"{local.lower()}@{_plain_domain(domain)}"


ImeAddress = Annotated[str, AfterValidator(_ime_address)]
_IME_EXAMPLE = "domain-confidentiality-authority@ime."


class SubjectKeywords(Section):
    """Words in the subject by which a sender asks for something (internal listeners only)."""

    encrypt: tuple[str, ...] = ("[confidential]",)
    sign: tuple[str, ...] = ("[sign]",)
    plain: tuple[str, ...] = ("[plain]",)
    portal: tuple[str, ...] = ("[priv]",)


class Policy(Section):
    """What holds for the whole installation."""

    subject_keywords: SubjectKeywords = SubjectKeywords()
    on_unprotectable: Literal["refuse", "report"] = "refuse"
    """One recipient cannot be protected: refuse the whole message, or serve and report the rest."""
    content_cipher: CipherChoice = "auto"
    """`auto`: AES-256-CBC unless every reader of an envelope is known to read GCM."""
    hierarchy: tuple[Protection, ...] = ("smime-personal", "smime-domain")
    """Methods in the order in which they are tried."""
    result_tags: bool = True
    """Tags such as [secure] in the subject of incoming mail that was decrypted or verified."""
    sent_copy_without_key: Literal["refuse", "omit"] = "refuse"
    """The sender of IME mail has no certificate: refuse, or send without a sent copy."""
    calendar: Literal["encrypt", "pass", "refuse"] = "encrypt"
    """Invitations in mail that must be protected; `pass` never beats a mandatory partner."""
    reply_to_encrypted: Literal["must", "may"] = "may"
    protect_subject: Literal["never", "on-request", "ime2", "always"] = "on-request"
    """Whose subject is hidden in encrypted mail (RFC 9788): nobody's, on request (`x-smsubjectencrypt: yes`), also
    that of all IME 2.0 mail, or everybody's."""
    additional_certificates: tuple[Path, ...] = ()
    opportunistic_tls: bool = True
    """Use STARTTLS to the next hop wherever it is offered (RFC 3207)."""
    portal: Literal["on", "internal-only", "off"] = "off"

    @model_validator(mode="after")
    def _served_by_this_version(self) -> "Policy":
        if self.reply_to_encrypted == "must":
            raise ValueError('reply_to_encrypted = "must" is not available in this version')
        if self.additional_certificates:
            raise ValueError("additional_certificates is not available in this version")
        if self.portal != "off":
            raise ValueError(f'portal = "{self.portal}" is not available in this version')
        if len(set(self.hierarchy)) != len(self.hierarchy):
            raise ValueError("hierarchy names a method twice")
        return self


FILE_KEYS: Final = frozenset(
    {"internal_certificates", "ime_key", "ime_key_password", "ime_key_password_file", "ime_key_password_env"}
)
"""Keys of a managed domain that name files or open them: of use only while SITE.toml is read."""


class ManagedDomain(Section):
    """A domain of ours: its users are served."""

    name: DomainName
    deliver_to: Route
    """Next hop for mail from outside (the ordinary connector of the mail server)."""
    return_to: Route | Literal[""] = ""
    """Next hop for mail from inside (the trusted connector); empty: `deliver_to`."""
    internal_certificates: tuple[Path, ...] = ()
    """Fallback for readers without a certificate of their own, who all hold this key."""
    ime_address: ImeAddress = ""
    """Where users' programs send IME 2.0 containers; its domain belongs to no users, so that the mail server sends
    them here. Any local part at that domain is taken. Empty: no IME 2.0."""
    ime_key: str = "generate"
    """The key that opens containers: `generate` makes one when there is none; a PKCS#12 or PEM file with certificate
    and private key; or empty: leave alone what is there."""
    ime_key_password: str = Field(default="", repr=False)
    ime_key_password_file: Path | None = None
    ime_key_password_env: str = ""
    """The password of that file, from one of three places."""
    ime_signers: Literal["confirm", "directory", "registered", "first-use"] = "confirm"
    """Whose signature on a container is believed: after the mailbox was asked (confirm), by a certificate that the
    directory or a trusted CA gives for the sender, only an administrator's choice, or the first that comes."""
    domain_key: str = ""
    domain_pgp_key: str = ""
    exchange_address: str = ""
    sign_outgoing: Literal["never", "on-request", "always"] = "never"

    @model_validator(mode="after")
    def _served_by_this_version(self) -> "ManagedDomain":
        for key in ("domain_key", "domain_pgp_key", "exchange_address"):
            if getattr(self, key):
                raise ValueError(f"{key} is not available in this version")
        if self.sign_outgoing != "never":
            raise ValueError(f'sign_outgoing = "{self.sign_outgoing}" is not available in this version')
        return self

    @model_validator(mode="after")
    def _ime_is_whole(self) -> "ManagedDomain":
        for key, idle in (("ime_key", ("", "generate")), ("ime_signers", ("confirm",))):
            if getattr(self, key) not in idle and not self.ime_address:
                raise ValueError(f"{key} needs ime_address, as in domain-confidentiality-authority@ime.{self.name}")
        if self.ime_key in ("", "generate"):
            for key in ("ime_key_password", "ime_key_password_file", "ime_key_password_env"):
                if getattr(self, key):
                    raise ValueError(f"{key} needs the file it opens: ime_key")
        if self.ime_domain == self.name:
            raise ValueError(
                f"ime_address must lie outside {self.name}; use a sub-domain, as in {_IME_EXAMPLE}{self.name}"
            )
        return self

    @property
    def ime_domain(self) -> str:
        """The domain of the IME address; empty when there is none."""
        return self.ime_address.rpartition("@")[2]

    def at_rest(self) -> "ManagedDomain":
        """The domain as the store keeps it: without files and passwords, which are kept as certificates and keys.
        `ime_key` says nothing there."""
        return self.model_copy(update={name: type(self).model_fields[name].default for name in FILE_KEYS})


class PartnerDomain(Section):
    """A domain outside with which encryption was agreed."""

    name: DomainPattern
    encryption: Literal["mandatory", "on-request", "opportunistic", "never"] = "opportunistic"
    """Must all mail, marked mail, or mail whenever possible be encrypted; or nothing ever."""
    smime_certificates: tuple[Path, ...] = ()
    """The partner's domain certificates; each is used only when valid or allowed by `[[trust]]`."""
    pgp_keys: tuple[Path, ...] = ()
    tls_profile: str = ""
    route: Route | Literal[""] = ""
    """Next hop of this partner; empty follows `[delivery] default_route`, `mx` its MX records."""
    rollover: Literal["approve", "automatic"] = "approve"

    @model_validator(mode="after")
    def _served_by_this_version(self) -> "PartnerDomain":
        if self.pgp_keys:
            raise ValueError("pgp_keys is not available in this version")
        if self.tls_profile:
            raise ValueError("tls_profile is not available in this version")
        if self.rollover != "approve":
            raise ValueError('rollover = "automatic" is not available in this version')
        return self


class CertificateFile(Section):
    """Certificates, with or without private keys, of people."""

    file: Path
    """PEM, DER, PKCS#7 or PKCS#12."""
    password: str = ""
    password_file: Path | None = None
    password_env: str = ""
    """The password of a PKCS#12 file, from one of three places."""
    addresses: tuple[str, ...] = ()
    """Whose it is; empty: the addresses in the certificate."""


class Root(Section):
    """A trust anchor: certificates that lead to it are valid."""

    file: Path


class Trust(Section):
    """An entry of the certificate trust list (CTL); deny beats everything."""

    thumbprint: str = ""
    """`sha256:` and 64 hexadecimal digits of the certificate's DER."""
    file: Path | None = None
    """Or the certificate itself."""
    verdict: Literal["allow", "deny"]
    allow_expired: bool = False
    note: str = ""
    """Who verified it, how and when."""

    @model_validator(mode="after")
    def _one_certificate(self) -> "Trust":
        if bool(self.thumbprint) == (self.file is not None):
            raise ValueError("give either thumbprint or file")
        if self.thumbprint and not re.fullmatch(r"sha256:[0-9a-f]{64}", self.thumbprint):
            raise ValueError("thumbprint must be sha256: and 64 hexadecimal digits, lower case")
        if self.allow_expired and self.verdict == "deny":
            raise ValueError("allow_expired makes no sense with deny")
        return self


class Site(Section):
    """All of SITE.toml."""

    policy: Policy = Policy()
    managed_domain: tuple[ManagedDomain, ...] = Field(default=())
    partner_domain: tuple[PartnerDomain, ...] = Field(default=())
    certificate: tuple[CertificateFile, ...] = Field(default=())
    root: tuple[Root, ...] = Field(default=())
    trust: tuple[Trust, ...] = Field(default=())
    pgp_key: tuple[dict[str, object], ...] = ()
    tls_profile: tuple[dict[str, object], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Site":
        for key in ("pgp_key", "tls_profile"):
            if getattr(self, key):
                raise ValueError(f"[[{key}]] is not available in this version")
        names = [domain.name for domain in self.managed_domain] + [domain.name for domain in self.partner_domain]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"domain {sorted(twice)[0]!r} stands twice")
        conflict = ime_conflict(self.managed_domain, names)
        if conflict:
            raise ValueError(conflict)
        return self


def ime_conflict(managed: Iterable[ManagedDomain], known: Collection[str]) -> str:
    """What is wrong with IME addresses that stand side by side, in one sentence; empty: nothing. `known`: the names
    of all managed and partner domains."""
    owners: dict[str, str] = {}
    for domain in managed:
        if not domain.ime_address:
            continue
        if domain.ime_domain in known:
            return (
                f"ime_address {domain.ime_address} of {domain.name}: {domain.ime_domain} is a domain of its own here;"
                f" use one that nobody has mailboxes in, as in {_IME_EXAMPLE}{domain.name}"
            )
        other = owners.setdefault(domain.ime_domain, domain.name)
        if other != domain.name:
            return (
                f"ime_address {domain.ime_address} of {domain.name}: {other} uses {domain.ime_domain} already;"
                " each managed domain needs its own"
            )
    return ""
