"""The question to a mailbox: did you sign this? And the answer, found in what the mailbox signs back.

Proof of mailbox and key in one step, in the manner of RFC 8823: the token is only in the question, the question only in
the mailbox, and the answer counts only when the same key signs it. The reader is somebody who never heard of signers,
so the text says what happened, what to do, and what to do if it was somebody else. Automatic by RFC 3834, so that no
vacation notice answers it; what is not signed would count for nothing anyway.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import Address, Mailbox
from ime_gateway.mail.headers import HeaderBlock, make_address_field, make_field
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import walk
from ime_gateway.mail.received import date_time
from ime_gateway.mail.transfer_encoding import decode_transfer

CHALLENGE_HEADER = "X-IMEGW-Challenge"
CERTIFICATE_HEADER = "X-IMEGW-Challenge-Certificate"
LASTS_SECONDS = 48 * 3600
"""As long as mail servers commonly retry what was answered with a temporary refusal."""
ASK_AGAIN_SECONDS = 12 * 3600
"""After this the next attempt of the mail server asks anew: a mail can get lost or be overlooked."""
MOST_OPEN = 3
"""Unanswered questions to one person; more would be mail from us that an attacker orders."""
TOKEN_BYTES = 20
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, as in our ids: survives being typed
_TOKEN = re.compile(rb"imegw-([0-9a-z]{32})(?![0-9a-z])")
_MOST_TOKENS = 5
_READ_BYTES = 1 << 20
_TAG = re.compile(rb"<[^<>]{0,200}>")


@dataclass(frozen=True, slots=True)
class Question:
    """What the mail to the mailbox asks."""

    token: str
    mailbox: Address
    ime_address: Address
    """The address that the container was sent to; it asks and takes the answer."""
    thumbprint: str
    """`sha256:` and 64 hexadecimal digits of the waiting signer's certificate."""
    subject: str
    """Of that certificate, for people; whoever made the certificate wrote it."""
    asked_at: float
    expires_at: float
    """Both in seconds since 1970 UTC."""


def new_token(randomness: Callable[[int], bytes]) -> str:
    """A fresh token of 160 random bits, in letters that survive quoting, wrapping and small print."""
    number = int.from_bytes(randomness(TOKEN_BYTES), "big")
    return "imegw-" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(TOKEN_BYTES * 8 - 5, -1, -5))


def token_hash(token: str) -> str:
    """Hexadecimal SHA-256, the only form in which a token is stored."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def tokens_in(entity: Message) -> tuple[str, ...]:
    """The tokens in a signed entity, each once, at most five: in its own header or in one of its texts.

    Mail programs quote the question as text or HTML, in any transfer encoding and with marks before the lines.
    """
    found: dict[str, None] = {}
    said = b" ".join(field.value for field in entity.headers.all(CHALLENGE_HEADER))
    texts = [said]
    try:
        parts = walk(entity, max_parts=1_000)
    except UnreadableMail:
        return ()
    room = _READ_BYTES
    for part in parts:
        if part.media_type.startswith("text/") and room > 0:
            text = decode_transfer(entity.body[part.start : min(part.end, part.start + room)], part.encoding)
            room -= part.end - part.start
            texts += (text, _TAG.sub(b"", text)) if part.media_type == "text/html" else (text,)
    for text in texts:
        for match in _TOKEN.finditer(text.replace(b"\0", b"").lower()):
            found["imegw-" + match[1].decode("ascii")] = None
    return tuple(found)[:_MOST_TOKENS]


def question_mail(question: Question, hostname: str, unique: str) -> tuple[HeaderBlock, bytes]:
    """The header and the body of the question, 7-bit text. unique: the left side of its Message-ID."""
    asker = (Mailbox("Internal encryption", question.ime_address),)
    headers = HeaderBlock(
        (
            make_address_field("From", asker),
            make_address_field("To", (Mailbox("", question.mailbox),)),
            make_address_field("Reply-To", (Mailbox("", question.ime_address),)),
            make_field("Subject", "Did you send this encrypted message?"),
            make_field("Date", date_time(question.asked_at)),
            make_field("Message-ID", f"<{unique}@{hostname}>"),
            make_field("Auto-Submitted", "auto-generated"),
            make_field("X-Auto-Response-Suppress", "All"),
            make_field(CHALLENGE_HEADER, question.token),
            make_field(CERTIFICATE_HEADER, question.thumbprint),
            make_field("MIME-Version", "1.0"),
            make_field("Content-Type", "text/plain; charset=us-ascii"),
            make_field("Content-Transfer-Encoding", "7bit"),
        )
    )
    body = _TEXT.format(
        mailbox=_shown(str(question.mailbox)),
        subject=_shown(question.subject) or "(none)",
        thumbprint=_grouped(question.thumbprint),
        token=question.token,
        expires=date_time(question.expires_at),
    )
    return headers, body.replace("\n", "\r\n").encode("ascii")


_TEXT = """\
Hello,

an encrypted message from {mailbox}
has reached the mail encryption gateway. Your mail server keeps it
and tries again, because the certificate that signed it is not
known as yours yet.
This happens once for each computer that you write from.

The certificate:
    name         {subject}
    fingerprint  (SHA-256)
{thumbprint}

IF YOU HAVE JUST SENT AN ENCRYPTED MESSAGE
Reply to this mail, signed with the same certificate (in Outlook:
Options, Sign), and leave this line in your reply:

    {token}

Your message is then delivered by itself at the next attempt of
your mail server; you need not send it again. The add-in may
already have answered for you: then there is nothing to do.

IF IT WAS NOT YOU
Do not reply, and tell your administrator: somebody may be trying
to write in your name. Without a signed reply nothing is
delivered. This question ends on
{expires}.
"""


def _grouped(thumbprint: str) -> str:
    """The digits in groups of four, four lines of four groups: short enough to compare by eye."""
    digits = thumbprint.removeprefix("sha256:").upper()
    groups = [digits[place : place + 4] for place in range(0, len(digits), 4)]
    return "\n".join("        " + " ".join(groups[place : place + 4]) for place in range(0, len(groups), 4))


def _shown(text: str) -> str:
    """Somebody else's words inside our text: short, printable ASCII, on one line."""
    line = "".join(letter if " " <= letter <= "~" else "?" for letter in " ".join(text.split()))
    return line[:120]
