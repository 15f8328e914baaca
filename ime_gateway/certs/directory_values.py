"""Certificates as directories keep them: plain, in a signed PKCS#7, or in Outlook's own wrapping.

`userCertificate` holds DER certificates (RFC 4523 section 4.1). `userSMIMECertificate` holds a PKCS#7 SignedData with
the person's certificates and those above them (RFC 2798 section 2.8), or what Outlook publishes from the old days: a
run of tagged fields (MS-OXOABK section 2.2.4.36). What cannot be read is passed over: it may be anybody's rubbish.
"""

from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.certificate import PARSE_ERRORS, Certificate, quiet

_LARGEST = 65_536
"""Octets of one value; Active Directory takes 32,768."""
_MOST = 16
"""Certificates of one person that are looked at."""
_SEQUENCE = 0x30
_KEY_EXCHANGE, _SIGNING = 0x0003, 0x0008
"""Tags of MS-OXOABK that hold a DER certificate."""


def certificates_in(values: Iterable[bytes]) -> tuple[Certificate, ...]:
    """The certificates of people in the values of both attributes, each once, in their order; CA certificates are left
    out, for what stands above people is for administrators to import."""
    found: dict[Certificate, None] = {}
    for value in values:
        if len(value) > _LARGEST:
            continue
        found.update((one, None) for one in _read(value) if not one.is_ca)
        if len(found) >= _MOST:
            break
    return tuple(found)[:_MOST]


def _read(value: bytes) -> list[Certificate]:
    if not value.startswith(bytes([_SEQUENCE])):
        return _readable(_tagged(value))
    try:
        return [Certificate.from_der(value)]
    except UnreadableCertificate:
        pass
    try:
        with quiet():
            inside = pkcs7.load_der_pkcs7_certificates(value)
            return _readable(one.public_bytes(Encoding.DER) for one in inside)
    except PARSE_ERRORS:
        return []


def _readable(encoded: Iterable[bytes]) -> list[Certificate]:
    found = []
    for one in encoded:
        try:
            found.append(Certificate.from_der(one))
        except UnreadableCertificate:
            continue
    return found


def _tagged(value: bytes) -> list[bytes]:
    """TAG (2) LENGTH (2, with these four) DATA, little-endian, one behind the other; linear in the value."""
    found = []
    at = 0
    while at + 4 <= len(value):
        tag = int.from_bytes(value[at : at + 2], "little")
        length = int.from_bytes(value[at + 2 : at + 4], "little")
        if length < 4 or at + length > len(value):
            return []
        if tag in (_KEY_EXCHANGE, _SIGNING):
            found.append(value[at + 4 : at + length])
        at += length
    return found
