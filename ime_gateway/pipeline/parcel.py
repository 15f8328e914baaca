"""The parcel of one accepted message, and the tracking events that tell its story.

What stands here is written in the same transaction as the message itself, so that tracking never
knows more or less than the queue does (P4).
"""

from collections.abc import Callable

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.header_protection import hidden_outer
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.mail.secure_parts import split_for_encryption
from ime_gateway.pipeline.planning import Planned
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.pipeline.protect import Protected
from ime_gateway.policy.plan import RecipientPlan
from ime_gateway.ports.queue import Event, EventName, Parcel, Row
from ime_gateway.ports.reception import Submission


def build_parcel(
    submission: Submission,
    planned: Planned,
    protected: Protected,
    message_id: str,
    fresh_id: Callable[[float], str],
) -> Parcel:
    """One row per copy and recipient who is served; who is left out has no row and no envelope."""
    prepared = planned.prepared
    wishes = {(entry.copy, entry.address.key): entry for entry in prepared.recipients}
    rows = []
    for plan in planned.plan.recipients:
        if plan.protection is None:
            continue
        wish = wishes[plan.copy, plan.address.key]
        rows.append(
            Row(
                id=fresh_id(submission.received_at),
                envelope_id=protected.envelope_of[plan.group],
                recipient=str(plan.address),
                copy=plan.copy,
                protection=plan.protection,
                reason=plan.reason.value,
                detail=plan.detail,
                notify=wish.notify,
                orcpt=wish.orcpt,
            )
        )
    return Parcel(
        id=message_id,
        sender=str(submission.sender or ""),
        message_id=message_id_header(prepared.message),
        origin=prepared.origin,
        received_at=submission.received_at,
        bodies=tuple(protected.bodies),
        envelopes=tuple(protected.envelopes),
        rows=tuple(rows),
        ret=submission.ret,
        envid=submission.envid,
        smtputf8=submission.smtputf8 or _needs_smtputf8(prepared),
        return_headers=return_headers(prepared),
    )


def return_headers(prepared: Prepared) -> bytes:
    """The header block for a DSN: outer headers only, and never Bcc (RFC 3464, RFC 5321 section 7.2)."""
    if prepared.carrier is not None:
        # The report passes the mail server: it says no more of a container's original than the carrier did.
        return HeaderBlock(field for field in prepared.carrier.fields if field.key in _NEUTRAL).to_bytes()
    outer, _ = split_for_encryption(prepared.message.headers)
    if prepared.hide_subject:
        outer = hidden_outer(outer)
    return outer.without({"bcc"}).to_bytes()


_NEUTRAL = frozenset(("from", "sender", "to", "date", "subject", "message-id"))


def message_id_header(message: Message) -> str:
    """The Message-ID as people search for it; empty when there is none."""
    found = message.headers.first("message-id")
    return found.text.strip()[:998] if found is not None else ""


def accepted_events(parcel: Parcel) -> list[Event]:
    """`accepted` for every row, with the reason of its protection."""
    return [
        Event(
            id=parcel.id,
            message_id=parcel.message_id,
            sender=parcel.sender,
            recipient=row.recipient,
            copy=row.copy,
            event="accepted",
            reason=row.reason,
            detail=row.detail,
            at=parcel.received_at,
            row=row.id,
        )
        for row in parcel.rows
    ]


def refused_events(submission: Submission, refusal: Refused, planned: Planned | None, message_id: str) -> list[Event]:
    """`refused` for every recipient: who stands in the way with the own reason, the others with that one."""
    if planned is None or not planned.plan.recipients:
        return submission_events(submission, message_id, "refused", refusal.reason, refusal.detail)
    header = message_id_header(planned.prepared.message)
    return [_refused(submission, refusal, plan, header, message_id) for plan in planned.plan.recipients]


def submission_events(
    submission: Submission, message_id: str, event: EventName, reason: Reason, detail: str
) -> list[Event]:
    """One line for each recipient of the envelope, under the Message-ID of what came, as it stands there in clear:
    of a container that is its carrier's, by which its sender can ask for it."""
    try:
        header = message_id_header(parse_message(submission.data))
    except UnreadableMail:
        header = ""
    return [
        Event(
            id=message_id,
            message_id=header,
            sender=str(submission.sender or ""),
            recipient=str(entry.address),
            copy="recipient",
            event=event,
            reason=reason.value,
            detail=detail,
            at=submission.received_at,
        )
        for entry in submission.recipients
    ]


def _refused(submission: Submission, refusal: Refused, plan: RecipientPlan, header: str, message_id: str) -> Event:
    in_the_way = plan.protection is None
    about = f" ({refusal.address})" if refusal.address and not in_the_way else ""
    return Event(
        id=message_id,
        message_id=header,
        sender=str(submission.sender or ""),
        recipient=str(plan.address),
        copy=plan.copy,
        event="refused",
        reason=plan.reason.value if in_the_way else refusal.reason.value,
        detail=plan.detail if in_the_way else f"refused with the whole message{about}: {refusal.detail}",
        at=submission.received_at,
    )


def _needs_smtputf8(prepared: Prepared) -> bool:
    """An address with a non-ASCII local part travels only with SMTPUTF8 (RFC 6531 section 3.2)."""
    addresses = [entry.address for entry in prepared.recipients]
    if prepared.sender is not None:
        addresses.append(prepared.sender)
    return any(address.smtputf8 for address in addresses)
