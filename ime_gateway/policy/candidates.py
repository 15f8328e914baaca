"""From judged certificates to candidates, best first: the form in which the hierarchy chooses among them."""

from collections.abc import Iterable

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.capabilities import NOTHING_SAID, Capabilities, stated_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.choose import order
from ime_gateway.keys.usable import Verdict
from ime_gateway.policy.facts import Candidate, SelectedBy


def candidates(
    judged: Iterable[tuple[Certificate, Verdict]],
    learnt: Capabilities = NOTHING_SAID,
    preferred: str = "",
    selected_by: SelectedBy = "automatic",
) -> tuple[Candidate, ...]:
    """Usable ones before unusable ones, the preferred before others, newer before older (`keys/choose`).

    learnt: what the owner's last signature said of all of the owner's programs. It beats what a certificate states
    (RFC 4262 section 3: the newer word counts), in both directions: who stopped listing GCM no longer gets it.
    preferred: thumbprint of the certificate that the owner asked for, if it is one of these; empty: none.
    selected_by: how they came to be candidates; chosen by hand, they stay in the order in which they were chosen.
    """
    ordered = judged if selected_by == "manual" else order(judged, preferred)
    return tuple(_candidate(certificate, verdict, learnt, selected_by) for certificate, verdict in ordered)


def not_here(thumbprint: str) -> Candidate:
    """A certificate that was chosen by hand, but is not imported (any more)."""
    detail = f"{thumbprint[:19]} was chosen by hand for this address, but is not imported"
    return Candidate(thumbprint, False, Reason.NO_CERTIFICATE, detail, selected_by="manual")


def _candidate(certificate: Certificate, verdict: Verdict, learnt: Capabilities, selected_by: SelectedBy) -> Candidate:
    reads = learnt if learnt.says_something else stated_capabilities(certificate)
    return Candidate(
        certificate.thumbprint,
        verdict.usable,
        verdict.reason,
        verdict.detail,
        reads_gcm=reads.gcm,
        reads_oaep=reads.oaep,
        selected_by=selected_by,
    )
