"""The names by which a certificate stands for a whole domain (RFC 3183 sections 3.1.1 and 4.1).

`domain-confidentiality-authority@x` opens mail for everybody of x, `domain-signing-authority@x` signs for them. The
same names are in use beyond the RFC: SEPPmail and the S.E.E. Mail directory look for the first one.
"""

from typing import Final

from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.profile import ENCRYPTION_NAME, SIGNING_NAME

_AUTHORITIES: Final = (ENCRYPTION_NAME, SIGNING_NAME)


def domain_of_authority(certificate: Certificate) -> str:
    """The domain that a certificate stands for by its name; empty when its name is that of a person, or of two
    domains at once."""
    domains = {
        domain for local, _, domain in (address.rpartition("@") for address in certificate.addresses)
        if local.lower() in _AUTHORITIES
    }  # fmt: skip
    return domains.pop() if len(domains) == 1 else ""


def names_outside(certificate: Certificate, domain: str) -> tuple[str, ...]:
    """The addresses in a certificate that are not of `domain`, which may be a pattern `*.x`: whoever believes the
    certificate for the domain must not believe it for them."""
    return tuple(one for one in certificate.addresses if not is_within(one.rpartition("@")[2], domain))


def is_within(domain: str, name: str) -> bool:
    """Whether a domain is the one of this name, or fits the pattern `*.x`."""
    return domain.endswith(name[1:]) if name.startswith("*.") else domain == name
