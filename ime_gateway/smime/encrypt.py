"""Make S/MIME encrypted mail: one ciphertext, and for every envelope a frame around it.

A CMS object (RFC 5652 section 6.1, RFC 5083 section 2.1) is `prefix + ciphertext + suffix`. All
lengths are known beforehand, so it is definite-length DER without the content ever being in memory
as a whole, and recipients who must not know of each other (Bcc, P6) get frames of their own over the
same stored ciphertext.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ime_gateway.base.octets import Buffer
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.smime.content import (
    AUTHENTICATED,
    GCM_TAG_BYTES,
    CipherName,
    ContentEncryptor,
    ContentKey,
    ciphertext_size,
)
from ime_gateway.smime.recipient_info import needs_version_2, recipient_info

__all__ = [
    "CipherName",
    "ContentEncryptor",
    "ContentKey",
    "Frame",
    "ciphertext_size",
    "encrypt_entity",
    "frame",
]

_DATA = der.oid("1.2.840.113549.1.7.1")
_ENVELOPED_DATA = der.oid("1.2.840.113549.1.7.3")
_AUTH_ENVELOPED_DATA = der.oid("1.2.840.113549.1.9.16.1.23")
_ALGORITHMS: Final[Mapping[CipherName, bytes]] = MappingProxyType(
    {
        "aes-128-cbc": der.oid("2.16.840.1.101.3.4.1.2"),
        "aes-192-cbc": der.oid("2.16.840.1.101.3.4.1.22"),
        "aes-256-cbc": der.oid("2.16.840.1.101.3.4.1.42"),
        "aes-128-gcm": der.oid("2.16.840.1.101.3.4.1.6"),
        "aes-192-gcm": der.oid("2.16.840.1.101.3.4.1.26"),
        "aes-256-gcm": der.oid("2.16.840.1.101.3.4.1.46"),
    }
)
"""RFC 3565 section 4.1 and RFC 5084 section 3.2."""
_VERSION_0 = der.integer(0)
_VERSION_2 = der.integer(2)
_EXPLICIT_0 = 0xA0
_IMPLICIT_0 = 0x80


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the ciphertext for the recipients of one envelope."""

    prefix: bytes = field(repr=False)
    """Everything before the content octets of the ciphertext."""
    suffix: bytes = field(repr=False)
    """Everything behind them: the tag of GCM; empty for CBC."""


def frame(
    recipients: Sequence[Certificate],
    key: ContentKey,
    ciphertext_size: int,
    tag: bytes,
    *,
    oaep: Collection[str] = (),
    use_ski: bool = False,
) -> Frame:
    """The frame that opens a ciphertext of `ciphertext_size` bytes for `recipients`.

    Recipients may have RSA, P-256, P-384, P-521 and X25519 keys. oaep: thumbprints of RSA certificates whose owners
    are known to read RSAES-OAEP; a list serves as well as a set unless it is long. A certificate that is given twice
    is served once. Costs one public-key operation for each certificate.
    Raises ValueError without recipients, UnreadableCertificate for a key that cannot encrypt.
    """
    authenticated = key.cipher in AUTHENTICATED
    if authenticated != (len(tag) == GCM_TAG_BYTES) or (tag and not authenticated):
        raise ValueError(f"{key.cipher} does not go with a tag of {len(tag)} bytes")
    suffix = der.octet_string(tag) if authenticated else b""
    return Frame(_prefix(recipients, key, ciphertext_size, len(suffix), oaep, use_ski), suffix)


def encrypt_entity(
    chunks: Iterable[Buffer],
    size: int,
    recipients: Sequence[Certificate],
    cipher: CipherName,
    randomness: Callable[[int], bytes],
    *,
    oaep: Collection[str] = (),
) -> Iterator[bytes]:
    """Encrypt a MIME entity of `size` bytes; yields the base64 body of the S/MIME message.

    Raises as `frame`, and ValueError when the chunks do not add up to `size`: what was yielded until
    then is no message and must be thrown away.
    """
    key = ContentKey.generate(cipher, randomness)
    return encode_lines(_object(chunks, size, recipients, key, oaep))


def _object(
    chunks: Iterable[Buffer], size: int, recipients: Sequence[Certificate], key: ContentKey, oaep: Collection[str]
) -> Iterator[Buffer]:
    encryptor = ContentEncryptor(key)
    expected = ciphertext_size(key.cipher, size)
    suffix_size = len(der.octet_string(bytes(GCM_TAG_BYTES))) if key.cipher in AUTHENTICATED else 0
    yield _prefix(recipients, key, expected, suffix_size, oaep, False)
    written = 0
    for piece in encryptor.chunks(chunks):
        written += len(piece)
        yield piece
    if written != expected:
        raise ValueError(f"the entity has not the {size} bytes that were announced")
    if encryptor.tag:
        yield der.octet_string(encryptor.tag)


def _prefix(
    recipients: Sequence[Certificate],
    key: ContentKey,
    ciphertext_size: int,
    suffix_size: int,
    oaep: Collection[str],
    use_ski: bool,
) -> bytes:
    """Lengths grow from the inside out: each header counts all that follows it."""
    certificates = tuple(dict.fromkeys(recipients))
    if not certificates:
        raise ValueError("an envelope needs at least one recipient")
    infos = der.set_of(
        [recipient_info(one, key.key, oaep=one.thumbprint in oaep, use_ski=use_ski) for one in certificates]
    )
    algorithm, content_type, version = _describe(key, certificates, use_ski)
    ciphertext_header = der.header(_IMPLICIT_0, ciphertext_size)
    content = _DATA + algorithm + ciphertext_header
    content = der.header(der.SEQUENCE, len(content) + ciphertext_size) + content
    envelope = version + infos + content
    rest = ciphertext_size + suffix_size
    envelope = der.header(der.SEQUENCE, len(envelope) + rest) + envelope
    envelope = der.header(_EXPLICIT_0, len(envelope) + rest) + envelope
    return der.header(der.SEQUENCE, len(content_type) + len(envelope) + rest) + content_type + envelope


def _describe(key: ContentKey, certificates: Sequence[Certificate], use_ski: bool) -> tuple[bytes, bytes, bytes]:
    """Content encryption algorithm, content type and version of the envelope."""
    algorithm = _ALGORITHMS[key.cipher]
    if key.cipher in AUTHENTICATED:
        # The tag length stands explicit: its default is 12 (RFC 5084 section 3.2).
        parameters = der.sequence(der.octet_string(key.nonce), der.integer(GCM_TAG_BYTES))
        return der.sequence(algorithm, parameters), _AUTH_ENVELOPED_DATA, _VERSION_0
    raised = any(needs_version_2(certificate, use_ski) for certificate in certificates)
    version = _VERSION_2 if raised else _VERSION_0
    return der.sequence(algorithm, der.octet_string(key.nonce)), _ENVELOPED_DATA, version
