"""The files that `gateway.toml` names: master key, and the certificate and key of each listener.

A TLS certificate that expires overnight stops mail of every peer that verifies (RFC 3207), so
its last weeks are a warning.
"""

import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.app.preflight.finding import Finding, error, ok, warning
from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.model import Listener, Settings
from ime_gateway.store.master_key import read_master_key

_SOON_DAYS = 30


def check_files(settings: Settings, moment: float) -> Iterator[Finding]:
    """All findings about files; `moment` is now, seconds since 1970 UTC."""
    yield _master_key(settings.secrets.master_key_file)
    for listener in settings.listener:
        if listener.tls != "off":
            yield from _listener(listener, settings.smtp.hostname, moment)


def _master_key(path: Path) -> Finding:
    key = "secrets.master_key_file"
    try:
        read_master_key(path)
    except ConfigurationError as trouble:
        return error(key, str(trouble))
    return ok(key, str(path))


def _listener(listener: Listener, hostname: str, moment: float) -> Iterator[Finding]:
    key = f"listener.{listener.name}"
    certificate, private_key = listener.certificate, listener.key
    if certificate is None or private_key is None:
        return  # the settings' model demands both
    unreadable = [
        finding
        for finding in (_readable(f"{key}.certificate", certificate), _readable(f"{key}.key", private_key))
        if finding
    ]
    if unreadable:
        yield from unreadable
        return
    if private_key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
        yield warning(f"{key}.key", f"{private_key} can be read by everybody; run: chmod 640 {private_key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password instead of none: OpenSSL would ask on the terminal for a locked key.
        context.load_cert_chain(certificate, private_key, password="")
    except (ssl.SSLError, OSError, ValueError) as trouble:
        yield error(f"{key}.key", f"{certificate} and {private_key} do not work together: {_words(trouble)}")
        return
    yield _validity(f"{key}.certificate", certificate, hostname, moment)
    if listener.client_ca is not None:
        yield _client_ca(f"{key}.client_ca", listener.client_ca)


def _readable(key: str, path: Path) -> Finding | None:
    try:
        with path.open("rb"):
            return None
    except OSError as trouble:
        return error(key, f"{path} cannot be read: {trouble.strerror}")


def _validity(key: str, path: Path, hostname: str, moment: float) -> Finding:
    certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    end = certificate.not_valid_after_utc.timestamp()
    if end < moment:
        # No error: a night's expiry must not keep a gateway from starting; peers that verify notice it.
        return warning(key, f"{path} expired at {rfc3339(end)}; peers that verify will refuse it")
    if certificate.not_valid_before_utc.timestamp() > moment:
        return error(key, f"{path} is not valid before {rfc3339(certificate.not_valid_before_utc.timestamp())}")
    if end < moment + _SOON_DAYS * 86_400:
        return warning(key, f"{path} expires soon, at {rfc3339(end)}")
    if not _names(certificate, hostname):
        return warning(key, f"{path} does not name {hostname}; peers that verify will refuse it")
    return ok(key, f"valid until {rfc3339(end)}")


def _names(certificate: x509.Certificate, hostname: str) -> bool:
    """RFC 6125 section 6.4, DNS names only: exact, or a wildcard for the leftmost label."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    wanted = hostname.lower()
    accepted = {wanted, "*." + wanted.partition(".")[2]}
    return any(name.lower() in accepted for name in alternative.get_values_for_type(x509.DNSName))


def _client_ca(key: str, path: Path) -> Finding:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (ssl.SSLError, OSError) as trouble:
        return error(key, f"{path} holds no CA certificates: {_words(trouble)}")
    return ok(key, str(path))


def _words(trouble: Exception) -> str:
    if isinstance(trouble, ssl.SSLError):
        return (trouble.reason or "not PEM").replace("_", " ").lower()
    return getattr(trouble, "strerror", None) or str(trouble)
