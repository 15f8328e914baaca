"""What must be done at the gateway before Exchange is told anything: one sentence for each thing that is not ready.

A kit is made all the same, because an administrator may prepare Exchange while somebody else waits for a certificate;
its README begins with these sentences.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography import x509

from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.settings.model import Listener
from ime_gateway.settings.site import ManagedDomain, Policy

SMTP_PORT: Final = 25
_TAKEN: Final = {
    465: "Client Proxy connector",
    475: "Mailbox Transport Delivery service",
    2525: "Transport service",
}
"""Ports of Exchange's own services, where a front-end connector cannot listen (Microsoft's "Receive connectors")."""


def listener_notes(listener: Listener) -> Iterator[str]:
    """What keeps Exchange from sending to the listener."""
    where = f"listener {listener.name}"
    if listener.tls == "off":
        yield (
            f'{where} has tls = "off" and Exchange will refuse to send in clear; set tls = "mandatory", certificate and'
            " key in gateway.toml"
        )
    if listener.port != SMTP_PORT:
        yield (
            f"{where} listens on port {listener.port}; Exchange Online connects to port 25 only: if you have mailboxes"
            " there, let it listen on 25, or forward that port to it"
        )
    if all(network.is_loopback for network in listener.allow):
        yield f"{where} takes mail from no other machine yet; add the addresses of your Exchange servers to its allow"
    if ipaddress.ip_address(listener.address).is_loopback:
        yield f"{where} listens on {listener.address}, where no Exchange can reach it; set its address"
    if listener.client_certificate_names:
        yield (
            f"{where} demands a client certificate; name the one that Exchange shows by its own TLS certificate"
            " (Set-SendConnector -TlsCertificateName), or it is refused"
        )


def certificate_notes(
    listener: Listener, name: str, certificate: x509.Certificate | None, moment: float
) -> Iterator[str]:
    """Why Exchange would refuse the certificate that the listener shows, at a moment (seconds since 1970 UTC)."""
    where = f"the TLS certificate of listener {listener.name}"
    if certificate is None:
        if listener.tls != "off":
            yield f"{where} cannot be read, so it was not compared with {name}; see: ime-gateway check"
        return
    end = certificate.not_valid_after_utc.timestamp()
    if end <= moment:
        yield f"{where} is over since {rfc3339(end)}; Exchange will refuse it"
    if not _is_for(certificate, name):
        yield f"{where} is not for {name}; Exchange checks that name and will refuse it"
    if certificate.issuer == certificate.subject:
        yield (
            f"{where} is signed by itself; put it into the Trusted Root store of every Exchange server, or use one of"
            " your CA; Exchange Online takes only certificates of public CAs"
        )


def _is_for(certificate: x509.Certificate, name: str) -> bool:
    """RFC 6125: a DNS name of the certificate is the name, or a wildcard for its first label."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    wildcard = "*." + name.partition(".")[2]
    return any(one.lower() in (name, wildcard) for one in names.get_values_for_type(x509.DNSName))


def policy_notes(domains: Sequence[ManagedDomain], policy: Policy) -> Iterator[str]:
    """Which live data would keep mail waiting or leave it weaker than it could be."""
    if not policy.opportunistic_tls:
        yield (
            "[policy] opportunistic_tls is false, so this gateway would not begin TLS, and the receive connectors of"
            " the kit demand it: mail would wait here; set it to true"
        )
    for one in domains:
        if not one.ime_address:
            yield f"{one.name} has no ime_address: its users have IME 1.0 only, which crosses Exchange in clear"


def exchange_port_notes(ports: Sequence[int]) -> Iterator[str]:
    """Ports that the gateway was told to send to and where Exchange listens for itself."""
    for port in sorted(set(ports) & set(_TAKEN)):
        yield (
            f"port {port} of a deliver_to or return_to belongs to the {_TAKEN[port]} of every Exchange server, so the"
            " kit's receive connector cannot listen there; choose another port, as 10026, and make the kit again"
        )
