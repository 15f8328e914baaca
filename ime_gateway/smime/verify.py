"""Who signed this, and does each signature hold? Every signer of a SignedData is judged alone.

RFC 5652 sections 5.4 to 5.6, RFC 8551 section 2, RFC 5035. Whatever could be read in two ways is a fault of its
own and never "intact": certificates that cannot be told apart, attributes that stand twice, content beside
content, attributes that pose as content. The content is hashed once per digest algorithm, however many sign.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.certificate import Certificate, places
from ime_gateway.smime import signature_algorithms as algorithms
from ime_gateway.smime.signature_report import SignatureFault, SignatureReport, SignerVerdict
from ime_gateway.smime.signed_attributes import (
    SignedAttributes,
    in_order,
    named_certificates,
    preferred_certificate,
    read_attributes,
)
from ime_gateway.smime.structures import Pieces, Signed, SignerInfo

__all__ = ["SignatureFault", "SignatureReport", "SignerVerdict", "verify"]

MOST_SIGNERS: Final = 32
"""Signatures that are looked at; the others count as faults without any work."""
CLOCK_SKEW: Final = 86_400.0
"""Seconds that a signer's clock may be ahead: a wrong time zone makes up to 14 hours."""

_LONGEST_HEADER = 6
_DATA = "1.2.840.113549.1.7.1"
_MOST_WHOLE = 2
"""How often the whole content may go through EdDSA, which hashes it twice each time and cannot share the work."""


def verify(
    signed: Signed, content: Pieces | None, known: Sequence[Certificate] = (), *, moment: float | None = None
) -> SignatureReport:
    """Judge each signature of `signed`.

    content: what a detached signature covers, as it stands; for an opaque one None, or its own content.
    known: certificates that may be the signer's although the message does not carry them.
    moment: now, in seconds since 1970 UTC; a signing time beyond it is a fault. None: not looked at.
    Never raises; linear in the content for each digest algorithm, and in the number of signers.
    """
    carried = _readable(signed.certificates)
    subject = _Subject(signed, content, _Directory((*carried, *known)), carried, moment)
    verdicts = tuple(subject.judge(signer, number) for number, signer in enumerate(signed.signers))
    return SignatureReport(verdicts, carried)


def _readable(encoded: Iterable[bytes]) -> tuple[Certificate, ...]:
    found: dict[Certificate, None] = {}
    for one in encoded:
        try:
            found[Certificate.from_der(one)] = None
        except UnreadableCertificate:
            continue
    return tuple(found)


class _Content:
    """The signed content, in segments; what is made of it is made once."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._digests: dict[str, bytes] = {}
        self._whole = b""
        self._whole_uses = 0

    def digest(self, name: str) -> bytes:
        if name not in self._digests:
            self._digests[name] = algorithms.digest(name, self._pieces)
        return self._digests[name]

    def whole(self) -> bytes | None:
        if self._whole_uses == _MOST_WHOLE:
            return None
        if not self._whole_uses:
            self._whole = b"".join(self._pieces)
        self._whole_uses += 1
        return self._whole

    def is_attributes(self) -> bool:
        """The content is one SET in DER, which is what a signature with attributes covers: without this rule the
        attributes of one message, cut out with their signature, would be another "message" of the same signer."""
        start = b"".join(bytes(piece[:_LONGEST_HEADER]) for piece in self._pieces[:_LONGEST_HEADER])
        size = sum(len(piece) for piece in self._pieces)
        headers = (der.header(der.SET, size - count) for count in range(2, min(_LONGEST_HEADER, size) + 1))
        return any(start.startswith(header) for count, header in enumerate(headers, 2) if len(header) == count)


@dataclass(frozen=True, slots=True)
class _Attributes:
    """The signed attributes as what is signed."""

    encoded: bytes

    def digest(self, name: str) -> bytes:
        return algorithms.digest(name, (self.encoded,))

    def whole(self) -> bytes:
        return self.encoded


class _Directory:
    """Certificates by the two names that a signer may have (RFC 5652 section 5.3)."""

    def __init__(self, certificates: Iterable[Certificate]) -> None:
        self._by_issuer: dict[tuple[bytes, int], list[Certificate]] = {}
        self._by_identifier: dict[bytes, list[Certificate]] = {}
        for one in dict.fromkeys(certificates):
            self._by_issuer.setdefault((one.der[places(one.der).issuer], one.serial), []).append(one)
            if identifier := one.subject_key_identifier:
                self._by_identifier.setdefault(identifier, []).append(one)

    def named(self, signer: SignerInfo) -> list[Certificate]:
        if signer.issuer_and_serial is not None:
            name = signer.issuer_and_serial
            return self._by_issuer.get((bytes(name.issuer), name.serial), [])
        return self._by_identifier.get(bytes(signer.key_identifier or b""), [])


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is known of a signature while it is being judged."""

    verdict: SignerVerdict
    attributes: SignedAttributes | None = None

    def fault(self, fault: SignatureFault) -> SignerVerdict:
        return replace(self.verdict, fault=fault)


class _Subject:
    """One SignedData under examination."""

    def __init__(
        self,
        signed: Signed,
        given: Pieces | None,
        directory: _Directory,
        carried: tuple[Certificate, ...],
        moment: float | None,
    ) -> None:
        self._signed = signed
        self._directory = directory
        self._carried = carried
        self._moment = moment
        pieces = given if given is not None else signed.content
        self._content = _Content(pieces or ())
        self._general_fault = _content_fault(signed, given)

    def judge(self, signer: SignerInfo, number: int) -> SignerVerdict:
        """The verdict on one signer; `number` counts them from 0."""
        blank = SignerVerdict(
            intact=False,
            fault=SignatureFault.NONE,
            certificate=None,
            signing_time=None,
            digest_algorithm=signer.digest_algorithm.oid,
            message_digest=b"",
            attributes_signed=signer.signed_attributes is not None,
            key_digest="",
            capabilities=None,
            preferred=None,
        )
        if number >= MOST_SIGNERS:
            return replace(blank, fault=SignatureFault.TOO_MANY)
        if self._general_fault:
            return replace(blank, fault=self._general_fault)
        return self._with_attributes(signer, _Draft(blank))

    def _with_attributes(self, signer: SignerInfo, draft: _Draft) -> SignerVerdict:
        """The attributes first: they say which of several certificates is meant."""
        if signer.signed_attributes is None:
            if self._signed.content_type != _DATA:
                return draft.fault(SignatureFault.ATTRIBUTES_NEEDED)
            if self._content.is_attributes():
                return draft.fault(SignatureFault.ATTRIBUTES_AS_CONTENT)
            return self._with_certificate(signer, draft)
        read = read_attributes(signer.signed_attributes)
        if isinstance(read, SignatureFault):
            return draft.fault(read)
        if read.content_type != der.oid(self._signed.content_type):
            return draft.fault(SignatureFault.OTHER_CONTENT_TYPE)
        return self._with_certificate(signer, replace(draft, attributes=read))

    def _with_certificate(self, signer: SignerInfo, draft: _Draft) -> SignerVerdict:
        named = named_certificates(draft.attributes) if draft.attributes else ()
        if isinstance(named, SignatureFault):
            return draft.fault(named)
        candidates = self._directory.named(signer)
        if not candidates:
            return draft.fault(SignatureFault.NO_CERTIFICATE)
        meant = [one for one in candidates if all(name.names(one) for name in named)]
        if not meant:
            return draft.fault(SignatureFault.OTHER_CERTIFICATE)
        # Key identifiers are free text: renewed certificates share them, so the signed hash may decide. Nobody
        # honest gives two certificates the same issuer and serial number.
        if len(meant) > 1 or (signer.issuer_and_serial is not None and len(candidates) > 1):
            return draft.fault(SignatureFault.AMBIGUOUS_CERTIFICATE)
        certificate = meant[0]
        verdict = replace(draft.verdict, certificate=certificate, key_digest=certificate.key_digest)
        return self._with_algorithms(signer, replace(draft, verdict=verdict), certificate)

    def _with_algorithms(self, signer: SignerInfo, draft: _Draft, certificate: Certificate) -> SignerVerdict:
        digest = algorithms.digest_name(signer.digest_algorithm)
        if isinstance(digest, SignatureFault):
            return draft.fault(digest)
        verdict = replace(draft.verdict, digest_algorithm=digest, message_digest=self._content.digest(digest))
        draft = replace(draft, verdict=verdict)
        scheme = algorithms.read_scheme(
            signer.signature_algorithm, digest, with_attributes=draft.attributes is not None
        )
        if isinstance(scheme, SignatureFault):
            return draft.fault(scheme)
        if fault := algorithms.key_fault(certificate, scheme):
            return draft.fault(fault)
        if draft.attributes and draft.attributes.message_digest != verdict.message_digest:
            return draft.fault(SignatureFault.CONTENT_CHANGED)
        fault = (
            self._check(signer, certificate, scheme)
            or algorithms.weakness(certificate, scheme, digest)
            or self._time_fault(draft.attributes)
        )
        return draft.fault(fault) if fault else self._intact(draft)

    def _check(self, signer: SignerInfo, certificate: Certificate, scheme: algorithms.Scheme) -> SignatureFault:
        """RFC 5652 section 5.4: what is signed is the SET OF in DER. Some programs sign their attributes unsorted,
        as they send them, and every other reader checks those; the same attributes, whatever their order."""
        if signer.signed_attributes is None:
            return algorithms.check(certificate, scheme, signer.signature, self._content)
        sorted_set = signer.signed_attributes_der or b""
        fault = algorithms.check(certificate, scheme, signer.signature, _Attributes(sorted_set))
        if fault is SignatureFault.WRONG_SIGNATURE and (sent := in_order(signer.signed_attributes)) != sorted_set:
            return algorithms.check(certificate, scheme, signer.signature, _Attributes(sent))
        return fault

    def _time_fault(self, attributes: SignedAttributes | None) -> SignatureFault:
        if self._moment is None or attributes is None or attributes.signing_time is None:
            return SignatureFault.NONE
        ahead = attributes.signing_time > self._moment + CLOCK_SKEW
        return SignatureFault.FROM_THE_FUTURE if ahead else SignatureFault.NONE

    def _intact(self, draft: _Draft) -> SignerVerdict:
        if draft.attributes is None:
            return replace(draft.verdict, intact=True)
        return replace(
            draft.verdict,
            intact=True,
            signing_time=draft.attributes.signing_time,
            capabilities=draft.attributes.capabilities,
            preferred=preferred_certificate(draft.attributes, self._carried),
        )


def _content_fault(signed: Signed, given: Pieces | None) -> SignatureFault:
    """What is wrong for every signer alike."""
    if signed.content is None:
        if given is None:
            return SignatureFault.NO_CONTENT
        # RFC 8551 section 3.5.3.1: a detached signature over a MIME entity is one over id-data.
        return SignatureFault.NONE if signed.content_type == _DATA else SignatureFault.NOT_MAIL_CONTENT
    if given is not None and given is not signed.content and not _same(given, signed.content):
        return SignatureFault.TWO_CONTENTS
    return SignatureFault.NONE


def _same(one: Pieces, other: Pieces) -> bool:
    """Whether two contents are the same octets, however they are cut."""
    if sum(map(len, one)) != sum(map(len, other)):
        return False
    return algorithms.digest("sha256", one) == algorithms.digest("sha256", other)
