"""The directories of `[[ldap]]`: what their settings name must be there, and they should answer.

A directory that is down now is no reason not to start: mail that needs it waits, all other mail passes.
"""

import ssl
import stat
from collections.abc import Callable, Iterator, Mapping

from ime_gateway.app.preflight.finding import Finding, error, ok, warning
from ime_gateway.base.errors import ConfigurationError
from ime_gateway.lookup.ldap_entries import LdapSession, LdapTrouble
from ime_gateway.lookup.ldap_password import read_password
from ime_gateway.settings.model import Ldap, Settings

_SECONDS = 5.0
"""Longest wait for anything while checking."""


def check_directories(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong without asking them; environment: where `password_env` is looked up."""
    for directory in settings.ldap:
        key = f"ldap.{directory.name}"
        try:
            read_password(directory, environment)
        except ConfigurationError as trouble:
            yield error(f"{key}.password", str(trouble))
        file = directory.password_file
        if file is not None and file.exists() and file.stat().st_mode & stat.S_IRWXO:
            yield warning(f"{key}.password_file", f"{file} can be read by everybody; run: chmod 640 {file}")
        if directory.ca_file is not None:
            yield _ca_file(f"{key}.ca_file", directory)
        if not directory.encrypted:
            yield warning(f"{key}.url", "nothing is encrypted: who is on the way learns to whom mail is written")


def reach_directories(
    settings: Settings, connect: Callable[[Ldap, float], LdapSession], looked_at: set[str]
) -> Iterator[Finding]:
    """Whether they answer; connect: gives a bound session, given the longest wait in seconds. looked_at: keys of
    errors that were found before; what is wrong already is not tried."""
    for directory in settings.ldap:
        key = f"ldap.{directory.name}"
        if any(other.startswith(f"{key}.") for other in looked_at):
            continue
        try:
            session = connect(directory, _SECONDS)
            try:
                found = session.search(directory.base, "(objectClass=*)", "base", ("objectClass",), 1)
            finally:
                session.close()
        except LdapTrouble as trouble:
            yield warning(key, f"{directory.url} cannot be asked now, and mail that needs it would wait: {trouble}")
            continue
        if found:
            yield ok(key, f"{directory.url} answers")
        else:
            yield warning(f"{key}.base", f"{directory.base} does not exist there, or we may not see it")


def _ca_file(key: str, directory: Ldap) -> Finding:
    try:
        ssl.create_default_context(cafile=str(directory.ca_file))
    except (ssl.SSLError, OSError) as trouble:
        words = trouble.reason if isinstance(trouble, ssl.SSLError) else trouble.strerror
        return error(key, f"{directory.ca_file} holds no CA certificates: {str(words or 'not PEM').lower()}")
    return ok(key, str(directory.ca_file))
