"""Write and read the few DER shapes that certificates and CMS need (ITU-T X.690).

`cryptography` builds no AuthEnvelopedData and tells nobody the exact bytes of an issuer name, and a
reader that compares an issuer byte by byte (RFC 5652 section 10.2.4) must find those of the
certificate. So this project writes its own DER, and reads it only as far as "where does this element
begin and end". Primitive cryptography never happens here.
"""

from functools import cache
from typing import NamedTuple

from ime_gateway.base.errors import UnreadableCertificate

INTEGER = 0x02
OCTET_STRING = 0x04
NULL = b"\x05\x00"
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31


def header(tag: int, length: int) -> bytes:
    """Identifier and definite length octets of an element of `length` content bytes (X.690 8.1.3)."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def tlv(tag: int, content: bytes) -> bytes:
    """One whole element."""
    return header(tag, len(content)) + content


def integer(value: int) -> bytes:
    """INTEGER in the fewest octets, two's complement (X.690 8.3)."""
    magnitude = value if value >= 0 else ~value
    return tlv(INTEGER, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True))


def octet_string(content: bytes) -> bytes:
    """OCTET STRING, primitive."""
    return tlv(OCTET_STRING, content)


def sequence(*elements: bytes) -> bytes:
    """SEQUENCE of elements that are DER already."""
    return tlv(SEQUENCE, b"".join(elements))


def set_of(elements: list[bytes]) -> bytes:
    """SET OF: DER wants the encodings in ascending order (X.690 11.6)."""
    return tlv(SET, b"".join(sorted(elements)))


@cache
def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from its dotted form (X.690 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | arc & 0x7F)
        content += bytes(reversed(octets))
    return tlv(OBJECT_IDENTIFIER, bytes(content))


class Element(NamedTuple):
    """Where an element stands within its buffer."""

    tag: int
    start: int
    """First identifier octet."""
    content: int
    """First content octet."""
    end: int
    """Behind the last content octet."""


def read_element(data: bytes, start: int, limit: int) -> Element:
    """The definite-length element at `start`, which must end at or before `limit`.

    Raises UnreadableCertificate for what DER forbids (indefinite or cut-off lengths) and for tags
    of several octets, which certificates do not use.
    """
    if limit - start < 2 or data[start] & 0x1F == 0x1F:
        raise UnreadableCertificate("this is not DER: an element is cut off or has an unknown tag")
    tag, length, content = data[start], data[start + 1], start + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or limit - content < count:
            raise UnreadableCertificate("this is not DER: a length is indefinite or too long")
        length = int.from_bytes(data[content : content + count], "big")
        content += count
    if length > limit - content:
        raise UnreadableCertificate("this is not DER: an element is longer than the file")
    return Element(tag, start, content, content + length)


def children(data: bytes, parent: Element) -> list[Element]:
    """The elements directly inside a constructed one. Raises UnreadableCertificate."""
    found, at = [], parent.content
    while at < parent.end:
        element = read_element(data, at, parent.end)
        found.append(element)
        at = element.end
    return found
