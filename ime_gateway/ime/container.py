"""IME 2.0: from the neutral carrier to what its sender really signed (RFC 8551 sections 3.3 to 3.6).

The add-in signs the original, encrypts it to the IME address, and mails that as a neutral carrier, so that the mail
server sees nothing. Shapes are read liberally, meaning strictly: one container, one signature over all of it, intact.
Encryption proves nothing about its sender (anybody may encrypt to the IME address, CBC can be changed unnoticed),
so nothing of the content is believed, told or looked into before the signature inside was found intact.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk
from ime_gateway.mail.recognise import is_calendar, is_tnef, protection_of
from ime_gateway.smime.decrypt import Decrypted, decrypt
from ime_gateway.smime.entity import DATA, SignedEntity, cms_object, opaque_entity, read_entity, signed_entity
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import CmsLimits, Enveloped, Pieces, Signed
from ime_gateway.smime.verify import SignerVerdict, verify

_CLOSED = "it cannot be opened with the key of this address, or was changed on its way"
_NO_CONTAINER = "the message is no container: it is not encrypted to the IME address"
_STRONG_DIGESTS = frozenset(("sha256", "sha384", "sha512"))
"""RFC 8551 section 2.1, with SHA-384 for P-384; a container is new mail, so no older digest is excused."""
_MAX_PARTS = 1_000
_BLOCK_BYTES = 65_536
_TEXT = bytes(sorted({9, 10, 13, *range(32, 127)}))


@dataclass(frozen=True, slots=True)
class ToldOnce:
    """What a refusal was about whose reason only a reader of the ciphertext could know.

    Whoever may ask about changed ciphertexts under one content key can read what it encrypts (Vaudenay, EFAIL).
    The sender of a real container knows it anyway and never seals two contents with one key: so the reason is told
    about the first ciphertext under a key, and `closed` about every other.
    """

    key: str
    """Hexadecimal SHA-256 of the encrypted content key."""
    ciphertext: str
    """Hexadecimal SHA-256 of the ciphertext with its algorithm and initialisation vector."""


@dataclass(frozen=True, slots=True)
class ContainerFault:
    """Why a container is not acted upon."""

    reason: Reason
    detail: str
    """For the sender; tells nothing that the sender of a changed or captured container could learn from."""
    evidence: str = ""
    """For the log."""
    told_once: ToldOnce | None = None
    """Not None: `reason` depends on what decryption gave, without proof that the sender knew it."""


def closed(evidence: str) -> ContainerFault:
    """The one answer for everything that fails in opening, whatever it was (no oracle)."""
    return ContainerFault(Reason.IME_MALFORMED, _CLOSED, evidence)


@dataclass(frozen=True, slots=True)
class Signature:
    """The one intact signature over the whole content."""

    certificate: Certificate
    signing_time: float
    """Seconds since 1970 UTC, as signed."""
    message_digest: bytes
    key_digest: str
    """Hexadecimal SHA-256 of the signer's SubjectPublicKeyInfo."""
    capabilities: bytes | None = None
    """SMIMECapabilities in DER as signed (RFC 8551 section 2.5.2)."""
    preferred: Certificate | None = None
    """What the signer prefers to be encrypted to (section 2.5.3)."""
    carried: tuple[Certificate, ...] = ()
    """Certificates that came along: links for a path, never trusted for being there."""


@dataclass(frozen=True, slots=True)
class OpenedContainer:
    """What was signed, by whose key; whether that key may speak for anybody is `ime/signers`' question."""

    entity: Message = field(repr=False)
    """The MIME entity that the signature covers, all of it."""
    signature: Signature
    encrypted: bool
    """It came encrypted to the IME address. What did not can only be the answer to a challenge."""
    covered: Pieces = field(repr=False, default=())
    """The octets under the signature, where they stand as they are beside it (multipart/signed); opaque: none."""


def open_container(
    carrier: Message,
    keys: Sequence[OwnedKey],
    known: Sequence[Certificate],
    limits: CmsLimits,
    randomness: Callable[[int], bytes],
) -> OpenedContainer | ContainerFault:
    """Find the container, open it with one of `keys`, and verify the signature over its content.

    known: certificates of the presumed signer that the container may leave out. Time is linear in the
    carrier; never raises for any bytes.
    """
    try:
        found = _find(carrier, limits)
    except (UnreadableMail, UnreadableCms) as error:
        return closed(f"carrier: {error} {error.evidence}")
    if isinstance(found, ContainerFault):
        return found
    if isinstance(found, SignedEntity):
        return _verified(found, known, encrypted=False)
    opened = decrypt(found, keys, randomness=randomness)
    if not isinstance(opened, Decrypted):
        return closed(f"{opened.cause}: {opened.evidence}")
    del found  # its ciphertext is as large as the content; in the one case that asks for it, it is read again
    inside = _signed_inside(opened, known, limits)
    return inside if opened.integrity else _without_integrity(inside, opened, carrier, limits)


def _without_integrity(
    inside: OpenedContainer | ContainerFault, opened: Decrypted, carrier: Message, limits: CmsLimits
) -> OpenedContainer | ContainerFault:
    """What may be said about content that only CBC protected.

    Somebody who changes such a ciphertext makes at least one block of noise. Noise is looked for in all that no
    intact signature covers, first, so that neither a refusal nor an acceptance tells what else has changed with it.
    """
    covered = () if isinstance(inside, ContainerFault) else inside.covered
    if _odd_octets((opened.content,)) != _odd_octets(covered):
        said = inside.evidence or inside.detail if isinstance(inside, ContainerFault) else "signed"
        return closed(f"unauthenticated content is no clean text: {said}")
    if isinstance(inside, OpenedContainer) or inside.reason is Reason.IME_MALFORMED:
        return inside
    envelope = _find(carrier, limits)
    assert isinstance(envelope, Enveloped), "it was one a moment ago"
    return replace(inside, told_once=ToldOnce(opened.encrypted_key_digest, _ciphertext_digest(envelope)))


def _ciphertext_digest(envelope: Enveloped) -> str:
    digest = hashlib.sha256(envelope.algorithm.oid.encode("ascii") + b"\0" + (envelope.algorithm.parameters or b""))
    for piece in envelope.ciphertext:
        digest.update(piece)
    return digest.hexdigest()


def _odd_octets(pieces: Pieces) -> int:
    """How many octets are not printable ASCII, blank or line end; counted in blocks, without a copy of it all."""
    return sum(
        len(bytes(piece[start : start + _BLOCK_BYTES]).translate(None, _TEXT))
        for piece in pieces
        for start in range(0, len(piece), _BLOCK_BYTES)
    )


def _signed_inside(
    opened: Decrypted, known: Sequence[Certificate], limits: CmsLimits
) -> OpenedContainer | ContainerFault:
    """The signed layer, which must be the whole of what was encrypted."""
    if opened.content_type != DATA:
        return closed(f"the encrypted content is of type {opened.content_type}")
    try:
        message = read_entity(opened.content)
        if not opened.integrity and not _is_detached(message) and _odd_octets((opened.content,)):
            return closed("unauthenticated content is no clean text")  # before any work that would take its time
        found = signed_entity(message, limits)
    except (UnreadableMail, UnreadableCms) as error:
        return ContainerFault(
            Reason.IME_BAD_SIGNATURE, "the signed content cannot be read", f"{error} {error.evidence}"
        )
    if found is not None:
        return _verified(found, known, encrypted=True)
    if protection_of(message) == "smime-encrypted":
        return ContainerFault(Reason.IME_NESTED, "what is inside is encrypted again")
    return ContainerFault(Reason.IME_UNSIGNED, "nothing is signed inside; the add-in signs what it encrypts")


def _is_detached(message: Message) -> bool:
    return content_type_of(message.headers).media_type == "multipart/signed"


def _find(carrier: Message, limits: CmsLimits) -> Enveloped | SignedEntity | ContainerFault:
    """The CMS object of the carrier: the carrier itself, or the only one among its attachments."""
    parts = walk(carrier, max_parts=_MAX_PARTS)
    if is_tnef(carrier, parts):
        return ContainerFault(Reason.IME_TNEF, "the message contains winmail.dat")
    signed = signed_entity(carrier, limits) if parts[0].media_type == "multipart/signed" else None
    if signed is not None:
        return signed
    octets = cms_object(carrier)
    for part in parts[1:] if octets is None else ():
        attached = cms_object(_as_message(carrier, part)) if _is_attachment(part) else None
        if attached is not None and octets is not None:
            return ContainerFault(Reason.IME_MALFORMED, "the message has several encrypted or signed attachments")
        octets = octets if attached is None else attached
    if octets is None:
        if is_calendar(carrier, parts):
            return ContainerFault(Reason.IME_CALENDAR, "the message is an invitation or an answer to one")
        return ContainerFault(Reason.IME_MALFORMED, _NO_CONTAINER)
    match read_cms(octets, limits):
        case Enveloped() as enveloped:
            return enveloped
        case Signed() as opaque if opaque.signers:
            return opaque_entity(opaque)
        case other:
            return closed(f"the container is {type(other).__name__}")


def _is_attachment(part: Part) -> bool:
    """It hangs on the carrier itself, not on a message that is attached to it."""
    above = part.parent
    while above is not None:
        if not above.media_type.startswith("multipart/"):
            return False
        above = above.parent
    return not part.media_type.startswith("multipart/")


def _as_message(carrier: Message, part: Part) -> Message:
    return Message(part.headers, carrier.body[part.start : part.end])


def _verified(
    found: SignedEntity, known: Sequence[Certificate], *, encrypted: bool
) -> OpenedContainer | ContainerFault:
    """The entity under its one intact signature. Several signers are refused: whoever removes one of them would
    make a container that nobody has seen before, and they may contradict each other."""
    if not found.whole_body:
        return ContainerFault(Reason.IME_BAD_SIGNATURE, "the signature does not cover the whole message")
    report = verify(found.signed, found.content, known)
    if len(report.signers) != 1:
        return ContainerFault(Reason.IME_BAD_SIGNATURE, f"it has {len(report.signers)} signatures instead of one")
    signature = _signature(report.signers[0], report.certificates)
    if isinstance(signature, ContainerFault):
        return signature
    return OpenedContainer(found.entity, signature, encrypted, found.content if found.detached else ())


def _signature(verdict: SignerVerdict, carried: tuple[Certificate, ...]) -> Signature | ContainerFault:
    if not verdict.intact or verdict.certificate is None:
        return ContainerFault(Reason.IME_BAD_SIGNATURE, verdict.fault.value)
    if verdict.digest_algorithm not in _STRONG_DIGESTS:
        return ContainerFault(Reason.IME_BAD_SIGNATURE, "the signature uses a digest that is too weak")
    if not verdict.attributes_signed or verdict.signing_time is None:
        return ContainerFault(Reason.IME_BAD_SIGNATURE, "the signature does not say when it was made")
    return Signature(
        certificate=verdict.certificate,
        signing_time=verdict.signing_time,
        message_digest=verdict.message_digest,
        key_digest=verdict.key_digest,
        capabilities=verdict.capabilities,
        preferred=verdict.preferred,
        carried=carried,
    )
