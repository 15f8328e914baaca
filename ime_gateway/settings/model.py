"""The static settings of `gateway.toml`: what is fixed while the process runs (design 6.2).

Ports, limits and paths live here; domains, certificates and policy are live data (`site.py`). Every
field is frozen and documented; an unknown key is an error, never ignored.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Section(BaseModel):
    """A table of a TOML file: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _host_and_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:8080")
    return value


def _route(value: str) -> str:
    if value == "mx":
        return value
    if not value.startswith("smtp://"):
        raise ValueError('must be "mx" or "smtp://HOST:PORT"')
    rest = value.removeprefix("smtp://").rstrip("/")
    if not rest or "/" in rest or "@" in rest:
        raise ValueError('must be "mx" or "smtp://HOST:PORT"')
    if ":" in rest.rpartition("]")[2]:
        _host_and_port(rest)
    return "smtp://" + rest


def _http_url(value: str) -> str:
    """http only: what is fetched there is signed already, and TLS would ask for the next list (RFC 5280 section 8)."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme == "http" and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or not value.isascii() or any(one in value for one in ' "<>\\'):
        raise ValueError("must be an http address such as http://pki.acme.example")
    return value.rstrip("/")


HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Route = Annotated[str, AfterValidator(_route)]
"""A next hop: `mx`, or `smtp://HOST[:PORT]` (port 25 when left out; IPv6 in brackets)."""


class Store(Section):
    """Where queue, keys and tracking live."""

    url: str = "sqlite:///gateway.db"
    """`sqlite:///FILE` on one machine, `postgresql+psycopg://USER@HOST/DB` for several nodes."""

    @model_validator(mode="after")
    def _known_engine(self) -> "Store":
        if not self.url.startswith(("sqlite:///", "postgresql+psycopg://")):
            raise ValueError("url must begin with sqlite:/// or postgresql+psycopg://")
        return self


class Secrets(Section):
    """Where the key that seals all other secrets lives."""

    master_key_file: Path = Path("master.key")
    """64 hexadecimal digits, made by `init`; mode 0600, outside the database. Keep a copy: nothing opens without it."""


class Smtp(Section):
    """Limits that hold for every listener."""

    hostname: str = Field(min_length=1, max_length=253)
    """Our name in the greeting, in EHLO and in Received (RFC 5321 section 4.1.1.1)."""
    max_message_bytes: int = Field(default=104_857_600, ge=1024)
    """Largest message, bytes; announced as SIZE (RFC 1870)."""
    workers: int = Field(default=2, ge=1, le=64)
    """Processes that share the listeners and the store."""
    memory_bytes: int = Field(default=1_073_741_824, ge=16_777_216)
    """Message bytes that one worker holds in memory at a time; beyond: 452 4.3.1."""
    decide_seconds: float = Field(default=10.0, gt=0, le=300)
    """Budget for what must be asked of the network before deciding; beyond: 451 4.4.3."""
    max_recipients: int = Field(default=1000, ge=500)
    """Recipients of one message; beyond: 452 4.5.3 for the rest (RFC 5321 section 4.5.3.1.8)."""
    max_connections: int = Field(default=500, ge=1)
    """Open connections of one worker; beyond: 421 4.7.0."""
    command_seconds: float = Field(default=300.0, gt=0)
    """Longest wait for the next command (RFC 5321 section 4.5.3.2.7)."""
    data_seconds: float = Field(default=180.0, gt=0)
    """Longest wait for the next block of a message (RFC 5321 section 4.5.3.2.5)."""
    message_seconds: float = Field(default=1800.0, gt=0)
    """Longest time for one whole message, however slowly it trickles."""
    max_errors: int = Field(default=20, ge=1)
    """Wrong commands of one connection before it is closed with 421."""


class Listener(Section):
    """One address on which mail is taken."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    """How logs, `explain` and healthz call it."""
    role: Literal["internal", "internet"]
    """`internal`: from our mail server, markers act. `internet`: from anybody, markers are removed."""
    address: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(ge=0, le=65535)
    """Port; 0 takes a free one, shown by healthz."""
    allow: tuple[Network, ...] = ()
    """Networks that may connect; others hear 554 5.7.1. Empty: nobody (internal), everybody (internet)."""
    require_header: str = ""
    """`Name: secret` that every message must carry; compared in constant time and removed."""
    client_certificate_names: tuple[str, ...] = ()
    """Names of which the client's TLS certificate must carry one."""
    tenant_ids: tuple[str, ...] = ()
    """Microsoft 365 tenants that may send (comes with Exchange Online support)."""
    relay_senders: tuple[str, ...] = ()
    """Envelope senders outside our domains that may send from inside: addresses or `@domain`."""
    tls: Literal["off", "opportunistic", "mandatory"] = "off"
    """STARTTLS (RFC 3207): not offered, offered, or demanded before MAIL."""
    certificate: Path | None = None
    """PEM file with the server certificate and its chain."""
    key: Path | None = None
    """PEM file with its private key."""
    client_ca: Path | None = None
    """PEM file of the CAs that may issue client certificates."""
    bare_newlines: Literal["auto", "refuse", "normalise"] = "auto"
    """Lone CR or LF in data; `auto` refuses from `internet` and normalises from `internal`."""
    proxy_protocol: bool = False
    """Expect a PROXY protocol header (v1 or v2) from a load balancer before the greeting."""

    @model_validator(mode="after")
    def _consistent(self) -> "Listener":
        if self.tls != "off" and (self.certificate is None or self.key is None):
            raise ValueError(f'tls = "{self.tls}" needs certificate and key')
        if self.client_certificate_names and (self.tls == "off" or self.client_ca is None):
            raise ValueError("client_certificate_names needs tls and client_ca")
        if self.require_header:
            name, colon, secret = self.require_header.partition(":")
            if not colon or not name.strip() or not secret.strip():
                raise ValueError('require_header must be "Name: secret"')
        if self.tenant_ids:
            raise ValueError("tenant_ids is not available in this version")
        return self


class Delivery(Section):
    """How mail leaves."""

    default_route: Route = "mx"
    """Next hop for domains that have none of their own."""
    retry_minutes: tuple[float, ...] = Field(default=(5, 30, 60), min_length=1)
    """Minutes between attempts; the last repeats (RFC 5321 section 4.5.4.1)."""
    give_up_hours: float = Field(default=120.0, gt=0)
    """Age at which an undelivered message is reported to its sender."""
    connections_per_hop: int = Field(default=20, ge=1, le=1000)
    """Connections that one worker keeps to one next hop."""
    connect_seconds: float = Field(default=30.0, gt=0)
    """Longest wait for a connection."""
    reply_seconds: float = Field(default=300.0, gt=0)
    """Longest wait for a reply; after the final dot twice as long (RFC 5321 section 4.5.3.2.6)."""
    idle_seconds: float = Field(default=30.0, gt=0)
    """How long an unused connection is kept for reuse."""
    call_ahead: bool = True
    """Ask `deliver_to` at RCPT whether it knows a recipient from outside, so that unknown ones are refused there."""


class Lookup(Section):
    """What is fetched from the network to judge certificates: CRLs and OCSP answers."""

    seconds: float = Field(default=3.0, gt=0, le=60)
    """Longest wait of a message where policy lets it go on without the answer (`[policy] revocation`: soft-fail)."""
    fetch_seconds: float = Field(default=60.0, gt=0, le=600)
    """Longest time for one fetch, redirects included; it goes on when no message waits any longer."""
    max_bytes: int = Field(default=16_777_216, ge=65_536, le=268_435_456)
    """Largest CRL, bytes."""
    allow_networks: tuple[Network, ...] = ()
    """Networks that may be asked although they are loopback, link-local, private or otherwise not public (SSRF)."""


class Ime(Section):
    """Internal mail encryption, version 1."""

    v1_address: str = "ime@imepseudodomain.local"
    """The pseudo recipient to which the Outlook add-in sends."""


class Web(Section):
    """The administrators' site and the recipients' portal."""

    admin: HostAndPort = "127.0.0.1:8080"
    """Where the administrators' site and healthz answer; port 0 takes a free one."""
    behind_tls: bool = False
    """A TLS proxy stands in front: cookies are then `__Host-` and Secure, and HSTS is sent."""
    trusted_proxy: str = ""
    """Address of that proxy, whose X-Forwarded-For is believed; empty: nobody's."""
    portal: HostAndPort | Literal[""] = "127.0.0.1:8081"
    """Where revocation lists of the built-in CA are served, and later the portal; port 0 takes a free one, empty
    switches it off."""
    portal_url: str = ""
    """How recipients reach the portal from outside."""
    pki_url: HttpUrl = ""
    """The http address, reachable for partners, of which `/pki/` leads to [web] portal; it stands in every certificate
    of the built-in CA. Empty: that of portal_url, by http."""

    @property
    def pki_base(self) -> str:
        """The address before `/pki/`, without a slash at its end; empty when there is none."""
        if self.pki_url:
            return self.pki_url
        host = urlsplit(self.portal_url).hostname or ""
        return f"http://[{host}]" if ":" in host else f"http://{host}" if host else ""


class Metrics(Section):
    """Prometheus metrics."""

    address: HostAndPort | Literal[""] = "127.0.0.1:9464"
    """Where metrics answer; empty switches them off."""


_LDAP_URL = re.compile(r"(ldaps?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?")


def _ldap_url(value: str) -> str:
    found = _LDAP_URL.fullmatch(value)
    if found is None or not 0 < int(found[3] or 389) < 65536:
        raise ValueError("must be ldaps://HOST[:PORT] or ldap://HOST[:PORT]")
    return value.rstrip("/")


LdapUrl = Annotated[str, AfterValidator(_ldap_url)]
"""A directory server: port 636 for `ldaps`, 389 for `ldap` when left out; IPv6 in brackets."""


class Ldap(Section):
    """A directory (LDAP, Active Directory) that is asked for certificates and distribution groups; several may be."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    """How logs and `explain` call it."""
    url: LdapUrl
    """`ldaps://HOST[:PORT]`, or `ldap://HOST[:PORT]`. In clear nothing secret may pass: see starttls."""
    starttls: bool = False
    """With `ldap://`: begin TLS before anything is said (RFC 4513 section 3)."""
    ca_file: Path | None = None
    """PEM file of the CAs that may speak for the directory's TLS certificate; empty: those of this machine."""
    bind_dn: str = ""
    """Who we are there: a DN or, in Active Directory, a user principal name. Empty: anonymous."""
    password: str = Field(default="", repr=False)
    """Its password, from one of three places."""
    password_file: Path | None = None
    """Its first line is the password."""
    password_env: str = ""
    """Name of the environment variable that holds the password."""
    base: str = Field(min_length=1)
    """The entry below which everything is looked up."""
    certificates: Literal["off", "candidates", "trusted"] = "candidates"
    """Not looked up; used when they name the address and lead to a root; or used on the directory's word, unless their
    CA has revoked them."""
    groups: bool = False
    """Expand distribution groups in the recipients of mail that must be encrypted."""
    seconds: float = Field(default=3.0, gt=0, le=60)
    """Longest wait for an answer; beyond: the mail is deferred with 451 4.4.3 unless another certificate serves."""
    for_domains: tuple[str, ...] = ()
    """Domains it is asked about, `*.x` covers sub-domains; empty: all for certificates, the managed ones for groups."""

    @property
    def host(self) -> str:
        """Name or address, without brackets."""
        found = _LDAP_URL.fullmatch(self.url)
        return found[2].strip("[]") if found else ""

    @property
    def port(self) -> int:
        """TCP port."""
        found = _LDAP_URL.fullmatch(self.url)
        return int((found and found[3]) or (636 if self.url.startswith("ldaps:") else 389))

    @property
    def encrypted(self) -> bool:
        """Everything goes over TLS, whose certificate is checked."""
        return self.starttls or self.url.startswith("ldaps:")

    @model_validator(mode="after")
    def _consistent(self) -> "Ldap":
        given = [bool(self.password), self.password_file is not None, bool(self.password_env)]
        if self.starttls and self.url.startswith("ldaps:"):
            raise ValueError("starttls belongs to ldap://; ldaps:// is encrypted from the start")
        if sum(given) > 1:
            raise ValueError("password, password_file and password_env exclude each other")
        if bool(self.bind_dn) != any(given):
            raise ValueError("bind_dn and a password belong together")
        if self.certificates == "off" and not self.groups:
            raise ValueError('certificates is "off" and groups is false: the directory would never be asked')
        if not self.encrypted and self.bind_dn:
            raise ValueError("bind_dn needs ldaps:// or starttls: the password would travel in clear")
        if not self.encrypted and (self.certificates == "trusted" or self.groups) and not _is_loopback(self.host):
            raise ValueError('url needs ldaps:// or starttls for groups and for certificates = "trusted"')
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(Section):
    """All of `gateway.toml`."""

    store: Store = Store()
    secrets: Secrets = Secrets()
    smtp: Smtp
    listener: tuple[Listener, ...] = Field(min_length=1)
    delivery: Delivery = Delivery()
    ime: Ime = Ime()
    web: Web = Web()
    metrics: Metrics = Metrics()
    lookup: Lookup = Lookup()
    ldap: tuple[Ldap, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> "Settings":
        for what, named in (("listeners", self.listener), ("directories of [[ldap]]", self.ldap)):
            names = [one.name for one in named]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"two {what} are called {sorted(twice)[0]!r}")
        return self

    def listener_named(self, name: str) -> Listener | None:
        """The listener of that name, or None."""
        return next((listener for listener in self.listener if listener.name == name), None)
