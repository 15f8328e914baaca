"""Mail of an internal listener: read what its sender asked for and whom it is for.

Insiders may steer the gateway by control headers and keywords, but never by status headers, which
only we set (P5). Mail to the IME address becomes IME mail; in all other mail the ORIG headers
mean nothing and are removed.
"""

from typing import Literal

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, flatten, parse_address_list
from ime_gateway.mail.header_protection import is_protected
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.markers import BLIND_HEADERS, strip_controls, strip_nested_markers, strip_status
from ime_gateway.mail.message import Message
from ime_gateway.mail.recognise import is_calendar
from ime_gateway.pipeline.admission import Admitted
from ime_gateway.pipeline.ime_addresses import misaddressed
from ime_gateway.pipeline.ime_in import ime_recipients
from ime_gateway.pipeline.prepared import Prepared, PreparedRecipient
from ime_gateway.pipeline.sign_outgoing import desktop_protection
from ime_gateway.policy.facts import Direction
from ime_gateway.policy.triggers import Wishes, hides_subject, read_wishes
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.reception import Submission


def prepare_outgoing(
    submission: Submission, admitted: Admitted, view: SiteView, pseudo_recipient: Address
) -> Prepared | Refused:
    """Everything about a message from inside that can be known without asking anybody."""
    missed = misaddressed(submission, view, pseudo_recipient)
    if missed is not None:
        return missed
    trusted = strip_status(admitted.message.headers)
    wishes = read_wishes(trusted, view.policy.subject_keywords)
    message = admitted.message.with_headers(wishes.headers)
    ime = any(entry.address.key == pseudo_recipient.key for entry in submission.recipients)
    if ime:
        restored = ime_recipients(submission, message, admitted.author, pseudo_recipient)
        if isinstance(restored, Refused):
            return restored
        message, recipients = restored
    else:
        recipients = addressed_recipients(submission, message.headers)
    return prepare_original(submission, message, recipients, wishes, view, "1.0" if ime else None)


def prepare_original(
    submission: Submission,
    message: Message,
    recipients: tuple[PreparedRecipient, ...],
    wishes: Wishes,
    view: SiteView,
    ime: Literal["1.0", "2.0"] | None,
) -> Prepared | Refused:
    """An insider's message as it will go on, to recipients who are known by now: nothing in it steers or tells of
    blind recipients any more, at no nesting."""
    message = message.with_headers(strip_controls(message.headers).without(BLIND_HEADERS))
    try:
        message = strip_nested_markers(message)
        calendar = ime is None and is_calendar(message)
        protected = is_protected(message.headers)
        desktop = desktop_protection(message)
    except UnreadableMail as error:
        return Refused(Reason.MALFORMED, str(error))
    wanted_hidden = wishes.hidden_subject or protected
    return Prepared(
        message=message,
        sender=submission.sender,
        recipients=recipients,
        direction=_direction(recipients, view),
        origin="internal",
        ime=ime,
        wants_encryption=wishes.encrypt,
        wants_plain=wishes.plain,
        wants_signature=wishes.sign,
        desktop=desktop,
        calendar=calendar,
        unavailable=wishes.unavailable,
        hide_subject=hides_subject(view.policy.protect_subject, wanted_hidden, ime),
    )


def _direction(recipients: tuple[PreparedRecipient, ...], view: SiteView) -> Direction:
    inside = all(entry.address.domain in view.managed for entry in recipients)
    return "internal" if inside else "outgoing"


_READ_BYTES = 65_536
"""So much of To and Cc is read: enough for a thousand people, and no way to keep the worker busy."""


def addressed_recipients(submission: Submission, headers: HeaderBlock) -> tuple[PreparedRecipient, ...]:
    """The envelope's recipients in the order To, Cc, others; blind is who stands in neither.

    A To or Cc that cannot be read makes nobody visible: that costs an envelope, never a secret (P6).
    """
    places: dict[str, int] = {}
    room = _READ_BYTES
    for field in (*headers.all("to"), *headers.all("cc")):
        room -= len(field.raw)
        if room < 0:
            break
        try:
            listed = flatten(parse_address_list(field.text))
        except UnreadableMail:
            continue
        for mailbox in listed:
            places.setdefault(mailbox.address.key, len(places))
    last = len(places)
    ordered = sorted(submission.recipients, key=lambda entry: places.get(entry.address.key, last))
    return tuple(
        PreparedRecipient(entry.address, "recipient", entry.address.key not in places, entry.notify, entry.orcpt)
        for entry in ordered
    )
