"""IME 2.0: from the neutral carrier to what its sender really signed (RFC 8551 sections 3.3 to 3.6).

The add-in signs the original, encrypts it to the IME address, and mails that as a neutral carrier, so that the mail
server sees nothing. Shapes are read liberally, meaning strictly: one container, one signature over all of it, intact.
Encryption proves nothing about its sender (anybody may encrypt to the IME address, CBC can be changed unnoticed),
so nothing of the content is believed before the signature inside was found intact. Two steps, `unlock` and
`open_unlocked`, and the ledger between them: of all that CBC lets somebody make of a captured container, one may go on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ime.ciphertext import Ciphertext, encrypted_keys, name_ciphertext, tagged_ciphertext
from ime_gateway.mail.content_type import content_type_of
from ime_gateway.mail.message import Message
from ime_gateway.mail.mime_tree import Part, walk
from ime_gateway.mail.recognise import is_calendar, is_tnef
from ime_gateway.smime.decrypt import Decrypted, decrypt
from ime_gateway.smime.entity import DATA, SignedEntity, cms_object, opaque_entity, read_entity, signed_entity
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import CmsLimits, CmsObject, Enveloped, Signed
from ime_gateway.smime.verify import SignerVerdict, verify

_CLOSED = (
    "it cannot be opened with the key of this address, or was changed on its way; update Outlook's address book and"
    " send it again, or tell your administrator"
)
_NO_CONTAINER = "the message is no container: it is not encrypted to the IME address"
_STRONG_DIGESTS = frozenset(("sha256", "sha384", "sha512"))
"""RFC 8551 section 2.1, with SHA-384 for P-384; a container is new mail, so no older digest is excused."""
_MAX_PARTS = 1_000


@dataclass(frozen=True, slots=True)
class ContainerFault:
    """Why a container is not acted upon."""

    reason: Reason
    detail: str
    """For the sender; tells nothing that the sender of a changed or captured container could learn from."""
    evidence: str = ""
    """For the log."""


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


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A container after the keys of its address were tried, before anybody has looked at what came out."""

    found: Decrypted | SignedEntity | ContainerFault = field(repr=False)
    sealed: Ciphertext | None
    """Not None: no tag vouches for the ciphertext, opened or not; the ledger must have it as the first under its key
    before anything is told of `found`."""
    tagged: Ciphertext | None = None
    """It opened under a tag. The ledger notes it, so that nobody asks about CBC under its key afterwards; what the
    ledger answers does not matter."""


def unlock(
    carrier: Message, keys: Sequence[OwnedKey], limits: CmsLimits, randomness: Callable[[int], bytes]
) -> Unlocked:
    """Find the container and decrypt it with one of `keys`. Time is linear in the carrier; never raises for any bytes.

    What does not open is named for the ledger too: even "its padding is wrong" is an answer about the content.
    """
    try:
        found = _find(carrier, limits)
    except (UnreadableMail, UnreadableCms) as error:
        return Unlocked(closed(f"carrier: {error} {error.evidence}"), None)
    if not isinstance(found, Enveloped):
        return Unlocked(found, None)
    sealed = None
    if not found.authenticated:
        addressed_to_us = encrypted_keys(found, keys)
        if len(addressed_to_us) > 1:
            # Which of several keys fits would depend on the padding, and the ledger would know but one of them.
            return Unlocked(closed(f"{len(addressed_to_us)} content keys for one ciphertext under CBC"), None)
        sealed = next((name_ciphertext(found, key) for key in addressed_to_us), None)
    opened = decrypt(found, keys, randomness=randomness)
    # `found` ends here: its ciphertext is as large as the content, and nobody needs both
    if not isinstance(opened, Decrypted):
        return Unlocked(closed(f"{opened.cause}: {opened.evidence}"), sealed)
    return Unlocked(opened, sealed, tagged_ciphertext(opened.encrypted_key_digest) if opened.integrity else None)


def open_unlocked(
    unlocked: Unlocked, known: Sequence[Certificate], limits: CmsLimits
) -> OpenedContainer | ContainerFault:
    """Verify the signature over the content of a container, once the ledger has agreed.

    Once only: what was decrypted is given back on the way. known: certificates of the presumed signer that the
    container may leave out. Time is linear in the content; never raises for any bytes.
    """
    match unlocked.found:
        case ContainerFault() as fault:
            return fault
        case SignedEntity() as signed:
            return _verified(signed, known, encrypted=False)
        case Decrypted() as opened:
            return _signed_inside(opened, known, limits)
        case other:
            assert_never(other)


def _signed_inside(
    opened: Decrypted, known: Sequence[Certificate], limits: CmsLimits
) -> OpenedContainer | ContainerFault:
    """The signed layer, which must be the whole of what was encrypted."""
    if opened.content_type != DATA:
        return closed(f"the encrypted content is of type {opened.content_type}")
    message = _read_content(opened)
    if isinstance(message, ContainerFault):
        return message
    found: SignedEntity | CmsObject | None
    try:
        if content_type_of(message.headers).media_type == "multipart/signed":
            found = signed_entity(message, limits)
        else:
            octets = cms_object(message)
            # The text around the octets is as large as they are; it goes before segments are joined.
            del message
            opened.content.release()
            found = None if octets is None else read_cms(octets, limits)
            found = opaque_entity(found) if isinstance(found, Signed) and found.signers else found
    except (UnreadableMail, UnreadableCms) as error:
        return _unreadable(error)
    if isinstance(found, SignedEntity):
        return _verified(found, known, encrypted=True)
    if isinstance(found, Enveloped):
        return ContainerFault(Reason.IME_NESTED, "what is inside is encrypted again")
    return ContainerFault(Reason.IME_UNSIGNED, "nothing is signed inside; the add-in signs what it encrypts")


def _read_content(opened: Decrypted) -> Message | ContainerFault:
    """What was encrypted, as a MIME entity.

    A wrong key and CBC give noise with luck, and an RSA v1.5 key is tried with a random one in place of a bad one (RFC
    3218): so noise must sound like a container that did not open. It is known by having no Content-Type.
    """
    try:
        message = read_entity(opened.content)
    except UnreadableMail as error:
        return _unreadable(error) if opened.integrity else closed(f"unreadable content: {error}")
    if not opened.integrity and message.headers.first("content-type") is None:
        return closed("what came out has no Content-Type: noise, or no MIME entity")
    return message


def _unreadable(error: UnreadableMail | UnreadableCms) -> ContainerFault:
    # Evidence about mail may quote it; this was encrypted, and logs are not.
    evidence = f"{error} {error.evidence}" if isinstance(error, UnreadableCms) else str(error)
    return ContainerFault(Reason.IME_BAD_SIGNATURE, "the signed content cannot be read", evidence)


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
    return OpenedContainer(found.entity, signature, encrypted)


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
