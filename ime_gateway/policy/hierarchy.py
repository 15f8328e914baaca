"""The encryption hierarchy for one recipient: the best method that this recipient can open.

Methods are tried in the order of the policy; a personal certificate comes before the one of the
domain because only its owner can read the mail. Every method that is not taken leaves its reason
(P4). The later methods (OpenPGP, TLS, portal) take their places in `_CANDIDATES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ime_gateway.base.reasons import Reason
from ime_gateway.policy.facts import Candidate, RecipientFacts
from ime_gateway.policy.plan import NotTaken

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
    taken: tuple[Method, Candidate] | None = None
    for name in hierarchy:
        method = _method(name)
        candidates = _CANDIDATES[method](recipient)
        usable = next((candidate for candidate in candidates if candidate.usable), None)
        if taken is not None:
            not_taken.append(NotTaken(method, taken[1].reason, f"{taken[0]} comes first in the hierarchy"))
        elif usable is not None:
            taken = (method, usable)
        else:
            not_taken.append(_unusable(method, candidates))
    if taken is not None:
        return Choice(taken[0], taken[1], taken[1].reason, taken[1].detail, tuple(not_taken))
    reason, detail = _heaviest(not_taken)
    return Choice(None, None, reason, detail, tuple(not_taken))


def _method(name: str) -> Method:
    if name == "smime-personal":
        return "smime-personal"
    if name == "smime-domain":
        return "smime-domain"
    raise ValueError(f"unknown method {name!r} in the hierarchy")


def _unusable(method: Method, candidates: tuple[Candidate, ...]) -> NotTaken:
    if candidates:
        return NotTaken(method, candidates[0].reason, candidates[0].detail)
    where = "imported for this address" if method == "smime-personal" else "set for this domain"
    return NotTaken(method, Reason.NO_CERTIFICATE, f"none is {where}")


def _heaviest(not_taken: list[NotTaken]) -> tuple[Reason, str]:
    tried = [entry for entry in not_taken if entry.reason is not Reason.METHOD_DISABLED]
    for entry in tried:
        if entry.reason is not Reason.NO_CERTIFICATE:
            return entry.reason, entry.detail
    if tried:
        return Reason.NO_CERTIFICATE, tried[0].detail
    return Reason.METHOD_DISABLED, "every method is switched off by [policy] hierarchy"
