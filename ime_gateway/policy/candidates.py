"""From judged certificates to candidates, best first: the form in which the hierarchy chooses among them."""

from collections.abc import Iterable

from ime_gateway.certs.capabilities import NOTHING_SAID, Capabilities, stated_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.choose import order
from ime_gateway.keys.usable import Verdict
from ime_gateway.policy.facts import Candidate


def candidates(
    judged: Iterable[tuple[Certificate, Verdict]], learnt: Capabilities = NOTHING_SAID, preferred: str = ""
) -> tuple[Candidate, ...]:
    """Usable ones before unusable ones, the preferred before others, newer before older (`keys/choose`).

    learnt: what the owner's last signature said of all of the owner's programs. It beats what a certificate states
    (RFC 4262 section 3: the newer word counts), in both directions: who stopped listing GCM no longer gets it.
    preferred: thumbprint of the certificate that the owner asked for, if it is one of these; empty: none.
    """
    return tuple(_candidate(certificate, verdict, learnt) for certificate, verdict in order(judged, preferred))


def _candidate(certificate: Certificate, verdict: Verdict, learnt: Capabilities) -> Candidate:
    reads = learnt if learnt.says_something else stated_capabilities(certificate)
    return Candidate(
        certificate.thumbprint,
        verdict.usable,
        verdict.reason,
        verdict.detail,
        reads_gcm=reads.gcm,
        reads_oaep=reads.oaep,
    )
