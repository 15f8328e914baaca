"""Fetches a CRL from an LDAP directory that a certificate names (RFC 5280 section 4.2.1.13, RFC 4516, RFC 4523).

The directory is a stranger's, like every place that stands in a certificate: it is asked anonymously for one attribute
of one entry, by the address that was judged (`network_guard`), within the time and size of any other fetch. Referrals
are not followed, and a filter or a search below the entry is not run: an entry is named by its DN, or not asked for.
"""

import math
import socket
import ssl
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ime_gateway.lookup.fetch import Exchange
from ime_gateway.lookup.ldap_session import LDAP_FAULTS, fault_words
from ime_gateway.lookup.network_guard import Forbidden, Network, resolve, target
from ime_gateway.ports.revocation import Unfetched

with warnings.catch_warnings():  # as in ldap_session
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3

_SCHEMES = ("ldap", "ldaps")
_ATTRIBUTES = ("certificaterevocationlist", "authorityrevocationlist", "deltarevocationlist")
_PIECE = 1_048_576
_ENVELOPE_BYTES = 65_536
"""What an answer may have beyond the list itself."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a URL asks for."""

    dn: str
    attribute: str


def fetch_crl(url: str, limit: int, allowed: Sequence[Network], work: Exchange) -> bytes | Unfetched:
    """The list behind an ldap or ldaps URL, at most `limit` octets. Blocking, until the deadline of `work` or until
    that is broken off. allowed: networks beyond the public ones. Never raises for what the peer does."""
    bounded: _Bounded | None = None
    try:
        parts, host, port = target(url, _SCHEMES)
        wanted = _wanted(url)
        tls = _NamedTls(host, work) if parts.scheme.lower() == "ldaps" else None
        opened = _opened(resolve(host, port, allowed), tls, port, work)
        bounded = opened.socket = _Bounded(opened.socket, limit + _ENVELOPE_BYTES, work)
        return _asked(opened, wanted, limit)
    except Forbidden as error:
        return Unfetched(str(error))
    except LDAP_FAULTS as error:
        if bounded is not None and bounded.too_large:
            return Unfetched(f"the answer has more than {limit} bytes")
        if work.is_over:
            return Unfetched("no answer in time")
        return Unfetched(fault_words(error))
    finally:
        if bounded is not None:
            bounded.close()


def _wanted(url: str) -> _Wanted:
    """Raises Forbidden for what is not the name of one entry with a list."""
    parts = urlsplit(url)
    attribute, scope, _, extensions = (*parts.query.split("?"), "", "", "", "")[:4]
    dn = unquote(parts.path.removeprefix("/"))
    name = unquote(attribute) or "certificateRevocationList;binary"
    if not dn or name.partition(";")[0].lower() not in _ATTRIBUTES or not name.isascii():
        raise Forbidden("the URL names no entry, or another attribute than one with a CRL")
    if scope.lower() not in ("", "base") or "!" in extensions:
        raise Forbidden("only a single entry is asked for, without extensions")
    return _Wanted(dn, name if ";" in name else f"{name};binary")


class _NamedTls(ldap3.Tls):
    """TLS with the host of the URL, though the connection goes to an address."""

    def __init__(self, host: str, work: Exchange) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._host = host
        self._work = work

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """As ldap3 calls it, before the first message."""
        self._work.sock = connection.socket
        connection.socket = ssl.create_default_context().wrap_socket(connection.socket, server_hostname=self._host)
        self._work.sock = connection.socket


class _Bounded:
    """A socket as ldap3 uses it, which gives so many octets and no more: ldap3 itself believes any length."""

    def __init__(self, sock: socket.socket, limit: int, work: Exchange) -> None:
        self._sock = sock
        self._left = limit
        self._work = work
        self.too_large = False
        work.sock = sock

    def recv(self, _: int) -> bytes:
        """Larger pieces than ldap3 asks for, since it copies everything that came before with each."""
        self._sock.settimeout(self._work.left())
        data = self._sock.recv(_PIECE)
        self._left -= len(data)
        if self._left < 0:
            self.too_large = True
            raise OSError("the answer is too large")
        return data

    def sendall(self, data: bytes) -> None:
        """As of a socket."""
        self._sock.settimeout(self._work.left())
        self._sock.sendall(data)

    def shutdown(self, how: int) -> None:
        """As of a socket."""
        self._sock.shutdown(how)

    def close(self) -> None:
        """As of a socket."""
        with suppress(OSError):
            self._sock.close()


def _opened(
    places: Sequence[tuple[int, tuple[str, int]]], tls: ldap3.Tls | None, port: int, work: Exchange
) -> ldap3.Connection:
    """A connection to the first place that answers. Raises one of LDAP_FAULTS."""
    failure: BaseException = OSError("no address")
    for _, (address, _) in places:
        try:
            whole = math.ceil(work.left())  # ldap3 hands it to the operating system as a whole number
            server = ldap3.Server(address, port, tls is not None, tls=tls, get_info=ldap3.NONE, connect_timeout=whole)
            connection = ldap3.Connection(
                server,
                authentication=ldap3.ANONYMOUS,
                auto_bind=ldap3.AUTO_BIND_NONE,
                auto_referrals=False,
                auto_range=False,
                auto_encode=False,
                auto_escape=False,
                check_names=False,
                read_only=True,
                receive_timeout=whole,
                return_empty_attributes=False,
            )
        except LDAP_FAULTS as error:
            failure = error
            continue
        try:
            connection.open(read_server_info=False)
        except LDAP_FAULTS as error:
            failure = error
            with suppress(OSError, AttributeError):  # where it failed before there was a socket
                connection.socket.close()
            continue
        return connection
    raise failure


def _asked(connection: ldap3.Connection, wanted: _Wanted, limit: int) -> bytes | Unfetched:
    """Raises one of LDAP_FAULTS."""
    connection.search(
        wanted.dn,
        "(objectClass=*)",
        search_scope=ldap3.BASE,
        dereference_aliases=ldap3.DEREF_NEVER,
        attributes=[wanted.attribute],
        size_limit=1,
    )
    name = wanted.attribute.partition(";")[0].lower()
    for entry in connection.response or ():
        for described, values in entry.get("raw_attributes", {}).items():
            if str(described).partition(";")[0].lower() == name and values:
                found = bytes(values[0])
                return found if len(found) <= limit else Unfetched(f"the list has more than {limit} bytes")
    return Unfetched(f"the directory has no such list: {str(connection.result.get('description'))[:60]}")
