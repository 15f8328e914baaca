"""What speaks against a certificate: the word for replies and logs, and the evidence for people (P4)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ime_gateway.base.reasons import Reason


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason why a certificate is not used."""

    reason: Reason
    detail: str
    """The evidence in one line: which date, which extension, which issuer."""


def timestamp(moment: float) -> str:
    """A moment (seconds since 1970 UTC) as RFC 3339 text in UTC, whole seconds."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
