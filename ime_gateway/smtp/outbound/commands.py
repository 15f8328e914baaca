"""MAIL and RCPT with the parameters that the next hop can take (RFC 5321 section 4.1.1, RFC 3461, RFC 1870).

Whatever came from a message ends here in a command line, so nothing that could end the line, or add
a parameter of its own, passes.
"""

import re

from ime_gateway.mail.delivery_report import Status
from ime_gateway.ports.relay import OutboundMail, OutboundRecipient, RelayReply
from ime_gateway.smtp.outbound.capabilities import Capabilities

_UNSAFE_PATH = re.compile(r"[\x00-\x1f\x7f]")
_PARAMETER = re.compile(r"[!-<>-~\u00a0-\U0010ffff]{1,600}")
"""An esmtp-value (RFC 5321 section 4.1.2): no blank, no `=`, no control character."""

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
STARTTLS = b"STARTTLS\r\n"


def hello(verb: str, name: str) -> bytes:
    """`EHLO` or `HELO` with our own name."""
    return f"{verb} {name}\r\n".encode("ascii")


def refusal_of_mail(mail: OutboundMail, capabilities: Capabilities) -> RelayReply | None:
    """Why this next hop can never take this mail; None when it can. Nothing is downgraded or converted."""
    limit = capabilities.size_limit
    if limit is not None and mail.size > limit:
        words = f"the message has {mail.size} bytes, the next server takes {limit}"
        return RelayReply.own(Status.TOO_BIG, words)
    if mail.smtputf8 and not capabilities.smtputf8:
        return RelayReply.own(Status.NEEDS_SMTPUTF8, "the next server does not take non-ASCII addresses or headers")
    if mail.eight_bit and not capabilities.eight_bit_mime:
        return RelayReply.own(Status.NEEDS_CONVERSION, "the next server takes no 8-bit text (8BITMIME)")
    if _UNSAFE_PATH.search(mail.sender):
        return RelayReply.own(Status.BAD_SENDER, "the sender's address holds control characters")
    return None


def refusal_of_recipient(recipient: OutboundRecipient) -> RelayReply | None:
    """Why an address cannot be written into a command; None when it can."""
    if _UNSAFE_PATH.search(recipient.address) or not recipient.address:
        return RelayReply.own(Status.BAD_RECIPIENT, "the recipient's address holds control characters")
    return None


def mail_from(mail: OutboundMail, capabilities: Capabilities) -> bytes:
    """The MAIL command; RET and ENVID only where the peer knows DSN (RFC 3461 section 5.2.2)."""
    words = [f"MAIL FROM:<{mail.sender}>"]
    if capabilities.size:
        words.append(f"SIZE={mail.size}")
    if mail.eight_bit:
        words.append("BODY=8BITMIME")
    if mail.smtputf8:
        words.append("SMTPUTF8")
    if capabilities.dsn:
        words += _parameter("RET", mail.ret, mail.smtputf8)
        words += _parameter("ENVID", mail.envid, mail.smtputf8)
    return _line(words)


def rcpt_to(recipient: OutboundRecipient, mail: OutboundMail, capabilities: Capabilities) -> bytes:
    """The RCPT command; NOTIFY and ORCPT only where the peer knows DSN."""
    words = [f"RCPT TO:<{recipient.address}>"]
    if capabilities.dsn:
        words += _parameter("NOTIFY", recipient.notify, mail.smtputf8)
        # ORCPT is `type;address`, its address in xtext: `=` stands there only as +3D.
        words += _parameter("ORCPT", recipient.orcpt, mail.smtputf8)
    return _line(words)


def _parameter(name: str, value: str, utf8: bool) -> list[str]:
    """The parameter as one word; none when there is no value, or one that could not stand in a command."""
    if not _PARAMETER.fullmatch(value) or not (utf8 or value.isascii()):
        return []
    return [f"{name}={value}"]


def _line(words: list[str]) -> bytes:
    return " ".join(words).encode("utf-8") + b"\r\n"
