"""The live data of `SITE.toml`: policy, domains, certificates and trust (design 6.3).

The file is one way to write these objects, the web pages are another; the store keeps them, and
`generation` in the store says when they changed. A key that the design names but this version
cannot serve yet is an error here: nothing is silently ignored.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from ime_gateway.settings.model import Route, Section

Encryption = Literal["mandatory", "on-request", "opportunistic", "never"]
SignOutgoing = Literal["never", "on-request", "always"]
CipherChoice = Literal["auto", "aes-256-gcm", "aes-256-cbc"]
Protection = Literal["smime-personal", "smime-domain"]
Rollover = Literal["approve", "automatic"]
IncomingClear = Literal["pass", "mark", "refuse"]
Selection = Literal["automatic", "manual", "domain"]
CheckMethod = Literal["phone", "in-person", "letter", "video", "other"]


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


_THUMBPRINT = re.compile(r"sha256:[0-9a-f]{64}")
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


class StoredSection(Section):
    """A table that the store keeps as JSON, without the keys that nobody named: those are inherited."""

    FILE_KEYS: ClassVar[frozenset[str]] = frozenset()
    """Keys that name files or open them: of use only while SITE.toml is read; what is in the files is kept apart."""

    def at_rest(self) -> Self:
        """The table as the store keeps it: without `FILE_KEYS`."""
        return self.model_validate(self.as_stored())

    def as_stored(self) -> dict[str, Any]:
        """The keys that were named, but for `FILE_KEYS`. Two tables say the same when these are equal; `==` would
        call a key that is inherited and one that names the default the same."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude=set(self.FILE_KEYS))


class SubjectKeywords(Section):
    """Words in the subject by which a sender asks for something (internal listeners only)."""

    encrypt: tuple[str, ...] = ("[confidential]",)
    sign: tuple[str, ...] = ("[sign]",)
    plain: tuple[str, ...] = ("[plain]",)
    portal: tuple[str, ...] = ("[priv]",)


class ResultTags(Section):
    """Words at the end of the subject that tell readers what was found; outsiders' own are removed."""

    secure: str = "[secure]"
    """It came encrypted and was opened here."""
    signed_ok: str = "[signed OK]"
    """The signature covers the whole mail, holds, is trusted and is its sender's."""
    signed_invalid: str = "[signed INVALID]"
    """It is signed, and one of these is not so."""
    not_encrypted: str = "[not encrypted]"
    """Its sender's domain should have encrypted it, and did not."""
    copied: str = "[encrypted for others]"
    """It is sealed as it came: its content was encrypted for other recipients."""


class Policy(StoredSection):
    """What holds for the whole installation."""

    FILE_KEYS = frozenset({"additional_certificates"})

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
    reply_to_encrypted: Literal["must", "may"] = "must"
    """What answers, forwards or returns mail that came encrypted in the last 90 days must, or may, be encrypted."""
    protect_subject: Literal["never", "on-request", "ime2", "always"] = "on-request"
    """Whose subject is hidden in encrypted mail (RFC 9788): nobody's, on request (`x-smsubjectencrypt: yes`), also
    that of all IME 2.0 mail, or everybody's."""
    additional_certificates: tuple[Path, ...] = ()
    """Everything that is encrypted with S/MIME is encrypted to these, too (an archive); shown by `explain`."""
    encryption: Encryption = "on-request"
    """Towards domains and addresses for which nothing else is set."""
    revocation: Literal["soft-fail", "hard-fail", "off"] = "soft-fail"
    """Nothing can be learnt about whether a certificate is revoked: use it all the same (its CRL or OCSP answer is
    stale or cannot be got), do not use it, or never ask."""
    revocation_stale_hours: float = Field(default=24.0, ge=0, le=720)
    """How long after its next update a CRL or OCSP answer still counts as knowledge."""
    desktop_encrypted: Literal["pass", "refuse"] = "pass"
    """Incoming mail encrypted to keys that are not here: pass it as it is, or refuse what cannot be scanned."""
    bad_signature: Literal["deliver", "refuse"] = "deliver"
    """Incoming mail whose signature does not hold: mark it, or refuse it."""
    harvest: Literal["off", "pending", "automatic"] = "pending"
    """Certificates of verified signed mail: ignore, keep for an administrator, or use those that lead to a root when
    neither their owner nor the owner's domain has one yet."""
    legacy_decryption: bool = False
    """Open incoming mail with 3DES, RC2, RSA-1024 or SHA-1; never used for sending."""
    administrators: tuple[str, ...] = ()
    """Addresses in managed domains that are told by mail what needs a hand: certificates that end, new candidates."""
    expiry_warning_days: tuple[int, ...] = (60, 30, 7)
    """How many days before its end a certificate is warned of."""
    overlap_days: int = Field(default=30, ge=1, le=365)
    """How long the next domain key is announced and opens mail before it becomes the current one."""
    tags: ResultTags = ResultTags()
    opportunistic_tls: bool = True
    """Use STARTTLS to the next hop wherever it is offered (RFC 3207)."""
    portal: Literal["on", "internal-only", "off"] = "off"

    @model_validator(mode="after")
    def _served_by_this_version(self) -> "Policy":
        if self.portal != "off":
            raise ValueError(f'portal = "{self.portal}" is not available in this version')
        if len(set(self.hierarchy)) != len(self.hierarchy):
            raise ValueError("hierarchy names a method twice")
        return self

    @property
    def warning_days(self) -> int:
        """From how many days before its end a certificate is spoken of at all: the same everywhere."""
        return max(self.expiry_warning_days, default=0)


class ManagedDomain(StoredSection):
    """A domain of ours: its users are served."""

    FILE_KEYS = frozenset(
        {
            *("internal_certificates", "ime_key", "ime_key_password", "ime_key_password_file", "ime_key_password_env"),
            *("domain_key", "domain_key_password", "domain_key_password_file", "domain_key_password_env"),
            *("next_domain_key", "older_domain_keys"),
        }
    )

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
    """The key pair that stands for the whole domain: `generate` makes one when there is none; a PKCS#12 or PEM file
    with certificate and private key; or empty: leave alone what is there."""
    next_domain_key: Path | None = None
    """A file with the key pair that is announced, opens mail already, and becomes the current one after
    `overlap_days`."""
    older_domain_keys: tuple[Path, ...] = ()
    """Files with key pairs that only open mail any more."""
    domain_key_password: str = Field(default="", repr=False)
    domain_key_password_file: Path | None = None
    domain_key_password_env: str = ""
    """The password of all these files, from one of three places."""
    domain_pgp_key: str = ""
    exchange_address: ImeAddress = ""
    """Where partners' gateways send certificates, announcements and self-tests: an address of this domain that nobody
    reads. Empty: none are taken."""
    sign_outgoing: SignOutgoing = "never"
    """Sign mail to the outside with the sender's key, else the domain's: not at all, when asked, or all of it."""

    @model_validator(mode="after")
    def _served_by_this_version(self) -> "ManagedDomain":
        if self.domain_pgp_key:
            raise ValueError("domain_pgp_key is not available in this version")
        if self.domain_key in ("", "generate") and not self.next_domain_key and not self.older_domain_keys:
            for key in ("domain_key_password", "domain_key_password_file", "domain_key_password_env"):
                if getattr(self, key):
                    raise ValueError(f"{key} needs the file it opens: domain_key")
        if self.exchange_address and self.exchange_address.rpartition("@")[2] != self.name:
            raise ValueError(f"exchange_address must be an address of {self.name}")
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


class PartnerDomain(StoredSection):
    """A domain outside with which encryption was agreed. A key that it does not name is that of the closest `*.x`
    above it (`settings/inheritance`)."""

    FILE_KEYS = frozenset({"smime_certificates"})

    name: DomainPattern
    encryption: Encryption = "opportunistic"
    """Must all mail, marked mail, or mail whenever possible be encrypted; or nothing ever."""
    smime_certificates: tuple[Path, ...] = ()
    """The partner's domain certificates; each is used only when valid or allowed by `[[trust]]`."""
    pgp_keys: tuple[Path, ...] = ()
    tls_profile: str = ""
    route: Route | Literal[""] = ""
    """Next hop of this partner; empty follows `[delivery] default_route`, `mx` its MX records."""
    rollover: Rollover = "approve"
    """The partner announces its next certificate: wait for an administrator, or take it when the current, trusted and
    unexpired one signed the announcement."""
    exchange_address: ImeAddress = ""
    """Where the partner's gateway takes our announcements and self-tests; empty: it is told nothing by mail."""
    incoming_clear: IncomingClear = "pass"
    """Mail of this partner that should have come encrypted and did not."""
    bound_recipients: bool = False
    """The partner has this gateway, too: mail is signed by the sending domain with its recipients inside, and opened
    for nobody else."""

    @model_validator(mode="after")
    def _served_by_this_version(self) -> "PartnerDomain":
        if self.pgp_keys:
            raise ValueError("pgp_keys is not available in this version")
        if self.tls_profile:
            raise ValueError("tls_profile is not available in this version")
        return self


class AddressSettings(StoredSection):
    """What holds for one address, ours or a partner's, whatever its domain says."""

    address: str
    encryption: Encryption | None = None
    """Of mail to this address outside; empty: as its domain."""
    sign_outgoing: SignOutgoing | None = None
    """Of mail from this address of ours; empty: as its domain."""
    selection: Selection = "automatic"
    """Which certificates are candidates: those of the address, then those of the domain; only those in `use`; only
    those of the domain."""
    use: tuple[str, ...] = ()
    """Thumbprints of imported certificates, for `manual`; tried in this order."""

    @model_validator(mode="after")
    def _chosen_by_hand(self) -> "AddressSettings":
        if any(not _THUMBPRINT.fullmatch(thumbprint) for thumbprint in self.use):
            raise ValueError("use must be thumbprints: sha256: and 64 hexadecimal digits, lower case")
        if len(set(self.use)) != len(self.use):
            raise ValueError("use names a certificate twice")
        if self.selection == "manual" and not self.use:
            raise ValueError('selection = "manual" needs use: the thumbprints of the certificates that are meant')
        if self.use and self.selection != "manual":
            raise ValueError('use needs selection = "manual"')
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
    """CAs that another certificate of the file issued are no anchors, but known between it and what they issue."""


class Trust(Section):
    """An entry of the certificate trust list (CTL); deny beats everything."""

    thumbprint: str = ""
    """`sha256:` and 64 hexadecimal digits of the certificate's DER."""
    file: Path | None = None
    """Or the certificate itself; with `deny` also several, all of CAs."""
    verdict: Literal["allow", "deny"]
    allow_expired: bool = False
    note: str = ""
    """Who verified it, how and when."""

    @model_validator(mode="after")
    def _one_certificate(self) -> "Trust":
        if bool(self.thumbprint) == (self.file is not None):
            raise ValueError("give either thumbprint or file")
        if self.thumbprint and not _THUMBPRINT.fullmatch(self.thumbprint):
            raise ValueError("thumbprint must be sha256: and 64 hexadecimal digits, lower case")
        if self.allow_expired and self.verdict == "deny":
            raise ValueError("allow_expired makes no sense with deny")
        return self


class CheckedThumbprint(Section):
    """A comparison of a thumbprint with its owner, as `trust verify` records it: what trust rests on."""

    thumbprint: str
    """`sha256:` and 64 hexadecimal digits of the certificate's DER."""
    person: str = Field(min_length=1)
    """With whom: name, and how that person was reached."""
    method: CheckMethod
    at: AwareDatetime
    """When, with its time zone (RFC 3339)."""
    actor: str = Field(min_length=1)
    """The administrator who compared."""
    note: str = ""

    @model_validator(mode="after")
    def _names_a_certificate(self) -> "CheckedThumbprint":
        if not _THUMBPRINT.fullmatch(self.thumbprint):
            raise ValueError("thumbprint must be sha256: and 64 hexadecimal digits, lower case")
        return self


class Site(Section):
    """All of SITE.toml."""

    policy: Policy = Policy()
    managed_domain: tuple[ManagedDomain, ...] = Field(default=())
    partner_domain: tuple[PartnerDomain, ...] = Field(default=())
    certificate: tuple[CertificateFile, ...] = Field(default=())
    root: tuple[Root, ...] = Field(default=())
    trust: tuple[Trust, ...] = Field(default=())
    address: tuple[AddressSettings, ...] = Field(default=())
    thumbprint_check: tuple[CheckedThumbprint, ...] = Field(default=())
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
