"""Reads reports of mail servers: was a carrier of ours refused for good (RFC 3464)?

Exchange tells of a refusal by a report in the sender's Inbox. It names the mail by the Message-ID of the
carrier: in the returned header, or (Exchange) in In-Reply-To and References. That id is random and known to
the mail servers on the way only, so nobody else can write such a report.
"""

import email
from collections.abc import Collection
from dataclasses import dataclass
from email.message import Message

from addin_sim.raw_mail import parse


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says about one of our carriers."""

    carrier_id: str
    reply: str
    """The words of the server that refused."""


def read_report(data: bytes, carrier_ids: Collection[str]) -> Report | None:
    """The refusal of one of these carriers, None for any other mail; a mere delay is no refusal."""
    try:
        return _report_in(data, carrier_ids)
    except RecursionError:  # anybody may send part in part in part; Python's reader gives up
        return None


def _report_in(data: bytes, carrier_ids: Collection[str]) -> Report | None:
    """By Python's older policy: the newer one raises on some headers that anybody can write, `Message-ID: <>` first."""
    mail = email.message_from_bytes(data)
    if mail.get_content_type() != "multipart/report" or mail.get_param("report-type") != "delivery-status":
        return None
    named = _named(mail, data) & set(carrier_ids)
    replies = [reply for group in _status_groups(mail) if (reply := _refusal(group))]
    if len(named) != 1 or not replies:
        return None
    return Report(named.pop(), replies[0])


def _named(mail: Message, data: bytes) -> set[str]:
    """The Message-IDs that the report is about."""
    header = parse(data)
    found = {word for name in ("In-Reply-To", "References") for word in header.value(name).split()}
    for part in mail.walk():
        match part.get_content_type():
            case "message/rfc822" if part.is_multipart():
                found.add(str(part.get_payload(0)["Message-ID"] or "").strip())  # type: ignore[index]
            case "text/rfc822-headers":
                returned = part.get_payload(decode=True)
                if isinstance(returned, bytes):
                    found.add(str(email.message_from_bytes(returned)["Message-ID"] or "").strip())
            case _:
                continue
    return found


def _status_groups(mail: Message) -> list[Message]:
    """One group for the mail, then one for each recipient (RFC 3464 section 2.1)."""
    groups: list[Message] = []
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status" and isinstance(part.get_payload(), list):
            groups += [group for group in part.get_payload() if isinstance(group, Message)]
    return groups


def _refusal(group: Message) -> str:
    """What the server said when this recipient was refused for good; empty otherwise."""
    if str(group.get("Action", "")).strip().lower() != "failed":
        return ""
    diagnostic = " ".join(str(group.get("Diagnostic-Code", "")).split())
    kind, found, words = diagnostic.partition(";")
    said = words.strip() if found and kind.lower() in ("smtp", "x-postfix") else diagnostic
    return said or f"Status {str(group.get('Status', '')).strip() or 'unknown'}"
