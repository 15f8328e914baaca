"""Sign mail: SignedData with signed attributes, detached beside the text or with the text inside.

RFC 5652 section 5, RFC 8551 sections 2.5, 3.5.2 and 3.5.3. The key decides the algorithm: RSA signs PKCS#1 v1.5
with SHA-256, which every mail program checks, or PSS on request; P-256, P-384 and P-521 sign ECDSA with the
digest of their size; Ed25519 signs with SHA-512 for the content (RFC 8419 section 3.1). A signature always has
signed attributes, so that nothing signed by us can be read as something else.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.base.octets import Buffer
from ime_gateway.certs import der
from ime_gateway.certs.capabilities import SMIME_CAPABILITIES
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.headers import Field
from ime_gateway.smime.signature_algorithms import digest
from ime_gateway.smime.signed_attributes import (
    CONTENT_TYPE,
    KEY_PREFERENCE,
    MESSAGE_DIGEST,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
    attribute,
    key_preference,
    signing_certificate_v2,
    time_value,
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_DATA = der.oid("1.2.840.113549.1.7.1")
_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
_VERSION_1 = der.integer(1)
_IMPLICIT_0 = 0xA0
_EXPLICIT_0 = 0xA0
_BOUNDARY_BYTES = 18
_DIGEST_OIDS: Final = {
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
    "shake256": "2.16.840.1.101.3.4.2.12",
}
_ECDSA: Final = {
    # RFC 5753 section 2.1.1: the digest as long as the curve.
    "secp256r1": ("sha256", "1.2.840.10045.4.3.2"),
    "secp384r1": ("sha384", "1.2.840.10045.4.3.3"),
    "secp521r1": ("sha512", "1.2.840.10045.4.3.4"),
}
_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_MICALG: Final = {"sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512", "shake256": "shake256"}
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A certificate with its private key, fit for signing. Raises UnreadableCertificate when they do not belong
    together or the key cannot sign."""

    certificate: Certificate
    private_key: PrivateKey = field(repr=False)
    chain: tuple[Certificate, ...] = ()
    """Certificates above it that go along, the nearest first; roots need not be there."""
    encryption_certificate: Certificate | None = None
    """What others shall encrypt to, carried along and named as preferred; None: `certificate`, if it is fit."""
    pss: bool = False
    """RSA: RSASSA-PSS (RFC 4056) instead of PKCS#1 v1.5."""

    def __post_init__(self) -> None:
        """Refuse what would make signatures that nobody can check."""
        try:
            theirs = self.certificate.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except (UnsupportedAlgorithm, ValueError) as error:
            raise UnreadableCertificate("the key of the certificate cannot be read", str(error)) from error
        ours = self.private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if ours != theirs:
            raise UnreadableCertificate("certificate and private key do not belong together")
        if isinstance(self.private_key, ec.EllipticCurvePrivateKey) and self.private_key.curve.name not in _ECDSA:
            raise UnreadableCertificate(f"keys on the curve {self.private_key.curve.name} do not sign here")

    @classmethod
    def from_pkcs8(cls, certificate: Certificate, encoded: bytes, chain: tuple[Certificate, ...] = ()) -> "SigningKey":
        """From an unencrypted PKCS#8 key in DER. Raises UnreadableCertificate."""
        try:
            key = load_der_private_key(encoded, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise UnreadableCertificate("the private key cannot be read", type(error).__name__) from error
        if not isinstance(key, PrivateKey):
            raise UnreadableCertificate("the private key is of a kind that does not sign")
        return cls(certificate, key, chain)

    @property
    def digest_algorithm(self) -> str:
        """The digest that this key signs with: `sha256`, ..."""
        if isinstance(self.private_key, ec.EllipticCurvePrivateKey):
            return _ECDSA[self.private_key.curve.name][0]
        if isinstance(self.private_key, ed25519.Ed25519PrivateKey):
            return "sha512"
        return "shake256" if isinstance(self.private_key, ed448.Ed448PrivateKey) else "sha256"

    @property
    def micalg(self) -> str:
        """The digest as `multipart/signed` names it (RFC 8551 section 3.5.3.2)."""
        return _MICALG[self.digest_algorithm]


def sign_detached(
    content: Iterable[Buffer], key: SigningKey, *, moment: float, capabilities: bytes | None = None
) -> bytes:
    """A detached signature over the concatenated content: SignedData in DER.

    moment: the signing time, seconds since 1970 UTC. capabilities: SMIMECapabilities in DER to sign along.
    """
    signer = _signer_info(digest(key.digest_algorithm, content), key, moment, capabilities)
    return _content_info(key, der.sequence(_DATA), signer)


def sign_opaque(content: Buffer, key: SigningKey, *, moment: float, capabilities: bytes | None = None) -> bytes:
    """SignedData in DER with the content inside; otherwise as `sign_detached`."""
    signer = _signer_info(digest(key.digest_algorithm, (content,)), key, moment, capabilities)
    inside = der.tlv(_EXPLICIT_0, der.octet_string(bytes(content)))
    return _content_info(key, der.sequence(_DATA, inside), signer)


@dataclass(frozen=True, slots=True)
class SignedMail:
    """A `multipart/signed` entity."""

    fields: tuple[Field, ...]
    """Content-Type; whoever makes a message of it adds MIME-Version."""
    body: tuple[Buffer, ...] = field(repr=False)
    """To be written one after the other."""

    def to_bytes(self) -> bytes:
        """The entity in one piece: fields, empty line, body."""
        return b"".join((*(one.raw for one in self.fields), b"\r\n", *self.body))


def multipart_signed(
    entity: Sequence[Buffer],
    key: SigningKey,
    *,
    moment: float,
    randomness: Callable[[int], bytes],
    capabilities: bytes | None = None,
) -> SignedMail:
    """Sign a MIME entity so that everybody can read it (RFC 1847 section 2.1, RFC 8551 section 3.5.3).

    entity: header, empty line and body in canonical form: lines end with CR LF and nothing has more than 7 bits
    (RFC 8551 section 3.1.1); the caller sees to that. randomness: gives n bytes, for the boundary, which the entity
    must not contain and therefore cannot be guessed.
    """
    signature = sign_detached(entity, key, moment=moment, capabilities=capabilities)
    boundary = "=_" + randomness(_BOUNDARY_BYTES).hex()
    content_type = (
        'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
        f' micalg={key.micalg}; boundary="{boundary}"\r\n'
    )
    between = (
        f"\r\n--{boundary}\r\n"
        "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        "Content-Disposition: attachment; filename=smime.p7s\r\n\r\n"
    )
    opening, closing = f"--{boundary}\r\n".encode("ascii"), f"--{boundary}--\r\n".encode("ascii")
    body = (opening, *entity, between.encode("ascii"), *encode_lines([signature]), closing)
    return SignedMail((Field("Content-Type", content_type.encode("ascii")),), body)


def _content_info(key: SigningKey, encapsulated: bytes, signer: bytes) -> bytes:
    """RFC 5652 section 5.1: version 1, because the signer is named by issuer and serial, the content is data."""
    preferred = (key.encryption_certificate,) if key.encryption_certificate else ()
    certificates = dict.fromkeys((key.certificate, *preferred, *key.chain))
    carried = der.set_of([one.der for one in certificates])
    signed = der.sequence(
        _VERSION_1,
        der.set_of([der.sequence(der.oid(_DIGEST_OIDS[key.digest_algorithm]))]),
        encapsulated,
        bytes((_IMPLICIT_0,)) + carried[1:],
        der.set_of([signer]),
    )
    return der.sequence(_SIGNED_DATA, der.tlv(_EXPLICIT_0, signed))


def _signer_info(content_digest: bytes, key: SigningKey, moment: float, capabilities: bytes | None) -> bytes:
    attributes = [
        attribute(CONTENT_TYPE, _DATA),
        attribute(MESSAGE_DIGEST, der.octet_string(content_digest)),
        attribute(SIGNING_TIME, time_value(moment)),
        attribute(SIGNING_CERTIFICATE_V2, signing_certificate_v2(key.certificate)),
    ]
    if capabilities is not None:
        attributes.append(attribute(SMIME_CAPABILITIES, capabilities))
    preferred = key.encryption_certificate or (None if fitness_fault(key.certificate) else key.certificate)
    if preferred is not None:
        attributes.append(attribute(KEY_PREFERENCE, key_preference(preferred)))
    signed = der.set_of(attributes)
    algorithm, signature = _sign(signed, key)
    return der.sequence(
        _VERSION_1,
        key.certificate.issuer_and_serial,
        der.sequence(der.oid(_DIGEST_OIDS[key.digest_algorithm])),
        # Signed as SET OF, carried as [0] IMPLICIT (section 5.4).
        bytes((_IMPLICIT_0,)) + signed[1:],
        algorithm,
        der.octet_string(signature),
    )


def _sign(data: bytes, key: SigningKey) -> tuple[bytes, bytes]:
    """The AlgorithmIdentifier of the signature, and the signature."""
    private = key.private_key
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return der.sequence(der.oid("1.3.101.112")), private.sign(data)
    if isinstance(private, ed448.Ed448PrivateKey):
        return der.sequence(der.oid("1.3.101.113")), private.sign(data)
    made_by = _HASHES[key.digest_algorithm]()
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return der.sequence(der.oid(_ECDSA[private.curve.name][1])), private.sign(data, ec.ECDSA(made_by))
    if key.pss or key.certificate.key_kind == "rsa-pss":
        form = padding.PSS(padding.MGF1(made_by), _SALT_BYTES)
        return _pss_algorithm(), private.sign(data, form, made_by)
    # RFC 5754 section 3.2: rsaEncryption with NULL is what old readers know, the digest stands beside it.
    return der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL), private.sign(data, padding.PKCS1v15(), made_by)


def _pss_algorithm() -> bytes:
    """id-RSASSA-PSS with SHA-256 twice and a salt of 32 octets (RFC 4056 section 2.2)."""
    sha256 = der.sequence(der.oid(_DIGEST_OIDS["sha256"]), der.NULL)
    mask = der.sequence(der.oid("1.2.840.113549.1.1.8"), sha256)
    fields = (der.tlv(0xA0, sha256), der.tlv(0xA1, mask), der.tlv(0xA2, der.integer(_SALT_BYTES)))
    return der.sequence(der.oid("1.2.840.113549.1.1.10"), der.sequence(*fields))
