"""Message-IDs of mail that came encrypted, as keyed hashes, and the Message-IDs that an outgoing mail speaks of.

What was opened here stays protected: a mail that answers it, forwards it or gives it back names its Message-ID
(RFC 5322 section 3.6.4) in In-Reply-To, in References, in a message that it embeds, in a report about it, or, when a
mailbox redirects it, as its own. Only hashes are kept, and only this gateway can make them: the store tells nobody
who wrote to whom.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.content_type import file_names
from ime_gateway.mail.headers import HeaderBlock, decode_words, parse_fields
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk
from ime_gateway.mail.transfer_encoding import decode_transfer

MOST_IDS = 2_000
"""A mail that speaks of more is treated like one that answers a protected mail: it cannot be asked about each."""

MOST_OWN_IDS = 20
"""How many Message-IDs of one mail are remembered: it has one (RFC 5322 section 3.6.4), which may be read in several
ways. A header has room for a hundred thousand, and each would be kept for 90 days."""

_READABLE = 80

_OWN = ("message-id", "resent-message-id", "in-reply-to", "references", "original-message-id")
_EMBEDDED = ("message-id", "in-reply-to", "references")
_REPORTED = ("original-message-id",)
_REPORT_TYPES = frozenset(
    ("message/disposition-notification", "message/global-disposition-notification", "message/delivery-status")
)
_MAIL_TYPES = frozenset(("application/mbox", "application/vnd.ms-outlook"))
_MAIL_FILES = (".eml", ".emlx", ".mbox", ".mbx", ".msg", ".mht", ".mhtml")
_CODED = frozenset(("base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue"))
_EMBEDDING = parse_fields(b"Content-Type: message/rfc822\r\n")
_BRACKETED = re.compile(r"<([^<>]{1,998})>")
_BLANKS = re.compile(r"\s+")
# A header that a report quotes in its text, as qmail and Exchange do. Folded values stand on the next line.
_QUOTED_FIELD = re.compile(
    rb"^[ \t>|]{0,20}(?:message-id|original-message-id|in-reply-to|references)[ \t]{0,20}:([^\r\n]{0,2000})"
    rb"((?:\r?\n[ \t][^\r\n]{0,2000}){0,20})",
    re.IGNORECASE | re.MULTILINE,
)
_TEXT_BYTES = 1 << 20
_PART_BYTES = 65_536


def keyed_hash(key: bytes, message_id: str) -> str:
    """What is stored in place of a Message-ID; hexadecimal."""
    return hmac.digest(key, message_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def header_ids(headers: HeaderBlock, names: Iterable[str]) -> list[str]:
    """The Message-IDs in the fields of these names, in a form in which equal ones are equal: without brackets, blanks
    and case, which programs on the way change. Also those in encoded words: RFC 2047 section 5 forbids them there, but
    programs that find a line too long write so, Python's among them."""
    return [found for name in names for field in headers.all(name) for found in _ids(field.text)]


def own_ids(headers: HeaderBlock) -> list[str]:
    """What a mail may be called by its own header, whichever of several names a program takes."""
    return header_ids(headers, ("message-id",))


def _ids(text: str) -> list[str]:
    found = _names(text)
    return list(dict.fromkeys((*found, *_names(decode_words(text))))) if "=?" in text else found


def _names(text: str) -> list[str]:
    bracketed = _BRACKETED.findall(text)
    # Some programs write theirs without brackets, or with one inside, and others quote those as they are or put
    # brackets around: then the whole is a name, and so is each word that could be one.
    words = text.split()
    odd = words if not bracketed else [text, *(word for word in words if "@" in word)]
    found = dict.fromkeys(_BLANKS.sub("", one.strip("<> \t")).lower() for one in (*bracketed, *odd))
    return [name for name in found if name]


def readable(name: str) -> str:
    """A Message-ID for people: printable ASCII, of a long one its beginning and its end."""
    plain = "".join(letter if "!" <= letter <= "~" else "?" for letter in name)
    return plain if len(plain) <= _READABLE else f"{plain[: _READABLE // 2 - 2]}...{plain[-_READABLE // 2 + 2 :]}"


def spoken_of(message: Message, *, quoted: bool) -> frozenset[str] | None:
    """Every Message-ID that an outgoing mail names, at any nesting; None for more than `MOST_IDS`, or where the
    structure cannot be read: then nobody can say that it answers no protected mail.

    quoted: also those that stand in any part like header fields, for mail of a mail server (`<>`); else only those in
    attached files of mail.
    """
    names: set[str] = set()
    try:
        for found in _all_ids(message, quoted=quoted):
            names.update(found)
            if len(names) > MOST_IDS:
                return None
    except UnreadableMail:
        return None
    return frozenset(names)


def _all_ids(message: Message, *, quoted: bool) -> Iterator[list[str]]:
    yield header_ids(message.headers, _OWN)
    for part in walk(message):
        if _begins_a_mail(part):
            yield header_ids(part.headers, _EMBEDDED)
        if part.embeds_message and part.encoding in _CODED:
            yield from _embedded_in_code(message, part)
        if part.media_type in _REPORT_TYPES:
            yield from _reported(_content(message, part, _PART_BYTES))
        if quoted or _is_file_of_mail(part):
            yield _quoted(_content(message, part, _TEXT_BYTES * 2)[:_TEXT_BYTES].replace(b"\0", b""))


def _content(message: Message, part: Part, most: int) -> bytes:
    return decode_transfer(message.body[part.start : part.end][:most], part.encoding)


def _is_file_of_mail(part: Part) -> bool:
    """Mail that is attached as a file like any other; Outlook's `.msg` has the header in it as UTF-16."""
    if part.media_type in _MAIL_TYPES:
        return True
    return any(name.lower().rstrip(". ").endswith(_MAIL_FILES) for name in file_names(part.headers))


def _begins_a_mail(part: Part) -> bool:
    return part.parent is not None and part.parent.embeds_message


def _embedded_in_code(message: Message, part: Part) -> Iterator[list[str]]:
    """A message under base64 or quoted-printable, against RFC 2046 section 5.2.1: `walk` sees no header in it.

    Honest mail does that once at most; twice is unreadable.
    """
    decoded = decode_transfer(message.body[part.start : part.end], part.encoding)
    inner = Message(_EMBEDDING, memoryview(decoded.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))
    for hidden in walk(inner):
        if _begins_a_mail(hidden):
            yield header_ids(hidden.headers, _EMBEDDED)
        if hidden.embeds_message and hidden.encoding in _CODED:
            raise UnreadableMail("an attached message is encoded twice against RFC 2046")


def _reported(content: bytes) -> Iterator[list[str]]:
    """RFC 8098 section 3.2.5: the mail that a receipt is about."""
    for block in content.split(b"\r\n\r\n"):
        if block.strip():
            yield header_ids(parse_fields(block + b"\r\n"), _REPORTED)


def _quoted(text: bytes) -> list[str]:
    found = []
    for match in _QUOTED_FIELD.finditer(text):
        found += _ids(b" ".join(match.groups()).decode("latin-1"))
        if len(found) > MOST_IDS:
            break
    return found
