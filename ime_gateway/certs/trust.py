"""The administrators' word on certificates: anchors, known links, and the trust list (CTL).

Deny beats everything, and a denied CA takes with it all that hangs below it, by whatever path: who
was hacked issues good-looking certificates. A CA is its name and its key: where the certificate of a
denied one is known, its other certificates are denied with it. Allow speaks for one certificate only; an allowed CA
certificate is no trust anchor.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.verification import Store

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault
from ime_gateway.certs.revocation import NothingAsked, RevocationBook


class TrustLine(Protocol):
    """What one line of the trust list says of a certificate."""

    @property
    def verdict(self) -> str:
        """`allow` or `deny`."""
        ...

    @property
    def allow_expired(self) -> bool:
        """An allowed certificate may be used after its end."""
        ...

    @property
    def note(self) -> str:
        """Who checked it, how and when."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """What trust rests on, for one generation of the site's data; make it once and keep it."""

    roots: Sequence[Certificate]
    intermediates: Sequence[Certificate] = ()
    """CA certificates that may stand between: known, not trusted."""
    trust: Mapping[str, TrustLine] = field(default_factory=dict)
    """By thumbprint `sha256:...`."""
    revocation: RevocationBook = NothingAsked()  # noqa: RUF009 - frozen, and without state
    """What is known about revocations; as it stands, nothing is."""
    store: Store | None = field(init=False, repr=False, default=None)
    """The roots as path building wants them; None without roots."""
    _roots: frozenset[Certificate] = field(init=False, repr=False, default=frozenset())
    _by_subject: dict[str, list[Certificate]] = field(init=False, repr=False, default_factory=dict)
    _denied: dict[tuple[str, str], Certificate] = field(init=False, repr=False, default_factory=dict)
    """Known certificates that are denied, by their subject and key."""

    def __post_init__(self) -> None:
        """Index the known certificates by subject, so that path questions cost what a path costs."""
        known = dict.fromkeys((*self.roots, *self.intermediates))
        for certificate in known:
            self._by_subject.setdefault(certificate.subject, []).append(certificate)
        if self.roots:
            object.__setattr__(self, "store", Store([root.x509 for root in self.roots]))
        object.__setattr__(self, "_roots", frozenset(self.roots))
        self._denied.update((_identity(certificate), certificate) for certificate in known if self.denies(certificate))

    def denies(self, certificate: Certificate) -> bool:
        """Whether the list denies this very certificate."""
        line = self.trust.get(certificate.thumbprint)
        return line is not None and line.verdict == "deny"

    def allows(self, certificate: Certificate) -> TrustLine | None:
        """The line that allows this very certificate, or None."""
        line = self.trust.get(certificate.thumbprint)
        return line if line is not None and line.verdict == "allow" else None

    def is_root(self, certificate: Certificate) -> bool:
        """Whether this very certificate is a trust anchor."""
        return certificate in self._roots

    def named_above(self, certificate: Certificate) -> list[Certificate]:
        """Every known certificate that may stand above this one, going by names alone, nearest first."""
        return self._climb(certificate, lambda issuer, below: True)

    def _climb(self, certificate: Certificate, links: Callable[[Certificate, Certificate], bool]) -> list[Certificate]:
        found: dict[Certificate, None] = {certificate: None}
        waiting = deque((certificate,))
        while waiting:
            below = waiting.popleft()
            for issuer in self._by_subject.get(below.issuer, ()):
                if issuer not in found and links(issuer, below):
                    found[issuer] = None
                    waiting.append(issuer)
        del found[certificate]
        return list(found)

    def denial(self, certificate: Certificate) -> Fault | None:
        """The denial of the certificate or of anything above it, by any path; None: not denied."""
        if self.denies(certificate):
            return Fault(Reason.CERTIFICATE_DENIED, _noted("denied by the trust list", self.trust, certificate))
        if not self._denied:
            return None
        if certificate.is_ca and (twin := self._denied.get(_identity(certificate))):
            words = "another certificate of the same CA and key is denied by the trust list"
            return Fault(Reason.CERTIFICATE_DENIED, _noted(words, self.trust, twin))
        for issuer in self._climb(certificate, may_have_signed):
            if twin := self._denied.get(_identity(issuer)):
                words = f"its issuer {issuer.subject} is denied by the trust list"
                return Fault(Reason.CERTIFICATE_DENIED, _noted(words, self.trust, twin))
        return None


def _identity(certificate: Certificate) -> tuple[str, str]:
    return certificate.subject, certificate.key_digest


def may_have_signed(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether one certificate is issued by another. A signature that cannot be checked counts: a denial must not be
    dodged by an odd algorithm."""
    try:
        certificate.x509.verify_directly_issued_by(issuer.x509)
    except (InvalidSignature, ValueError):
        return False
    except (TypeError, UnsupportedAlgorithm):
        return True
    return True


def _noted(words: str, trust: Mapping[str, TrustLine], certificate: Certificate) -> str:
    note = trust[certificate.thumbprint].note
    return f"{words}: {note}" if note else words
