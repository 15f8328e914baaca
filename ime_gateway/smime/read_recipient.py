"""Read one RecipientInfo: for whom, and how the content key is wrapped (RFC 5652 section 6.2).

Key transport is RSA; key agreement is elliptic curves (RFC 5753) and X25519 (RFC 8418).
"""

from typing import Final

from ime_gateway.certs import der
from ime_gateway.smime.asn1_values import (
    SEQUENCE,
    read_algorithm,
    read_bit_string,
    read_issuer_and_serial,
    read_small_octets,
    read_version,
)
from ime_gateway.smime.ber import CONSTRUCTED, END, OCTET_STRING, Walker, unreadable
from ime_gateway.smime.ber_to_der import read_der
from ime_gateway.smime.structures import (
    AgreementKey,
    IssuerAndSerial,
    KeyAgreement,
    KeyTransport,
    OtherRecipient,
    Recipient,
)

_KEY_AGREEMENT: Final = 0xA1
_KEY_IDENTIFIER: Final = 0x80
_RECIPIENT_KEY_IDENTIFIER: Final = 0xA0
_ORIGINATOR: Final = 0xA0
_ORIGINATOR_KEY: Final = 0xA1
_UKM: Final = 0xA1
_GENERALIZED_TIME: Final = 0x18
_VERSIONS: Final = range(5)


def read_recipient(walker: Walker) -> Recipient:
    """The RecipientInfo at the walker. Kinds that hold no key of a certificate, and unknown ones, are passed over.

    Raises UnreadableCms.
    """
    match walker.peek():
        case 0x30:
            return _read_key_transport(walker)
        case 0xA1:
            return _read_key_agreement(walker)
        case 0xA2:
            kind = "kekri"
        case 0xA3:
            kind = "pwri"
        case 0xA4:
            kind = "ori"
        case _:
            kind = "unknown"
    walker.skip()
    return OtherRecipient(kind)


def read_name(walker: Walker) -> tuple[IssuerAndSerial | None, bytes | None]:
    """RecipientIdentifier or SignerIdentifier: one of the two, by its tag. The version that should go with it is set
    wrongly by some programs and says nothing more. Raises UnreadableCms."""
    tag = walker.peek()
    if tag == SEQUENCE:
        return read_issuer_and_serial(walker), None
    if tag & ~CONSTRUCTED == _KEY_IDENTIFIER:
        return None, read_small_octets(walker, _KEY_IDENTIFIER)
    raise unreadable(f"nobody is named at {walker.at}")


def _read_key_transport(walker: Walker) -> KeyTransport:
    walker.enter(SEQUENCE)
    version = read_version(walker, _VERSIONS)
    issuer_and_serial, key_identifier = read_name(walker)
    algorithm, encrypted_key = read_algorithm(walker), read_small_octets(walker)
    walker.leave()
    return KeyTransport(version, issuer_and_serial, key_identifier, algorithm, encrypted_key)


def _read_key_agreement(walker: Walker) -> KeyAgreement:
    walker.enter(_KEY_AGREEMENT)
    version = read_version(walker, _VERSIONS)
    walker.enter(_ORIGINATOR)
    originator_key = None
    if walker.peek() == _ORIGINATOR_KEY:
        originator_key = _read_originator_key(walker)
    else:
        read_name(walker)
    walker.leave()
    ukm = None
    if walker.peek() == _UKM:
        walker.enter(_UKM)
        ukm = read_small_octets(walker)
        walker.leave()
    algorithm = read_algorithm(walker)
    walker.enter(SEQUENCE)
    keys: list[AgreementKey] = []
    while walker.peek() != END:
        keys.append(_read_agreement_key(walker))
    walker.leave()
    walker.leave()
    return KeyAgreement(version, originator_key, ukm, algorithm, tuple(keys))


def _read_originator_key(walker: Walker) -> bytes:
    """OriginatorPublicKey is a SubjectPublicKeyInfo under another tag; parameters stay as the sender has them."""
    walker.enter(_ORIGINATOR_KEY)
    if walker.peek() != SEQUENCE:
        raise unreadable("a key without algorithm")
    key = der.sequence(read_der(walker), read_bit_string(walker))
    walker.leave()
    return key


def _read_agreement_key(walker: Walker) -> AgreementKey:
    """RecipientEncryptedKey: here a key identifier comes with a date and other words, which choose no certificate."""
    walker.enter(SEQUENCE)
    issuer_and_serial, key_identifier = None, None
    if walker.peek() == _RECIPIENT_KEY_IDENTIFIER:
        walker.enter(_RECIPIENT_KEY_IDENTIFIER)
        key_identifier = read_small_octets(walker, OCTET_STRING)
        if walker.peek() & ~CONSTRUCTED == _GENERALIZED_TIME:
            walker.skip()
        if walker.peek() == SEQUENCE:
            walker.skip()
        walker.leave()
    else:
        issuer_and_serial = read_issuer_and_serial(walker)
    encrypted_key = read_small_octets(walker)
    walker.leave()
    return AgreementKey(issuer_and_serial, key_identifier, encrypted_key)
