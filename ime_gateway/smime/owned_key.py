"""A private key that may open mail, and which recipient infos of a message are meant for it.

A sender names the reader's certificate by issuer and serial number or by subjectKeyIdentifier
(RFC 5652 sections 6.2.1 and 6.2.2). Comparing is by octets: whoever writes the issuer's name otherwise than
the certificate does has named another certificate.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.certificate import PARSE_ERRORS, Certificate, places, quiet
from ime_gateway.certs.der import SEQUENCE, SET, children, read_element
from ime_gateway.smime.structures import AgreementKey, IssuerAndSerial, KeyAgreement, KeyTransport, OtherRecipient

_Name = tuple[bytes, int] | bytes
_SHOWN = 5
_LONGEST_NAME = 4_096


@dataclass(frozen=True, slots=True)
class OwnedKey:
    """A key pair of ours: the certificate that senders name, and its private key."""

    certificate: Certificate
    private_key: PrivateKeyTypes = field(repr=False, compare=False)

    @classmethod
    def from_pkcs8(cls, certificate: Certificate, der: bytes) -> Self:
        """Load a PKCS#8 private key in DER, not encrypted.

        Raises UnreadableCertificate when it cannot be read or belongs to another certificate. The primes of RSA keys
        are not tested again (40 to 250 ms): that was done when the key came into the store.
        """
        try:
            with quiet():
                key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
                same = _public_der(key.public_key()) == _public_der(certificate.public_key)
        except PARSE_ERRORS as error:
            # The library's words may quote the file: the class of the error is all that is kept.
            raise UnreadableCertificate("the private key cannot be read", type(error).__name__) from None
        if not same:
            raise UnreadableCertificate("the private key does not belong to the certificate", certificate.thumbprint)
        return cls(certificate, key)


class Addressed(NamedTuple):
    """A recipient info and the key of ours that it names."""

    info: KeyTransport | KeyAgreement
    agreed: AgreementKey | None
    """The part of a key agreement that is for this key; None for key transport."""
    owned: OwnedKey


def addressed(
    recipients: Iterable[KeyTransport | KeyAgreement | OtherRecipient], keys: Sequence[OwnedKey]
) -> Iterator[Addressed]:
    """What of a message is meant for `keys`, in the order of the message; the rest is passed over.

    Costs one look-up for each recipient, whatever the number of keys.
    """
    known: dict[_Name, dict[Certificate, OwnedKey]] = {}
    for owned in keys:
        for name in _names(owned.certificate):
            known.setdefault(name, {}).setdefault(owned.certificate, owned)
    for info in recipients:
        if isinstance(info, KeyTransport):
            for owned in known.get(_wanted(info.issuer_and_serial, info.key_identifier), {}).values():
                yield Addressed(info, None, owned)
        elif isinstance(info, KeyAgreement):
            for agreed in info.keys:
                for owned in known.get(_wanted(agreed.issuer_and_serial, agreed.key_identifier), {}).values():
                    yield Addressed(info, agreed, owned)


def described(recipients: Sequence[KeyTransport | KeyAgreement | OtherRecipient]) -> str:
    """Whom a message is for, for the log: the first five recipients, as certificates name them."""
    shown: list[str] = []
    for info in recipients[:_SHOWN]:
        if isinstance(info, OtherRecipient):
            shown.append(info.kind)
        elif isinstance(info, KeyTransport):
            shown.append(f"ktri {_described(info.issuer_and_serial, info.key_identifier)}")
        else:
            shown += [f"kari {_described(one.issuer_and_serial, one.key_identifier)}" for one in info.keys[:_SHOWN]]
    more = [f"{len(recipients)} recipient infos in all"] if len(recipients) > _SHOWN else []
    return "; ".join([*shown[:_SHOWN], *more]) or "nobody"


def _described(issuer_and_serial: IssuerAndSerial | None, key_identifier: bytes | None) -> str:
    if issuer_and_serial is None:
        return f"ski {(key_identifier or b'').hex()[:40]}"
    name = _last_words(issuer_and_serial.issuer)
    return f"serial {issuer_and_serial.serial:x}"[:47] + (f" of {name}" if name else "")


def _last_words(name: bytes) -> str:
    """The last value of a Name (RFC 5280 section 4.1.2.4), by custom the common name; empty when it is not plain."""
    try:
        found = read_element(name, 0, min(len(name), _LONGEST_NAME))
        while found.tag in (SEQUENCE, SET):
            found = children(name, found)[-1]
    except (UnreadableCertificate, IndexError):
        return ""
    text = name[found.content : found.end].decode("utf-8", "replace")[:60]
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def _wanted(issuer_and_serial: IssuerAndSerial | None, key_identifier: bytes | None) -> _Name:
    if issuer_and_serial is not None:
        return issuer_and_serial.issuer, issuer_and_serial.serial
    return key_identifier or b""


def _names(certificate: Certificate) -> tuple[_Name, ...]:
    return certificate.keep("recipient_names", lambda: _read_names(certificate))


def _read_names(certificate: Certificate) -> tuple[_Name, ...]:
    by_issuer = (certificate.der[places(certificate.der).issuer], certificate.serial)
    identifier = certificate.subject_key_identifier
    if identifier is None:
        # RFC 5280 section 4.2.1.2, method (1): what senders compute for certificates without the extension.
        try:
            identifier = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key).digest
        except (UnsupportedAlgorithm, ValueError):
            identifier = b""
    return (by_issuer, identifier) if identifier else (by_issuer,)


def _public_der(key: object) -> bytes:
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return bytes(encoded)
