"""Certificates of verified signed mail become candidates: kept with where they came from, in force for nobody.

Adopting keys from mail automatically is an attack of its own ("Mailto: Me Your Secrets", CNS 2020; threats J, 66): so
nothing here replaces or joins a certificate that is in force, nothing is taken for people or domains of ours, and only
policy `automatic` puts one in force by itself, when it leads to a root and its owner has none. Nor has the owner's
domain: a person's certificate comes before it, so mail that administrators have encrypted to a partner's gateway would
go to a key that nobody compared.
"""

from collections.abc import Iterable, Sequence

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.keys.domain_names import domain_of_authority
from ime_gateway.mail.address import Address
from ime_gateway.pipeline.selection import domain_certificates
from ime_gateway.pipeline.signature_verdicts import FoundSignature
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.incoming import Candidate, CandidateKind

_MOST_OF_ONE_MAIL = 3
_TOLERABLE = frozenset((Reason.CERTIFICATE_UNTRUSTED, Reason.REVOCATION_UNKNOWN))
"""What may be wrong with the trust in a signer whose certificate is kept for a person to judge."""


def harvest(
    signatures: Sequence[FoundSignature],
    author: Address,
    view: SiteView,
    *,
    sender: Address | None,
    message_id: str,
    moment: float,
) -> tuple[Candidate, ...]:
    """Candidates from the signatures of a mail of `author` (its From, as outsiders show it).

    sender: of the envelope, by which limits count; without one, the author. moment: seconds since 1970 UTC. A
    signature counts when it holds, covers the whole mail and is the author's, or his domain's.
    """
    policy = view.policy.harvest
    if policy == "off" or author.domain in view.managed:
        return ()
    by_itself = policy == "automatic" and not domain_certificates(view, author.domain)[0]
    found: dict[tuple[str, str], Candidate] = {}
    for signature in signatures:
        if not _counts(signature, author):
            continue
        for certificate in _for_encryption(signature):
            owner = owner_of(certificate, author)
            if owner is None or _is_known(certificate, owner[0], view):
                continue
            # What the signer only prefers was not judged: a person does that.
            # An allow on the trust list speaks for what it was given for, not for whomever the certificate names.
            automatic = by_itself and signature.by_root and certificate == signature.signer.certificate
            found.setdefault(
                (owner[0], certificate.thumbprint),
                Candidate(
                    owner=owner[0],
                    kind=owner[1],
                    certificate=certificate,
                    origin="harvested",
                    sender=(sender or author).key,
                    message_id=message_id,
                    evidence=_evidence(signature, certificate),
                    at=moment,
                    state="approved" if automatic and owner[1] == "person" else "pending",
                ),
            )
    return tuple(found.values())[:_MOST_OF_ONE_MAIL]


def owner_of(certificate: Certificate, author: Address) -> tuple[str, CandidateKind] | None:
    """Whom a certificate in a mail of `author` may be kept for: the author, or the author's whole domain; or nobody."""
    if domain_of_authority(certificate) == author.domain:
        return author.domain, "domain"
    return (author.key, "person") if author.key in certificate.addresses else None


def _counts(signature: FoundSignature, author: Address) -> bool:
    signer = signature.signer.certificate
    if signer is None or not (signature.signer.intact and signature.covers == "mail"):
        return False
    # A domain's certificate that nobody set yet matches no sender: its name says for which domain it may be kept.
    if not signature.identity.matches and domain_of_authority(signer) != author.domain:
        return False
    return signature.trust.usable or signature.trust.reason in _TOLERABLE


def _for_encryption(signature: FoundSignature) -> Iterable[Certificate]:
    """The signer's own certificate if it can encrypt, and the one that it asks others to use."""
    offered = (signature.signer.certificate, signature.signer.preferred)
    return dict.fromkeys(one for one in offered if one is not None and fitness_fault(one) is None)


def _is_known(certificate: Certificate, owner: str, view: SiteView) -> bool:
    line = view.trust.get(certificate.thumbprint)
    if line is not None and line.verdict == "deny":
        return True
    return certificate in view.domain_certificates.get(owner, ())


def _evidence(signature: FoundSignature, certificate: Certificate) -> str:
    signer = signature.signer.certificate
    if signer is None or signer == certificate:
        return f"signed with it; {signature.trust.detail}"
    return f"preferred by signer {signer.thumbprint}; {signature.trust.detail}"
