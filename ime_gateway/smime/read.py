"""Read a CMS object that came by mail: encrypted, signed or compressed (RFC 5652 section 3).

Old and new mail programs write BER in many ways, attackers in more. What is read here is only what the octets say;
nothing is decrypted or believed. One pass over the octets, content left where it is, every count limited.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ime_gateway.base.octets import Buffer
from ime_gateway.smime.asn1_values import SEQUENCE, read_oid
from ime_gateway.smime.ber import END, Walker, unreadable
from ime_gateway.smime.read_enveloped import read_auth_enveloped, read_enveloped
from ime_gateway.smime.read_signed import read_compressed, read_signed
from ime_gateway.smime.structures import CmsLimits, CmsObject, OtherContent

__all__ = ["CmsLimits", "read_cms"]

_CONTENT: Final = 0xA0
_USUAL_LIMITS: Final = CmsLimits()
_MOST_PADDING: Final = 16

_READERS: Final[Mapping[str, Callable[[Walker], CmsObject]]] = MappingProxyType(
    {
        "1.2.840.113549.1.7.2": read_signed,
        "1.2.840.113549.1.7.3": read_enveloped,
        "1.2.840.113549.1.9.16.1.9": read_compressed,
        "1.2.840.113549.1.9.16.1.23": read_auth_enveloped,
    }
)


def read_cms(data: Buffer, limits: CmsLimits = _USUAL_LIMITS) -> CmsObject:
    """The ContentInfo in `data`, which the result keeps pointing into: do not change it afterwards.

    Takes time linear in the size of `data`, and memory for what is small and for the list of segments only. A few
    line ends or NUL octets behind the object are padding of transports and ignored. Raises UnreadableCms for
    everything else that is not exactly one CMS object, and for one beyond the `limits`.
    """
    walker = Walker(data, limits)
    walker.enter(SEQUENCE)
    content_type = read_oid(walker)
    reader = _READERS.get(content_type)
    found: CmsObject
    if reader is None:
        found = _pass_over(walker, content_type)
    else:
        walker.enter(_CONTENT)
        found = reader(walker)
        walker.leave()
    walker.leave()
    behind = walker.rest()
    if len(behind) > _MOST_PADDING or bytes(behind).strip(b"\r\n\0"):
        raise unreadable(f"{len(behind)} octets behind the object")
    return found


def _pass_over(walker: Walker, content_type: str) -> OtherContent:
    if walker.peek() != END:
        walker.enter(_CONTENT)
        walker.skip()
        walker.leave()
    return OtherContent(content_type)
