"""An X.509 certificate as the gateway handles it: read once, immutable, small, never a surprise later.

Everything that choosing, explaining and listing need is read when the certificate comes in; what
cannot be read then is refused with a reason (`UnreadableCertificate`), so no mail is held up by a
half-broken certificate. What is costly and needed only for a few (the parsed object, the public key)
is made at first use and kept. RFC 5280 section 4.1; RFC 8550 section 3 for the addresses.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.addresses import read_addresses

T = TypeVar("T")

PARSE_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for a certificate that it cannot make sense of."""

_EXPLICIT_VERSION = 0xA0
_KINDS_BY_OID = {
    "1.2.840.113549.1.1.10": "rsa-pss",
    "1.2.840.113549.1.3.1": "dh",
    "1.2.840.10046.2.1": "dh",
}
"""Keys that are not loaded: no use for encrypting mail, and the library gives them up."""
_KINDS: tuple[tuple[type, str, int], ...] = (
    (rsa.RSAPublicKey, "rsa", 0),
    (ec.EllipticCurvePublicKey, "ec", 0),
    (ed25519.Ed25519PublicKey, "ed25519", 256),
    (x25519.X25519PublicKey, "x25519", 256),
    (ed448.Ed448PublicKey, "ed448", 456),
    (x448.X448PublicKey, "x448", 448),
    (dsa.DSAPublicKey, "dsa", 0),
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what the library says of odd names, serial numbers and BER while it reads them.

    Such certificates are common and are judged by our own rules. The filters of `warnings` belong to
    the process: threads that read at the same time may leave them silenced, which hurts nobody.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One certificate. Two are equal when their DER is; make them with `from_der`."""

    der: bytes = field(repr=False)
    thumbprint: str
    """`sha256:` and 64 hexadecimal digits of the SHA-256 of `der`."""
    subject: str
    """RFC 4514 text on one line, for people; never compared."""
    issuer: str
    """As `subject`."""
    serial: int
    not_before: float
    """Seconds since 1970 UTC; valid from this moment on."""
    not_after: float
    """Seconds since 1970 UTC; valid up to and with this moment (RFC 5280 section 4.1.2.5)."""
    addresses: tuple[str, ...]
    """Address keys (`Address.key`); may be empty."""
    key_kind: str
    """`rsa`, `rsa-pss` (signing only), `ec`, `ed25519`, `x25519`, ... or `unknown`."""
    key_bits: int
    """Size of the key in bits; 0 when unknown."""
    is_ca: bool
    """basicConstraints says cA (RFC 5280 section 4.2.1.9)."""
    _kept: dict[str, object] = field(default_factory=dict, repr=False)

    @classmethod
    def from_der(cls, encoded: bytes) -> Self:
        """Read a certificate. Raises UnreadableCertificate with the reason in one sentence."""
        encoded = bytes(encoded)
        try:
            with quiet():
                return cls._read(encoded)
        except PARSE_ERRORS as error:
            raise UnreadableCertificate(
                f"the certificate cannot be read: {_first_line(error)}", f"{type(error).__name__}: {error}"
            ) from error

    @classmethod
    def _read(cls, encoded: bytes) -> Self:
        _refuse_serial(encoded)
        parsed = x509.load_der_x509_certificate(encoded)
        extensions = parsed.extensions
        kind, bits = _describe_key(parsed)
        return cls(
            der=encoded,
            thumbprint="sha256:" + hashlib.sha256(encoded).hexdigest(),
            subject=_one_line(parsed.subject),
            issuer=_one_line(parsed.issuer),
            serial=parsed.serial_number,
            not_before=parsed.not_valid_before_utc.timestamp(),
            not_after=parsed.not_valid_after_utc.timestamp(),
            addresses=read_addresses(parsed, extensions),
            key_kind=kind,
            key_bits=bits,
            is_ca=_is_ca(extensions),
        )

    def __eq__(self, other: object) -> bool:
        """Same bytes, same certificate."""
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        """By the bytes, as equality."""
        return hash(self.der)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what was read; what is kept cannot be pickled and is made again when needed."""
        fields = (self.der, self.thumbprint, self.subject, self.issuer, self.serial, self.not_before, self.not_after)
        return Certificate, (*fields, self.addresses, self.key_kind, self.key_bits, self.is_ca)

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """The value kept under `name`, made at the first call. Two threads may make it twice: harmless."""
        if name not in self._kept:
            self._kept[name] = make()
        return cast(T, self._kept[name])

    @property
    def x509(self) -> x509.Certificate:
        """The certificate as an object of `cryptography`."""
        return self.keep("x509", lambda: x509.load_der_x509_certificate(self.der))

    @property
    def public_key(self) -> CertificatePublicKeyTypes:
        """The subject's public key. Raises UnsupportedAlgorithm or ValueError for `unknown` kinds."""
        return self.keep("public_key", lambda: self.x509.public_key())

    @property
    def issuer_and_serial(self) -> bytes:
        """IssuerAndSerialNumber (RFC 5652 section 10.2.4), the issuer with its very bytes."""
        return self.keep("issuer_and_serial", self._issuer_and_serial)

    @property
    def key_digest(self) -> str:
        """Hexadecimal SHA-256 of the SubjectPublicKeyInfo in its usual encoding: one key, one digest, whoever
        certified it and however it stands there. For keys of an unknown kind, as it stands."""
        return self.keep("key_digest", self._key_digest)

    def _key_digest(self) -> str:
        try:
            encoded = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except (UnsupportedAlgorithm, ValueError):
            encoded = self.der[places(self.der).key_info]
        return hashlib.sha256(encoded).hexdigest()

    def _issuer_and_serial(self) -> bytes:
        place = places(self.der)
        return der.sequence(self.der[place.issuer], self.der[place.serial])

    @property
    def subject_key_identifier(self) -> bytes | None:
        """The value of the extension (RFC 5280 section 4.2.1.2), or None when it is absent."""
        return self.keep("subject_key_identifier", lambda: _subject_key_identifier(self.x509))

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are the same name (RFC 5280 section 6.1)."""
        place = places(self.der)
        return self.der[place.issuer] == self.der[place.subject]


def _describe_key(parsed: x509.Certificate) -> tuple[str, int]:
    if name := _KINDS_BY_OID.get(parsed.public_key_algorithm_oid.dotted_string):
        return name, 0
    try:
        key = parsed.public_key()
    except (UnsupportedAlgorithm, ValueError):
        # A certificate with such a key may still stand in a chain or on the trust list.
        return "unknown", 0
    for key_type, name, bits in _KINDS:
        if isinstance(key, key_type):
            return name, bits or int(getattr(key, "key_size", 0))
    return "unknown", 0


def _is_ca(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _subject_key_identifier(parsed: x509.Certificate) -> bytes | None:
    try:
        return parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None


def thumbprint_digits(text: str) -> str:
    """The digits of a thumbprint, or of its beginning, however it is written: people leave `sha256:` out and read
    groups aloud, tools write capitals and colons. Lower case; whether they are hexadecimal digits is not judged."""
    return "".join(text.lower().split()).removeprefix("sha256:").replace(":", "")


def whole_thumbprint(text: str) -> str:
    """`sha256:` and 64 hexadecimal digits, from any spelling of a whole thumbprint; empty when it is none."""
    digits = thumbprint_digits(text)
    return f"sha256:{digits}" if len(digits) == 64 and set(digits) <= set("0123456789abcdef") else ""


class Places(NamedTuple):
    """Where a few fields stand in the DER of a certificate, headers included."""

    serial: slice
    issuer: slice
    subject: slice
    key_info: slice
    """SubjectPublicKeyInfo."""


def places(encoded: bytes) -> Places:
    """Find the fields (RFC 5280 section 4.1). Raises UnreadableCertificate."""
    outer = der.read_element(encoded, 0, len(encoded))
    inside = der.children(encoded, outer)
    fields = der.children(encoded, inside[0]) if inside else []
    if fields and fields[0].tag == _EXPLICIT_VERSION:
        del fields[0]
    if outer.end != len(encoded) or len(fields) < 6:
        raise UnreadableCertificate("the certificate cannot be read: this is something else")
    serial, issuer, subject, key_info = (slice(fields[index].start, fields[index].end) for index in (0, 2, 4, 5))
    return Places(serial, issuer, subject, key_info)


def _refuse_serial(encoded: bytes) -> None:
    """RFC 5280 section 4.1.2.2; the library is about to refuse such certificates, too."""
    serial = der.read_element(encoded, places(encoded).serial.start, len(encoded))
    if int.from_bytes(encoded[serial.content : serial.end], "big", signed=True) <= 0:
        raise UnreadableCertificate("the certificate cannot be read: its serial number is not positive")


def _one_line(name: x509.Name) -> str:
    text = name.rfc4514_string()
    return "".join(character if character.isprintable() else "?" for character in text)


def _first_line(error: Exception) -> str:
    text = str(error).partition("\n")[0].strip()
    return "".join(character if character.isprintable() else "?" for character in text[:200]) or type(error).__name__
