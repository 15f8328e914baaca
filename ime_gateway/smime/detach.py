"""An opaque signature becomes a detached one beside its text, and stays the same signature (RFC 8551 section 3.5).

SignedData signs the content's octets, wherever they stand (RFC 5652 section 5.4). So once the gateway has taken off an
encryption, the signed text behind it can be shown to programs without S/MIME, and still be checked by those with it.
"""

import hashlib
import re
from typing import Final

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.certs import der
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.message import Message
from ime_gateway.smime.asn1_values import SEQUENCE, read_as_it_stands, read_oid
from ime_gateway.smime.ber import END, Walker
from ime_gateway.smime.entity import DATA, cms_object, joined
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.signature_algorithms import digest_name
from ime_gateway.smime.signature_report import SignatureFault
from ime_gateway.smime.structures import CmsLimits, Signed

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_CONTENT: Final = 0xA0
_LONGEST_LINE: Final = re.compile(rb"[^\n]{1000}")
_MICALG: Final = {"sha1": "sha-1", "sha224": "sha-224", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}


def detached(message: Message, limits: CmsLimits) -> Message | None:
    """The multipart/signed entity that says what this opaquely signed one says; None when it is none, or when its
    content would not survive the way as a part: lines that do not end in CR LF or are too long, or NUL.

    The entity keeps the fields of `message` that do not describe its content. Never raises.
    """
    try:
        octets = cms_object(message)
        signed = read_cms(octets, limits) if octets is not None else None
        if octets is None or not isinstance(signed, Signed) or not signed.content or signed.content_type != DATA:
            return None
        content = bytes(joined(signed.content))
        if not _survives(content):
            return None
        return _multipart(message, content, _without_content(octets, limits), _micalg(signed))
    except (UnreadableCms, UnreadableMail):
        return None


def _survives(content: bytes) -> bool:
    ends = content.count(b"\r\n")
    return (
        content.count(b"\n") == content.count(b"\r") == ends
        and b"\0" not in content
        and not _LONGEST_LINE.search(content)
    )


def _without_content(octets: memoryview, limits: CmsLimits) -> bytes:
    """The object without what it signs; all other elements octet for octet."""
    walker = Walker(octets, limits)
    walker.enter(SEQUENCE)
    read_oid(walker)
    walker.enter(_CONTENT)
    walker.enter(SEQUENCE)
    parts = [read_as_it_stands(walker), read_as_it_stands(walker)]  # version, digest algorithms
    walker.enter(SEQUENCE)
    parts.append(der.sequence(der.oid(read_oid(walker))))
    walker.skip()
    walker.leave()
    while walker.peek() != END:
        parts.append(read_as_it_stands(walker))
    return der.sequence(der.oid(_SIGNED_DATA), der.tlv(_CONTENT, der.sequence(*parts)))


def _micalg(signed: Signed) -> str:
    """RFC 8551 section 3.5.3.2: a hint for readers who check while they read."""
    names = [digest_name(signer.digest_algorithm) for signer in signed.signers]
    known = [_MICALG[name] for name in names if not isinstance(name, SignatureFault) and name in _MICALG]
    return ",".join(dict.fromkeys(known)) or "unknown"


def _multipart(message: Message, content: bytes, signature: bytes, micalg: str) -> Message | None:
    # Made from the content, so that the content cannot have been made to hold it.
    boundary = f"----=_{hashlib.sha256(content).hexdigest()[:40]}"
    content_type = (
        'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
        f' micalg="{micalg}"; boundary="{boundary}"\r\n'
    )
    between = (
        f"\r\n--{boundary}\r\n"
        "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        "Content-Disposition: attachment; filename=smime.p7s\r\n\r\n"
    )
    body = (
        f"--{boundary}\r\n".encode("ascii"),
        content,
        between.encode("ascii"),
        *encode_lines([memoryview(signature)]),
        f"--{boundary}--\r\n".encode("ascii"),
    )
    kept = [field for field in message.headers.fields if not field.key.startswith("content-")]
    headers = HeaderBlock((*kept, Field("Content-Type", content_type.encode("ascii"))))
    return None if boundary.encode("ascii") in content else Message(headers, memoryview(b"".join(body)))
