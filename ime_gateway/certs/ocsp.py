"""Online answers about one certificate (RFC 6960): the question to a responder, and what its answer is worth.

An answer counts when the CA that issued the certificate signed it, or a responder to which that very CA gave a
certificate for this purpose (section 4.2.2.2); everything else in it is a claim of whoever answers on that port. No
nonce is asked for (RFC 8954 leaves it out where answers are made in advance): freshness is the answer's own dates.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.certificate import PARSE_ERRORS, Certificate, places, quiet
from ime_gateway.certs.fault import timestamp
from ime_gateway.certs.fitness import MINIMUM_RSA_BITS, WEAK_SIGNATURES
from ime_gateway.certs.revocation import CLOCK_SKEW_SECONDS, Finding, Link

MAXIMUM_BYTES: Final = 65_536
"""Longer answers are refused: one certificate's state and one responder's certificate need two thousand."""
_WITHOUT_END_SECONDS = 3600.0
"""How long an answer holds that names no next update: newer information is there all the time (section 4.2.2.1)."""
_MOST_ANSWERS = 64
_DIGESTS: Final[dict[type[hashes.HashAlgorithm], Callable[[bytes], bytes]]] = {
    hashes.SHA1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    hashes.SHA256: lambda data: hashlib.sha256(data).digest(),
    hashes.SHA384: lambda data: hashlib.sha384(data).digest(),
    hashes.SHA512: lambda data: hashlib.sha512(data).digest(),
}
"""SHA-1 only names an issuer here, as RFC 5019 section 2.1.1 demands; nothing is believed because of it."""


@dataclass(frozen=True, slots=True, eq=False)
class OcspAnswer:
    """What a responder sent. Make them with `read`."""

    _parsed: ocsp.OCSPResponse = field(repr=False)

    @classmethod
    def read(cls, encoded: bytes) -> Self:
        """Read an OCSPResponse in DER. Raises UnreadableCertificate, also for "try later" and its like."""
        if len(encoded) > MAXIMUM_BYTES:
            raise UnreadableCertificate("the OCSP answer is too long")
        try:
            with quiet():
                parsed = ocsp.load_der_ocsp_response(encoded)
                status = parsed.response_status
        except PARSE_ERRORS as error:
            raise UnreadableCertificate("the OCSP answer cannot be read", f"{type(error).__name__}: {error}") from error
        if status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise UnreadableCertificate(f"the OCSP responder says {status.name.lower().replace('_', ' ')}")
        return cls(parsed)

    def next_update(self, link: Link) -> float:
        """Until when the responder expects nothing new about this link, seconds since 1970 UTC; 0: it is not there."""
        try:
            single = self._single(link)
        except PARSE_ERRORS:
            return 0.0
        return _ends(single) if single is not None else 0.0

    def this_update(self, link: Link) -> float:
        """Of when what it says about this link is, seconds since 1970 UTC; 0: it says nothing."""
        try:
            single = self._single(link)
        except PARSE_ERRORS:
            return 0.0
        return single.this_update_utc.timestamp() if single is not None else 0.0

    def finding(self, link: Link, moment: float, stale_seconds: float) -> Finding:
        """What the answer says about a link at `moment` (seconds since 1970 UTC).

        stale_seconds: how long after its next update it still counts. What it revoked for good it revokes at any age,
        so that silencing the responder brings nothing back to life.
        """
        try:
            with quiet():
                return self._finding(link, moment, stale_seconds)
        except PARSE_ERRORS:
            return Finding("unknown", "the OCSP answer cannot be read", moment)

    def _finding(self, link: Link, moment: float, stale_seconds: float) -> Finding:
        single = self._single(link)
        if single is None:
            return Finding("unknown", "the OCSP answer is about another certificate", moment)
        begins, until = single.this_update_utc.timestamp(), _ends(single) + stale_seconds
        lasting = _is_lasting(single)
        fault = _out_of_time(single, moment, math.inf if lasting else stale_seconds)
        # A responder's certificate lives for weeks: whether it could revoke for good is asked for the day when it did.
        responder = None if fault else self._responder(link.issuer, min(begins, moment) if lasting else moment)
        if fault or responder is None:
            return Finding("unknown", fault or "nobody who may speak for the issuer signed the OCSP answer", moment)
        until, day = until if until > moment else math.inf, timestamp(begins)
        match single.certificate_status:
            case ocsp.OCSPCertStatus.REVOKED:
                since = single.revocation_time_utc
                when = f" since {timestamp(since.timestamp())}" if since is not None else ""
                why = f", {single.revocation_reason.value}" if single.revocation_reason is not None else ""
                return Finding("revoked", f"revoked{when}{why}, says the OCSP answer of {day}", until)
            case ocsp.OCSPCertStatus.GOOD if responder.unchecked:
                words = "the responder's certificate would have to be asked about itself (no id-pkix-ocsp-nocheck)"
                return Finding("unknown", words, until)
            case ocsp.OCSPCertStatus.GOOD:
                return Finding("good", f"the OCSP answer of {day} says so, next {timestamp(_ends(single))}", until)
            case _:
                return Finding("unknown", "the OCSP responder does not know the certificate", until)

    def _single(self, link: Link) -> ocsp.OCSPSingleResponse | None:
        for number, single in enumerate(self._parsed.responses):
            if number == _MOST_ANSWERS:
                break
            if single.serial_number == link.certificate.serial and _names(single, link):
                return single
        return None

    def _responder(self, issuer: Certificate, moment: float) -> "_Responder | None":
        """Who signed: the issuer, or one whom it appointed."""
        if WEAK_SIGNATURES.get(self._parsed.signature_algorithm_oid.dotted_string):
            return None
        if self._signed_by(issuer.x509):
            return _Responder(unchecked=False)
        for one in self._parsed.certificates[:_MOST_ANSWERS]:
            if _is_appointed(one, issuer.x509, moment) and self._signed_by(one):
                return _Responder(unchecked=not _has(one, x509.OCSPNoCheck))
        return None

    def _signed_by(self, signer: x509.Certificate) -> bool:
        parsed = self._parsed
        try:
            key, digest = signer.public_key(), parsed.signature_hash_algorithm
            if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MINIMUM_RSA_BITS and digest is not None:
                key.verify(parsed.signature, parsed.tbs_response_bytes, padding.PKCS1v15(), digest)
            elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
                key.verify(parsed.signature, parsed.tbs_response_bytes, ec.ECDSA(digest))
            elif isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
                key.verify(parsed.signature, parsed.tbs_response_bytes)
            else:
                return False
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Responder:
    unchecked: bool
    """Its own certificate might be revoked, and does not say that nobody need ask (section 4.2.2.2.1)."""


def ocsp_question(link: Link) -> bytes:
    """OCSPRequest in DER (section 4.1) about one link."""
    with quiet():
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            link.certificate.x509,
            link.issuer.x509,
            hashes.SHA1(),  # noqa: S303 - names the issuer only, and every responder knows it (RFC 5019)
        )
        return builder.build().public_bytes(Encoding.DER)


def question_name(link: Link) -> str:
    """Under which name an answer about a link is kept: its issuer's key and name, and the serial number."""
    issuer = hashlib.sha256(link.issuer.key_digest.encode() + _subject(link.issuer)).hexdigest()
    return f"{issuer[:40]}:{link.certificate.serial:x}"


def _subject(certificate: Certificate) -> bytes:
    return certificate.der[places(certificate.der).subject]


def _names(single: ocsp.OCSPSingleResponse, link: Link) -> bool:
    """CertID (section 4.1.1): the issuer's name as it stands in the certificate, and the bits of its key."""
    digest = _DIGESTS.get(type(single.hash_algorithm))
    if digest is None:
        return False
    name = link.certificate.der[places(link.certificate.der).issuer]
    return single.issuer_name_hash == digest(name) and single.issuer_key_hash == digest(_key_bits(link.issuer))


def _key_bits(issuer: Certificate) -> bytes:
    """The content of the BIT STRING subjectPublicKey, without its count of unused bits."""
    encoded = issuer.der[places(issuer.der).key_info]
    bits = der.children(encoded, der.read_element(encoded, 0, len(encoded)))[1]
    return encoded[bits.content + 1 : bits.end]


def _ends(single: ocsp.OCSPSingleResponse) -> float:
    ends = single.next_update_utc
    return ends.timestamp() if ends is not None else single.this_update_utc.timestamp() + _WITHOUT_END_SECONDS


def _out_of_time(single: ocsp.OCSPSingleResponse, moment: float, stale_seconds: float) -> str:
    begins = single.this_update_utc.timestamp()
    if begins > moment + CLOCK_SKEW_SECONDS:
        return f"the OCSP answer is of {timestamp(begins)}, in the future"
    if moment >= _ends(single) + stale_seconds:
        return f"the OCSP answer is stale: it held until {timestamp(_ends(single))}"
    return ""


def _is_lasting(single: ocsp.OCSPSingleResponse) -> bool:
    """A revocation that never ends: every one but certificateHold (RFC 5280 section 5.3.1)."""
    return (
        single.certificate_status is ocsp.OCSPCertStatus.REVOKED
        and single.revocation_reason is not x509.ReasonFlags.certificate_hold
    )


def _is_appointed(one: x509.Certificate, issuer: x509.Certificate, moment: float) -> bool:
    """A responder's certificate that this CA itself signed for the purpose, in its time (section 4.2.2.2)."""
    try:
        purposes = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
            return False
        if not one.not_valid_before_utc.timestamp() <= moment <= one.not_valid_after_utc.timestamp():
            return False
        if WEAK_SIGNATURES.get(one.signature_algorithm_oid.dotted_string):
            return False
        one.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, InvalidSignature, *PARSE_ERRORS):
        return False
    return True


def _has(one: x509.Certificate, kind: type[x509.ExtensionType]) -> bool:
    try:
        one.extensions.get_extension_for_class(kind)
    except (x509.ExtensionNotFound, *PARSE_ERRORS):
        return False
    return True
