"""The directory behind the address list, read and written over one connection by ldap3 (RFC 4511).

Referrals are not followed, because they would carry our password to whoever answers; every failure is an `LdapError`
of one or two sentences, and one that breaks the connection says so, since what was asked last may have been done.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from addin_sim.address_list.ldap_connection import LDAP_FAULTS, kerberos_faults, prepared, require_safe
from addin_sim.address_list.ldap_errors import (
    LdapError,
    connection_lost,
    no_ticket,
    refused,
    unreachable,
    untrusted,
)
from addin_sim.address_list.settings import LdapSettings

with warnings.catch_warnings():  # ldap3 takes names from pyasn1 that pyasn1 has given up
    warnings.simplefilter("ignore", DeprecationWarning)
    import ldap3
    from ldap3.core.exceptions import LDAPPackageUnavailableError
    from ldap3.core.results import RESULT_NO_SUCH_OBJECT, RESULT_SIZE_LIMIT_EXCEEDED, RESULT_SUCCESS

Value = str | bytes
Scope = Literal["base", "level", "subtree"]
_SCOPES: dict[Scope, Any] = {"base": ldap3.BASE, "level": ldap3.LEVEL, "subtree": ldap3.SUBTREE}
_PAGED_RESULTS = "1.2.840.113556.1.4.319"
"""RFC 2696."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it was read: names of attributes in lower case, values as bytes."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]

    def values(self, name: str) -> tuple[bytes, ...]:
        """All values of an attribute; none when it is not there."""
        return self.attributes.get(name.lower(), ())

    def texts(self, name: str) -> tuple[str, ...]:
        """The same as text; bytes that are no UTF-8 are replaced."""
        return tuple(value.decode("utf-8", "replace") for value in self.values(name))

    def text(self, name: str) -> str:
        """The first value as text; empty when there is none."""
        return next(iter(self.texts(name)), "")


class LdapDirectory:
    """A connection that is bound already; use it inside `with`, or call `close`."""

    def __init__(self, settings: LdapSettings, *, writing: bool = False) -> None:
        """Connect, begin TLS and log in; writing: anonymous logins are refused. Raises `LdapError`."""
        self.server = settings.url
        self._seconds = math.ceil(settings.timeout_seconds)  # ldap3 hands it to the operating system as a whole number
        require_safe(settings, writing=writing)
        try:
            connection, self._tls = prepared(settings)
        except LDAP_FAULTS as error:
            raise unreachable(self.server, error) from error
        self._connection: Any = connection
        try:
            self._open(settings)
            self._log_in(settings)
        except LdapError:
            self._drop()
            raise

    def _open(self, settings: LdapSettings) -> None:
        try:
            self._connection.open(read_server_info=False)
            if self._tls is not None and not settings.url.startswith("ldaps:"):
                self._connection.start_tls(read_server_info=False)
        except LDAP_FAULTS as error:
            if self._tls is not None and self._tls.trouble is not None:
                raise untrusted(self.server, settings.ca_file, self._tls.trouble) from error
            if self._connection.socket is not None and self._connection.result:
                raise refused("StartTLS", self.server, self._connection.result) from error
            raise unreachable(self.server, error) from error

    def _log_in(self, settings: LdapSettings) -> None:
        what = f"login as {settings.user}" if settings.user else f"{settings.bind} login"
        try:
            done = self._connection.bind(read_server_info=False)
        except LDAPPackageUnavailableError as error:
            raise LdapError(
                "A Kerberos login needs the Python package gssapi, which is not installed",
                'Install it, or set bind = "simple" in [address_list.ldap]',
            ) from error
        except LDAP_FAULTS as error:
            raise connection_lost(what, self.server, error) from error
        except kerberos_faults() as error:
            raise no_ticket(what, self.server, error) from error
        if not done:
            raise refused(what, self.server, self._connection.result or {})

    def read(self, dn: str, attributes: Sequence[str]) -> Entry | None:
        """One entry by its name; None when there is none. Raises `LdapError`."""
        found = self.search(dn, "(objectClass=*)", attributes, scope="base")
        return found[0] if found else None

    def search(
        self, base: str, filter_text: str, attributes: Sequence[str], *, scope: Scope = "subtree", limit: int = 0
    ) -> list[Entry]:
        """Entries that match, at most `limit` of them (0: as many as the server gives); none where a `base` entry does
        not exist. Whoever builds the filter escapes its values (`ldap_escaping.in_filter`). Raises `LdapError`.
        """
        what = f"search in {base}" if base else "search in its root"
        self._ask(what, lambda: self._searching(base, filter_text, attributes, scope, size_limit=limit))
        code = self._code()
        if code == RESULT_NO_SUCH_OBJECT and scope == "base":
            return []
        if code != RESULT_SUCCESS and not (code == RESULT_SIZE_LIMIT_EXCEEDED and limit):
            raise refused(what, self.server, self._connection.result)
        return self._entries()

    def pages(self, base: str, filter_text: str, attributes: Sequence[str], *, page_size: int) -> Iterator[list[Entry]]:
        """All entries that match, page by page in the server's order (RFC 2696). Raises `LdapError`."""
        what = f"search in {base}"
        cookie: bytes | None = None
        while True:
            paging: dict[str, Any] = {"paged_size": page_size, "paged_cookie": cookie}
            self._ask(what, partial(self._searching, base, filter_text, attributes, "subtree", **paging))
            if self._code() != RESULT_SUCCESS:
                raise refused(what, self.server, self._connection.result)
            controls = self._connection.result.get("controls") or {}
            cookie = controls.get(_PAGED_RESULTS, {}).get("value", {}).get("cookie")
            yield self._entries()
            if not cookie:
                return

    def add(self, dn: str, attributes: Mapping[str, Sequence[Value]]) -> None:
        """Make an entry; `objectClass` is among its attributes. Raises `LdapError`."""
        content = {name: list(values) for name, values in attributes.items()}
        self._change(f"addition of {dn}", lambda: self._connection.add(dn, attributes=content))

    def replace(self, dn: str, attributes: Mapping[str, Sequence[Value]]) -> None:
        """Give attributes these values instead of theirs, none removes one: all in one modify, so all or nothing
        (RFC 4511 section 4.6). Raises `LdapError`."""
        changes = {name: [(ldap3.MODIFY_REPLACE, list(values))] for name, values in attributes.items()}
        self._change(f"change of {dn}", lambda: self._connection.modify(dn, changes))

    def delete(self, dn: str) -> None:
        """Remove an entry that has no others below it. Raises `LdapError`."""
        self._change(f"removal of {dn}", lambda: self._connection.delete(dn))

    def close(self) -> None:
        """Say goodbye; never raises."""
        with suppress(*LDAP_FAULTS):
            self._connection.unbind()
        self._drop()

    def __enter__(self) -> "LdapDirectory":
        """Bound already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Say goodbye."""
        self.close()

    def _searching(self, base: str, filter_text: str, attributes: Sequence[str], scope: Scope, **more: Any) -> None:
        self._connection.search(
            base,
            filter_text,
            search_scope=_SCOPES[scope],
            dereference_aliases=ldap3.DEREF_NEVER,
            attributes=list(attributes),
            time_limit=self._seconds,
            **more,
        )

    def _change(self, what: str, operation: Callable[[], object]) -> None:
        self._ask(what, operation)
        if self._code() != RESULT_SUCCESS:
            raise refused(what, self.server, self._connection.result)

    def _ask(self, what: str, operation: Callable[[], object]) -> None:
        try:
            operation()
        except LDAP_FAULTS as error:
            raise connection_lost(what, self.server, error) from error

    def _code(self) -> int:
        return int(self._connection.result["result"])

    def _entries(self) -> list[Entry]:
        """What came, without references to other servers (continuation references, RFC 4511 section 4.5.3)."""
        return [
            Entry(str(one["dn"]), {str(k).lower(): tuple(map(bytes, v)) for k, v in one["raw_attributes"].items()})
            for one in self._connection.response or ()
            if "raw_attributes" in one
        ]

    def _drop(self) -> None:
        """Without goodbye; ldap3 leaves the socket of what went wrong to the garbage collector."""
        with suppress(*LDAP_FAULTS):
            if self._connection.socket is not None:
                self._connection.socket.close()
