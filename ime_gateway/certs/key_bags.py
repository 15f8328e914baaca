"""All private keys of a PKCS#12 file, not only the first: people have one for signing and one for encryption.

Such files are what RFC 9216 shows, and what Windows exports for a person with two certificates. `cryptography`
reads one key only, and no file whose key is X25519 or X448. So the bags that hold keys (RFC 7292 section 4.2)
are found here and given one by one to its reader of private keys; without them it reads the rest.
"""

from dataclasses import dataclass, field

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der

_DATA = der.oid("1.2.840.113549.1.7.1")
_KEY_BAG = der.oid("1.2.840.113549.1.12.10.1.1")
_SHROUDED_KEY_BAG = der.oid("1.2.840.113549.1.12.10.1.2")
_EXPLICIT_0 = 0xA0
_MAXIMUM_KEYS = 64


@dataclass(frozen=True, slots=True)
class KeyBags:
    """A PKCS#12 file taken apart."""

    keys: tuple[bytes, ...] = field(repr=False)
    """PrivateKeyInfo or EncryptedPrivateKeyInfo (RFC 5958), in the order of the file."""
    rest: bytes = field(repr=False)
    """The file without them, and without the MAC, which would not fit: only for one whose MAC was checked."""


def take_apart(data: bytes) -> KeyBags | None:
    """The keys of a PKCS#12 file (PFX, RFC 7292 section 4); None when it is not plain DER, which nobody asks for.

    Keys inside encrypted contents are left where they are: programs encrypt each key bag by itself instead.
    """
    try:
        version, safe, *_ = _inside(data, der.read_element(data, 0, len(data)), 2)
        keys: list[bytes] = []
        contents = [_without_keys(content, keys) for content in _contents(data[safe.start : safe.end])]
    except (UnreadableCertificate, ValueError):
        return None
    if len(keys) > _MAXIMUM_KEYS:
        return None
    inner = der.octet_string(der.sequence(*contents))
    rest = der.sequence(data[version.start : version.end], der.sequence(_DATA, der.tlv(_EXPLICIT_0, inner)))
    return KeyBags(tuple(keys), rest)


def _contents(safe: bytes) -> list[bytes]:
    """Each ContentInfo of the AuthenticatedSafe (section 4.1)."""
    octets = _octets(safe)
    if octets is None:
        raise ValueError("the file is sealed for a public key")
    outer = der.read_element(octets, 0, len(octets))
    return [octets[one.start : one.end] for one in der.children(octets, outer)]


def _without_keys(content: bytes, keys: list[bytes]) -> bytes:
    """A ContentInfo with its key bags moved to `keys`."""
    octets = _octets(content)
    if octets is None:
        return content
    kept = []
    for bag in der.children(octets, der.read_element(octets, 0, len(octets))):
        name, value, *_ = _inside(octets, bag, 2)
        if octets[name.start : name.end] in (_KEY_BAG, _SHROUDED_KEY_BAG):
            keys.append(octets[value.content : value.end])
        else:
            kept.append(octets[bag.start : bag.end])
    return der.sequence(_DATA, der.tlv(_EXPLICIT_0, der.octet_string(der.sequence(*kept))))


def _octets(content: bytes) -> bytes | None:
    """What a ContentInfo of type data holds (RFC 5652 section 4); None for other types."""
    name, value = _inside(content, der.read_element(content, 0, len(content)), 2)[:2]
    if content[name.start : name.end] != _DATA:
        return None
    inner = der.read_element(content, value.content, value.end)
    if inner.tag != der.OCTET_STRING:
        raise ValueError("data is no OCTET STRING")
    return content[inner.content : inner.end]


def _inside(data: bytes, element: der.Element, least: int) -> list[der.Element]:
    """The parts of a SEQUENCE, of which there must be some."""
    parts = der.children(data, element)
    if element.tag != der.SEQUENCE or len(parts) < least:
        raise ValueError("no such structure")
    return parts
