"""Who is left out under `on_unprotectable = "report"`: told to the sender once, never passed over in silence.

The others are served, so the refusal cannot be the reply to DATA; it is a DSN in the same transaction as the
message (RFC 3461 section 5.2.6), with the same reason that a refusal would have named.
"""

from collections.abc import Collection

from ime_gateway.mail.delivery_report import ReportedRecipient, Status, wants_report
from ime_gateway.pipeline.planning import Planned
from ime_gateway.policy.plan import RecipientPlan
from ime_gateway.ports.queue import Event, EventName, Parcel


def left_out_recipients(planned: Planned) -> list[ReportedRecipient]:
    """What the sender is told; the sent copy and NOTIFY without FAILURE are told nobody."""
    prepared = planned.prepared
    if prepared.sender is None:
        return []
    wishes = {entry.address.key: entry for entry in prepared.recipients if entry.copy == "recipient"}
    return [
        ReportedRecipient(
            address=str(plan.address),
            action="failed",
            status=Status.NOT_PROTECTED.value,
            diagnostic=f"{plan.reason.value}: {plan.reason.sentence_with(plan.detail)}",
            remote="",
            orcpt=wishes[plan.address.key].orcpt,
        )
        for plan in _left_out(planned)
        if wants_report(wishes[plan.address.key].notify, "failed")
    ]


def left_out_events(planned: Planned, parcel: Parcel, told: Collection[str]) -> list[Event]:
    """Tracking of who gets nothing: `refused` for each of them, an omitted sent copy included, and `reported`
    for the addresses in `told`."""
    return [
        Event(
            id=parcel.id,
            message_id=parcel.message_id,
            sender=parcel.sender,
            recipient=str(plan.address),
            copy=plan.copy,
            event=name,
            reason=plan.reason.value,
            detail=plan.detail,
            at=parcel.received_at,
        )
        for plan in planned.plan.recipients
        if plan.protection is None
        for name in _events_of(plan, told)
    ]


def _events_of(plan: RecipientPlan, told: Collection[str]) -> tuple[EventName, ...]:
    if plan.copy == "recipient" and str(plan.address) in told:
        return ("refused", "reported")
    return ("refused",)


def _left_out(planned: Planned) -> list[RecipientPlan]:
    return [plan for plan in planned.plan.recipients if plan.protection is None and plan.copy == "recipient"]
