"""Does a certificate lead to a trusted root? Signature-checked paths by RFC 5280 section 6.

`cryptography.x509.verification` builds and judges the path; it is strict where a mistake would be
dangerous and we add only what it leaves to its caller: that a CA says so and may sign certificates,
and that limits on mail addresses hold for addresses outside the subjectAltName, too (RFC 5280 section
4.2.1.10). Certificates of people may lack every extension. Not followed: CAs with Ed25519 or Brainpool
keys, version 1 CAs, names that differ in their encoding, limits on directory names, and demands
on certificate policies; such certificates need a line of the trust list.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, VerificationError

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault, timestamp
from ime_gateway.certs.trust import Anchors


@dataclass(frozen=True, slots=True)
class TrustedPath:
    """A path that holds."""

    root: str
    """Subject of the trust anchor."""
    not_after: float
    """When the first certificate of the path ends, seconds since 1970 UTC."""
    chain: tuple[Certificate, ...] = field(default=(), compare=False, repr=False)
    """From the certificate itself to the root."""


def find_path(certificate: Certificate, anchors: Anchors, moment: float) -> TrustedPath | Fault:
    """The path from `certificate` to a root at `moment` (seconds since 1970 UTC), or why there is none.

    A certificate that is itself a root is a path of one. Revocation is judged from the chain (`revocation`).
    """
    if anchors.is_root(certificate):
        return TrustedPath(certificate.subject, certificate.not_after, (certificate,))
    if anchors.store is None:
        return Fault(Reason.CERTIFICATE_UNTRUSTED, "no root is configured")
    above = anchors.named_above(certificate)
    if not any(anchors.is_root(issuer) for issuer in above):
        return Fault(Reason.CERTIFICATE_UNTRUSTED, _missing_link(certificate, above))
    verifier = (
        PolicyBuilder()
        .store(anchors.store)
        .time(datetime.fromtimestamp(moment, UTC))
        .extension_policies(ee_policy=ExtensionPolicy.permit_all(), ca_policy=_ca_policy())
        .build_client_verifier()
    )
    try:
        chain = verifier.verify(certificate.x509, [issuer.x509 for issuer in above]).chain
    except VerificationError as error:
        return Fault(Reason.CERTIFICATE_UNTRUSTED, _explain(error, above, moment))
    for issuer in chain[1:]:
        if outside := _address_outside(certificate.addresses, issuer):
            words = f"{issuer.subject.rfc4514_string()} may not issue certificates for {outside}"
            return Fault(Reason.CERTIFICATE_UNTRUSTED, words)
    ends = min(link.not_valid_after_utc.timestamp() for link in chain)
    known = {one.x509: one for one in (certificate, *above)}
    return TrustedPath(chain[-1].subject.rfc4514_string(), ends, tuple(known[link] for link in chain))


def _ca_policy() -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_ca)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign_certificates)
        # Demands on policies cannot be judged here, and an unjudged demand must not pass as met.
        .require_not_present(x509.PolicyConstraints)
    )


def _is_ca(policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("the issuer is no CA")


def _may_sign_certificates(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the key usage of the issuer does not include keyCertSign")


def _address_outside(addresses: tuple[str, ...], issuer: x509.Certificate) -> str | None:
    """The first address that the issuer's nameConstraints do not permit."""
    try:
        limits = issuer.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
    permitted = _mail_limits(limits.permitted_subtrees)
    excluded = _mail_limits(limits.excluded_subtrees)
    for address in addresses:
        if any(_within(address, limit) for limit in excluded):
            return address
        if permitted and not any(_within(address, limit) for limit in permitted):
            return address
    return None


def _mail_limits(subtrees: list[x509.GeneralName] | None) -> list[str]:
    return [name.value for name in subtrees or () if isinstance(name, x509.RFC822Name)]


def _within(address: str, limit: str) -> bool:
    """RFC 5280 section 4.2.1.10: a mailbox, all mailboxes of a host, or (leading dot) below a domain."""
    limit = limit.lower()
    domain = address.rpartition("@")[2]
    if "@" in limit:
        return address == limit
    return domain.endswith(limit) if limit.startswith(".") else domain == limit


def _missing_link(certificate: Certificate, above: list[Certificate]) -> str:
    last = above[-1] if above else certificate
    if last.self_issued:
        return "it is self-signed and no root" if last is certificate else f"{last.subject} is no root"
    return f"issuer {last.issuer} is not known"


def _explain(error: VerificationError, above: list[Certificate], moment: float) -> str:
    """The library's words, as far as people can use them."""
    for issuer in above:
        if not issuer.not_before <= moment <= issuer.not_after:
            dates = f"{timestamp(issuer.not_before)} to {timestamp(issuer.not_after)}"
            return f"no path to a root: {issuer.subject} is valid from {dates}"
    words = str(error).partition(" (encountered")[0].rpartition("candidates exhausted: ")[2]
    words = words.removeprefix("validation failed: ").partition(": AlgorithmIdentifier")[0]
    return f"no path to a root: {words}"
