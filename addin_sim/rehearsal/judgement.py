"""Judges one mail that arrived: is it for this reader, sealed, silent about blind copies, and what was written?

Pure: opening is asked of an `Open`, everything else stands in the mail's bytes. Sealed means that the media type says
so (RFC 8551 section 3.2) and that the word of the mail stands nowhere, not even behind base64 (RFC 2045 section 6.8).
"""

import contextlib
import email
import email.errors
import email.header
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from addin_sim.raw_mail import RawMail, parse
from addin_sim.rehearsal.letters import Letter, pieces_of
from addin_sim.rehearsal.opening import UnreadableError, envelope_of
from addin_sim.sent_items import is_encrypted


class Kind(StrEnum):
    """What can be wrong; the value is the key in the report."""

    MISSING = "missing"
    """A recipient did not get it."""
    DOUBLED = "doubled"
    """A recipient got it twice, or two copies came back."""
    CLEAR = "clear"
    """It arrived without encryption."""
    WRONG_RECIPIENT = "wrong-recipient"
    """Somebody got it who is no recipient."""
    BCC_VISIBLE = "bcc-visible"
    """A mail tells its reader of somebody else's blind copy."""
    ORIGINAL_LEFT = "original-left"
    """The clear original is still in Sent Items (IME 1.0)."""
    COPY_MISSING = "copy-missing"
    """The encrypted copy is not in Sent Items."""
    CHANGED = "changed"
    """It opens, but it is not what was written."""
    UNREADABLE = "unreadable"
    """Its reader's key does not open it."""
    SLOW = "slow"
    """It came, but later than was allowed."""
    REFUSED = "refused"
    """A mail server or the gateway refused it."""
    TROUBLE = "trouble"
    """Something else failed: a mailbox, a connection."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as it should be."""

    kind: Kind
    person: str
    """At whom it shows: the reader, or the sender."""
    sentence: str
    message_id: str = ""


Open = Callable[[RawMail], bytes]
"""The innermost entity of a mail; raises `UnreadableError`."""


@dataclass(frozen=True, slots=True)
class Reader:
    """In whose mailbox it lies."""

    address: str
    has_key: bool
    """Else what arrives cannot be opened here, and only clear text is looked for."""
    open: Open


def judge_delivery(
    letter: Letter, data: bytes, reader: Reader, names: Mapping[str, tuple[bytes, ...]]
) -> list[Deviation]:
    """A recipient's mail as it is stored; `names`: how envelopes call each person (`opening.names_of`)."""
    mail = parse(data)
    if reader.address not in letter.readers:
        wrong = _found(Kind.WRONG_RECIPIENT, letter, reader, f"It is for {', '.join(letter.readers)}.")
        return [wrong, *_sealing(letter, mail, data, reader)]
    deviations = _sealing(letter, mail, data, reader)
    clear = b""
    if not deviations and reader.has_key:
        clear, deviations = _opened(letter, mail, reader)
    return deviations + _blind_copies(letter, mail, clear, reader, names)


def judge_copy(letter: Letter, data: bytes, reader: Reader) -> list[Deviation]:
    """The sender's own copy in Sent Items; the sender may know of blind copies."""
    mail = parse(data)
    deviations = _sealing(letter, mail, data, reader)
    if not deviations and reader.has_key:
        _, deviations = _opened(letter, mail, reader)
    return deviations


def _sealing(letter: Letter, mail: RawMail, data: bytes, reader: Reader) -> list[Deviation]:
    word = letter.secret.encode("ascii")
    if any(word in text for text in _legible(mail, data)):
        return [_found(Kind.CLEAR, letter, reader, "Its text can be read without a key.")]
    if reader.has_key and not is_encrypted(mail):
        media_type = mail.value("Content-Type").partition(";")[0] or "text/plain"
        return [_found(Kind.CLEAR, letter, reader, f"It arrived as {media_type}, not encrypted to its reader's key.")]
    return []


def _legible(mail: RawMail, data: bytes) -> Iterator[bytes]:
    """What anybody can read in it: the bytes, what base64 hides, and each part of a mail that is not encrypted."""
    yield data
    yield envelope_of(mail)
    if not is_encrypted(mail):
        for part in email.message_from_bytes(data).walk():
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                yield content


def _opened(letter: Letter, mail: RawMail, reader: Reader) -> tuple[bytes, list[Deviation]]:
    try:
        clear = reader.open(mail)
    except UnreadableError as error:
        return b"", [_found(Kind.UNREADABLE, letter, reader, str(error))]
    if all(piece in clear for piece in pieces_of(letter)):
        return clear, []
    if letter.secret.encode("ascii") in clear:
        return clear, [_found(Kind.CHANGED, letter, reader, "Text or attachments differ from what was written.")]
    return clear, [_found(Kind.CHANGED, letter, reader, "What is inside is another mail.")]


def _blind_copies(
    letter: Letter, mail: RawMail, clear: bytes, reader: Reader, names: Mapping[str, tuple[bytes, ...]]
) -> list[Deviation]:
    others = [person for person in letter.bcc if person not in (reader.address, letter.sender)]
    if not others:
        return []
    header = _header_text(mail)
    inside = clear or mail.body
    envelope = envelope_of(mail)
    deviations = []
    for person in others:
        shows = [
            place
            for place, seen in (
                ("its header", _names(header, person)),
                ("its text" if inside is mail.body else "the encrypted part", _names(inside, person)),
                ("the list of keys that open it", any(name in envelope for name in names.get(person, ()))),
            )
            if seen
        ]
        if shows:
            said = f"The blind copy to {person} shows in {' and '.join(shows)}."
            deviations.append(_found(Kind.BCC_VISIBLE, letter, reader, said))
    return deviations


def _header_text(mail: RawMail) -> bytes:
    """The header as it stands, and once more with its encoded words decoded (RFC 2047)."""
    lines = [field.raw for field in mail.fields]
    for field in mail.fields:
        if b"=?" in field.raw:
            with contextlib.suppress(email.errors.HeaderParseError, LookupError):
                pieces = email.header.decode_header(field.value)
                lines += [piece if isinstance(piece, bytes) else piece.encode("utf-8") for piece, _ in pieces]
    return b"\n".join(lines)


def _names(text: bytes, address: str) -> bool:
    """Does this very address stand there, and not only as part of a longer one?"""
    wanted = re.escape(address.encode("utf-8"))
    return re.search(rb"(?<![\w.+=&'/-])" + wanted + rb"(?![\w-]|\.\w)", text, re.IGNORECASE) is not None


def _found(kind: Kind, letter: Letter, reader: Reader, sentence: str) -> Deviation:
    return Deviation(kind, reader.address, f"Mail {letter.number} of {letter.sender}: {sentence}", letter.message_id)
