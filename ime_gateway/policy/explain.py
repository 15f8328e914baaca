"""The plan as data for people and programs: the contract of `ime-gateway explain` (design 6.1)."""

from typing import TypedDict

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


def explain(direction: Direction, ime: str | None, plan: Plan, reply: str | None) -> Explanation:
    """Lay out a plan; recipients keep the plan's order (To, Cc, Bcc, other RCPT, sent copy)."""
    return {
        "direction": direction,
        "ime": ime,
        "decision": plan.decision,
        "reply": reply,
        "recipients": [_line(recipient) for recipient in plan.recipients],
    }


def explain_refusal(direction: Direction, ime: str | None, reply: str, *, temporary: bool) -> Explanation:
    """A message that never came as far as a plan."""
    decision = "defer" if temporary else "refuse"
    return {"direction": direction, "ime": ime, "decision": decision, "reply": reply, "recipients": []}


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
