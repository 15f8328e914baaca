"""RFC 2047 encoded words: text beyond ASCII inside header fields, read with patience, written by the rule.

Reading never fails, because a subject that cannot be decoded must not stop a mail; writing keeps
to 75 characters per word and never splits a character (RFC 2047 section 2).
"""

import binascii
import re
from collections.abc import Iterator

from ime_gateway.mail.transfer_encoding import decode_transfer

_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([^?]*)\?=")
_CHARSET = re.compile(
    r"us-ascii|ascii|utf-?8|utf-7|utf-16(?:be|le)?|iso-?8859-(?:[1-9]|1[013456])|windows-125[0-8]|cp125[0-8]|cp(?:437|850|852|866)"
    r"|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-jp|euc-kr|shift_jis|iso-2022-jp|iso-2022-kr|macintosh|tis-620|latin-?1"
)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WORD_LIMIT = 75
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def decode_words(text: str, *, guess: bool = False) -> str:
    """Decode the encoded words of a field value; what cannot be decoded stays as written.

    guess: read as a lax program does what stays otherwise: charsets that are not known as Latin-1, in which the ASCII
    of nearly all of them shows, octets beyond ASCII, and base64 behind its padding. Never raises. Control characters
    that come out of an encoded word become blanks, so that none reaches a header, a log line or a page.
    """
    if "=?" not in text:
        return text
    pieces: list[str] = []
    pending: tuple[str, bytearray] | None = None  # charset and bytes of neighbouring encoded words
    position = 0
    for match in _WORD.finditer(text):
        between = text[position : match.start()]
        decoded = _decode(match[1], match[2], match[3], guess=guess)
        if pending is not None and (decoded is None or between.strip()):
            pieces.append(_text_of(*pending))
            pending = None
            pieces.append(between)
        elif pending is None:
            pieces.append(between)
        if decoded is None:
            pieces.append(match[0])
        elif pending is not None and pending[0] == decoded[0]:
            pending[1].extend(decoded[1])  # mailers cut characters in two between words
        else:
            if pending is not None:
                pieces.append(_text_of(*pending))
            pending = decoded[0], bytearray(decoded[1])
        position = match.end()
    if pending is not None:
        pieces.append(_text_of(*pending))
    pieces.append(text[position:])
    return "".join(pieces)


def encode_words(text: str, first_room: int) -> Iterator[str]:
    """Write text as encoded words in UTF-8, each at most 75 characters; join them with a folded blank.

    first_room: columns that are free on the first line (a field name stands before it).
    """
    encoded = text.encode("utf-8")
    quoted = sum(1 if byte in _Q_SAFE or byte == 0x20 else 3 for byte in encoded) <= -(-len(encoded) // 3) * 4
    room = min(max(first_room, 24), _WORD_LIMIT)
    word, used = bytearray(), 0
    for character in text:
        data = character.encode("utf-8")
        if quoted:
            size = sum(1 if byte in _Q_SAFE or byte == 0x20 else 3 for byte in data)
            full = used + size > room - 12
        else:
            size = len(data)
            full = (used + size + 2) // 3 * 4 > room - 12
        if full and word:
            yield _word(bytes(word), quoted)
            word, used, room = bytearray(), 0, _WORD_LIMIT
        word += data
        used += size
    if word:
        yield _word(bytes(word), quoted)


def _word(data: bytes, quoted: bool) -> str:
    if not quoted:
        return f"=?utf-8?B?{binascii.b2a_base64(data, newline=False).decode('ascii')}?="
    body = "".join(chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in data)
    return f"=?utf-8?Q?{body}?="


def known_codec(charset: str) -> str | None:
    """The codec of a charset that mail uses; None for others: looking up a name from a mail would import modules."""
    name = charset.strip().lower()
    return {"macintosh": "mac_roman"}.get(name, name) if _CHARSET.fullmatch(name) else None


def _decode(charset: str, encoding: str, body: str, *, guess: bool) -> tuple[str, bytes] | None:
    """Charset and bytes of one encoded word, or None when it is no such thing."""
    name = charset.partition("*")[0].lower()  # RFC 2231 section 5 allows a language after a star
    # Only charsets named here: looking up a name from a mail would import modules and fill caches.
    if not guess and not (_CHARSET.fullmatch(name) and body.isascii()):
        return None
    data = body.encode("utf-8", "replace")
    if encoding in "qQ":
        return name, binascii.a2b_qp(data, header=True)
    if guess:
        return name, decode_transfer(memoryview(data), "base64")
    try:
        return name, binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return None


def _text_of(charset: str, data: bytearray) -> str:
    return _UNSAFE.sub(" ", data.decode(known_codec(charset) or "latin-1", "replace"))
