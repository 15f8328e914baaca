"""The plan as data for people and programs: the contract of `ime-gateway explain` (design 6.1)."""

from typing import NotRequired, TypedDict

from ime_gateway.policy.facts import Direction
from ime_gateway.policy.plan import Plan, RecipientPlan


class NotTakenLine(TypedDict):
    """A protection that was not chosen."""

    protection: str
    reason: str
    detail: str


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


def explain(direction: Direction, ime: str | None, plan: Plan, reply: str | None, *, hide_subject: bool) -> Explanation:
    """Lay out a plan; recipients keep the plan's order (To, Cc, Bcc, other RCPT, sent copy).

    hide_subject: the subject is hidden wherever the message is encrypted.
    """
    encrypted = any(recipient.protection not in (None, "none") for recipient in plan.recipients)
    sent = plan.decision == "deliver" and bool(plan.recipients)
    return {
        "direction": direction,
        "ime": ime,
        "decision": plan.decision,
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
    }
