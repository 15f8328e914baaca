"""What a CMS object says, once read: the shapes that decryption, verification and the walk through layers work on.

RFC 5652 (CMS), RFC 5083 (AuthEnvelopedData), RFC 3274 (CompressedData). Content octets stay where
they are in the message, as segments: a 50 MiB mail is never copied only because it was read.
"""

from dataclasses import dataclass, field

Pieces = tuple[memoryview, ...]
"""Octets in segments, in order, as the sender cut them. The reader never joins them; empty segments are left out."""


@dataclass(frozen=True, slots=True)
class CmsLimits:
    """What a CMS object may cost its reader. Beyond any of these it is refused, whatever it says."""

    depth: int = 32
    """Elements inside elements."""
    elements: int = 120_000
    """Elements of BER in all, segments of content not counted."""
    segments: int = 65_536
    """Segments of content: 1 KiB each, the smallest that programs really write, makes 64 MiB. Besides these, one
    is allowed for each 512 octets of the object."""
    recipients: int = 4_096
    certificates: int = 256
    signers: int = 32
    attributes: int = 128
    """Attributes of one signer or one envelope."""
    small_bytes: int = 1_048_576
    """Octets of one thing that is copied: a certificate, a set of attributes, an encrypted key, a name."""
    copied_bytes: int = 16_777_216
    """Octets of all things that are copied."""


@dataclass(frozen=True, slots=True)
class AlgorithmIdentifier:
    """An algorithm and its parameters (RFC 5652 section 10.1)."""

    oid: str
    """Dotted."""
    parameters: bytes | None
    """The whole element in DER, whatever the sender's BER looked like; None when absent, which is not NULL."""


@dataclass(frozen=True, slots=True)
class IssuerAndSerial:
    """A certificate by its issuer and serial number (RFC 5652 section 10.2.4)."""

    issuer: bytes
    """The whole Name element, octet for octet as it stood."""
    serial: int


@dataclass(frozen=True, slots=True)
class KeyTransport:
    """A recipient who gets the content key by RSA (RFC 5652 section 6.2.1). Exactly one of the two names is there."""

    version: int
    issuer_and_serial: IssuerAndSerial | None
    key_identifier: bytes | None
    algorithm: AlgorithmIdentifier
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """The content key for one certificate of a key agreement. Exactly one of the two names is there."""

    issuer_and_serial: IssuerAndSerial | None
    key_identifier: bytes | None
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class KeyAgreement:
    """Recipients who get the content key by Diffie-Hellman (RFC 5652 section 6.2.2, RFC 5753, RFC 8418)."""

    version: int
    originator_key: bytes | None
    """SubjectPublicKeyInfo in DER made from `originatorKey`; its parameters are absent where the sender's were.
    None when the originator is named by certificate (static keys)."""
    ukm: bytes | None
    algorithm: AlgorithmIdentifier
    keys: tuple[AgreementKey, ...]


@dataclass(frozen=True, slots=True)
class OtherRecipient:
    """A recipient whose key we never hold: a shared key, a password, or a kind that we do not know."""

    kind: str
    """`kekri`, `pwri`, `ori` or `unknown`."""


Recipient = KeyTransport | KeyAgreement | OtherRecipient


@dataclass(frozen=True, slots=True)
class Enveloped:
    """EnvelopedData (RFC 5652 section 6.1) or AuthEnvelopedData (RFC 5083 section 2.1)."""

    authenticated: bool
    """It is AuthEnvelopedData."""
    version: int
    recipients: tuple[Recipient, ...]
    """In the order of the object."""
    content_type: str
    algorithm: AlgorithmIdentifier
    """Of the content, with its nonce or initialisation vector."""
    ciphertext: Pieces = field(repr=False)
    authenticated_attributes: bytes | None
    """RFC 5083 section 2.2: the DER SET OF that goes into the cipher as additional authenticated data; None without."""
    tag: bytes
    """The authentication tag (`mac`); empty in EnvelopedData."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a signer (RFC 5652 section 5.3)."""

    oid: str
    values: tuple[bytes, ...]
    """Whole elements, never none: in DER when signed or authenticated, as they stood when not."""


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signature (RFC 5652 section 5.3). Exactly one of the two names is there."""

    version: int
    issuer_and_serial: IssuerAndSerial | None
    key_identifier: bytes | None
    digest_algorithm: AlgorithmIdentifier
    signed_attributes: tuple[Attribute, ...] | None
    """In the order of the object; None when there are none, and the signature then covers the content itself."""
    signed_attributes_der: bytes | None
    """What is signed (section 5.4): the DER SET OF, made anew from what was read."""
    signature_algorithm: AlgorithmIdentifier
    signature: bytes
    unsigned_attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """SignedData (RFC 5652 section 5.1)."""

    version: int
    digest_algorithms: tuple[AlgorithmIdentifier, ...]
    content_type: str
    content: Pieces | None = field(repr=False)
    """None when detached; `()` when there is content of no octets."""
    certificates: tuple[bytes, ...] = field(repr=False)
    """X.509 only, octet for octet as they stood, in the order of the object."""
    signers: tuple[SignerInfo, ...]
    """Empty in a certs-only object (RFC 8551 section 3.8)."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """CompressedData (RFC 3274 section 1.1)."""

    algorithm: AlgorithmIdentifier
    content_type: str
    content: Pieces = field(repr=False)


@dataclass(frozen=True, slots=True)
class OtherContent:
    """A CMS content type that mail does not use, or plain data."""

    content_type: str
    """Dotted."""


CmsObject = Enveloped | Signed | Compressed | OtherContent
