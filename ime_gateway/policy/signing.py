"""Whether a recipient's mail is signed on its way out, and with which key (RFC 8551 section 3.5).

Policy or the sender wants it, the author's own key comes before the one of the domain, and mail that the sender's
program signed or encrypted already is left alone. Where a signature is wanted and no key can make it, the mail does
not leave without: whoever relies on signatures must not get used to missing ones.
"""

from dataclasses import dataclass

from ime_gateway.base.reasons import Reason
from ime_gateway.policy.facts import Candidate, Facts, RecipientFacts, SigningFacts


@dataclass(frozen=True, slots=True)
class Unsignable:
    """A signature is wanted, and cannot be made."""

    reason: Reason
    detail: str


def signature_for(recipient: RecipientFacts, facts: Facts, *, encrypted: bool) -> Candidate | Unsignable | None:
    """The key that signs for this recipient; None: no signature is wanted.

    encrypted: the recipient's mail will be encrypted. To a gateway that binds recipients it is then signed by the
    domain, whatever else was asked for: that gateway opens nothing else.
    """
    signing = facts.signing
    if facts.message.direction == "incoming":
        return None
    if recipient.bound and encrypted:
        return _first_usable(signing.domain, signing, "the partner's gateway opens only what our domain key signed")
    if signing.protected_already:
        return None
    if signing.asked:
        if signing.mode == "never":
            words = f'sign_outgoing = "never" ({signing.origin}), so nothing is signed on request'
            return Unsignable(Reason.METHOD_DISABLED, words)
        return _first_usable((*signing.personal, *signing.domain), signing, "a signature was asked for")
    if signing.mode == "always" and _goes_out(recipient, facts):
        words = f'sign_outgoing = "always" ({signing.origin})'
        return _first_usable((*signing.personal, *signing.domain), signing, words)
    return None


def _goes_out(recipient: RecipientFacts, facts: Facts) -> bool:
    """Whether `sign_outgoing = "always"` means this copy: people outside, no reports, no invitations that policy
    wants to pass as they are."""
    if recipient.managed or recipient.copy == "sent" or facts.signing.is_report:
        return False
    return not (facts.message.calendar and facts.policy.calendar == "pass")


def _first_usable(keys: tuple[Candidate, ...], signing: SigningFacts, why: str) -> Candidate | Unsignable:
    usable = next((key for key in keys if key.usable), None)
    if usable is not None:
        return usable
    missing = "; ".join(key.detail for key in keys) or signing.missing or "neither author nor domain has a key here"
    return Unsignable(Reason.NO_SENDER_CERTIFICATE, f"{why}: {missing}")
