"""Internal mail encryption 1.0, the add-in's half: the recipients move into headers of their own.

Exchange sees one recipient that exists nowhere and hands the mail to the gateway, which restores the
list. The mail itself crosses Exchange in clear; the copy that Outlook keeps in Sent Items carries a
local marker so that the add-in can remove it once the encrypted copy has come back.
"""

from dataclasses import dataclass

from addin_sim.raw_mail import Field, RawMail, UnusableMailError, make_field

MARKER = "$IME"
"""The IMAP keyword that plays the add-in's MAPI named property "Internal Encryption"; never sent."""

_ORIGINAL_OF = {"To": "X-SM-ORIGTO", "Cc": "X-SM-ORIGCC", "Bcc": "X-SM-ORIGBCC"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is submitted: the envelope's only recipient, and the bytes that Outlook also saves."""

    recipient: str
    data: bytes


def for_ime1(mail: RawMail, internal_recipient: str) -> Outgoing:
    """The mail as the add-in hands it to Exchange; `UnusableMailError` when it has no recipient at all."""
    moved: list[Field] = []
    for name, original in _ORIGINAL_OF.items():
        recipients = ", ".join(field.value for field in mail.all(name) if field.value)
        if recipients:
            moved.append(make_field(original, recipients))
    if not moved:
        raise UnusableMailError("The mail has no recipient; give To, Cc or Bcc.")
    addressed = mail.without(*_ORIGINAL_OF.values(), "Cc", "Bcc").put(make_field("To", internal_recipient))
    return Outgoing(internal_recipient, addressed.add(*moved).to_bytes())
