"""The original out of a container becomes a message of its own, with its recipients, as if it had come in clear.

The carrier is thrown away; only who is named under the signature gets anything (a captured container must not gain a
reader). What steers and what tells of blind recipients is removed as from IME 1.0 mail.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ime_gateway.base.outcome import Refused
from ime_gateway.ime.inner import InnerMessage
from ime_gateway.ime.restore import Unrestorable, restore_inner
from ime_gateway.mail.address import Address
from ime_gateway.mail.author import Author
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.markers import strip_status
from ime_gateway.mail.message import Message
from ime_gateway.pipeline.ime_in import restored_recipients
from ime_gateway.pipeline.outgoing import prepare_original
from ime_gateway.pipeline.prepared import Prepared, PreparedRecipient
from ime_gateway.policy.triggers import read_wishes
from ime_gateway.ports.containers import ContainerRecord
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.reception import Submission

MOST_RECIPIENTS = 1_000
"""People in one container; SMTP itself asks for a hundred (RFC 5321 section 4.5.3.1.8)."""


@dataclass(frozen=True, slots=True)
class Original:
    """The message inside, and everybody it is for."""

    message: Message
    """With the headers as signed, without recipients that must not be seen."""
    signed_headers: HeaderBlock
    """As signed, whole."""
    recipients: tuple[PreparedRecipient, ...]


@dataclass(frozen=True, slots=True)
class ForTheGateway:
    """The message inside is for nobody but the gateway: at most the answer to a question."""

    otherwise: Refused
    """What it is when it answers nothing."""


def read_original(
    submission: Submission, inner: InnerMessage, ime_address: Address, is_ime: Callable[[Address], bool]
) -> Original | ForTheGateway | Refused:
    """Restore the recipients from inside; there are no others."""
    restored = restore_inner(inner.message.headers, is_ime, MOST_RECIPIENTS)
    if isinstance(restored, Unrestorable):
        refused = Refused(restored.reason, restored.detail, address=restored.address)
        return ForTheGateway(refused) if restored.only_ime else refused
    return Original(
        message=inner.message.with_headers(restored.headers),
        signed_headers=inner.message.headers,
        recipients=restored_recipients(submission, restored, ime_address),
    )


def same_people(inner: Author, carrier: Author) -> bool:
    """From and Sender inside and outside name the same people in the same roles (design 6.5, fact 1)."""
    return _roles(inner) == _roles(carrier)


def _roles(author: Author) -> tuple[frozenset[str], str]:
    """A Sender that repeats the only From says nothing new (RFC 5322 section 3.6.2)."""
    people = frozenset(mailbox.address.key for mailbox in author.from_)
    return people, author.responsible.key


def to_prepared(
    submission: Submission,
    original: Original,
    carrier: HeaderBlock,
    record: ContainerRecord,
    sender: Address,
    view: SiteView,
) -> Prepared | Refused:
    """The message ready to be decided about; its sender gets the sent copy."""
    wishes = read_wishes(strip_status(original.message.headers), view.policy.subject_keywords)
    recipients = (*original.recipients, PreparedRecipient(sender, "sent", True, "NEVER"))
    message = original.message.with_headers(wishes.headers)
    prepared = prepare_original(submission, message, recipients, wishes, view, "2.0")
    return prepared if isinstance(prepared, Refused) else replace(prepared, carrier=carrier, container=record)
