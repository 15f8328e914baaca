"""What of a message is signed, and how: safe for the way, readable by everybody, before anything is encrypted.

RFC 8551 section 3.5: multipart/signed wherever the content can be made stable, because every mail program shows its
text; else the content goes inside the signature, as one block of base64. A signature around a message for a partner's
gateway that binds recipients covers the header, too (RFC 9788), and a blind recipient stands in it as Bcc: what is
opened there can be passed to nobody else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.mail.address import Address, Mailbox
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.header_protection import hide_subject, protect_header, without_protection
from ime_gateway.mail.headers import Field, HeaderBlock, make_address_field
from ime_gateway.mail.message import Message
from ime_gateway.mail.pgp_mime import is_pgp_mime
from ime_gateway.mail.recognise import Protection, protection_of
from ime_gateway.mail.secure_parts import SecuredEntity, secured_entity
from ime_gateway.mail.stable import stable_entity
from ime_gateway.smime.entity import cms_object
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.sign import SigningKey, multipart_signed, sign_opaque
from ime_gateway.smime.structures import Enveloped


@dataclass(frozen=True, slots=True)
class Signer:
    """A key with what is said about it in signatures."""

    key: SigningKey
    capabilities: bytes | None = None
    """SMIMECapabilities in DER: what its owner opens, as far as we know."""


def payload(
    message: Message, *, hide: bool, listed_only: bool, bound: bool, blind: Address | None = None
) -> SecuredEntity:
    """The entity that is signed and encrypted, and the header outside.

    hide: the subject stands inside only; listed_only as in `hidden_outer`. bound: the whole header stands inside, too,
    with `blind` as Bcc when that one recipient is in neither To nor Cc.
    Raises UnreadableMail when the message says in two ways what it is.
    """
    also = (make_address_field("Bcc", [Mailbox("", blind)]),) if bound and blind is not None else ()
    if hide:
        return hide_subject(message, listed_only=listed_only, also=also)
    if bound:
        return protect_header(message, also)
    return secured_entity(message.with_headers(without_protection(message.headers)))


def signed(secured: SecuredEntity, signer: Signer, moment: float, randomness: Callable[[int], bytes]) -> SecuredEntity:
    """The entity inside a signature, under the same header outside.

    moment: the signing time, seconds since 1970 UTC.
    """
    body = secured.body[0] if len(secured.body) == 1 else memoryview(b"".join(secured.body))
    entity = stable_entity(secured.inner, body)
    head = entity.headers.to_bytes() + b"\r\n"
    if not entity.stable:
        return _opaque(secured.outer, b"".join((head, *entity.body)), signer, moment)
    made = multipart_signed(
        (head, *entity.body), signer.key, moment=moment, randomness=randomness, capabilities=signer.capabilities
    )
    return SecuredEntity(secured.outer, HeaderBlock(made.fields), tuple(map(memoryview, made.body)))


def _opaque(outer: HeaderBlock, entity: bytes, signer: Signer, moment: float) -> SecuredEntity:
    """RFC 8551 section 3.5.2."""
    made = sign_opaque(entity, signer.key, moment=moment, capabilities=signer.capabilities)
    fields = (
        Field("Content-Type", b"Content-Type: application/pkcs7-mime; smime-type=signed-data;\r\n name=smime.p7m\r\n"),
        Field("Content-Transfer-Encoding", b"Content-Transfer-Encoding: base64\r\n"),
        Field("Content-Disposition", b"Content-Disposition: attachment; filename=smime.p7m\r\n"),
    )
    return SecuredEntity(outer, HeaderBlock(fields), tuple(map(memoryview, encode_lines([made]))))


def as_message(secured: SecuredEntity) -> tuple[HeaderBlock, tuple[memoryview, ...]]:
    """A signed entity as a message of its own, for recipients to whom it goes unencrypted."""
    version = Field("MIME-Version", b"MIME-Version: 1.0\r\n")
    return HeaderBlock((*secured.outer.fields, version, *secured.inner.fields)), secured.body


def desktop_protection(message: Message) -> Protection:
    """How the sender's own program protected the whole message. Encrypted is only what really is, by its structure
    and not by its labels: a clear text that calls itself encrypted is `none`. Raises UnreadableMail."""
    claimed = protection_of(message)
    match claimed:
        case "smime-encrypted":
            return claimed if _is_enveloped(message) else "none"
        case "pgp-encrypted":
            return claimed if is_pgp_mime(message) else "none"
        case _:
            return claimed


def _is_enveloped(message: Message) -> bool:
    try:
        octets = cms_object(message)
        return octets is not None and isinstance(read_cms(octets), Enveloped)
    except (UnreadableMail, UnreadableCms):
        return False
