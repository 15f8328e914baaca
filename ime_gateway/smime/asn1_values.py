"""Read the small values of CMS: numbers, names of algorithms, attributes (RFC 5652 sections 5.3 and 10).

Everything here is copied, because it is small and outlives the message; the walker counts it.
"""

from collections.abc import Callable
from typing import Final

from ime_gateway.certs import der
from ime_gateway.smime.ber import CONSTRUCTED, END, OCTET_STRING, Walker, unreadable
from ime_gateway.smime.ber_to_der import BIT_STRING, read_der
from ime_gateway.smime.structures import AlgorithmIdentifier, Attribute, IssuerAndSerial

SEQUENCE: Final = der.SEQUENCE
SET: Final = der.SET

_MOST_INTEGER_OCTETS: Final = 128
_MOST_OID_OCTETS: Final = 64


def read_integer(walker: Walker) -> int:
    """An INTEGER (X.690 section 8.3) of at most 1024 bits. Raises UnreadableCms."""
    content = walker.primitive(der.INTEGER)
    if not 1 <= len(content) <= _MOST_INTEGER_OCTETS:
        raise unreadable(f"INTEGER of {len(content)} octets")
    return int.from_bytes(content, "big", signed=True)


def read_version(walker: Walker, known: range) -> int:
    """A CMSVersion (RFC 5652 section 10.2.5). Raises UnreadableCms for one that is not among the `known`."""
    version = read_integer(walker)
    if version not in known:
        raise unreadable("a version that is not known")
    return version


def read_oid(walker: Walker) -> str:
    """An OBJECT IDENTIFIER, dotted (X.690 section 8.19). Raises UnreadableCms."""
    return _dotted(walker.primitive(der.OBJECT_IDENTIFIER))


def _dotted(content: memoryview) -> str:
    if not 1 <= len(content) <= _MOST_OID_OCTETS or content[-1] & 0x80:
        raise unreadable("an OBJECT IDENTIFIER that is empty, cut off or too long")
    arcs, arc = [], 0
    for octet in content:
        if octet == 0x80 and arc == 0:
            raise unreadable("an OBJECT IDENTIFIER written in more octets than it needs")
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def read_small_octets(walker: Walker, tag: int = OCTET_STRING) -> bytes:
    """A short octet string in one piece. Raises UnreadableCms."""
    pieces = walker.octets(tag)
    walker.copied(sum(len(piece) for piece in pieces))
    return b"".join(pieces)


def read_bit_string(walker: Walker) -> bytes:
    """A BIT STRING as a whole element in DER. Raises UnreadableCms."""
    if walker.peek() & ~CONSTRUCTED != BIT_STRING:
        raise unreadable(f"BIT STRING expected at {walker.at}")
    return read_der(walker)


def read_as_it_stands(walker: Walker) -> bytes:
    """The whole next element, octet for octet: what is compared with, or is, a certificate, which is DER from its
    maker. Only when its outer length is indefinite is it turned into DER. Raises UnreadableCms."""
    found = walker.raw()
    if found is None:
        return read_der(walker)
    walker.copied(len(found))
    return bytes(found)


def read_algorithm(walker: Walker, tag: int = SEQUENCE) -> AlgorithmIdentifier:
    """An AlgorithmIdentifier (RFC 5652 section 10.1). Raises UnreadableCms."""
    walker.enter(tag)
    oid = read_oid(walker)
    parameters = None if walker.peek() == END else read_der(walker)
    walker.leave()
    return AlgorithmIdentifier(oid, parameters)


def read_issuer_and_serial(walker: Walker) -> IssuerAndSerial:
    """An IssuerAndSerialNumber (RFC 5652 section 10.2.4). Raises UnreadableCms."""
    walker.enter(SEQUENCE)
    if walker.peek() != SEQUENCE:
        raise unreadable(f"Name expected at {walker.at}")
    named = IssuerAndSerial(read_as_it_stands(walker), read_integer(walker))
    walker.leave()
    return named


def read_attributes(
    walker: Walker, tag: int, read_value: Callable[[Walker], bytes] = read_der
) -> tuple[tuple[Attribute, ...], bytes]:
    """Attributes (RFC 5652 section 5.3) under an implicit tag: in their order, and as the DER SET OF that is signed or
    authenticated (section 5.4). Raises UnreadableCms for an attribute without a value: it means nothing."""
    walker.enter(tag)
    attributes: list[Attribute] = []
    encoded: list[bytes] = []
    while walker.peek() != END:
        if len(attributes) >= walker.limits.attributes:
            raise unreadable("too many attributes")
        walker.enter(SEQUENCE)
        oid = walker.primitive(der.OBJECT_IDENTIFIER)
        values = []
        walker.enter(SET)
        while walker.peek() != END:
            values.append(read_value(walker))
        walker.leave()
        walker.leave()
        if not values:
            raise unreadable("an attribute without a value")
        attributes.append(Attribute(_dotted(oid), tuple(values)))
        encoded.append(der.sequence(der.tlv(der.OBJECT_IDENTIFIER, bytes(oid)), der.set_of(values)))
    walker.leave()
    return tuple(attributes), der.set_of(encoded)
