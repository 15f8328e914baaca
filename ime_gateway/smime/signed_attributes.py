"""What a signer signs besides the content: when, with which certificate, and what its programs can read.

RFC 5652 section 11 (contentType, messageDigest, signingTime), RFC 8551 section 2.5 (SMIMECapabilities,
encryptionKeyPreference), RFC 5035 (signingCertificate and its version 2). Each must be there at most once with
one value; whatever is twice could be read in two ways and makes the signature worthless.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.capabilities import SMIME_CAPABILITIES
from ime_gateway.certs.certificate import Certificate, places
from ime_gateway.smime.signature_algorithms import DIGESTS, digest
from ime_gateway.smime.signature_report import SignatureFault
from ime_gateway.smime.structures import Attribute

CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
SIGNING_TIME: Final = "1.2.840.113549.1.9.5"
KEY_PREFERENCE: Final = "1.2.840.113549.1.9.16.2.11"
MICROSOFT_KEY_PREFERENCE: Final = "1.3.6.1.4.1.311.16.4"
"""What Outlook wrote before RFC 2633, and still writes beside the other: issuer and serial number."""
SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"

_SINGLE: Final = frozenset(
    {
        *(CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, SMIME_CAPABILITIES, KEY_PREFERENCE),
        *(MICROSOFT_KEY_PREFERENCE, SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2),
    }
)
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_DIRECTORY_NAME = 0xA4
_PREFERRED_BY_ISSUER = 0xA0
_PREFERRED_BY_RECIPIENT = 0xA1
_PREFERRED_BY_IDENTIFIER = 0x82
_FIRST_GENERALIZED_YEAR = 2050


@dataclass(frozen=True, slots=True)
class SignedAttributes:
    """The signed attributes that mean something to us, read."""

    content_type: bytes
    """The OBJECT IDENTIFIER as a whole element."""
    message_digest: bytes
    signing_time: float | None
    """Seconds since 1970 UTC."""
    capabilities: bytes | None
    values: dict[str, bytes]
    """The value of each attribute that may have one only, by OID, whole elements."""


@dataclass(frozen=True, slots=True)
class NamedCertificate:
    """What a signingCertificate attribute says of the signer's certificate (RFC 5035 section 4)."""

    digest: str
    value: bytes
    issuer: bytes
    """Name as a whole element; empty when only the hash names the certificate."""
    serial: int

    def names(self, certificate: Certificate) -> bool:
        """Whether it is this one: its hash, and issuer and serial number where they are given."""
        if digest(self.digest, (certificate.der,)) != self.value:
            return False
        place = places(certificate.der)
        return not self.issuer or (self.issuer, self.serial) == (certificate.der[place.issuer], certificate.serial)


def read_attributes(attributes: Sequence[Attribute]) -> SignedAttributes | SignatureFault:
    """Read signed attributes strictly (RFC 5652 sections 5.3 and 11, RFC 8551 section 2.5)."""
    if len({attribute.oid for attribute in attributes}) != len(attributes):
        return SignatureFault.DUPLICATE_ATTRIBUTE
    single = {attribute.oid: attribute.values for attribute in attributes if attribute.oid in _SINGLE}
    if any(len(values) > 1 for values in single.values()):
        return SignatureFault.DUPLICATE_ATTRIBUTE
    if not all(len(values) == 1 for values in single.values()):
        return SignatureFault.MALFORMED_ATTRIBUTE
    values = {oid: values[0] for oid, values in single.items()}
    if CONTENT_TYPE not in values:
        return SignatureFault.NO_CONTENT_TYPE
    if MESSAGE_DIGEST not in values:
        return SignatureFault.NO_MESSAGE_DIGEST
    try:
        return SignedAttributes(
            content_type=values[CONTENT_TYPE],
            message_digest=_content(values[MESSAGE_DIGEST], der.OCTET_STRING),
            signing_time=_read_time(values[SIGNING_TIME]) if SIGNING_TIME in values else None,
            capabilities=values.get(SMIME_CAPABILITIES),
            values=values,
        )
    except (UnreadableCertificate, ValueError):
        return SignatureFault.MALFORMED_ATTRIBUTE


def named_certificates(read: SignedAttributes) -> tuple[NamedCertificate, ...] | SignatureFault:
    """The signer's certificate as the signingCertificate attributes name it; both versions may be there, or none."""
    try:
        found = []
        if value := read.values.get(SIGNING_CERTIFICATE):
            found.append(_read_named(value, first_version=True))
        if value := read.values.get(SIGNING_CERTIFICATE_V2):
            found.append(_read_named(value, first_version=False))
        return tuple(found)
    except (UnreadableCertificate, ValueError, LookupError):
        return SignatureFault.MALFORMED_ATTRIBUTE


def preferred_certificate(read: SignedAttributes, carried: Sequence[Certificate]) -> Certificate | None:
    """The carried certificate that encryptionKeyPreference names; None without, or when it is not there."""
    try:
        if value := read.values.get(KEY_PREFERENCE):
            element = _sole(value)
            inside = value[element.content : element.end]
            if element.tag == _PREFERRED_BY_ISSUER:
                return _by_issuer(der.tlv(der.SEQUENCE, inside), carried)
            if element.tag == _PREFERRED_BY_IDENTIFIER:
                return _by_identifier(inside, carried)
            if element.tag == _PREFERRED_BY_RECIPIENT:
                identifier = der.children(value, element)[0]
                return _by_identifier(value[identifier.content : identifier.end], carried)
        if value := read.values.get(MICROSOFT_KEY_PREFERENCE):
            return _by_issuer(value, carried)
    except (UnreadableCertificate, IndexError):
        pass
    return None


def _by_issuer(issuer_and_serial: bytes, carried: Sequence[Certificate]) -> Certificate | None:
    return next((one for one in carried if one.issuer_and_serial == issuer_and_serial), None)


def _by_identifier(identifier: bytes, carried: Sequence[Certificate]) -> Certificate | None:
    return next((one for one in carried if identifier and one.subject_key_identifier == identifier), None)


def in_order(attributes: Sequence[Attribute]) -> bytes:
    """The attributes as a SET with everything in the order in which it was sent, sorted or not."""
    return der.tlv(
        der.SET,
        b"".join(der.sequence(der.oid(one.oid), der.tlv(der.SET, b"".join(one.values))) for one in attributes),
    )


def attribute(oid: str, value: bytes) -> bytes:
    """An Attribute with one value, in DER (RFC 5652 section 5.3)."""
    return der.sequence(der.oid(oid), der.set_of([value]))


def time_value(moment: float) -> bytes:
    """A Time: UTCTime up to 2049, GeneralizedTime from then on, whole seconds (RFC 5652 section 11.3)."""
    instant = datetime.fromtimestamp(int(moment), UTC)
    if instant.year < _FIRST_GENERALIZED_YEAR:
        return der.tlv(_UTC_TIME, instant.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return der.tlv(_GENERALIZED_TIME, instant.strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def signing_certificate_v2(certificate: Certificate) -> bytes:
    """SigningCertificateV2 with the SHA-256 of the certificate, issuer and serial number (RFC 5035 section 3)."""
    place = places(certificate.der)
    issuer = der.sequence(der.tlv(_DIRECTORY_NAME, certificate.der[place.issuer]))
    named = der.sequence(
        # The hash algorithm is left out: SHA-256 is its default, and DER never writes a default.
        der.octet_string(hashlib.sha256(certificate.der).digest()),
        der.sequence(issuer, certificate.der[place.serial]),
    )
    return der.sequence(der.sequence(named))


def key_preference(certificate: Certificate) -> bytes:
    """SMIMEEncryptionKeyPreference that names a certificate by issuer and serial (RFC 8551 section 2.5.3)."""
    whole = certificate.issuer_and_serial
    outer = der.read_element(whole, 0, len(whole))
    return der.tlv(_PREFERRED_BY_ISSUER, whole[outer.content : outer.end])


def _sole(value: bytes) -> der.Element:
    element = der.read_element(value, 0, len(value))
    if element.end != len(value):
        raise UnreadableCertificate("this is not DER: something follows")
    return element


def _content(value: bytes, tag: int) -> bytes:
    element = _sole(value)
    if element.tag != tag:
        raise ValueError("another type was expected")
    return value[element.content : element.end]


def _read_time(value: bytes) -> float:
    """RFC 5652 section 11.3: with seconds, in UTC; UTCTime years from 50 on are those of the last century."""
    element = _sole(value)
    text = value[element.content : element.end].decode("ascii")
    digits = text[:-1]
    if not text.endswith("Z") or not digits.isdigit():
        raise ValueError("no time in UTC")
    if element.tag == _UTC_TIME and len(digits) == 12:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    elif element.tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    if len(digits) != 14:
        raise ValueError("no time with seconds")
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()


def _read_named(value: bytes, *, first_version: bool) -> NamedCertificate:
    """The first certificate of the list is the signer's own (RFC 5035 section 4)."""
    parts = der.children(value, _sole(value))
    named = der.children(value, der.children(value, parts[0])[0])
    name = "sha1" if first_version else "sha256"
    if not first_version and named[0].tag == der.SEQUENCE:
        name = _digest_in(value, named.pop(0))
    if named[0].tag != der.OCTET_STRING:
        raise ValueError("no hash of a certificate")
    hashed = value[named[0].content : named[0].end]
    if len(named) == 1:
        return NamedCertificate(name, hashed, b"", 0)
    names, serial = der.children(value, named[1])
    directory_name = next((one for one in der.children(value, names) if one.tag == _DIRECTORY_NAME), None)
    if directory_name is None:
        raise ValueError("no name of an issuer")
    number = int.from_bytes(value[serial.content : serial.end], "big", signed=True)
    return NamedCertificate(name, hashed, value[directory_name.content : directory_name.end], number)


def _digest_in(value: bytes, algorithm: der.Element) -> str:
    dotted = der.children(value, algorithm)[0]
    by_der = {der.oid(oid): name for oid, name in DIGESTS.items()}
    return by_der[value[dotted.start : dotted.end]]
