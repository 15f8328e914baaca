"""IME 1.0 mail: who may send it, what it may contain, and who gets it (design 6.5, facts 1 to 5).

The pseudo recipient disappears; everybody named in the ORIG headers appears with its DSN wishes, then
whoever was addressed beside it, and at last the sender with the sent copy.
"""

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ime.restore import Restored, Unrestorable, restore
from ime_gateway.mail.address import Address
from ime_gateway.mail.author import Author
from ime_gateway.mail.message import Message
from ime_gateway.mail.recognise import is_calendar, is_tnef, protection_of
from ime_gateway.pipeline.prepared import PreparedRecipient
from ime_gateway.ports.reception import Submission, SubmittedRecipient


def ime_recipients(
    submission: Submission, message: Message, author: Author | None, pseudo_recipient: Address
) -> tuple[Message, tuple[PreparedRecipient, ...]] | Refused:
    """The message with its recipients restored, and all recipients in their order; or why not."""
    sender = submission.sender
    if sender is None or author is None:
        return Refused(Reason.SENDER_NOT_MANAGED, "internal encryption needs an envelope sender")
    if sender.key not in author.keys:
        return Refused(
            Reason.FROM_MISMATCH, "the envelope sender is neither in From nor in Sender", address=str(sender)
        )
    try:
        content = _unfit_content(message)
    except UnreadableMail as error:
        return Refused(Reason.IME_MALFORMED, str(error))
    if content is not None:
        return content
    restored = restore(message.headers, pseudo_recipient)
    if isinstance(restored, Unrestorable):
        return Refused(restored.reason, restored.detail, address=restored.address)
    recipients = restored_recipients(submission, restored, pseudo_recipient)
    return message.with_headers(restored.headers), (*recipients, PreparedRecipient(sender, "sent", True, "NEVER"))


def _unfit_content(message: Message) -> Refused | None:
    """A winmail.dat can carry the Bcc list, an invitation would invite the IME address, and a
    container belongs to IME 2.0. Raises UnreadableMail."""
    if protection_of(message) == "smime-encrypted":
        return Refused(
            Reason.IME_MALFORMED, "the message is encrypted already; set InternalRecipient to the IME 2.0 address"
        )
    if is_tnef(message):
        return Refused(Reason.IME_TNEF, "the message contains winmail.dat")
    if is_calendar(message):
        return Refused(Reason.IME_CALENDAR, "the message is an invitation or an answer to one")
    return None


def restored_recipients(
    submission: Submission, restored: Restored, pseudo_recipient: Address
) -> tuple[PreparedRecipient, ...]:
    """NOTIFY of the IME address holds for each restored recipient (design 6.5, fact 2)."""
    by_key = {entry.address.key: entry for entry in submission.recipients}
    pseudo = by_key.pop(pseudo_recipient.key)
    prepared: dict[str, PreparedRecipient] = {}
    for address in restored.visible:
        prepared[address.key] = _prepare(address, by_key.get(address.key), pseudo, blind=False)
    for address in restored.blind:
        prepared[address.key] = _prepare(address, by_key.get(address.key), pseudo, blind=True)
    for key, entry in by_key.items():
        if key not in prepared:
            prepared[key] = _prepare(entry.address, entry, pseudo, blind=True)
    return tuple(prepared.values())


def _prepare(
    address: Address, own: SubmittedRecipient | None, pseudo: SubmittedRecipient, *, blind: bool
) -> PreparedRecipient:
    if own is not None:
        return PreparedRecipient(address, "recipient", blind, own.notify, own.orcpt)
    return PreparedRecipient(address, "recipient", blind, pseudo.notify)
