"""Headers that steer a gateway: which they are, and their removal where they are not to be believed.

Control headers ask for a protection, status headers say what was done. Written by an outsider
either would be a forged order or a forged seal (CVE-2026-27443 class), so from outsiders they are
cut out at every nesting, also inside attached messages, before any rule runs (P5). From insiders
control headers are honoured and status headers are not.
"""

import re

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.lookalike import apparent_name, disguise_pattern
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import MAX_PARTS, Part, walk
from ime_gateway.mail.recognise import protection_of
from ime_gateway.mail.transfer_encoding import decode_transfer

ORIG_HEADERS = ("x-sm-origto", "x-sm-origcc", "x-sm-origbcc")
"""The recipients of IME 1.0 mail, written by the add-in."""
BLIND_HEADERS = frozenset({"bcc", "resent-bcc"})
"""Fields that name blind recipients (RFC 5322 sections 3.6.3 and 3.6.6); none may leave (P6)."""
CONTROL_HEADERS = frozenset(
    (*ORIG_HEADERS, "x-smenc", "x-smsign", "x-smplain", "x-smwebmail", "x-smnosign", "x-smlfm", "x-smsubjectencrypt")
)
"""What insiders may ask with. `Sensitivity` asks too, but is RFC 2156's and stays in the mail."""
STATUS_PREFIXES = ("x-sm-", "x-eswmail-", "x-imegw-")
"""Fields that only a gateway writes; `ORIG_HEADERS` and `TRACE_HEADER` are none of them."""
TRACE_HEADER = "x-imegw-trace"
"""Counts loops; proves itself by its MAC (`mail/received.py`), so it stays wherever it comes from."""
EXCHANGE_PREFIXES = (
    "x-ms-exchange-organization-",
    "x-ms-exchange-forest-",
    "x-ms-exchange-crosstenant-",
)
"""What Exchange believes from its own organisation only (its header firewall)."""

_DISGUISED_CONTROL = disguise_pattern(tuple(sorted(CONTROL_HEADERS)))
_DISGUISED_STATUS = disguise_pattern(STATUS_PREFIXES)
_DISGUISED_EXCHANGE = disguise_pattern(EXCHANGE_PREFIXES)
_COMMENT = re.compile(r"\([^()]*\)")
_ENCODED = ("base64", "quoted-printable", "uuencode", "x-uue")
"""Looked for anywhere in the field: comments and quotes around it deceive some readers."""


def strip_markers(message: Message, exchange_headers: bool) -> Message:
    """An outsider's message without control and status headers, at every nesting.

    exchange_headers: also without what Exchange takes for its own. Every other byte stays; the
    body is copied only when something inside it is cut; the same object comes back when nothing
    is. Raises UnreadableMail when the structure passes its limits, or when markers hide in an
    attached message that is encoded against RFC 2046 section 5.2.1.
    """
    headers = _without_markers(message.headers, exchange_headers)
    body = _clean_body(message, exchange_headers)
    if body is None:
        return message if headers is message.headers else message.with_headers(headers)
    return Message(headers, body, message.ends_in_header)


def strip_nested_markers(message: Message) -> Message:
    """An insider's message without markers inside: a forwarded IME original carries its Bcc list (P6).

    What is signed or encrypted stays as it is (P7). Raises UnreadableMail as `strip_markers` does.
    """
    if protection_of(message) != "none":
        return message
    body = _clean_body(message, exchange_headers=False)
    return message if body is None else Message(message.headers, body, message.ends_in_header)


def _clean_body(message: Message, exchange_headers: bool) -> memoryview | None:
    """The body without the markers inside it; None when there are none."""
    parts = walk(message)
    room = MAX_PARTS - len(parts)
    cuts: list[tuple[int, int]] = []
    looked_at = 0
    for part in parts:
        if part.depth:
            cuts += _cuts(part, exchange_headers)
        if part.start >= looked_at and _encoded_container(part):
            room -= _refuse_hidden_markers(message, part, exchange_headers, room)
            looked_at = part.end
    return _cut_out(message.body, cuts) if cuts else None


def strip_status(headers: HeaderBlock) -> HeaderBlock:
    """An insider's header without status headers; what it asks for stays for the pipeline."""
    return _filtered(headers, [f for f in headers.fields if not _is_status(f)])


def strip_controls(headers: HeaderBlock) -> HeaderBlock:
    """A header for sending on: without control headers, the blind recipients in them above all (P6)."""
    return _filtered(headers, [f for f in headers.fields if not _is_control(f)])


def _without_markers(headers: HeaderBlock, exchange_headers: bool) -> HeaderBlock:
    return _filtered(headers, [f for f in headers.fields if not _is_marker(f, exchange_headers)])


def _filtered(headers: HeaderBlock, kept: list[Field]) -> HeaderBlock:
    return headers if len(kept) == len(headers.fields) else HeaderBlock(kept)


def _is_marker(field: Field, exchange_headers: bool) -> bool:
    key = field.name.lower()
    if key and not key.startswith("x-") and "=?" not in key:
        return False  # nearly every field ends here
    return _is_control(field) or _is_status(field) or (exchange_headers and _is_exchange(field))


def _is_control(field: Field) -> bool:
    key = field.name.lower()
    if not key or "=?" in key:
        return _DISGUISED_CONTROL.match(apparent_name(field.raw)) is not None
    return key in CONTROL_HEADERS


def _is_status(field: Field) -> bool:
    key = field.name.lower()
    if not key or "=?" in key:
        name = apparent_name(field.raw)
        return _DISGUISED_STATUS.match(name) is not None and name not in CONTROL_HEADERS
    return key.startswith(STATUS_PREFIXES) and key not in CONTROL_HEADERS and key != TRACE_HEADER


def _is_exchange(field: Field) -> bool:
    key = field.name.lower()
    if not key or "=?" in key:
        return _DISGUISED_EXCHANGE.match(apparent_name(field.raw)) is not None
    return key.startswith(EXCHANGE_PREFIXES)


def _cuts(part: Part, exchange_headers: bool) -> list[tuple[int, int]]:
    """The places of markers in the header of a part inside the body."""
    cuts: list[tuple[int, int]] = []
    position = part.header_start
    for field in part.headers.fields:
        if _is_marker(field, exchange_headers):
            cuts.append((position, position + len(field.raw)))
        position += len(field.raw)
    return cuts


def _cut_out(body: memoryview, cuts: list[tuple[int, int]]) -> memoryview:
    pieces: list[memoryview] = []
    position = 0
    for start, end in cuts:
        pieces.append(body[position:start])
        position = end
    pieces.append(body[position:])
    return memoryview(b"".join(pieces))


def _encoded_container(part: Part) -> bool:
    """A message or multipart under an encoding that RFC 2046 forbids, yet that some readers undo."""
    return (part.embeds_message or part.media_type.startswith("multipart/")) and bool(_forbidden_encodings(part))


def _forbidden_encodings(part: Part) -> list[str]:
    """The encodings that some reader may see, however oddly and often the field is written."""
    said = " ".join(field.text.lower() for field in part.headers.all("content-transfer-encoding"))
    return [word for word in _ENCODED if word in said or word in _COMMENT.sub("", said)]


def _refuse_hidden_markers(message: Message, part: Part, exchange_headers: bool, room: int) -> int:
    """How many parts were looked at, at most `room`: all containers of a message share one limit."""
    headers = part.headers.without({"content-transfer-encoding"})
    looked_at = 0
    for encoding in _forbidden_encodings(part):
        decoded = decode_transfer(message.body[part.start : part.end], encoding)
        inner = Message(headers, memoryview(decoded.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))
        parts = walk(inner, max_parts=max(1, room - looked_at))
        looked_at += len(parts)
        for hidden in parts[1:]:
            # One look inside is enough: honest mail encodes a message against the rule at most once.
            if _encoded_container(hidden) or _cuts(hidden, exchange_headers):
                raise UnreadableMail("an attached message is encoded against RFC 2046 and hides gateway headers")
    return looked_at
