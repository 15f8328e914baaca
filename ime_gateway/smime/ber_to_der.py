"""Turn any small BER element into DER while walking over it (ITU-T X.690 section 10).

What is signed (RFC 5652 section 5.4), authenticated (RFC 5083 section 2.2) or handed to `cryptography` has to be DER,
however the sender wrote it.
"""

from typing import Final

from ime_gateway.certs import der
from ime_gateway.smime.ber import CONSTRUCTED, END, OCTET_STRING, Walker, unreadable

BIT_STRING: Final = 0x03

_BOOLEAN: Final = 0x01
_STRINGS: Final = frozenset((0x04, 0x0C, *range(0x12, 0x1F)))
"""Universal strings but BIT STRING: in BER their constructed form is made of octet strings (X.690 section 8.23.6);
also the times, which are strings."""


class _Open:
    """A constructed element that is being turned into DER."""

    __slots__ = ("place", "size", "string", "tag", "unused")

    def __init__(self, tag: int, place: int, string: int) -> None:
        self.tag = tag
        self.place = place
        """Where in the output its header goes once its size is known."""
        self.string = string
        """Tag of the string whose segments are in here; END in anything else."""
        self.size = 0
        self.unused = 0
        """Unused bits of the last segment of a bit string."""


def read_der(walker: Walker) -> bytes:
    """The next element in DER: definite and shortest lengths, strings in one piece, TRUE as FF.

    The order of a SET OF inside stays: only who knows its type may sort it, and senders copy names as they stand.
    Raises UnreadableCms, also for tags of several octets, which nothing that is read here uses.
    """
    parts: list[bytes] = []
    opened: list[_Open] = []
    while True:
        tag = walker.peek()
        if opened and tag == END:
            walker.leave()
            size = _close(opened.pop(), opened, parts)
        elif tag & CONSTRUCTED:
            walker.enter(tag)
            opened.append(_Open(tag, len(parts), _string_around(tag, opened)))
            parts.append(b"")
            continue
        else:
            size = _copy_primitive(walker, tag, opened[-1] if opened else None, parts)
        if not opened:
            walker.copied(size)
            return b"".join(parts)
        opened[-1].size += size


def _string_around(tag: int, opened: list[_Open]) -> int:
    """The string that an element with this constructed tag is, or is a segment of."""
    primitive = tag & ~CONSTRUCTED
    around = opened[-1].string if opened else END
    if around != END:
        # A bit string's segments carry their own count of unused bits; nobody nests them, so nor do we.
        wanted = (BIT_STRING,) if around == BIT_STRING else (around, OCTET_STRING)
        if primitive not in wanted or (around == BIT_STRING and tag & CONSTRUCTED):
            raise unreadable("a string with a segment of another kind")
        return around
    return primitive if primitive == BIT_STRING or primitive in _STRINGS else END


def _copy_primitive(walker: Walker, tag: int, inside: _Open | None, parts: list[bytes]) -> int:
    """Pass over a primitive element and put it, or as a segment only its content, into the output."""
    content: bytes | memoryview = walker.primitive(tag)
    walker.copied(len(content))
    if tag == BIT_STRING and (not content or content[0] > 7 or (len(content) == 1 and content[0])):
        raise unreadable("a BIT STRING without its unused bits")
    if inside is not None and inside.string != END:
        _string_around(tag, [inside])
        if inside.string == BIT_STRING:
            if inside.unused:
                raise unreadable("a BIT STRING with unused bits in its middle")
            inside.unused, content = content[0], content[1:]
        parts.append(bytes(content))
        return len(content)
    if tag == _BOOLEAN and content != b"\x00":
        content = b"\xff"
    element = der.header(tag, len(content)) + content
    parts.append(element)
    return len(element)


def _close(element: _Open, opened: list[_Open], parts: list[bytes]) -> int:
    """Write the header of an element that has ended; returns its octets in the output."""
    if element.string == END:
        header = der.header(element.tag, element.size)
    elif opened and opened[-1].string != END:
        return element.size
    elif element.string == BIT_STRING:
        header = der.header(BIT_STRING, element.size + 1) + bytes((element.unused,))
    else:
        header = der.header(element.string, element.size)
    parts[element.place] = header
    return len(header) + element.size
