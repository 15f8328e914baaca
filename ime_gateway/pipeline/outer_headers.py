"""The headers that stay outside: what each group of recipients reads on the envelope.

Everything but Content-* stays outside (RFC 8551 section 3.1), with our Received line and trace on top
and our status headers at the end. Signatures of our own domains over the clear text are broken by the
encryption and dropped (design 6.5, fact 9).
"""

import hmac
import re
from collections.abc import Container

from ime_gateway.ime.sent_copy import sent_copy_headers
from ime_gateway.mail.headers import Field, HeaderBlock, make_field
from ime_gateway.mail.received import received_field, trace_field
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.policy.plan import RecipientPlan
from ime_gateway.ports.reception import Submission

_SIGNING_DOMAIN = re.compile(rb"(?:^|;)\s*d\s*=\s*([^;\s]+)")


def transit_fields(submission: Submission, hostname: str, message_id: str, trace_key: bytes) -> tuple[Field, Field]:
    """Our Received line (RFC 5321 section 4.4, without `for`: it could name a blind recipient) and trace."""
    session = submission.session
    received = received_field(
        hostname=hostname,
        helo=session.helo,
        peer_ip=session.peer_ip,
        protocol=_protocol(submission),
        message_id=message_id,
        moment=submission.received_at,
    )
    return received, trace_field(message_id, trace_key)


def _protocol(submission: Submission) -> str:
    """The transmission type of RFC 3848 and RFC 6531."""
    session = submission.session
    if submission.smtputf8:
        return "UTF8SMTPS" if session.tls else "UTF8SMTP"
    if not session.esmtp:
        return "SMTP"
    return "ESMTPS" if session.tls else "ESMTP"


def without_broken_signatures(headers: HeaderBlock, ours: Container[str]) -> HeaderBlock:
    """Drop DKIM-Signature and ARC-* that name one of our own domains (RFC 6376 section 3.5, tag d=)."""
    return HeaderBlock(tuple(field for field in headers.fields if not _signed_by_us(field, ours)))


def _signed_by_us(field: Field, ours: Container[str]) -> bool:
    key = field.key
    if key == "arc-authentication-results":
        return True
    if key not in ("dkim-signature", "arc-message-signature", "arc-seal"):
        return False
    found = _SIGNING_DOMAIN.search(bytes(field.value))
    return found is not None and found.group(1).decode("ascii", "replace").lower() in ours


def status_fields(prepared: Prepared, group: list[RecipientPlan], managed: Container[str]) -> tuple[Field, ...]:
    """Our status headers for one group; they go only on mail to managed domains (design 6.4)."""
    fields = []
    if prepared.ime is not None:
        fields.append(make_field("X-ESWmail-InternalEncrypt", "yes"))
    if all(plan.address.domain in managed for plan in group):
        name = "X-SM-incoming" if prepared.direction == "incoming" else "X-SM-internal"
        fields.append(make_field(name, "yes"))
        if group[0].protection not in (None, "none"):
            fields.append(make_field("X-SM-encrypted", "yes"))
        version = prepared.versions.get(group[0].address.key)
        fields.extend(prepared.marks if version is None else version.marks)
    return tuple(fields)


def copy_headers(
    prepared: Prepared, outer: HeaderBlock, group: list[RecipientPlan], id_key: bytes, hostname: str
) -> HeaderBlock:
    """The sent copy's marker and Message-ID; other copies keep the headers as they are."""
    if group[0].copy != "sent":
        return outer
    sender = group[0].address.key
    also_recipient = any(entry.copy == "recipient" and entry.address.key == sender for entry in prepared.recipients)
    fresh = f"<{_sent_copy_id(outer, sender, id_key)}@{hostname}>"
    return sent_copy_headers(outer, sender_is_recipient=also_recipient, new_message_id=fresh)


def _sent_copy_id(outer: HeaderBlock, sender: str, id_key: bytes) -> str:
    """The same for the same message, so that a second delivery after a crash is suppressed as one; keyed,
    so that nobody can send mail under it beforehand and have the sent copy suppressed."""
    original = outer.first("message-id")
    named = original.text.strip() if original is not None else ""
    return hmac.new(id_key, f"sent copy\n{sender}\n{named}".encode(), "sha256").hexdigest()[:40]
