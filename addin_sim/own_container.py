"""Opens a container that this user made: what was written can be read again, whatever became of the sending.

Reads exactly what ime2.py emits, with the user's own key. Nothing here checks signatures or reads foreign
mail; that is the gateway's work.
"""

import base64
import binascii
import re

from cryptography.hazmat.primitives.serialization import pkcs7

from addin_sim.own_keys import OwnKeys, ProfileError
from addin_sim.raw_mail import RawMail, parse

_CONSTRUCTED_CONTEXT_0 = 0xA0
_SEQUENCE, _SET, _INTEGER, _OID, _OCTETS = 0x30, 0x31, 0x02, 0x06, 0x04


def original_in(carrier: bytes, keys: OwnKeys) -> bytes:
    """The mail as it was written; `ProfileError` when the key does not open it."""
    try:
        envelope = base64.b64decode(parse(carrier).body)
        entity = parse(pkcs7.pkcs7_decrypt_der(envelope, keys.certificate, keys.private_key, []))
        signed = _signed_entity(entity)
    except (ValueError, binascii.Error, IndexError) as error:
        raise ProfileError("The kept mail cannot be opened with the own key of this profile.") from error
    return _unwrapped(signed)


def _signed_entity(entity: RawMail) -> RawMail:
    if _media_type(entity) == "multipart/signed":
        return _first_part(entity)
    return parse(_signed_content(base64.b64decode(entity.body)))


def _unwrapped(entity: RawMail) -> bytes:
    """A whole mail has a From; a part around it has none."""
    if entity.all("From"):
        return entity.to_bytes()
    if _media_type(entity) == "multipart/mixed":
        entity = _first_part(entity)
    return entity.body


def _media_type(entity: RawMail) -> str:
    return entity.value("Content-Type").partition(";")[0].strip().lower()


def _first_part(entity: RawMail) -> RawMail:
    found = re.search(r'boundary="([^"]+)"', entity.value("Content-Type"))
    if found is None:
        raise ValueError("no boundary")
    edge = b"--" + found[1].encode("ascii")
    begin = entity.body.index(edge + b"\r\n") + len(edge) + 2
    return parse(entity.body[begin : entity.body.index(b"\r\n" + edge, begin)])


def _signed_content(der: bytes) -> bytes:
    """eContent of a SignedData in DER (RFC 5652 section 5.1): down the first of everything, no recursion."""
    _, content = _element(der, _SEQUENCE)
    rest, _ = _element(content, _OID)
    _, explicit = _element(rest, _CONSTRUCTED_CONTEXT_0)
    _, signed_data = _element(explicit, _SEQUENCE)
    rest, _ = _element(signed_data, _INTEGER)
    rest, _ = _element(rest, _SET)
    _, encapsulated = _element(rest, _SEQUENCE)
    rest, _ = _element(encapsulated, _OID)
    _, explicit = _element(rest, _CONSTRUCTED_CONTEXT_0)
    _, octets = _element(explicit, _OCTETS)
    return bytes(octets)


def _element(data: bytes | memoryview, tag: int) -> tuple[memoryview, memoryview]:
    """What follows the element, and its content; ValueError when it is another element or does not fit."""
    view = memoryview(data)
    if view[0] != tag:
        raise ValueError("another element")
    length, start = view[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(view[2:start], "big")
    if start + length > len(view):
        raise ValueError("too short")
    return view[start + length :], view[start : start + length]
