"""What the two directories of the tests have in common: the same names, people and rights, so that a test runs on both.

slapd_ad.py is the quick one (a tenth of a second, free ports), samba_ad.py the real Active Directory.
"""

import contextlib
import ssl
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

with warnings.catch_warnings():  # ldap3 takes names from pyasn1 that pyasn1 has given up
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3

SUFFIX = "DC=ad,DC=ime,DC=test"
USERS = f"CN=Users,{SUFFIX}"
ADMIN = f"CN=Administrator,{USERS}"
ADMIN_PASSWORD = "Passw0rd.Adm1n"
READER = f"CN=reader,{USERS}"
"""May read everything, and write nothing."""
READER_PASSWORD = "Passw0rd.Read3r"
WRITER = f"CN=imesvc,{USERS}"
"""The least-privilege account of the publisher: may create, change and delete in PLACE, and nowhere else."""
WRITER_PASSWORD = "Passw0rd.Wr1ter"
PLACE = f"OU=IME,{SUFFIX}"
PEOPLE = f"OU=People,{SUFFIX}"


class AdServer(Protocol):
    """A running directory."""

    exchange: bool
    """Its schema has Exchange's attributes."""
    ca_file: Path
    """Certificates that its TLS is checked with."""
    host: str
    port: int
    tls_port: int

    @property
    def url(self) -> str:
        """With TLS from the first byte."""

    @property
    def plain_url(self) -> str:
        """For StartTLS, and for refusals."""

    def stop(self) -> None:
        """End the process; what is stored stays."""

    def resume(self) -> None:
        """Start it again with what is stored."""

    def log(self) -> str:
        """What it has logged so far."""


class _Tls(ldap3.Tls):
    """OpenSSL compares the name; ldap3 would by a function that Python has given up."""

    def __init__(self, ca_file: Path) -> None:
        super().__init__()
        self._context = ssl.create_default_context(cafile=ca_file)

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=connection.server.host)


@contextlib.contextmanager
def connect(server: AdServer, dn: str, password: str, *, strict: bool = False) -> Iterator[ldap3.Connection]:
    """A connection over TLS, as somebody; `strict`: refusals are exceptions."""
    where = ldap3.Server(server.host, port=server.tls_port, use_ssl=True, tls=_Tls(server.ca_file), get_info=ldap3.NONE)
    login = ldap3.Connection(where, dn, password, auto_referrals=False, raise_exceptions=strict)
    try:
        assert login.bind(), login.result
        yield login
    finally:
        login.unbind()


def as_admin(server: AdServer) -> contextlib.AbstractContextManager[ldap3.Connection]:
    """As somebody who may do everything, for what a test prepares and checks."""
    return connect(server, ADMIN, ADMIN_PASSWORD, strict=True)


def read(server: AdServer, dn: str) -> dict[str, list[bytes]]:
    """The attributes of one entry as bytes; none when there is no such entry."""
    with as_admin(server) as connection:
        connection.raise_exceptions = False
        connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=["*"])
        found = [one for one in connection.response if one["type"] == "searchResEntry"]
    return dict(found[0]["raw_attributes"]) if found else {}


def dns_below(server: AdServer, base: str) -> list[str]:
    """The names of all entries below one, itself not."""
    with as_admin(server) as connection:
        connection.search(base, "(objectClass=*)", ldap3.SUBTREE, attributes=["1.1"])
        names = [one["dn"] for one in connection.response if one["type"] == "searchResEntry"]
    return sorted(name for name in names if name.lower() != base.lower())


def clear(server: AdServer, *bases: str) -> None:
    """Delete whatever lies below these, one level of it."""
    with as_admin(server) as connection:
        for base in bases:
            connection.search(base, "(objectClass=*)", ldap3.LEVEL, attributes=["1.1"])
            for dn in [one["dn"] for one in connection.response if one["type"] == "searchResEntry"]:
                connection.delete(dn)


def add(server: AdServer, dn: str, classes: Sequence[str], **attributes: object) -> None:
    """Put an entry there."""
    with as_admin(server) as connection:
        connection.add(dn, list(classes), {name: value for name, value in attributes.items() if value})


def write_tls(folder: Path, hosts: Sequence[str]) -> None:
    """ca.pem, server.pem with server.key, client.pem (certificate and key of WRITER), other-ca.pem (signed nothing)."""
    ca_key, ca = _certificate("ad.ime.test CA", None, None, [])
    key, server = _certificate("dc1.ad.ime.test", ca_key, ca, hosts)
    client_key, client = _certificate("imesvc", ca_key, ca, [])
    _, other = _certificate("ad.ime.test CA", None, None, [])
    (folder / "ca.pem").write_bytes(_pem(ca))
    (folder / "other-ca.pem").write_bytes(_pem(other))
    (folder / "server.pem").write_bytes(_pem(server))
    (folder / "client.pem").write_bytes(_pem(client) + _key_pem(client_key))
    (folder / "server.key").write_bytes(_key_pem(key))
    (folder / "server.key").chmod(0o600)


def _certificate(
    name: str, issuer_key: ec.EllipticCurvePrivateKey | None, issuer: x509.Certificate | None, hosts: Sequence[str]
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if hosts:
        names = [x509.IPAddress(ip_address(h)) if h[0].isdigit() else x509.DNSName(h) for h in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(issuer_key or key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
