"""A public key infrastructure in the process: CAs and people with any virtue or fault a test needs.

RSA keys are the only slow part, so they are drawn from a small stock that is kept between runs
(`.pytest_cache`, never in the repository) and used in turn: no two entities of one module of tests
share one, nor two that live at one time.

    ca = make_ca("Acme Root")
    alice = make_user("alice@acme.example", ca)
    alice.certificate          # ime_gateway.certs.certificate.Certificate
    alice.pem, alice.der, alice.key_pem, alice.pkcs12("secret")
"""

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ime_gateway.certs.certificate import Certificate

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey
CURVES: dict[str, ec.EllipticCurve] = {
    "ec": ec.SECP256R1(),
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
}
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
EMAIL_PROTECTION = ExtendedKeyUsageOID.EMAIL_PROTECTION
_STOCK = Path(__file__).resolve().parent.parent / ".pytest_cache" / "pki-keys"
_numbers = itertools.count()
_living: "WeakValueDictionary[int, Entity]" = WeakValueDictionary()  # by their identity; several may have one key
_of_this_module: set[int] = set()  # identities of keys whose entities may live on as files or loaded keys only
_module = ""


def begin_test(module: str) -> None:
    """Keys of earlier modules may be used again, unless their entities live on."""
    global _module
    if module != _module:
        _of_this_module.clear()
        _module = module


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Stock key `number` of `bits` bits; made once per machine."""
    file = _STOCK / f"rsa-{bits}-{number}.pem"
    try:
        loaded = serialization.load_pem_private_key(file.read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        return loaded
    except (OSError, ValueError):
        pass
    made = rsa.generate_private_key(65537, bits)
    try:
        _STOCK.mkdir(parents=True, exist_ok=True)
        ours = file.with_suffix(f".{os.getpid()}")
        ours.write_bytes(_pem(made))
        ours.rename(file)
    except OSError:
        pass
    return made


def new_key(kind: str = "rsa", bits: int = 2048) -> PrivateKey:
    """A key that no other entity of this module has, nor any living one.

    kind: rsa, ec (or p256), p384, p521, ed25519, x25519."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    if kind == "x25519":
        return x25519.X25519PrivateKey.generate()
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    turns = itertools.chain((next(_numbers) % 64 for _ in range(64)), itertools.count(64))
    stock = (rsa_key(turn, bits) for turn in turns)
    taken = _of_this_module.union(id(one.key) for one in list(_living.values()))
    found = next(key for key in stock if id(key) not in taken)
    _of_this_module.add(id(found))
    return found


@dataclass(frozen=True)
class Entity:
    """A certificate with its private key."""

    key: PrivateKey
    x509: x509.Certificate
    issuer: "Entity | None" = None

    def __post_init__(self) -> None:
        _living[id(self)] = self

    @property
    def der(self) -> bytes:
        return self.x509.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.x509.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """PKCS#8 in PEM, not encrypted."""
        return _pem(self.key)

    @property
    def key_der(self) -> bytes:
        """PKCS#8 in DER, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate(self) -> Certificate:
        """As the gateway reads it."""
        return Certificate.from_der(self.der)

    def pkcs12(self, password: str, extra: Sequence["Entity"] = (), *, old: bool = False) -> bytes:
        """PKCS#12 with key, certificate and the certificates of `extra`; `old`: 3DES, as GnuPG 2.2 reads it."""
        assert not isinstance(self.key, x25519.X25519PrivateKey), "the library puts no X25519 key into PKCS#12"
        protection: serialization.KeySerializationEncryption = serialization.BestAvailableEncryption(password.encode())
        if old:
            builder = serialization.PrivateFormat.PKCS12.encryption_builder()
            builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            protection = builder.hmac_hash(hashes.SHA1()).build(password.encode())
        others = [entity.x509 for entity in extra]
        return pkcs12.serialize_key_and_certificates(b"test", self.key, self.x509, others, protection)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write NAME.pem and NAME.key into `folder`; returns both paths."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem)
        return certificate, key


def pkcs7_bundle(entities: Iterable[Entity], *, pem: bool = False) -> bytes:
    """PKCS#7 "certs-only" (RFC 8551 section 3.8), DER or PEM."""
    encoding = serialization.Encoding.PEM if pem else serialization.Encoding.DER
    return pkcs7.serialize_certificates([entity.x509 for entity in entities], encoding)


def make_ca(
    name: str = "Test Root CA",
    issuer: Entity | None = None,
    *,
    key: PrivateKey | None = None,
    kind: str = "rsa",
    path_length: int | None = None,
    not_before: datetime = NOW - 365 * DAY,
    not_after: datetime = NOW + 3650 * DAY,
    ca: bool = True,
    ku: x509.KeyUsage | Literal["default"] | None = "default",
    permitted_mail: Sequence[str] = (),
    excluded_mail: Sequence[str] = (),
) -> Entity:
    """A root, or with `issuer` an intermediate CA."""
    key = key or new_key(kind)
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca, path_length if ca else None), True)]
    if ku is not None:
        extensions.append((key_usage(key_cert_sign=True, crl_sign=True) if ku == "default" else ku, True))
    if permitted_mail or excluded_mail:
        permitted, excluded = ([x509.RFC822Name(one) for one in names] for names in (permitted_mail, excluded_mail))
        extensions.append((x509.NameConstraints(permitted or None, excluded or None), True))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return build(subject, key, issuer, extensions, not_before=not_before, not_after=not_after)


def make_user(
    address: str,
    issuer: Entity | None = None,
    *,
    key: PrivateKey | None = None,
    kind: str = "rsa",
    key_bits: int = 2048,
    expired: bool = False,
    not_yet: bool = False,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    ku: x509.KeyUsage | Literal["default"] | None = "default",
    eku: Sequence[x509.ObjectIdentifier] | None = (EMAIL_PROTECTION,),
    san: bool = True,
    dn_addresses: Sequence[str] = (),
    common_name: str | None = "",
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    algorithm: hashes.HashAlgorithm | None = None,
) -> Entity:
    """A person's certificate for `address`; without `issuer` it is self-signed (X25519 keys need an issuer).

    Default key usage: signing, and keyEncipherment for RSA, keyAgreement for curves; X25519 cannot sign.
    common_name: "" takes the address, None leaves CN out. dn_addresses: emailAddress values.
    """
    not_before = not_before or (NOW + 30 * DAY if not_yet else NOW - 400 * DAY if expired else NOW - DAY)
    not_after = not_after or (NOW - 30 * DAY if expired else NOW + 365 * DAY)
    names = [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name or address)]
    names += [x509.NameAttribute(NameOID.EMAIL_ADDRESS, value) for value in dn_addresses]
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(False, None), True)]
    if san:
        extensions.append((x509.SubjectAlternativeName([x509.RFC822Name(address)]), not names))
    key = key or new_key(kind, key_bits)
    if ku is not None:
        extensions.append((_usual_usage(key) if ku == "default" else ku, True))
    if eku is not None:
        extensions.append((x509.ExtendedKeyUsage(list(eku)), False))
    subject = x509.Name([x509.RelativeDistinguishedName([name]) for name in names])
    return build(
        subject, key, issuer, [*extensions, *extra], not_before=not_before, not_after=not_after, algorithm=algorithm
    )


def key_usage(**allowed: bool) -> x509.KeyUsage:
    """A KeyUsage with the named bits set and all others clear."""
    bits = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{bit: allowed.get(bit, False) for bit in bits})


def _usual_usage(key: PrivateKey) -> x509.KeyUsage:
    if isinstance(key, x25519.X25519PrivateKey):
        return key_usage(key_agreement=True)
    agrees = isinstance(key, ec.EllipticCurvePrivateKey)
    return key_usage(digital_signature=True, key_encipherment=not agrees, key_agreement=agrees)


def build(
    subject: x509.Name,
    key: PrivateKey,
    issuer: Entity | None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    *,
    not_before: datetime,
    not_after: datetime,
    algorithm: hashes.HashAlgorithm | None = None,
) -> Entity:
    """Sign a certificate; key identifiers are added as RFC 5280 section 4.2.1 asks."""
    signing_key = issuer.key if issuer else key
    assert not isinstance(signing_key, x25519.X25519PrivateKey), "X25519 does not sign"
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.x509.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    digest = None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else algorithm or hashes.SHA256()
    return Entity(key, builder.sign(signing_key, digest), issuer)


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
