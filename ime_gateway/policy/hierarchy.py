"""The encryption hierarchy for one recipient: the best method that this recipient can open.

Methods are tried in the order of the policy; a personal certificate comes before the one of the
domain because only its owner can read the mail. Every method and every certificate that is not taken
leaves its reason (P4). The later methods (OpenPGP, TLS, portal) take their places in `_CANDIDATES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.policy.facts import Candidate, RecipientFacts
from ime_gateway.policy.plan import Considered, NotTaken

Method = Literal["smime-personal", "smime-domain"]

_CANDIDATES: dict[Method, Callable[[RecipientFacts], tuple[Candidate, ...]]] = {
    "smime-personal": lambda recipient: recipient.personal,
    "smime-domain": lambda recipient: recipient.domain,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The method for one recipient, or None with the reason that weighs most."""

    method: Method | None
    candidate: Candidate | None
    reason: Reason
    detail: str
    not_taken: tuple[NotTaken, ...]
    considered: tuple[Considered, ...]


def choose(recipient: RecipientFacts, hierarchy: tuple[str, ...]) -> Choice:
    """Take the first method of `hierarchy` for which a usable candidate exists.

    Candidates come best first. When none is usable, the reason of the first unusable candidate
    speaks, because it names what can be mended; without any candidate it is `no-certificate`.
    """
    not_taken = [
        NotTaken(method, Reason.METHOD_DISABLED, "not in [policy] hierarchy")
        for method in _CANDIDATES
        if method not in hierarchy
    ]
    considered: list[Considered] = []
    taken: tuple[Method, Candidate] | None = None
    for name in hierarchy:
        method = _method(name)
        candidates = _CANDIDATES[method](recipient)
        considered += (Considered(method, candidate) for candidate in candidates)
        if taken is None:
            usable = next((candidate for candidate in candidates if candidate.usable), None)
            taken = None if usable is None else (method, usable)
        not_taken += _passed_over(method, candidates, taken)
    if taken is not None:
        reason, detail = taken[1].reason, taken[1].detail
        return Choice(taken[0], taken[1], reason, detail, tuple(not_taken), tuple(considered))
    reason, detail = _heaviest(not_taken)
    return Choice(None, None, reason, detail, tuple(not_taken), tuple(considered))


def _method(name: str) -> Method:
    if name == "smime-personal":
        return "smime-personal"
    if name == "smime-domain":
        return "smime-domain"
    raise ValueError(f"unknown method {name!r} in the hierarchy")


def _passed_over(
    method: Method, candidates: tuple[Candidate, ...], taken: tuple[Method, Candidate] | None
) -> list[NotTaken]:
    """One entry for each certificate of the method but the one that is taken, and one for a method without any."""
    if not candidates:
        if taken is not None:
            return [NotTaken(method, taken[1].reason, f"{taken[0]} comes first in the hierarchy")]
        where = "imported for this address" if method == "smime-personal" else "set for this domain"
        return [NotTaken(method, Reason.NO_CERTIFICATE, f"none is {where}")]
    return [_beaten(method, candidate, taken) for candidate in candidates if taken is None or candidate is not taken[1]]


def _beaten(method: Method, candidate: Candidate, taken: tuple[Method, Candidate] | None) -> NotTaken:
    if taken is None or not candidate.usable:
        return NotTaken(method, candidate.reason, candidate.detail)
    winner = "another one" if taken[0] == method else taken[0]
    return NotTaken(method, taken[1].reason, f"{winner} comes first; {candidate.detail}")


def _heaviest(not_taken: list[NotTaken]) -> tuple[Reason, str]:
    tried = [entry for entry in not_taken if entry.reason is not Reason.METHOD_DISABLED]
    for entry in tried:
        if entry.reason is not Reason.NO_CERTIFICATE:
            return entry.reason, entry.detail
    if tried:
        return Reason.NO_CERTIFICATE, tried[0].detail
    return Reason.METHOD_DISABLED, "every method is switched off by [policy] hierarchy"
