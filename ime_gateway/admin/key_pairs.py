"""A certificate with its private key, as administrators bring or get it, and how its thumbprint is read aloud.

Domain keys, IME keys and people's keys come in the same files and are compared in the same way, over the telephone.
"""

from dataclasses import dataclass, field
from typing import Final

from ime_gateway.base.errors import UserError
from ime_gateway.certs.bundle import Bundle
from ime_gateway.certs.certificate import Certificate

DAY_SECONDS: Final = 86_400.0
DEFAULT_DAYS: Final = 3 * 365
LONGEST_DAYS: Final = 20 * 365
DEFAULT_OVERLAP_DAYS: Final = 14
"""Outlook encrypts with what its offline address book holds, which may be days old."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its private key."""

    certificate: Certificate
    private_key: bytes = field(repr=False)
    """PKCS#8 DER, not sealed."""


def pair_of(bundle: Bundle, what: str = "an IME key") -> KeyPair:
    """The one pair of an opened file; raises UserError that says what is missing. `what`: is wanted, for people."""
    owned = {entry.thumbprint: entry.pkcs8_der for entry in bundle.private_keys if entry.thumbprint}
    pairs = [KeyPair(one, owned[one.thumbprint]) for one in bundle.certificates if one.thumbprint in owned]
    if not pairs:
        if bundle.private_keys:
            raise UserError("its private key belongs to none of its certificates; put both into one file")
        raise UserError(f"it holds no private key; {what} is a PKCS#12 or PEM file with certificate and private key")
    if len(pairs) > 1:
        raise UserError(f"it holds {len(pairs)} certificates with private keys; give a file with the one that is meant")
    return pairs[0]


def groups(thumbprint: str) -> str:
    """The digits of a thumbprint in fours, to be read aloud and compared over the telephone."""
    digits = thumbprint.removeprefix("sha256:").upper()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
