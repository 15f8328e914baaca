"""The plan as data for people and programs: the contract of `ime-gateway explain` (design 6.1)."""

from typing import NotRequired, TypedDict

from ime_gateway.policy.facts import Direction
from ime_gateway.policy.plan import Considered, Plan, RecipientPlan


class NotTakenLine(TypedDict):
    """A protection that was not chosen."""

    protection: str
    reason: str
    detail: str


class CandidateLine(TypedDict):
    """A certificate that was looked at for a recipient."""

    key: str
    """Its thumbprint; empty for a line that says why there is none: a group, a directory that did not answer."""
    protection: str
    usable: bool
    reason: str
    detail: str
    selected_by: str
    """`automatic` (its own addresses), `manual`, `domain`, `inherited` (from a domain above), or `directory`."""


class RecipientLine(TypedDict):
    """One recipient of the explanation."""

    address: str
    copy: str
    blind: bool
    group: int
    protection: str | None
    reason: str
    detail: str
    key: str | None
    not_taken: list[NotTakenLine]
    candidates: list[CandidateLine]
    """In the order in which they were tried; empty where nothing asks for encryption."""
    additional: list[str]
    """Thumbprints of the certificates that it is encrypted to besides."""
    signed_by: str | None
    """Thumbprint of the certificate that signs it here."""


class Explanation(TypedDict):
    """What would happen with a message; `reply` is what the peer would hear on refusal."""

    direction: str
    ime: str | None
    decision: str
    reply: str | None
    recipients: list[RecipientLine]
    subject_hidden: bool | None
    """Whether encrypted copies keep their subject inside (RFC 9788); None when nothing is sent."""
    note: NotRequired[str]
    """Why a message is taken and nothing is sent; for people, and not part of the contract."""


def explain(
    direction: Direction, ime: str | None, plan: Plan, reply: str | None, *, hide_subject: bool, temporary: bool = False
) -> Explanation:
    """Lay out a plan; recipients keep the plan's order (To, Cc, Bcc, other RCPT, sent copy).

    hide_subject: the subject is hidden wherever the message is encrypted. temporary: the reply says "later".
    """
    encrypted = any(recipient.protection not in (None, "none") for recipient in plan.recipients)
    sent = plan.decision == "deliver" and bool(plan.recipients) and not temporary
    return {
        "direction": direction,
        "ime": ime,
        "decision": "defer" if temporary else plan.decision,
        "reply": reply,
        "recipients": [_line(recipient) for recipient in plan.recipients],
        "subject_hidden": hide_subject and encrypted if sent else None,
    }


def explain_refusal(direction: Direction, ime: str | None, reply: str, *, temporary: bool) -> Explanation:
    """A message that never came as far as a plan."""
    decision = "defer" if temporary else "refuse"
    return {
        "direction": direction,
        "ime": ime,
        "decision": decision,
        "reply": reply,
        "recipients": [],
        "subject_hidden": None,
    }


def _line(plan: RecipientPlan) -> RecipientLine:
    return {
        "address": str(plan.address),
        "copy": plan.copy,
        "blind": plan.blind,
        "group": plan.group,
        "protection": plan.protection,
        "reason": plan.reason.value,
        "detail": plan.detail,
        "key": plan.keys[0] if plan.keys else None,
        "not_taken": [
            {"protection": entry.protection, "reason": entry.reason.value, "detail": entry.detail}
            for entry in plan.not_taken
        ],
        "candidates": [_candidate(entry) for entry in plan.considered],
        "additional": list(plan.additional),
        "signed_by": plan.signed_by or None,
    }


def _candidate(entry: Considered) -> CandidateLine:
    candidate = entry.candidate
    return {
        "key": candidate.thumbprint,
        "protection": entry.protection,
        "usable": candidate.usable,
        "reason": candidate.reason.value,
        "detail": candidate.detail,
        "selected_by": candidate.selected_by,
    }
