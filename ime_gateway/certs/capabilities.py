"""What a person's programs can open, as they say it themselves: SMIMECapabilities, read and written.

RFC 8551 section 2.5.2 puts the list into signatures, RFC 4262 into certificates. Only what stands in one
of them makes us use AES-GCM or OAEP: classic Outlook can read neither, and says nothing. The list chooses
among methods that we find good enough anyway; nothing that a peer says makes us choose a weaker one.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography import x509

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate

SMIME_CAPABILITIES: Final = "1.2.840.113549.1.9.15"
"""The attribute of a signature, and the extension of a certificate."""

_MAXIMUM_BYTES = 16_384
_MAXIMUM_ENTRIES = 128
_CIPHERS: Final = {
    "2.16.840.1.101.3.4.1.46": "aes-256-gcm",
    "2.16.840.1.101.3.4.1.26": "aes-192-gcm",
    "2.16.840.1.101.3.4.1.6": "aes-128-gcm",
    "1.2.840.113549.1.9.16.3.18": "chacha20-poly1305",
    "2.16.840.1.101.3.4.1.42": "aes-256-cbc",
    "2.16.840.1.101.3.4.1.22": "aes-192-cbc",
    "2.16.840.1.101.3.4.1.2": "aes-128-cbc",
    "1.2.840.113549.3.7": "des-ede3-cbc",
}
_OWN_CIPHERS = ("aes-256-gcm", "aes-128-gcm", "aes-256-cbc", "aes-192-cbc", "aes-128-cbc", "chacha20-poly1305")
_AGREEMENTS: Final = {
    "1.3.132.1.11.1": "ecdh-sha256",
    "1.3.132.1.11.2": "ecdh-sha384",
    "1.3.132.1.11.3": "ecdh-sha512",
    "1.2.840.113549.1.9.16.3.19": "ecdh-hkdf-sha256",
}
"""RFC 5753 section 7.1.4 for the curves of NIST, RFC 8418 section 8 for X25519."""
_AES_WRAPS = ("2.16.840.1.101.3.4.1.45", "2.16.840.1.101.3.4.1.5")
_SHA256 = "2.16.840.1.101.3.4.2.1"
_MGF1 = "1.2.840.113549.1.1.8"
_OAEP = "1.2.840.113549.1.1.7"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a list says; empty when it says nothing that we know."""

    ciphers: tuple[str, ...] = ()
    """Names of content ciphers, the preferred one first: `aes-256-gcm`, `aes-128-cbc`, ..."""
    oaep: bool = False
    """RSAES-OAEP with SHA-256 for hash and mask, the only form that we write (RFC 4055 section 4.1)."""
    key_agreement: tuple[str, ...] = ()
    """`ecdh-sha256`, `ecdh-sha384`, `ecdh-sha512` (RFC 5753), `ecdh-hkdf-sha256` (RFC 8418), as preferred."""

    @property
    def gcm(self) -> bool:
        """AES-256-GCM is listed: AuthEnvelopedData can be read (RFC 5083)."""
        return "aes-256-gcm" in self.ciphers

    @property
    def says_something(self) -> bool:
        """At least one cipher is listed, so that what is not listed may be taken for not known."""
        return bool(self.ciphers)


NOTHING_SAID = Capabilities()


def read_capabilities(encoded: bytes) -> Capabilities:
    """Read SMIMECapabilities in DER, tolerantly: what is damaged, unknown or beyond all measure says nothing."""
    ciphers: dict[str, None] = {}
    agreements: dict[str, None] = {}
    oaep = False
    for algorithm, parameters in _entries(encoded):
        if name := _CIPHERS_BY_DER.get(algorithm):
            ciphers[name] = None
        elif name := _AGREEMENTS_BY_DER.get(algorithm):
            agreements[name] = None
        elif algorithm == der.oid(_OAEP) and _is_sha256_oaep(parameters):
            oaep = True
    return Capabilities(tuple(ciphers), oaep, tuple(agreements))


@cache
def own_capabilities() -> bytes:
    """SMIMECapabilities in DER: what this gateway opens, the preferred first within each kind."""
    by_name = {name: der.sequence(der.oid(dotted)) for dotted, name in _CIPHERS.items()}
    agreements = [
        der.sequence(der.oid(dotted), der.sequence(der.oid(wrap))) for dotted in _AGREEMENTS for wrap in _AES_WRAPS
    ]
    return der.sequence(
        *(by_name[name] for name in _OWN_CIPHERS),
        der.sequence(der.oid(_OAEP), _oaep_parameters(der.NULL)),
        *agreements,
    )


def stated_capabilities(certificate: Certificate) -> Capabilities:
    """What the certificate itself states (RFC 4262 section 2); nothing when it has no such extension."""
    return certificate.keep("capabilities", lambda: _stated(certificate))


def reads_gcm(certificate: Certificate) -> bool:
    """Whether the certificate lists AES-256-GCM; False when it lists nothing."""
    return stated_capabilities(certificate).gcm


def _stated(certificate: Certificate) -> Capabilities:
    try:
        extension = certificate.x509.extensions.get_extension_for_oid(x509.ObjectIdentifier(SMIME_CAPABILITIES))
    except x509.ExtensionNotFound:
        return NOTHING_SAID
    value = extension.value
    return read_capabilities(value.value) if isinstance(value, x509.UnrecognizedExtension) else NOTHING_SAID


def _entries(encoded: bytes) -> list[tuple[bytes, bytes]]:
    """Algorithm and parameters of each entry as whole elements; empty parameters are those left out."""
    found: list[tuple[bytes, bytes]] = []
    try:
        outer = der.read_element(encoded, 0, min(len(encoded), _MAXIMUM_BYTES))
        if outer.tag != der.SEQUENCE:
            return []
        for entry in der.children(encoded, outer)[:_MAXIMUM_ENTRIES]:
            parts = der.children(encoded, entry) if entry.tag == der.SEQUENCE else []
            if 1 <= len(parts) <= 2 and parts[0].tag == der.OBJECT_IDENTIFIER:
                first = encoded[parts[0].start : parts[0].end]
                found.append((first, encoded[parts[0].end : entry.end]))
    except UnreadableCertificate:
        # What came before the damage is not believed either: nobody can say where it begins.
        return []
    return found


def _oaep_parameters(hash_parameters: bytes) -> bytes:
    """RSAES-OAEP-params with SHA-256 for both, the label left at its default (RFC 4055 section 4.1)."""
    digest = der.sequence(der.oid(_SHA256), hash_parameters)
    return der.sequence(der.tlv(0xA0, digest), der.tlv(0xA1, der.sequence(der.oid(_MGF1), digest)))


def _is_sha256_oaep(parameters: bytes) -> bool:
    """RFC 4055 section 2.1: the parameters of a hash are NULL or absent, and both mean the same."""
    return parameters in (_oaep_parameters(der.NULL), _oaep_parameters(b""))


_CIPHERS_BY_DER: Final = {der.oid(dotted): name for dotted, name in _CIPHERS.items()}
_AGREEMENTS_BY_DER: Final = {der.oid(dotted): name for dotted, name in _AGREEMENTS.items()}
