"""SignedData with any virtue or fault: each field may be set, left out, doubled or lied about.

forged = Forgery(alice, b"text")
forged.der()                                  # detached, with the attributes that belong there
Forgery(alice, b"text", digest_value=b"...")  # and so on
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from ime_gateway.certs import der
from tests.pki import Entity

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
CAPABILITIES = "1.2.840.113549.1.9.15"
PREFERENCE = "1.2.840.113549.1.9.16.2.11"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
DIGESTS = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha224": "2.16.840.1.101.3.4.2.4",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
RSA = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
_ECDSA = {"sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3", "sha512": "1.2.840.10045.4.3.4"}


def attribute(oid: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.tlv(der.SET, b"".join(values)))


def digest_of(content: bytes, name: str = "sha256") -> bytes:
    return attribute(MESSAGE_DIGEST, der.octet_string(hashlib.new(name, content).digest()))


def type_of(oid: str = DATA) -> bytes:
    return attribute(CONTENT_TYPE, der.oid(oid))


def utc_time(text: str = "260101120000Z") -> bytes:
    return attribute(SIGNING_TIME, der.tlv(0x17, text.encode()))


def issuer_and_serial(entity: Entity) -> bytes:
    return entity.certificate.issuer_and_serial


def by_identifier(entity: Entity) -> bytes:
    identifier = entity.certificate.subject_key_identifier
    assert identifier
    return der.tlv(0x80, identifier)


def raw_signature(entity: Entity, covered: bytes, digest: str) -> bytes:
    """What the key of the entity makes over `covered`."""
    algorithm = getattr(hashes, digest.upper())()
    if isinstance(entity.key, rsa.RSAPrivateKey):
        return entity.key.sign(covered, padding.PKCS1v15(), algorithm)
    if isinstance(entity.key, ec.EllipticCurvePrivateKey):
        return entity.key.sign(covered, ec.ECDSA(algorithm))
    assert isinstance(entity.key, ed25519.Ed25519PrivateKey)
    return entity.key.sign(covered)


def _natural_algorithm(entity: Entity, digest: str) -> bytes:
    if isinstance(entity.key, ec.EllipticCurvePrivateKey):
        return der.sequence(der.oid(_ECDSA[digest]))
    return der.sequence(der.oid("1.3.101.112")) if isinstance(entity.key, ed25519.Ed25519PrivateKey) else RSA


@dataclass
class Forgery:
    """One signer's part; `der` makes the whole object of it and of others."""

    signer: Entity
    content: bytes
    digest: str = "sha256"
    attributes: Sequence[bytes] | str | None = "usual"
    """`usual`, the encoded attributes, or None for none."""
    extra: Sequence[bytes] = ()
    name: bytes | None = None
    algorithm: bytes | None = None
    digest_algorithm: bytes | None = None
    signature: bytes | None = None
    covered: bytes | None = None
    unsigned: Sequence[bytes] = ()
    certificates: Sequence[Entity] | None = None
    content_type: str = DATA
    opaque: bool = False
    inside: bytes | None = None
    """Content inside instead of `content`."""
    others: "list[Forgery]" = field(default_factory=list)

    def signed_set(self) -> bytes | None:
        """The attributes as the SET that is signed."""
        if self.attributes is None:
            return None
        usual = self.attributes == "usual"
        made = (type_of(self.content_type), digest_of(self.content, self.digest)) if usual else self.attributes
        return der.set_of([*(one for one in made if isinstance(one, bytes)), *self.extra])

    def signer_info(self) -> bytes:
        covered = self.signed_set()
        signed = self.covered if self.covered is not None else covered if covered is not None else self.content
        name = self.name or issuer_and_serial(self.signer)
        return der.sequence(
            der.integer(3 if name[0] == 0x80 else 1),
            name,
            self.digest_algorithm or der.sequence(der.oid(DIGESTS[self.digest])),
            b"" if covered is None else b"\xa0" + covered[1:],
            self.algorithm or _natural_algorithm(self.signer, self.digest),
            der.octet_string(
                self.signature if self.signature is not None else raw_signature(self.signer, signed, self.digest)
            ),
            b"\xa1" + der.set_of(list(self.unsigned))[1:] if self.unsigned else b"",
        )

    def der(self) -> bytes:
        """The whole ContentInfo, signers in the order given."""
        signers = [self, *self.others]
        carried = self.certificates if self.certificates is not None else [one.signer for one in signers]
        inside = self.inside if self.inside is not None else self.content if self.opaque else None
        wrapped = b"" if inside is None else der.tlv(0xA0, der.octet_string(inside))
        body = der.sequence(
            der.integer(1),
            der.set_of([one.digest_algorithm or der.sequence(der.oid(DIGESTS[one.digest])) for one in signers]),
            der.sequence(der.oid(self.content_type), wrapped),
            der.tlv(0xA0, b"".join(entity.der for entity in carried)) if carried else b"",
            der.tlv(der.SET, b"".join(one.signer_info() for one in signers)),
        )
        return der.sequence(der.oid(SIGNED_DATA), der.tlv(0xA0, body))
