"""A connection to the directory before its first byte: what may be said at all, over which TLS, and as whom.

Whoever may write the IME contact could hand everybody's mail to somebody else, so no password and no change travels
without TLS, and the server's certificate is always checked by OpenSSL against the name in the settings (RFC 4513
sections 3.1.3 and 5.1.2).
"""

import importlib
import math
import ssl
import struct
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from addin_sim.address_list.ldap_errors import LdapError
from addin_sim.address_list.settings import LdapSettings

with warnings.catch_warnings():  # ldap3 takes names from pyasn1 that pyasn1 has given up
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3
    from ldap3.core.exceptions import LDAPException
    from pyasn1.error import PyAsn1Error

_T = TypeVar("_T")
LDAP_FAULTS = (
    *(LDAPException, PyAsn1Error, OSError, struct.error, ArithmeticError, AttributeError, LookupError, NameError),
    *(RecursionError, TypeError, ValueError),
)
"""What ldap3 lets through when a server answers nonsense: its decoder trusts what it is sent."""


class CheckedTls(ldap3.Tls):
    """ldap3 compares names itself, by a function that Python has given up; OpenSSL does it during the handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context
        self.trouble: Exception | None = None

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """As ldap3 calls it, before the first message (ldaps) or after StartTLS."""
        try:
            connection.socket = self._context.wrap_socket(connection.socket, server_hostname=connection.server.host)
        except (OSError, ValueError) as error:
            self.trouble = error
            raise


def require_safe(settings: LdapSettings, *, writing: bool) -> None:
    """Raises `LdapError` for a login that must not be tried: nothing that others must not read or change goes without
    TLS, and an empty password would be an anonymous login that looks like one with a name (RFC 4513 section 5.1.2)."""
    if settings.bind != "anonymous" and not _encrypted(settings):
        raise LdapError(
            f"{settings.url} would be asked without TLS, where the login could be read or misused by others",
            "Use ldaps://, or set starttls = true, in [address_list.ldap]; nothing was sent",
        )
    if writing and settings.bind == "anonymous":
        raise LdapError(
            "Anonymous users do not write an address list",
            "Set bind, user and password (or password_env) in [address_list.ldap]",
        )
    if settings.bind == "simple" and not (settings.user and settings.secret):
        raise LdapError(
            "A simple login needs a user and a password",
            "Set user and password (or password_env) in [address_list.ldap]",
        )
    if settings.bind == "external" and settings.client_certificate is None:
        raise LdapError(
            "An external login is made by a certificate of one's own",
            "Set client_certificate in [address_list.ldap]",
        )


def prepared(settings: LdapSettings) -> tuple[ldap3.Connection, CheckedTls | None]:
    """The connection, not yet open, and its TLS. Raises `LdapError` when a file of the settings cannot be used."""
    tls = CheckedTls(_context(settings)) if _encrypted(settings) else None
    seconds = math.ceil(settings.timeout_seconds)  # ldap3 hands it to the operating system as a whole number
    server = ldap3.Server(
        settings.url, tls=tls, get_info=ldap3.NONE, connect_timeout=seconds, allowed_referral_hosts=[]
    )
    password = (
        settings.secret.encode()
    )  # text would be turned into SASLprep's form, which Active Directory does not know
    logins: dict[str, dict[str, Any]] = {
        "anonymous": {"authentication": ldap3.ANONYMOUS},
        "simple": {"authentication": ldap3.SIMPLE, "user": settings.user, "password": password},
        "external": {
            "authentication": ldap3.SASL,
            "sasl_mechanism": ldap3.EXTERNAL,
            "sasl_credentials": settings.user,
        },
        "gssapi": {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.GSSAPI, "user": settings.user or None},
    }
    connection = ldap3.Connection(
        server,
        **logins[settings.bind],
        auto_bind=ldap3.AUTO_BIND_NONE,
        auto_referrals=False,
        auto_range=False,
        auto_escape=False,
        auto_encode=False,
        check_names=False,
        receive_timeout=seconds,
        return_empty_attributes=False,
    )
    return connection, tls


def kerberos_faults() -> tuple[type[Exception], ...]:
    """What the package gssapi raises beside ldap3's own; none where it is not installed, as it need not be."""
    try:
        return (importlib.import_module("gssapi.exceptions").GSSError,)
    except ImportError:
        return ()


def _encrypted(settings: LdapSettings) -> bool:
    return settings.url.startswith("ldaps:") or settings.starttls


def _context(settings: LdapSettings) -> ssl.SSLContext:
    context = _reading("ca_file", lambda: ssl.create_default_context(cafile=_text(settings.ca_file)), settings.ca_file)
    if settings.client_certificate is not None:
        file = settings.client_certificate
        _reading("client_certificate", lambda: context.load_cert_chain(str(file)), file)
    return context


def _reading(key: str, reading: Callable[[], _T], file: object) -> _T:
    try:
        return reading()
    except OSError as error:
        reason = "it holds no fit PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise LdapError(f"{file} cannot be used: {reason}", f"Correct {key} in [address_list.ldap]") from error


def _text(file: object) -> str | None:
    return None if file is None else str(file)
