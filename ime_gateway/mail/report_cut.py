"""A delivery report or a receipt of a mail server without anything of the mail that it is about.

A report may carry that mail in three places: whole, in its text, and in its own subject (RFC 6522, RFC 3464, RFC
8098). Where the mail came encrypted and the report cannot be, only what a program needs is left: who it is about,
what happened, and the Message-ID of the mail.
"""

from collections.abc import Collection
from typing import Final

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.headers import Field, HeaderBlock, parse_fields
from ime_gateway.mail.markers import TRACE_HEADER
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk
from ime_gateway.mail.transfer_encoding import decode_transfer

_KEPT: Final = frozenset(
    ("received", "return-path", "date", "from", "to", "message-id", "in-reply-to", "references", "auto-submitted")
) | {TRACE_HEADER}
_DELIVERY: Final = frozenset(
    (
        *("original-envelope-id", "reporting-mta", "arrival-date", "original-recipient", "final-recipient", "action"),
        *("status", "remote-mta", "last-attempt-date", "will-retry-until"),
    )
)
"""RFC 3464 section 2, without Diagnostic-Code: a filter's words may name an attachment or a subject."""
_RECEIPT: Final = frozenset(("original-recipient", "final-recipient", "original-message-id", "disposition"))
_FIELDS: Final = {
    "message/delivery-status": _DELIVERY,
    "message/global-delivery-status": _DELIVERY,
    "message/disposition-notification": _RECEIPT,
    "message/global-disposition-notification": _RECEIPT,
}
_STATUS_BYTES: Final = 65_536
_LINE_BYTES: Final = 998
_BOUNDARY: Final = b"=_report_without_mail"
"""No line between such boundaries begins with `--`: all of them are fields or our own words."""
_TEXT: Final = (
    b"This is a report about mail that came encrypted. The report cannot be encrypted to you,\r\n"
    b"so the mail gateway has removed what it returned of the mail.\r\n"
)


def cut_report(message: Message) -> Message | None:
    """The report with its status fields, its addresses and the Message-ID of the mail, and without all else.

    None when it is no report of a kind whose fields are known. Never raises.
    """
    try:
        if content_type_of(message.headers).media_type != "multipart/report":
            return None
        parts = walk(message)
        status = next((part for part in parts if part.depth == 1 and part.media_type in _FIELDS), None)
        if status is None:
            return None
        fields = _status_blocks(message, status)
        returned = next((part for part in parts if part.depth == 2 and _returns(part.parent)), None)
        mail = _named(returned.headers, {"message-id"}) if returned is not None else b""
    except UnreadableMail:
        return None
    if not fields:
        return None
    kind = status.media_type.rpartition("/")[2]
    pieces = [(b"text/plain; charset=us-ascii", _TEXT), (status.media_type.encode("ascii"), fields)]
    if mail:
        pieces.append((b"text/rfc822-headers", mail))
    body = b"".join(b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (_BOUNDARY, name, text) for name, text in pieces)
    return Message(_headers(message.headers, kind), memoryview(body + b"--%s--\r\n" % _BOUNDARY))


def _returns(part: Part | None) -> bool:
    return part is not None and part.embeds_message


def _headers(headers: HeaderBlock, kind: str) -> HeaderBlock:
    kept = [one for one in headers.fields if one.key in _KEPT]
    report_type = kind.removeprefix("global-").encode("ascii")
    return HeaderBlock(
        (
            *kept,
            Field("Subject", b"Subject: Report about a mail\r\n"),
            Field("MIME-Version", b"MIME-Version: 1.0\r\n"),
            Field(
                "Content-Type",
                b'Content-Type: multipart/report; report-type=%s;\r\n\tboundary="%s"\r\n' % (report_type, _BOUNDARY),
            ),
        )
    )


def _status_blocks(message: Message, part: Part) -> bytes:
    content = decode_transfer(message.body[part.start : part.end][:_STATUS_BYTES], part.encoding)
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    blocks = [_named(parse_fields(block + b"\r\n"), _FIELDS[part.media_type]) for block in lines.split(b"\r\n\r\n")]
    return b"\r\n".join(block for block in blocks if block)


def _named(headers: HeaderBlock, names: Collection[str]) -> bytes:
    """Fields of these names, each on one line of ASCII: nothing hides in a fold, an encoding or a second line."""
    lines = []
    for one in headers.fields:
        if one.key in names:
            value = "".join(letter if " " <= letter <= "~" else "?" for letter in " ".join(one.text.split()))
            lines.append(f"{one.name}: {value}"[:_LINE_BYTES].encode("ascii") + b"\r\n")
    return b"".join(lines)
