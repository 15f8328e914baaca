"""Is a mail really PGP/MIME encrypted, or a clear text in its costume (RFC 3156 section 4)?

Mail that is encrypted already is exempt from much: it is not refused as clear, and not encrypted again. So the label is
not enough, nor is the first line of an armor: readers show whatever clear text stands in it.
"""

import binascii
import re

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import walk
from ime_gateway.mail.transfer_encoding import decode_transfer

_PARTS = ["application/pgp-encrypted", "application/octet-stream"]
_CODED = frozenset(("base64", "quoted-printable"))
# RFC 9580 section 6.2, whole: nothing before, between or behind. Possessive, so that a failure is linear, too.
_ARMOR = re.compile(
    rb"\s*+-----BEGIN PGP MESSAGE-----[ \t]*+\r?\n"
    rb"(?:[A-Za-z][A-Za-z-]{0,40}: [^\r\n]{0,200}\r?\n){0,20}+[ \t]*+\r?\n"
    rb"((?:[A-Za-z0-9+/]{1,1000}+={0,2}+[ \t]*+\r?\n)++)"
    rb"(?:=[A-Za-z0-9+/]{4}[ \t]*+\r?\n)?+-----END PGP MESSAGE-----\s*+"
)
_BLANK = (b" ", b"\t", b"\r", b"\n")
_FIRST_PACKETS = frozenset((1, 3, 18, 20))
"""A session key for a reader or for a password, or what is encrypted itself (RFC 9580 sections 5 and 10.3)."""


def is_pgp_mime(message: Message) -> bool:
    """Whether the whole message is one OpenPGP encryption, to the letter, with nothing beside it. Never raises."""
    try:
        if content_type_of(message.headers).media_type != "multipart/encrypted":
            return False
        parts = walk(message)[1:]
    except UnreadableMail:
        return False
    if [part.media_type for part in parts] != _PARTS:
        return False
    sealed = message.body[parts[1].start : parts[1].end]
    encoding = parts[1].encoding
    found = _ARMOR.fullmatch(decode_transfer(sealed, encoding) if encoding in _CODED else sealed)
    return found is not None and _begins_encrypted(found[1])


def _begins_encrypted(base64: bytes) -> bool:
    """Whether these lines of base64 give octets that begin with the packets of an encryption (RFC 9580 section 4.2)."""
    if (len(base64) - sum(map(base64.count, _BLANK))) % 4:
        return False
    if b"=" in base64.rstrip(b"= \t\r\n"):
        return False
    try:
        first = binascii.a2b_base64(base64[:4])[0]
    except (binascii.Error, IndexError):
        return False
    packet = first & 0x3F if first & 0x40 else (first >> 2) & 0x0F
    return first & 0x80 != 0 and packet in _FIRST_PACKETS
