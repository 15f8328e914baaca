"""Open the files in which certificates and private keys travel: PEM, DER, PKCS#7 and PKCS#12.

Administrators get them from CAs, partners and old gateways, under any file name, several in one file,
in any order and with text around them (RFC 7468 section 2). So the content decides, never the name.
A file is read as a whole or refused as a whole, with a sentence that says what to do.
"""

import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs7,
    pkcs12,
)

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.certificate import PARSE_ERRORS, Certificate, quiet
from ime_gateway.certs.key_bags import KeyBags, take_apart

T = TypeVar("T")

MAXIMUM_BYTES = 16 * 1024 * 1024
"""Larger files are refused: no bundle of certificates is that large."""

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s(.*?)-----END \1-----", re.DOTALL)
_PKCS12_VERSION = b"\x02\x01\x03"
_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
_INTEGER = b"\x02"
_REQUEST = "it is a certificate request (PKCS#10), not a certificate; give what the CA made of it"


class PasswordMissing(UnreadableCertificate):
    """What is in the file is encrypted, and no password was given; or it is damaged, which looks the same."""


@dataclass(frozen=True, slots=True)
class PrivateKeyEntry:
    """A private key of the file."""

    thumbprint: str | None
    """Of the certificate of the file that it belongs to; None: the file has no such certificate."""
    pkcs8_der: bytes = field(repr=False)
    """PKCS#8, not encrypted: seal it before it rests anywhere."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a file holds, duplicates removed, in the order of the file."""

    certificates: tuple[Certificate, ...]
    private_keys: tuple[PrivateKeyEntry, ...]
    """A key that several certificates share stands once for each."""
    skipped: tuple[str, ...] = ()
    """One sentence for each certificate that could not be read beside others that could: show them."""


def read_bundle(data: bytes, password: str | None) -> Bundle:
    """Read all certificates and private keys of a file.

    password: for PKCS#12 and encrypted private keys; ignored where nothing is encrypted.
    Raises UnreadableCertificate with a sentence for the administrator.
    """
    if len(data) > MAXIMUM_BYTES:
        raise UnreadableCertificate(f"the file is larger than {MAXIMUM_BYTES} bytes")
    with quiet():
        return _read(data, password.encode() if password else None)


def _read(data: bytes, password: bytes | None) -> Bundle:
    contents = _Contents(password)
    if b"-----BEGIN " in data:
        _read_pem(data, contents)
    else:
        _read_der(data, contents)
    certificates = tuple(dict.fromkeys(contents.certificates))
    if not certificates and not contents.keys and _is_request(data):
        raise UnreadableCertificate(_REQUEST)
    if not certificates and not contents.keys:
        nothing = "the file holds neither a certificate nor a private key"
        raise UnreadableCertificate(contents.skipped[0] if contents.skipped else nothing)
    keys = tuple(_match(dict.fromkeys(contents.keys), certificates))
    return Bundle(certificates, keys, tuple(contents.skipped))


@dataclass(slots=True)
class _Contents:
    password: bytes | None
    certificates: list[Certificate] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add_certificate(self, encoded: bytes) -> None:
        try:
            self.certificates.append(Certificate.from_der(encoded))
        except UnreadableCertificate as error:
            # An old CA certificate in a .p12 must not keep its owner's key out.
            self.skipped.append(str(error))

    def add_certificates(self, parsed: Iterable[x509.Certificate]) -> None:
        for one in parsed:
            self.add_certificate(one.public_bytes(Encoding.DER))

    def add_key(self, key: PrivateKeyTypes) -> None:
        self.keys.append(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def _read_pem(data: bytes, contents: _Contents) -> None:
    for match in _BLOCK.finditer(data):
        label = match[1].decode("ascii")
        if label.endswith("PRIVATE KEY"):
            contents.add_key(_open_key(load_pem_private_key, match[0] + b"\n", contents.password))
        elif label in ("CERTIFICATE", "X509 CERTIFICATE"):
            contents.add_certificate(_decode(match[2]))
        elif label == "TRUSTED CERTIFICATE":
            # OpenSSL's own form: its trust settings follow the certificate and mean nothing here.
            encoded = _decode(match[2])
            contents.certificates.append(
                Certificate.from_der(encoded[: der.read_element(encoded, 0, len(encoded)).end])
            )
        elif label in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
            contents.skipped.append(_REQUEST)
        elif label in ("PKCS7", "PKCS #7 SIGNED DATA", "CMS", "PKCS12"):
            _read_der(_decode(match[2]), contents)


def _read_der(data: bytes, contents: _Contents) -> None:
    inside = _first_inside(data)
    if inside.startswith(_PKCS12_VERSION):
        _read_pkcs12(data, contents)
    elif inside.startswith(_SIGNED_DATA):
        contents.add_certificates(_parsed("PKCS#7", lambda: pkcs7.load_der_pkcs7_certificates(data)))
    elif inside.startswith(_INTEGER):
        contents.add_key(_open_key(load_der_private_key, data, contents.password))
    else:
        _read_certificates(data, contents)


def _read_certificates(data: bytes, contents: _Contents) -> None:
    """DER certificates, one behind the other, or one encrypted PKCS#8 key, which begins alike."""
    if _is_encrypted_key(data):
        contents.add_key(_open_key(load_der_private_key, data, contents.password))
        return
    at = 0
    while at < len(data):
        element = der.read_element(data, at, len(data))
        contents.add_certificate(data[at : element.end])
        at = element.end


def _is_encrypted_key(data: bytes) -> bool:
    """EncryptedPrivateKeyInfo (RFC 5958 section 3): an algorithm and an OCTET STRING, nothing else."""
    outer = der.read_element(data, 0, len(data))
    return [element.tag for element in der.children(data, outer)] == [der.SEQUENCE, der.OCTET_STRING]


def _is_request(data: bytes) -> bool:
    """PKCS#10 in DER (RFC 2986)."""
    try:
        x509.load_der_x509_csr(data)
    except PARSE_ERRORS:
        return False
    return True


def _read_pkcs12(data: bytes, contents: _Contents) -> None:
    # "No password" has two encodings in PKCS#12 (RFC 7292 appendix B.1), and makers use both.
    passwords = (contents.password,) if contents.password else (None, b"")
    bags = take_apart(data)
    for password in passwords:
        try:
            opened = _load_pkcs12(data, password, bags)
            break
        except PARSE_ERRORS as error:
            failure = error
    else:
        raise _closed("PKCS#12", contents.password, failure) from failure
    if opened.key is not None:
        contents.add_key(opened.key)
    in_bags = bags.keys if bags else ()
    for key in in_bags if opened.key is None or len(in_bags) > 1 else ():
        try:
            contents.add_key(_open_key(load_der_private_key, key, password or None))
        except UnreadableCertificate:
            if password or opened.key is None:
                raise  # the empty password has forms that only the library's reader of whole files knows
    own = [opened.cert] if opened.cert else []
    contents.add_certificates(one.certificate for one in (*own, *opened.additional_certs))


def _load_pkcs12(data: bytes, password: bytes | None, bags: KeyBags | None) -> pkcs12.PKCS12KeyAndCertificates:
    """The library's view: certificates and one key. Of a file with a key for agreement only (RFC 9216 section 6)
    it gives nothing, after it has checked the MAC; it is then asked for the rest."""
    try:
        return pkcs12.load_pkcs12(data, password)
    except TypeError:
        if bags is None or not bags.keys:
            raise
        return pkcs12.load_pkcs12(bags.rest, password)


def _open_key(
    load: Callable[[bytes, bytes | None], PrivateKeyTypes], data: bytes, password: bytes | None
) -> PrivateKeyTypes:
    try:
        try:
            return load(data, password)
        except TypeError:
            if not password:
                raise
            return load(data, None)  # a password was given for other parts of the file
    except PARSE_ERRORS as error:
        raise _closed("private key", password, error) from error


def _closed(what: str, password: bytes | None, error: Exception) -> UnreadableCertificate:
    if isinstance(error, (UnsupportedAlgorithm, TypeError)) and "assword" not in str(error):
        sentence = f"the {what} uses an algorithm that is not supported; convert it with openssl"
        return UnreadableCertificate(sentence, f"{type(error).__name__}")
    if password:
        return UnreadableCertificate(f"the {what} cannot be opened: the password is wrong or the file is damaged")
    return PasswordMissing(f"the {what} cannot be opened: it needs a password, or it is damaged")


def _parsed(what: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except PARSE_ERRORS as error:
        raise UnreadableCertificate(f"the {what} file cannot be read", f"{type(error).__name__}: {error}") from error


def _decode(text: bytes) -> bytes:
    """Base64 of a PEM block; header lines of older kinds (`Name: value`) are not part of it."""
    try:
        return binascii.a2b_base64(text, strict_mode=False)
    except binascii.Error as error:
        raise UnreadableCertificate("a PEM block is damaged: its base64 text cannot be decoded") from error


def _first_inside(data: bytes) -> bytes:
    """The first octets inside the outer SEQUENCE, whose length may be indefinite (BER)."""
    if len(data) < 4 or data[0] != der.SEQUENCE:
        raise UnreadableCertificate("the file is neither PEM nor DER, PKCS#7 or PKCS#12")
    skip = data[1] & 0x7F if data[1] & 0x80 else 0
    return data[2 + skip : 2 + skip + len(_SIGNED_DATA)]


def _match(keys: Iterable[bytes], certificates: Iterable[Certificate]) -> Iterable[PrivateKeyEntry]:
    owners: dict[bytes, list[str]] = {}
    for certificate in certificates:
        if certificate.key_kind != "unknown":
            public = certificate.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            owners.setdefault(public, []).append(certificate.thumbprint)
    for key in keys:
        public_key = load_der_private_key(key, None).public_key()
        public = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for thumbprint in owners.get(public, [None]):
            yield PrivateKeyEntry(thumbprint, key)
