"""From judged certificates to candidates, best first: the form in which the hierarchy chooses among them."""

from collections.abc import Iterable

from ime_gateway.certs.capabilities import reads_gcm
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.choose import order
from ime_gateway.keys.usable import Verdict
from ime_gateway.policy.facts import Candidate


def candidates(judged: Iterable[tuple[Certificate, Verdict]]) -> tuple[Candidate, ...]:
    """Usable ones before unusable ones, newer before older (`keys/choose`)."""
    return tuple(
        Candidate(certificate.thumbprint, verdict.usable, verdict.reason, verdict.detail, reads_gcm(certificate))
        for certificate, verdict in order(judged)
    )
