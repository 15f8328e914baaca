"""What the signatures of incoming mail are worth: path, trust and identity of each, and whether it covers the mail.

Threats E and 25 to 27: a valid part is not a valid mail, and a valid signature of somebody else is an attack. So each
signature keeps its three verdicts apart (`keys/signer`), and the mail is only called signed when one of its sender
covers everything that the reader sees (RFC 8550 section 3, RFC 3183 section 3.1 for domains).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.profile import SIGNING_NAME
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.kept_for import KeptFor
from ime_gateway.keys.signer import (
    IdentityVerdict,
    PathVerdict,
    address_match,
    judge_signer,
    leads_to_root,
    path_verdict,
)
from ime_gateway.keys.usable import Verdict
from ime_gateway.mail.address import Address, flatten, parse_address_list
from ime_gateway.mail.header_protection import ProtectedHeaders, read_protected
from ime_gateway.mail.headers import HeaderBlock
from ime_gateway.mail.recognise import protection_of
from ime_gateway.mail.result_tags import same_subject
from ime_gateway.smime.layers import EncryptedLayer, Opened, SignedLayer
from ime_gateway.smime.signature_report import SignatureReport, SignerVerdict

Covers = Literal["mail", "part", "ciphertext"]
"""All that a reader sees; less than that; what was encrypted inside it, so that its author may be somebody else."""
Signed = Literal["no", "ok", "invalid"]

MOST_JUDGED: Final = 16
"""Signatures of one mail whose certificates are looked at; the others are not believed."""
_OUT_OF_FORCE: Final = frozenset((Reason.CERTIFICATE_DENIED, Reason.CERTIFICATE_REVOKED))
_NOT_JUDGED: Final = "it was not looked at"


@dataclass(frozen=True, slots=True)
class FoundSignature:
    """One signature of an incoming mail."""

    layer: int
    """Counted from the outside, from 1, over layers of every kind."""
    signer: SignerVerdict
    """Whether it holds, by which certificate, when, and what it says of its signer's programs."""
    covers: Covers
    path: PathVerdict
    trust: Verdict
    identity: IdentityVerdict
    """Whether the certificate names everybody in From, or stands for their domain."""
    speaks_for: Literal["person", "domain"]
    """`domain`: it is the certificate of the sender's whole domain."""
    carried: tuple[Certificate, ...]
    """Certificates that came along: unsigned, anybody may have put them there."""
    by_root: bool = False
    """It is trusted, and not by the trust list alone: a path leads to a root."""

    @property
    def good(self) -> bool:
        """It holds, covers the mail, and is a trusted one of the mail's sender."""
        return (
            self.signer.intact
            and self.covers == "mail"
            and self.path.valid
            and self.trust.usable
            and self.identity.matches
        )


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom a signature must be of, and what speaks for whole domains."""

    people: tuple[Address, ...]
    """Everybody in From; empty when it cannot be read."""
    headers: HeaderBlock
    """The header of the mail as its readers see it."""
    domain_certificates: frozenset[Certificate]
    """Those that the administrators keep for the one domain of `people`, when it is a partner's."""
    tags: tuple[str, ...] = ()
    """Words that make no difference in a subject."""
    partners: frozenset[str] = frozenset()
    """Domains of `people` that are partners', none of ours."""
    kept_for: Mapping[Certificate, tuple[str, ...]] = field(default_factory=dict)
    """Domain certificates of all partners, each with the names of the partner domains that have it."""
    imported_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By thumbprint of a signer's certificate that the trust list allows: the people for whom it was imported."""


def found_signatures(opened: Opened, sender: Sender, anchors: Anchors, moment: float) -> tuple[FoundSignature, ...]:
    """Every signature of the layers, from the outside in. moment: seconds since 1970 UTC. Never raises."""
    protected = protected_headers(opened)
    found: list[FoundSignature] = []
    for number, layer in enumerate(opened.layers, 1):
        if not isinstance(layer, SignedLayer):
            continue
        covers = _covers(opened, number, layer, sender, protected)
        for signer in layer.report.signers:
            if signer.intact and signer.certificate is not None and len(found) < MOST_JUDGED:
                found.append(_judged(number, signer, covers, layer.report, sender, protected, anchors, moment))
            else:
                found.append(_not_judged(number, signer, covers, layer.report))
    return tuple(found)


def signer_thumbprints(opened: Opened) -> list[str]:
    """The certificates by which the signatures of its layers hold."""
    layers = [layer for layer in opened.layers if isinstance(layer, SignedLayer)]
    signers = [one for layer in layers for one in layer.report.signers[:MOST_JUDGED] if one.intact]
    return [one.certificate.thumbprint for one in signers if one.certificate is not None]


def signed_state(opened: Opened, signatures: Sequence[FoundSignature]) -> Signed:
    """What may be said of the whole mail in one word: `ok` when no signature is broken, none covers less than the mail,
    no signer was denied or revoked, and one of them is good. A signature around an encryption says nothing of the
    mail's author, unless it is broken."""
    if opened.end not in ("open", "undecryptable", "partly-signed") and claims_signature(opened):
        return "invalid"
    if not signatures:
        return "no"
    if any(not one.signer.intact or one.covers == "part" or one.trust.reason in _OUT_OF_FORCE for one in signatures):
        return "invalid"
    told = [one for one in signatures if one.covers == "mail"]
    if not told:
        return "no"
    return "ok" if any(one.good for one in told) else "invalid"


def claims_signature(opened: Opened) -> bool:
    """The innermost entity says that it is signed, although no signature could be read from it."""
    try:
        return opened.message.headers.first("content-type") is not None and protection_of(opened.message) in (
            "smime-signed",
        )
    except UnreadableMail:
        return True


def protected_headers(opened: Opened) -> ProtectedHeaders | None:
    """The header fields under the protection of the innermost layer; None without layers, or when it has none."""
    if not opened.layers or opened.end != "open":
        return None
    try:
        return read_protected(opened.message)
    except UnreadableMail:
        return None


def _covers(
    opened: Opened, number: int, layer: SignedLayer, sender: Sender, protected: ProtectedHeaders | None
) -> Covers:
    if not layer.whole_body:
        return "part"
    if opened.end == "undecryptable" or any(isinstance(inner, EncryptedLayer) for inner in opened.layers[number:]):
        return "ciphertext"
    if protected is not None and not opened.encrypted:
        # The header that the reader sees is the one outside: it must say what was signed (RFC 9788 section 4).
        said, seen = protected.fields.first("subject"), sender.headers.first("subject")
        if said is not None and not same_subject(said.text, seen.text if seen else "", sender.tags):
            return "part"
    return "mail"


def _judged(
    number: int,
    signer: SignerVerdict,
    covers: Covers,
    report: SignatureReport,
    sender: Sender,
    protected: ProtectedHeaders | None,
    anchors: Anchors,
    moment: float,
) -> FoundSignature:
    certificate = signer.certificate
    assert certificate is not None
    trust = judge_signer(certificate, anchors, moment, report.certificates)
    by_root = trust.usable and (
        anchors.allows(certificate) is None or leads_to_root(certificate, anchors, moment, report.certificates)
    )
    identity, speaks_for = _identity(certificate, sender, protected, by_root=by_root)
    return FoundSignature(
        layer=number,
        signer=signer,
        covers=covers,
        path=path_verdict(certificate, anchors, moment, report.certificates),
        trust=trust,
        identity=identity,
        speaks_for=speaks_for,
        carried=report.certificates,
        by_root=by_root,
    )


def _not_judged(number: int, signer: SignerVerdict, covers: Covers, report: SignatureReport) -> FoundSignature:
    why = str(signer.fault) or _NOT_JUDGED
    return FoundSignature(
        layer=number,
        signer=signer,
        covers=covers,
        path=PathVerdict(False, why),
        trust=Verdict(False, Reason.CERTIFICATE_UNTRUSTED, why, 0.0),
        identity=IdentityVerdict(False, why),
        speaks_for="person",
        carried=report.certificates,
    )


def _identity(
    certificate: Certificate, sender: Sender, protected: ProtectedHeaders | None, *, by_root: bool
) -> tuple[IdentityVerdict, Literal["person", "domain"]]:
    """Whether the certificate is that of everybody in From, or of their domain. One that the trust list alone allows is
    believed for whom it is kept, a partner's people or single ones, and for a whole domain only where it is a
    partner's: whomever else it names."""
    keys = [one.key for one in sender.people]
    if not keys:
        return IdentityVerdict(False, "From cannot be read"), "person"
    inside = _people_inside(protected)
    if inside is not None and inside != frozenset(keys):
        return IdentityVerdict(False, "the From that was signed is another one"), "person"
    kept = KeptFor(sender.kept_for.get(certificate, ()), sender.imported_for.get(certificate.thumbprint, ()))
    if not by_root and (left_out := next(filter(None, map(kept.leaves_out, keys)), "")):
        return IdentityVerdict(False, left_out), "person"
    match = address_match(certificate, keys)
    if match.matches:
        return match, "person"
    named = (by_root or kept.domains) and _names_domain(certificate, sender)
    if certificate in sender.domain_certificates or named:
        return IdentityVerdict(True, ""), "domain"
    return match, "person"


def _names_domain(certificate: Certificate, sender: Sender) -> bool:
    """RFC 3183 section 3.1.1: `domain-signing-authority@x` signs for everybody of x and of what lies below x.

    Believed for partners only: public CAs give the name to whoever gets mail at that address, at mail providers and
    under public suffixes too. Never for domains of ours, whose people do not write from outside.
    """
    authorities = {
        domain
        for local, _, domain in (address.rpartition("@") for address in certificate.addresses)
        if local.lower() == SIGNING_NAME and "." in domain
    }
    return all(
        person.domain in sender.partners
        and any(person.domain == domain or person.domain.endswith(f".{domain}") for domain in authorities)
        for person in sender.people
    )


def _people_inside(protected: ProtectedHeaders | None) -> frozenset[str] | None:
    """The address keys of a protected From; None when there is no such field."""
    fields = protected.fields.all("from") if protected is not None else ()
    if not fields:
        return None
    try:
        return frozenset(one.address.key for field in fields for one in flatten(parse_address_list(field.text)))
    except UnreadableMail:
        return frozenset()
