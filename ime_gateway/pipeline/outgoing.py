"""Mail of an internal listener: read what its sender asked for and whom it is for.

Insiders may steer the gateway by control headers and keywords, but never by status headers, which
only we set (P5). Mail to the IME address becomes IME mail; in all other mail the ORIG headers
mean nothing and are removed.
"""

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, flatten, parse_address_list
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.markers import BLIND_HEADERS, strip_controls, strip_nested_markers, strip_status
from ime_gateway.mail.message import Message
from ime_gateway.mail.recognise import is_calendar
from ime_gateway.pipeline.admission import Admitted
from ime_gateway.pipeline.ime_in import ime_recipients
from ime_gateway.pipeline.prepared import Prepared, PreparedRecipient
from ime_gateway.policy.facts import Direction
from ime_gateway.policy.triggers import Wishes, read_wishes
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.reception import Submission


def prepare_outgoing(
    submission: Submission, admitted: Admitted, view: SiteView, pseudo_recipient: Address
) -> Prepared | Refused:
    """Everything about a message from inside that can be known without asking anybody."""
    misaddressed = _misaddressed(submission, view, pseudo_recipient)
    if misaddressed is not None:
        return misaddressed
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
    message = message.with_headers(strip_controls(message.headers).without(BLIND_HEADERS))
    try:
        message = strip_nested_markers(message)
    except UnreadableMail as error:
        return Refused(Reason.MALFORMED, str(error))
    return _prepared(submission, message, recipients, wishes, view, ime=ime)


def _misaddressed(submission: Submission, view: SiteView, pseudo_recipient: Address) -> Refused | None:
    """Mail that was meant to be encrypted internally but misses the address must not pass as ordinary mail (P1)."""
    for entry in submission.recipients:
        address = entry.address
        if address.domain == pseudo_recipient.domain and address.key != pseudo_recipient.key:
            detail = f"internal encryption listens at {pseudo_recipient} only"
            return Refused(Reason.IME_MALFORMED, detail, address=str(address))
        if address.domain.startswith("ime.") and address.domain.removeprefix("ime.") in view.managed:
            detail = "internal encryption with containers (IME 2.0) is not available in this version"
            return Refused(Reason.METHOD_NOT_AVAILABLE, detail, address=str(address))
    return None


def _prepared(
    submission: Submission,
    message: Message,
    recipients: tuple[PreparedRecipient, ...],
    wishes: Wishes,
    view: SiteView,
    *,
    ime: bool,
) -> Prepared:
    return Prepared(
        message=message,
        sender=submission.sender,
        recipients=recipients,
        direction=_direction(recipients, view),
        origin="internal",
        ime="1.0" if ime else None,
        wants_encryption=wishes.encrypt,
        wants_plain=wishes.plain,
        calendar=not ime and is_calendar(message),
        unavailable=wishes.unavailable,
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
