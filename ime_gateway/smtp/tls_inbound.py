"""TLS as a server: STARTTLS contexts and what a client's certificate says (RFC 3207, RFC 9325)."""

import ssl
from collections.abc import Mapping
from typing import Any

from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.model import Listener

HANDSHAKE_SECONDS = 30.0
"""Longest TLS handshake."""


def server_context(listener: Listener) -> ssl.SSLContext | None:
    """The TLS context of a listener, None when its tls is off. Raises ConfigurationError when a file is unusable.

    With `client_certificate_names` the client is asked for a certificate; one that does not verify against
    `client_ca` fails the handshake, and a missing one is refused at MAIL, where the peer sees a reply.
    """
    if listener.tls == "off" or listener.certificate is None or listener.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(listener.certificate, listener.key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        sentence = f"listener {listener.name!r}: certificate {listener.certificate} or key {listener.key} is unusable"
        raise ConfigurationError(f"{sentence}: {error}") from error
    if listener.client_ca is not None:
        try:
            context.load_verify_locations(listener.client_ca)
        except OSError as error:
            sentence = f"listener {listener.name!r}: client_ca {listener.client_ca} is unusable: {error}"
            raise ConfigurationError(sentence) from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def describe(connection: ssl.SSLObject | ssl.SSLSocket) -> str:
    """Version and cipher for log and Received line, for example `TLSv1.3 TLS_AES_256_GCM_SHA384`."""
    cipher = connection.cipher()
    return f"{connection.version()} {cipher[0] if cipher else 'unknown'}"


def certificate_names(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, ...]:
    """DNS names, mail addresses and common names of the client's verified certificate; empty without one."""
    certificate: Mapping[str, Any] = connection.getpeercert() or {}
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "email")]
    for relative_name in certificate.get("subject", ()):
        names.extend(value for kind, value in relative_name if kind == "commonName")
    return tuple(dict.fromkeys(names))


def _no_password() -> str:
    """OpenSSL would ask the terminal for the password of a protected key; a server has none to ask."""
    raise ValueError("the key file is protected by a password")
