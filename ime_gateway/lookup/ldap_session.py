"""One connection to an LDAP directory, by ldap3: bound, encrypted where it is said to be, and never sent elsewhere.

TLS is checked by OpenSSL against the name that the administrators wrote (RFC 4513 section 3.1.3), there is no way to
switch that off, and referrals are not followed: they would carry our password to whoever answers (threats, number 86).
"""

import math
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.lookup.ldap_entries import LdapSession, LdapTrouble, RawEntry
from ime_gateway.lookup.ldap_password import read_password
from ime_gateway.settings.model import Ldap

with warnings.catch_warnings():  # ldap3 takes names from pyasn1 that pyasn1 has given up
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3
    from ldap3.core.exceptions import LDAPException
    from ldap3.core.results import RESULT_NO_SUCH_OBJECT, RESULT_SIZE_LIMIT_EXCEEDED, RESULT_SUCCESS
    from pyasn1.error import PyAsn1Error

_SCOPES: dict[str, Literal["SUBTREE", "BASE"]] = {"subtree": "SUBTREE", "base": "BASE"}
LDAP_FAULTS = (
    *(LDAPException, PyAsn1Error, OSError, struct.error, ArithmeticError, AttributeError, LookupError, NameError),
    *(RecursionError, TypeError, ValueError),
)
"""What ldap3 lets through when a server answers nonsense: its decoder trusts what it is sent."""


class _CheckedTls(ldap3.Tls):
    """ldap3 compares names itself, by a function that Python has given up; OpenSSL does it during the handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """As ldap3 calls it, before the first message (ldaps) or after StartTLS."""
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=connection.server.host)


class Ldap3Session:
    """`LdapSession` over one connection that is bound already."""

    def __init__(self, directory: Ldap, password: str, seconds: float) -> None:
        """Connect and bind. seconds: longest wait for a connection, and for one answer; all of it takes twice that at
        the longest. Raises LdapTrouble."""
        self._whole_seconds = math.ceil(seconds)  # ldap3 hands it to the operating system as a whole number
        try:
            self._connection = self._prepared(directory, password)
        except LDAP_FAULTS as error:
            raise LdapTrouble(fault_words(error)) from error
        # A server that drips would never run into the time-out of a single read.
        alarm = threading.Timer(2 * seconds, self.cut)
        alarm.daemon = True
        alarm.start()
        try:
            self._connection.open(read_server_info=False)
            if directory.starttls and not self._connection.start_tls(read_server_info=False):
                raise LdapTrouble("the directory does not begin TLS")
            if not self._connection.bind(read_server_info=False):
                raise LdapTrouble(f"the directory does not let us in: {_result(self._connection)}")
        except LDAP_FAULTS as error:
            self._give_up()
            raise LdapTrouble(fault_words(error)) from error
        except LdapTrouble:
            self._give_up()
            raise
        finally:
            alarm.cancel()

    def _prepared(self, directory: Ldap, password: str) -> ldap3.Connection:
        """The connection before its first byte."""
        server = ldap3.Server(
            directory.host,
            port=directory.port,
            use_ssl=directory.url.startswith("ldaps:"),
            tls=_CheckedTls(_context(directory)) if directory.encrypted else None,
            get_info=ldap3.NONE,
            connect_timeout=self._whole_seconds,
            allowed_referral_hosts=[],
        )
        return ldap3.Connection(
            server,
            user=directory.bind_dn or None,
            password=password or None,
            authentication=ldap3.SIMPLE if directory.bind_dn else ldap3.ANONYMOUS,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            auto_range=False,
            auto_escape=False,
            auto_encode=False,
            check_names=False,
            read_only=True,
            receive_timeout=self._whole_seconds,
            return_empty_attributes=False,
        )

    def search(
        self, base: str, filter_text: str, scope: Literal["subtree", "base"], attributes: tuple[str, ...], limit: int
    ) -> list[RawEntry]:
        """As the protocol says."""
        try:
            self._connection.search(
                base,
                filter_text,
                search_scope=_SCOPES[scope],
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes),
                size_limit=limit,
                time_limit=self._whole_seconds,
            )
            code = int(self._connection.result["result"])
            entries = [_entry(found) for found in self._connection.response or () if "raw_attributes" in found]
        except LDAP_FAULTS as error:
            raise LdapTrouble(fault_words(error)) from error
        if code == RESULT_NO_SUCH_OBJECT and scope == "base":
            return []
        if code not in (RESULT_SUCCESS, RESULT_SIZE_LIMIT_EXCEEDED):
            raise LdapTrouble(f"the search was refused: {_result(self._connection)}")
        return entries[:limit]

    def close(self) -> None:
        """As the protocol says."""
        with suppress(*LDAP_FAULTS):
            self._connection.unbind()
        self._give_up()

    def _give_up(self) -> None:
        """Without goodbye; ldap3 leaves the socket of what went wrong to the garbage collector."""
        with suppress(*LDAP_FAULTS):
            if self._connection.socket is not None:
                self._connection.socket.close()

    def cut(self) -> None:
        """As the protocol says."""
        with suppress(OSError, AttributeError):  # another thread may have closed it already
            self._connection.socket.shutdown(socket.SHUT_RDWR)


def open_session(directory: Ldap, environment: Mapping[str, str], seconds: float) -> LdapSession:
    """A session with a directory. environment: where `password_env` is looked up. seconds: longest wait for a
    connection, and for one answer. Raises LdapTrouble."""
    try:
        password = read_password(directory, environment)
    except ConfigurationError as error:
        raise LdapTrouble(str(error)) from error
    return Ldap3Session(directory, password, seconds)


def _context(directory: Ldap) -> ssl.SSLContext:
    file = str(directory.ca_file) if directory.ca_file is not None else None
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=file)


def _result(connection: ldap3.Connection) -> str:
    """What the server said, in the word of RFC 4511 appendix A; its own text may quote what we sent."""
    return str((connection.result or {}).get("description"))[:60]


def _entry(found: Any) -> RawEntry:
    attributes = {
        str(name).lower(): tuple(bytes(value) for value in raw) for name, raw in found["raw_attributes"].items()
    }
    return RawEntry(str(found["dn"]), attributes)


def fault_words(error: BaseException) -> str:
    """What went wrong, on one line and without what was sent: kind and the library's own text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
