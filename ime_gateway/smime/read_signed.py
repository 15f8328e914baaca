"""Read signed and compressed CMS objects: SignedData (RFC 5652 section 5), CompressedData (RFC 3274).

Signed mail of the last twenty-five years is PKCS#7 1.5 (RFC 2315) or CMS; the two differ in nothing that mail uses.
"""

from typing import Final

from ime_gateway.smime.asn1_values import (
    SEQUENCE,
    SET,
    read_algorithm,
    read_as_it_stands,
    read_attributes,
    read_oid,
    read_small_octets,
    read_version,
)
from ime_gateway.smime.ber import END, OCTET_STRING, Walker, unreadable
from ime_gateway.smime.read_recipient import read_name
from ime_gateway.smime.structures import AlgorithmIdentifier, Attribute, Compressed, Pieces, Signed, SignerInfo

_DATA: Final = "1.2.840.113549.1.7.1"
_CONTENT: Final = 0xA0
_BARE_CONTENT: Final = 0x80
_CERTIFICATES: Final = 0xA0
_CRLS: Final = 0xA1
_OTHER_CERTIFICATES: Final = range(0xA0, 0xA4)
_SIGNED_ATTRIBUTES: Final = 0xA0
_UNSIGNED_ATTRIBUTES: Final = 0xA1
_SIGNED_VERSIONS: Final = range(1, 6)
_SIGNER_VERSIONS: Final = range(1, 6)
_COMPRESSED_VERSIONS: Final = range(1)


def read_signed(walker: Walker) -> Signed:
    """SignedData at the walker. Raises UnreadableCms."""
    walker.enter(SEQUENCE)
    version = read_version(walker, _SIGNED_VERSIONS)
    digest_algorithms = _read_digest_algorithms(walker)
    content_type, content = _read_content(walker, pkcs7=version == 1)
    certificates = _read_certificates(walker) if walker.peek() == _CERTIFICATES else ()
    if walker.peek() == _CRLS:
        walker.skip()
    signers: list[SignerInfo] = []
    walker.enter(SET)
    while walker.peek() != END:
        if len(signers) >= walker.limits.signers:
            raise unreadable("too many signers")
        signers.append(_read_signer(walker))
    walker.leave()
    walker.leave()
    return Signed(version, digest_algorithms, content_type, content, certificates, tuple(signers))


def read_compressed(walker: Walker) -> Compressed:
    """CompressedData at the walker. Raises UnreadableCms."""
    walker.enter(SEQUENCE)
    read_version(walker, _COMPRESSED_VERSIONS)
    algorithm = read_algorithm(walker)
    content_type, content = _read_content(walker, pkcs7=False)
    walker.leave()
    if content is None:
        raise unreadable("no compressed content")
    return Compressed(algorithm, content_type, content)


def _read_digest_algorithms(walker: Walker) -> tuple[AlgorithmIdentifier, ...]:
    walker.enter(SET)
    algorithms: list[AlgorithmIdentifier] = []
    while walker.peek() != END:
        if len(algorithms) >= walker.limits.attributes:
            raise unreadable("too many digest algorithms")
        algorithms.append(read_algorithm(walker))
    walker.leave()
    return tuple(algorithms)


def _read_content(walker: Walker, *, pkcs7: bool) -> tuple[str, Pieces | None]:
    """EncapsulatedContentInfo; None where the content is elsewhere, in the other part of multipart/signed.

    In PKCS#7 the content is whatever its type says; of type data that is an octet string, too, and a few old
    programs left out its tag.
    """
    walker.enter(SEQUENCE)
    content_type = read_oid(walker)
    tag, content = walker.peek(), None
    if tag == _CONTENT:
        walker.enter(_CONTENT)
        content = walker.octets(OCTET_STRING)
        walker.leave()
    elif tag == _BARE_CONTENT and pkcs7 and content_type == _DATA:
        content = walker.octets(_BARE_CONTENT)
    walker.leave()
    return content_type, content


def _read_certificates(walker: Walker) -> tuple[bytes, ...]:
    """CertificateSet: X.509 is kept, attribute certificates and other formats are passed over."""
    walker.enter(_CERTIFICATES)
    certificates: list[bytes] = []
    count = 0
    while (tag := walker.peek()) != END:
        count += 1
        if count > walker.limits.certificates:
            raise unreadable("too many certificates")
        if tag == SEQUENCE:
            certificates.append(read_as_it_stands(walker))
        elif tag in _OTHER_CERTIFICATES:
            walker.skip()
        else:
            raise unreadable(f"no certificate at {walker.at}")
    walker.leave()
    return tuple(certificates)


def _read_signer(walker: Walker) -> SignerInfo:
    walker.enter(SEQUENCE)
    version = read_version(walker, _SIGNER_VERSIONS)
    issuer_and_serial, key_identifier = read_name(walker)
    digest_algorithm = read_algorithm(walker)
    signed, signed_der = None, None
    if walker.peek() == _SIGNED_ATTRIBUTES:
        signed, signed_der = read_attributes(walker, _SIGNED_ATTRIBUTES)
        if not signed:
            # Empty is neither "signs the content" nor "signs the attributes": section 5.3 wants at least one.
            raise unreadable("signed attributes that are present but empty")
    signature_algorithm, signature = read_algorithm(walker), read_small_octets(walker)
    unsigned: tuple[Attribute, ...] = ()
    if walker.peek() == _UNSIGNED_ATTRIBUTES:
        # Anybody may have added these, and nothing is compared with them: time stamps stay as they are.
        unsigned, _ = read_attributes(walker, _UNSIGNED_ATTRIBUTES, read_as_it_stands)
    walker.leave()
    return SignerInfo(
        version,
        issuer_and_serial,
        key_identifier,
        digest_algorithm,
        signed,
        signed_der,
        signature_algorithm,
        signature,
        unsigned,
    )
