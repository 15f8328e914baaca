"""The report to a sender whose message was not delivered, or left for a place that sends no reports (RFC 3464).

It is what stands between "accepted" and "lost" (RFC 5321 section 6.1). It carries the header of the
message and never its body: what was protected on the way out does not come back in clear. Never
written for an empty sender: a report about a report would go round for ever (RFC 3461 section 5.2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Literal

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.headers import HeaderBlock, parse_fields

Action = Literal["failed", "relayed"]


class Status(StrEnum):
    """Enhanced status codes of our own words about the next hop (RFC 3463, registry of RFC 5248)."""

    RELAYED = "2.0.0"
    STORE_TROUBLE = "4.3.0"
    NO_ANSWER = "4.4.1"
    BROKEN_CONNECTION = "4.4.2"
    NO_ROUTE_KNOWN = "4.4.3"
    EXPIRED = "4.4.7"
    PROTOCOL_TROUBLE = "4.5.0"
    FAILED = "5.0.0"
    BAD_DOMAIN = "5.1.2"
    BAD_RECIPIENT = "5.1.3"
    BAD_SENDER = "5.1.7"
    NULL_MX = "5.1.10"
    WITHDRAWN = "5.3.0"
    TOO_BIG = "5.3.4"
    LOOP = "5.4.6"
    UNSAFE_CONTENT = "5.6.0"
    NEEDS_CONVERSION = "5.6.3"
    NEEDS_SMTPUTF8 = "5.6.7"
    NOT_RELAYED = "5.7.1"
    NOT_PROTECTED = "5.7.10"


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of one recipient."""

    address: str
    action: Action
    status: str
    """Enhanced status code (RFC 3463)."""
    diagnostic: str
    """The reply that decided it, in one line."""
    remote: str = ""
    """Host that gave the reply; empty when the words are ours (RFC 3464 section 2.3.5)."""
    orcpt: str = ""
    """ORCPT= of the recipient, xtext kept."""


@dataclass(frozen=True, slots=True)
class ReportedMessage:
    """The message that is reported about."""

    id: str
    """Our tracking id."""
    sender: str
    message_id: str
    """Its Message-ID header; may be empty."""
    envid: str
    """ENVID= as it came, xtext kept; may be empty."""
    received_at: float
    headers: bytes
    """Its header block; Bcc and control headers are removed here whatever was removed before."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report ready to be queued with an empty reverse-path (RFC 3461 section 6.1)."""

    head: bytes
    """Header block with its final empty line."""
    body: bytes
    """Seven-bit, CRLF line ends."""
    message_id: str


RANDOM_BYTES = 16
_HEADER_BYTES = 65_536
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_STATUS = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9.])")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_PRIVATE_NAMES = frozenset({"bcc", "resent-bcc", "x-smenc", "x-smsign", "x-smplain", "x-smwebmail"})
_PRIVATE_PREFIXES = ("x-sm-", "x-eswmail-", "x-imegw-", "x-ms-exchange-organization-")
_TEXT_LINE = 78


def wants_report(notify: str, action: Action) -> bool:
    """Does the sender want to hear of this (RFC 3461 sections 5.2.2 and 5.2.6)?

    notify: NOTIFY= in upper case, empty when none was given: then failures are reported and nothing else.
    """
    if not notify:
        return action == "failed"
    return ("FAILURE" if action == "failed" else "SUCCESS") in notify.split(",")


def status_of(code: int, text: str) -> str:
    """The enhanced status code of a reply, or the unspecific one of its class (RFC 3461 section 6.3 (g))."""
    kind = code // 100
    found = _STATUS.match(text)
    return found[0] if found is not None and found[1] == str(kind) else f"{kind if kind in (2, 5) else 4}.0.0"


def delivery_report(
    original: ReportedMessage,
    recipients: Sequence[ReportedRecipient],
    *,
    hostname: str,
    moment: float,
    randomness: bytes,
) -> Report:
    """Write one report about all `recipients` of one message.

    moment: seconds since 1970 UTC. randomness: at least `RANDOM_BYTES` bytes. Raises ValueError for
    an empty sender: that report must never exist.
    """
    if not original.sender:
        raise ValueError("no report goes to the null reverse-path")
    hostname = _plain(hostname)
    token = randomness[:RANDOM_BYTES].hex()
    boundary = f"=_report_{token}"  # random, and "=_" stands in no quoted-printable or base64 text
    message_id = f"<{token}.report@{hostname}>"
    parts = (
        _part("text/plain", _explanation(original, recipients, hostname).encode("utf-8"), "Notification"),
        _part("message/delivery-status", _status_fields(original, recipients, hostname, moment), "Delivery report"),
        _part("text/rfc822-headers", _returned(original.headers), "Headers of the message"),
    )
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    preface = b"This is a delivery report in MIME format (RFC 3464).\r\n\r\n"
    head = _head(original, recipients, hostname, moment, boundary, message_id)
    return Report(head, preface + body + b"--" + boundary.encode() + b"--\r\n", message_id)


def _head(
    original: ReportedMessage,
    recipients: Sequence[ReportedRecipient],
    hostname: str,
    moment: float,
    boundary: str,
    message_id: str,
) -> bytes:
    """A generic subject: what the message was about stays in the returned header."""
    failed = any(recipient.action == "failed" for recipient in recipients)
    lines = [
        f"Date: {_date(moment)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
        f"To: <{_plain(original.sender, utf8=True)}>",
        f"Subject: {'Undelivered mail' if failed else 'Delivery report: mail passed on'}",
        f"Message-ID: {message_id}",
        "Auto-Submitted: auto-replied",  # RFC 3834 section 5: nobody's vacation program answers this
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
    ]
    if _MESSAGE_ID.fullmatch(original.message_id):
        lines[5:5] = [f"In-Reply-To: {original.message_id}", f"References: {original.message_id}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def _explanation(original: ReportedMessage, recipients: Sequence[ReportedRecipient], hostname: str) -> str:
    """The part for people (RFC 6522 section 3): what happened, to whom, and what they can do."""
    failed = [recipient for recipient in recipients if recipient.action == "failed"]
    relayed = [recipient for recipient in recipients if recipient.action == "relayed"]
    text = [f"This is the mail gateway {hostname}.", ""]
    if failed:
        text += [
            "Your message could not be delivered to the recipients named here. No further",
            "attempt will be made.",
        ]
        text += _explained(failed)
    if relayed:
        text += ["Your message was passed on to a mail server that sends no delivery reports;"]
        text += ["you will hear of it again only if the delivery fails there."]
        text += _explained(relayed)
    text += [f"If you ask your administrator, please name this id: {original.id}", ""]
    text += ["The header of your message is attached; its text is not returned.", ""]
    return "\r\n".join(text)


def _explained(recipients: Sequence[ReportedRecipient]) -> list[str]:
    lines = [""]
    for recipient in recipients:
        said = f"{recipient.remote} said: " if recipient.remote else ""
        lines.append(f"  <{_plain(recipient.address, utf8=True)}>")
        lines += [f"      {line}" for line in _wrapped(said + recipient.diagnostic)]
        lines.append("")
    return lines


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in _plain(text).split():
        if lines[-1] and len(lines[-1]) + len(word) > _TEXT_LINE - 8:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def _status_fields(
    original: ReportedMessage, recipients: Sequence[ReportedRecipient], hostname: str, moment: float
) -> bytes:
    """RFC 3464 sections 2.2 and 2.3: one block about the message, one about each recipient."""
    blocks = [[f"Reporting-MTA: dns; {hostname}", f"Arrival-Date: {_date(original.received_at)}"]]
    if original.envid:
        blocks[0].insert(0, f"Original-Envelope-Id: {_plain(_from_xtext(original.envid))}")
    for recipient in recipients:
        block = [f"Original-Recipient: {_original_recipient(recipient.orcpt)}"] if recipient.orcpt else []
        block += [
            f"Final-Recipient: {_typed_address(recipient.address)}",
            f"Action: {recipient.action}",
            f"Status: {recipient.status}",
        ]
        if recipient.remote:
            block.append(f"Remote-MTA: dns; {_plain(recipient.remote)}")
        kind = "smtp" if recipient.remote else "x-ime-gateway"
        block += [f"Diagnostic-Code: {kind}; {_plain(recipient.diagnostic)}", f"Last-Attempt-Date: {_date(moment)}"]
        blocks.append(block)
    return b"\r\n".join("\r\n".join([*block, ""]).encode("ascii") for block in blocks)


def _original_recipient(orcpt: str) -> str:
    kind, semicolon, address = orcpt.partition(";")
    if not semicolon:
        return f"unknown; {_plain(orcpt)}"
    return f"{_plain(kind)};{_plain(address if kind.lower() == 'utf-8' else _from_xtext(address))}"


def _typed_address(address: str) -> str:
    if address.isascii():
        return f"rfc822; {_plain(address)}"
    # RFC 6533 section 3: the form for reports that are seven-bit.
    escaped = "".join(
        letter if "!" <= letter <= "~" and letter not in "\\+=" else f"\\x{{{ord(letter):X}}}" for letter in address
    )
    return f"utf-8; {escaped}"


def _returned(headers: bytes) -> bytes:
    """The header block as it may be returned: nobody's Bcc, no control header, not without end."""
    try:
        block = parse_fields(headers).without(_PRIVATE_NAMES, _PRIVATE_PREFIXES)
    except UnreadableMail:
        block = HeaderBlock()
    kept = bytearray()
    for field in block.fields:
        if len(kept) + len(field.raw) > _HEADER_BYTES:
            break
        kept += field.raw
    return bytes(kept)


def _part(media_type: str, content: bytes, description: str) -> bytes:
    """One body part; seven-bit as it stands, else base64, so that any next hop can take the report."""
    if not content.endswith(b"\n"):
        content += b"\r\n"
    lines = content.split(b"\r\n")
    charset = "; charset=utf-8" if media_type == "text/plain" else ""
    fields = f"Content-Type: {media_type}{charset}\r\nContent-Description: {description}\r\n"
    clean = content.isascii() and not re.search(rb"\x00|\r(?!\n)|(?<!\r)\n", content) and max(map(len, lines)) <= 998
    if clean:
        return fields.encode("ascii") + b"\r\n" + content
    coded = b"".join(encode_lines([content]))
    return fields.encode("ascii") + b"Content-Transfer-Encoding: base64\r\n\r\n" + coded


def _from_xtext(value: str) -> str:
    """RFC 3461 section 4: `+` and two hexadecimal digits stand for one character."""
    return _XTEXT.sub(lambda found: chr(int(found[1], 16)), value)


def _plain(text: str, utf8: bool = False) -> str:
    """One line without control characters, so that no value can become a field of its own."""
    return "".join(letter if " " <= letter <= "~" or (utf8 and letter.isprintable()) else "?" for letter in text)[:900]


def _date(moment: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(moment), UTC))
