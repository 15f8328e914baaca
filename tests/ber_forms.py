"""BER as honest and dishonest programs write it, for tests of the CMS reader. Independent of the reader itself.

tlv(0x30, tlv(0x02, b"\\1"))       definite length
streamed(0x30, ...)               indefinite length, closed by end-of-contents
other_form(der, pick)             the same value in another of its BER encodings
"""

from collections.abc import Callable, Collection

Pick = Callable[[int], int]
"""`pick(n)` gives a number from 0 to n - 1: the choices that an encoder has."""
END_OF_CONTENTS = b"\x00\x00"


def tlv(tag: int, *content: bytes, length_octets: int = 0) -> bytes:
    """An element of definite length; `length_octets` > 0 writes the length in the long form with that many octets."""
    body = b"".join(content)
    if length_octets == 0 and len(body) < 0x80:
        return bytes((tag, len(body))) + body
    count = length_octets or (len(body).bit_length() + 7) // 8
    return bytes((tag, 0x80 | count)) + len(body).to_bytes(count, "big") + body


def streamed(tag: int, *content: bytes) -> bytes:
    """An element of indefinite length."""
    return bytes((tag, 0x80)) + b"".join(content) + END_OF_CONTENTS


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    octets = b""
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.insert(0, 0x80 | arc & 0x7F)
        octets += bytes(septets)
    return tlv(0x06, octets)


def integer(value: int) -> bytes:
    """An INTEGER that is not negative."""
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def elements(der: bytes) -> list[tuple[int, bytes, bytes]]:
    """Tag, content and whole of each element in DER."""
    found, at = [], 0
    while at < len(der):
        size, content = der[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(der[content : content + count], "big")
            content += count
        assert content + size <= len(der)
        found.append((der[at], der[content : content + size], der[at : content + size]))
        at = content + size
    return found


def other_form(der: bytes, pick: Pick, verbatim: Collection[bytes] = ()) -> bytes:
    """The elements of `der`, each in a form of BER that `pick` chooses; those in `verbatim` stay as they are."""
    return b"".join(_form(tag, content, whole, pick, verbatim) for tag, content, whole in elements(der))


def _form(tag: int, content: bytes, whole: bytes, pick: Pick, verbatim: Collection[bytes]) -> bytes:
    if whole in verbatim:
        return whole
    if tag & 0x20:
        return _constructed(tag, other_form(content, pick, verbatim), pick)
    if tag in (0x04, 0x0C, 0x13, 0x17) and pick(2):
        return _constructed(tag | 0x20, _segments(content, pick), pick)
    if tag == 0x03 and pick(2) and len(content) > 2:
        cut = 1 + pick(len(content) - 1)
        return _constructed(0x23, tlv(0x03, b"\0", content[1:cut]) + tlv(0x03, content[:1], content[cut:]), pick)
    if tag == 0x01 and content == b"\xff":
        return tlv(tag, bytes((1 + pick(255),)))
    return tlv(tag, content, length_octets=_length_octets(content, pick))


def _segments(content: bytes, pick: Pick) -> bytes:
    found = b""
    while content:
        cut = pick(len(content) + 1)
        if pick(4) == 0:
            found += _constructed(0x24, tlv(0x04, content[:cut]), pick)
        else:
            found += tlv(0x04, content[:cut], length_octets=_length_octets(content[:cut], pick))
        content = content[cut:]
    return found


def _constructed(tag: int, body: bytes, pick: Pick) -> bytes:
    return streamed(tag, body) if pick(2) else tlv(tag, body, length_octets=_length_octets(body, pick))


def _length_octets(body: bytes, pick: Pick) -> int:
    return pick(9 - 4) + 4 if pick(3) == 0 else 0
