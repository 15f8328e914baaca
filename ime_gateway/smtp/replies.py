"""Every reply that the gateway speaks as an SMTP server; the only place where reply codes are written.

A reply is what the submitting server shows to its user, so it must say in one line what is wrong and with which
address (RFC 5321 section 4.2; enhanced codes RFC 2034, RFC 3463 and the registry of RFC 5248).
"""

import re
from collections.abc import Iterable
from typing import assert_never

from ime_gateway.base.outcome import Accepted, Outcome, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ports.recipient_probe import Knowledge

MAX_REPLY_CHARACTERS = 400
"""Exchange cuts longer lines out of the "diagnostic information" it shows (design 6.5, fact 8)."""

_POLICY = "550 5.7.1"
_CONTENT = "554 5.6.0"
_PERMANENT: dict[Reason, str] = {
    Reason.PERSONAL_CERTIFICATE: _POLICY,
    Reason.DOMAIN_CERTIFICATE: _POLICY,
    Reason.NOT_REQUIRED: _POLICY,
    Reason.PLAIN_OVERRULED: _POLICY,
    Reason.NO_CERTIFICATE: _POLICY,
    Reason.CERTIFICATE_EXPIRED: _POLICY,
    Reason.CERTIFICATE_NOT_YET_VALID: _POLICY,
    Reason.CERTIFICATE_REVOKED: _POLICY,
    Reason.CERTIFICATE_UNTRUSTED: _POLICY,
    Reason.CERTIFICATE_DENIED: _POLICY,
    Reason.CERTIFICATE_UNFIT: _POLICY,
    Reason.CERTIFICATE_WEAK: _POLICY,
    Reason.REVOCATION_UNKNOWN: _POLICY,
    Reason.METHOD_DISABLED: _POLICY,
    Reason.METHOD_NOT_AVAILABLE: _POLICY,
    Reason.RECIPIENT_IS_GROUP: _POLICY,
    Reason.RECIPIENT_UNKNOWN: "550 5.1.1",
    Reason.SENDER_NOT_MANAGED: _POLICY,
    Reason.FROM_MISMATCH: _POLICY,
    Reason.FROM_AMBIGUOUS: _CONTENT,
    Reason.NO_SENDER_CERTIFICATE: _POLICY,
    Reason.IME_NO_RECIPIENTS: _CONTENT,
    Reason.IME_MALFORMED: _CONTENT,
    Reason.IME_UNSIGNED: "554 5.7.1",
    Reason.IME_BAD_SIGNATURE: "554 5.7.1",
    Reason.IME_SIGNER_UNKNOWN: "554 5.7.1",
    Reason.IME_SIGNER_MISMATCH: "554 5.7.1",
    Reason.IME_REPLAY: "554 5.7.1",
    Reason.IME_TOO_OLD: "554 5.7.1",
    Reason.IME_NESTED: _CONTENT,
    Reason.IME_TNEF: _CONTENT,
    Reason.IME_CALENDAR: _CONTENT,
    Reason.TOO_LARGE: "552 5.3.4",
    Reason.MALFORMED: _CONTENT,
    Reason.LOOP: "554 5.4.6",
    Reason.RELAY_DENIED: _POLICY,
    # These two are trouble of ours, never the sender's: temporary whatever the outcome says.
    Reason.STORE_UNAVAILABLE: "451 4.3.0",
    Reason.LOOKUP_TIMEOUT: "451 4.4.3",
    Reason.CIPHERTEXT_REUSED: "554 5.7.1",
    Reason.DECRYPTED: "554 5.7.1",
    Reason.NOT_ENCRYPTED: "550 5.7.1",
    Reason.SIGNATURE_INVALID: "550 5.7.7",
    Reason.DESKTOP_ENCRYPTED: "550 5.7.1",
    Reason.KEY_EXCHANGE: "550 5.7.1",
}
_TEMPORARY: dict[Reason, str] = {
    Reason.STORE_UNAVAILABLE: "451 4.3.0",
    Reason.LOOKUP_TIMEOUT: "451 4.4.3",
    Reason.REVOCATION_UNKNOWN: "451 4.7.5",
    Reason.TOO_LARGE: "452 4.3.4",
    Reason.MALFORMED: "451 4.6.0",
    Reason.RECIPIENT_UNKNOWN: "450 4.1.1",
}
_TEMPORARY_ELSE = "451 4.7.1"


def _one_line(text: str) -> str:
    """Printable ASCII on one line: nothing in a reply can start a line of its own (RFC 5321 section 4.2)."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in " ".join(text.split()))


def _address(text: str) -> str:
    """An address on one line, letters beyond ASCII as `\\xfc` or `\\u0142`: whoever reads it must know who is meant."""
    return _one_line(" ".join(text.split()).encode("ascii", "backslashreplace").decode("ascii"))[:120]


def reply_for(refused: Refused) -> str:
    """The reply to a refusal, without its CRLF: code, address, reason with its sentence, evidence, tracking id.

    At most 400 characters; the evidence is cut first, because code, address and id must survive.
    """
    codes = _TEMPORARY.get(refused.reason, _TEMPORARY_ELSE) if refused.temporary else _PERMANENT[refused.reason]
    address = f" <{_address(refused.address)}>" if refused.address else ""
    tracking = f" (id={_one_line(refused.message_id)[:64]})" if refused.message_id else ""
    middle = _one_line(f"{refused.reason}: {refused.reason.sentence_with(refused.detail)}")
    room = MAX_REPLY_CHARACTERS - len(codes) - len(address) - len(tracking) - 1
    if len(middle) > room:
        middle = middle[: room - 1].rstrip() + ")"
    return f"{codes}{address} {middle}{tracking}"


def refused(refusal: Refused) -> bytes:
    """`reply_for` as it goes on the wire."""
    return reply_for(refusal).encode("ascii") + b"\r\n"


def accepted(message_id: str) -> bytes:
    """The message is protected and durable (RFC 5321 section 6.1); the text is a contract (design 6.1)."""
    return f"250 2.0.0 accepted id={_one_line(message_id)}\r\n".encode("ascii")


def outcome(result: Outcome) -> bytes:
    """The reply to the end of a message."""
    match result:
        case Accepted(message_id=message_id):
            return accepted(message_id)
        case Refused():
            return refused(result)
        case _:
            assert_never(result)


def code(reply: bytes) -> int:
    """The three digits of a reply; its class is `code // 100` (RFC 5321 section 4.2.1)."""
    return int(reply[:3])


def is_protocol_error(reply: bytes) -> bool:
    """Does the reply say that the peer does not speak SMTP properly (and not that it may not do what it asks), or that
    it tries out addresses? Both end a connection when they come too often."""
    return reply[:2] == b"50" or reply[:3] in (b"530", b"555") or reply.startswith(b"550 5.1.1 ")


_NO_SUCH_MAILBOX = re.compile(r"5\.1\.(?:1|6|10)(?![0-9.])|[^#]{0,300}\(#5\.1\.1\)$")
"""Bad mailbox, moved without a new address, and Exchange's word for "not found" (RFC 3463, RFC 5248); qmail's form."""


def recipient_knowledge(code: int, text: str) -> Knowledge:
    """What a server's reply to RCPT says about the mailbox. Only a plain "no such mailbox" is a no: a server may
    refuse for a hundred other reasons, and most of them are about us (RFC 3463 section 3.2)."""
    if code // 100 == 2:
        return "known"
    return "unknown" if code in (550, 553) and _NO_SUCH_MAILBOX.match(text) else "unsure"


# The connection (RFC 5321 section 3.1, 3.8)


def greeting(hostname: str) -> bytes:
    """The gateway is ready."""
    return f"220 {hostname} ESMTP ime-gateway\r\n".encode("ascii")


def not_allowed(hostname: str) -> bytes:
    """The peer's address is outside the listener's `allow` (design 6.2)."""
    return f"554 5.7.1 {hostname} takes no mail from your address\r\n".encode("ascii")


TOO_MANY_CONNECTIONS = b"421 4.7.0 too many connections, try again later\r\n"
TOO_MANY_ERRORS = b"421 4.7.0 too many errors, closing the connection\r\n"
STOPPING = b"421 4.3.2 the gateway is being stopped or restarted, try again later\r\n"
TIMED_OUT = b"421 4.4.2 timeout, closing the connection\r\n"
CLOSING = b"221 2.0.0 bye\r\n"

# Commands


def hello(hostname: str, keywords: Iterable[str] | None) -> bytes:
    """The reply to EHLO with its keywords, or to HELO (`keywords` None) (RFC 5321 section 4.1.1.1)."""
    lines = [hostname, *(keywords or ())]
    before = [f"250-{line}\r\n" for line in lines[:-1]]
    return ("".join(before) + f"250 {lines[-1]}\r\n").encode("ascii")


OK = b"250 2.0.0 OK\r\n"
SENDER_OK = b"250 2.1.0 sender OK\r\n"
RECIPIENT_OK = b"250 2.1.5 recipient OK\r\n"
SEND_DATA = b"354 end data with <CR><LF>.<CR><LF>\r\n"
CHUNK_OK = b"250 2.0.0 chunk taken\r\n"
READY_FOR_TLS = b"220 2.0.0 ready to start TLS\r\n"
WILL_TRY = b"252 2.0.0 addresses are not verified here; send the mail and see\r\n"
HELP = b"214 2.0.0 see RFC 5321; the administrator of this gateway is at postmaster\r\n"

UNKNOWN_COMMAND = b"500 5.5.1 command not recognised\r\n"
NOT_IMPLEMENTED = b"502 5.5.1 command not implemented\r\n"
LINE_TOO_LONG = b"500 5.5.2 line too long\r\n"
BARE_NEWLINE_IN_COMMAND = b"500 5.5.2 lines must end with CR LF, and neither may stand alone\r\n"
CONTROL_IN_COMMAND = b"501 5.5.2 control characters are not allowed in a command\r\n"
NOT_TEXT = b"501 5.5.2 the command is neither ASCII nor UTF-8\r\n"
NO_ARGUMENT = b"501 5.5.4 the command takes no argument\r\n"
TLS_FIRST = b"530 5.7.0 must issue a STARTTLS command first\r\n"
STARTTLS_NOT_LAST = b"503 5.5.1 STARTTLS must be the last command of its group, closing the connection\r\n"
NO_VALID_RECIPIENTS = b"554 5.5.1 no valid recipients\r\n"
TOO_MANY_RECIPIENTS = b"452 4.5.3 too many recipients, send the rest in another transaction\r\n"
OUT_OF_MEMORY = b"452 4.3.1 too much mail in hand at the moment, try again later\r\n"
NEEDS_SMTPUTF8 = b"553 5.6.7 a non-ASCII address needs the SMTPUTF8 parameter of MAIL\r\n"
INTERNAL_ERROR = b"451 4.3.0 internal error, nothing was accepted, try again later\r\n"
BARE_NEWLINE_IN_DATA = b"554 5.6.0 malformed: a CR or LF stands alone in the message; lines must end with CR LF\r\n"
NUL_IN_DATA = b"554 5.6.0 malformed: the message holds a NUL byte\r\n"


def out_of_order(sentence: str) -> bytes:
    """The command is right but not now (RFC 5321 section 4.1.4)."""
    return f"503 5.5.1 {_one_line(sentence)}\r\n".encode("ascii")


def bad_argument(sentence: str) -> bytes:
    """Arguments that cannot be understood."""
    return f"501 5.5.4 {_one_line(sentence)[:300]}\r\n".encode("ascii")


def bad_sender(sentence: str) -> bytes:
    """MAIL names no mailbox."""
    return f"501 5.1.7 {_one_line(sentence)[:300]}\r\n".encode("ascii")


def bad_recipient(sentence: str) -> bytes:
    """RCPT names no mailbox."""
    return f"501 5.1.3 {_one_line(sentence)[:300]}\r\n".encode("ascii")


def unknown_parameter(keyword: str) -> bytes:
    """A MAIL or RCPT parameter that was not announced (RFC 5321 section 4.1.1.11)."""
    return f"555 5.5.4 parameter {_one_line(keyword)[:40]} is not supported\r\n".encode("ascii")


def too_large(limit: int) -> bytes:
    """The message, or its declared SIZE, is over the limit in bytes (RFC 1870 section 6)."""
    return f"552 5.3.4 the message is larger than the {limit} bytes that are accepted here\r\n".encode("ascii")
