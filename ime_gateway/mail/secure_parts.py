"""Divides a header between the envelope that everyone reads and the entity that is encrypted.

RFC 8551 section 3.1: the fields that describe the content (Content-*) go inside with it, those
that carry the mail stay outside, and the outside gets the fields of the S/MIME object.
"""

from dataclasses import dataclass, field
from typing import Literal

from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.message import Message

Cipher = Literal["aes-256-cbc", "aes-256-gcm"]

_SMIME_TYPE: dict[Cipher, str] = {"aes-256-cbc": "enveloped-data", "aes-256-gcm": "authEnveloped-data"}


@dataclass(frozen=True, slots=True)
class SecuredEntity:
    """What is encrypted, and the header of the envelope that carries it."""

    outer: HeaderBlock
    """Without the fields of the S/MIME object itself, which `outer_smime_fields` makes."""
    inner: HeaderBlock
    """Header of the entity that is encrypted."""
    body: tuple[memoryview, ...] = field(repr=False)
    """Its body in pieces."""


def secured_entity(message: Message) -> SecuredEntity:
    """The message with its header divided and its body as it is."""
    outer, inner = split_for_encryption(message.headers)
    return SecuredEntity(outer, inner, (message.body,))


def split_for_encryption(headers: HeaderBlock) -> tuple[HeaderBlock, HeaderBlock]:
    """The fields that stay outside and those that move inside, each in their order and bytes.

    MIME-Version goes from both: the outside gets its one from `outer_smime_fields`, the entity
    inside needs none (RFC 2045 section 4 asks it of messages, not of parts).
    """
    outer: list[Field] = []
    inner: list[Field] = []
    for one in headers.fields:
        key = one.key
        if key.startswith("content-"):
            inner.append(one)
        elif key != "mime-version":
            outer.append(one)
    return HeaderBlock(outer), HeaderBlock(inner)


def outer_smime_fields(cipher: Cipher) -> tuple[Field, ...]:
    """The fields of an encrypted S/MIME message (RFC 8551 sections 3.2.1, 3.2.2 and 3.3)."""
    content_type = f"Content-Type: application/pkcs7-mime; smime-type={_SMIME_TYPE[cipher]};\r\n name=smime.p7m\r\n"
    return (
        Field("MIME-Version", b"MIME-Version: 1.0\r\n"),
        Field("Content-Type", content_type.encode("ascii")),
        Field("Content-Transfer-Encoding", b"Content-Transfer-Encoding: base64\r\n"),
        Field("Content-Disposition", b"Content-Disposition: attachment; filename=smime.p7m\r\n"),
    )
