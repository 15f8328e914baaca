"""Read encrypted CMS objects: EnvelopedData (RFC 5652 section 6) and AuthEnvelopedData (RFC 5083).

Recipients of every kind stand side by side in one message, ours and those of programs that we have never heard of:
what can't concern us is passed over, what could is read whole or refused.
"""

from typing import Final

from ime_gateway.smime.asn1_values import (
    SEQUENCE,
    SET,
    read_algorithm,
    read_attributes,
    read_oid,
    read_small_octets,
    read_version,
)
from ime_gateway.smime.ber import END, Walker, unreadable
from ime_gateway.smime.read_recipient import read_recipient
from ime_gateway.smime.structures import AlgorithmIdentifier, Enveloped, KeyAgreement, Pieces, Recipient

_ORIGINATOR_INFO: Final = 0xA0
_ENCRYPTED_CONTENT: Final = 0x80
_UNPROTECTED_ATTRIBUTES: Final = 0xA1
_AUTHENTICATED_ATTRIBUTES: Final = 0xA1
_UNAUTHENTICATED_ATTRIBUTES: Final = 0xA2
_ENVELOPED_VERSIONS: Final = range(5)
_AUTH_ENVELOPED_VERSIONS: Final = range(1)
_MOST_TAG_OCTETS: Final = 64


def read_enveloped(walker: Walker) -> Enveloped:
    """EnvelopedData at the walker. Raises UnreadableCms."""
    walker.enter(SEQUENCE)
    version = read_version(walker, _ENVELOPED_VERSIONS)
    recipients = _read_recipients(walker)
    content_type, algorithm, ciphertext = _read_encrypted_content(walker)
    _skip_optional(walker, _UNPROTECTED_ATTRIBUTES)
    walker.leave()
    return Enveloped(False, version, recipients, content_type, algorithm, ciphertext, None, b"")


def read_auth_enveloped(walker: Walker) -> Enveloped:
    """AuthEnvelopedData at the walker. Raises UnreadableCms."""
    walker.enter(SEQUENCE)
    version = read_version(walker, _AUTH_ENVELOPED_VERSIONS)
    recipients = _read_recipients(walker)
    content_type, algorithm, ciphertext = _read_encrypted_content(walker)
    authenticated = None
    if walker.peek() == _AUTHENTICATED_ATTRIBUTES:
        attributes, authenticated = read_attributes(walker, _AUTHENTICATED_ATTRIBUTES)
        if not attributes:
            raise unreadable("authenticated attributes that are present but empty")
    tag = read_small_octets(walker)
    if not 1 <= len(tag) <= _MOST_TAG_OCTETS:
        raise unreadable(f"an authentication tag of {len(tag)} octets")
    _skip_optional(walker, _UNAUTHENTICATED_ATTRIBUTES)
    walker.leave()
    return Enveloped(True, version, recipients, content_type, algorithm, ciphertext, authenticated, tag)


def _read_recipients(walker: Walker) -> tuple[Recipient, ...]:
    """OriginatorInfo, which holds certificates that key agreement here never needs, and the RecipientInfos."""
    _skip_optional(walker, _ORIGINATOR_INFO)
    walker.enter(SET)
    recipients: list[Recipient] = []
    count = 0
    while walker.peek() != END:
        recipient = read_recipient(walker)
        count += len(recipient.keys) if isinstance(recipient, KeyAgreement) else 1
        if count > walker.limits.recipients:
            raise unreadable("too many recipients")
        recipients.append(recipient)
    walker.leave()
    if not recipients:
        raise unreadable("no recipients")
    return tuple(recipients)


def _read_encrypted_content(walker: Walker) -> tuple[str, AlgorithmIdentifier, Pieces]:
    """EncryptedContentInfo. Its content may be absent in CMS, but then it isn't in the mail."""
    walker.enter(SEQUENCE)
    content_type, algorithm = read_oid(walker), read_algorithm(walker)
    ciphertext = walker.octets(_ENCRYPTED_CONTENT)
    walker.leave()
    return content_type, algorithm, ciphertext


def _skip_optional(walker: Walker, tag: int) -> None:
    if walker.peek() == tag:
        walker.skip()
