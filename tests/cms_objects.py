"""CMS objects for tests of the reader: those in the conformance data, and small ones built by hand.

The builders write what the standards say, octet by octet, with nothing of the gateway's own writer.
"""

import base64
import email
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.ber_forms import integer, oid, tlv

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
ENCRYPTED_DATA = "1.2.840.113549.1.7.6"
COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"
AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"
AES_256_CBC = "2.16.840.1.101.3.4.1.42"
RSA = "1.2.840.113549.1.1.1"
SHA_256 = "2.16.840.1.101.3.4.2.1"
P_256 = "1.2.840.10045.3.1.7"
EC = "1.2.840.10045.2.1"
ECDH_SHA256 = "1.3.132.1.11.1"
AES_256_WRAP = "2.16.840.1.101.3.4.1.45"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"

NULL = b"\x05\x00"
NAME = tlv(0x30, tlv(0x31, tlv(0x30, oid("2.5.4.3"), tlv(0x0C, b"Acme"))))
ISSUER_AND_SERIAL = tlv(0x30, NAME, integer(77))
KEY_IDENTIFIER = bytes(range(20))


def algorithm(dotted: str, parameters: bytes = b"") -> bytes:
    return tlv(0x30, oid(dotted), parameters)


def content_info(content_type: str, content: bytes) -> bytes:
    return tlv(0x30, oid(content_type), tlv(0xA0, content))


def key_transport(who: bytes = ISSUER_AND_SERIAL, key: bytes = bytes(256)) -> bytes:
    return tlv(0x30, integer(0), who, algorithm(RSA, NULL), tlv(0x04, key))


def key_agreement(originator: bytes, *keys: bytes, ukm: bytes = b"") -> bytes:
    wrap = algorithm(ECDH_SHA256, algorithm(AES_256_WRAP))
    return tlv(0xA1, integer(3), tlv(0xA0, originator), ukm, wrap, tlv(0x30, *keys))


def encrypted_content(ciphertext: bytes = tlv(0x80, bytes(32))) -> bytes:
    return tlv(0x30, oid(DATA), algorithm(AES_256_CBC, tlv(0x04, bytes(16))), ciphertext)


def enveloped(
    *recipients: bytes, before: bytes = b"", content: bytes = encrypted_content(), after: bytes = b""
) -> bytes:
    body = tlv(0x30, integer(2), before, tlv(0x31, *recipients), content, after)
    return content_info(ENVELOPED_DATA, body)


def auth_enveloped(*recipients: bytes, behind: bytes = tlv(0x04, bytes(16))) -> bytes:
    body = tlv(0x30, integer(0), tlv(0x31, *recipients), encrypted_content(), behind)
    return content_info(AUTH_ENVELOPED_DATA, body)


def attribute(dotted: str, *values: bytes) -> bytes:
    return tlv(0x30, oid(dotted), tlv(0x31, *values))


def signer_info(attributes: bytes = b"", *, who: bytes = ISSUER_AND_SERIAL, behind: bytes = b"") -> bytes:
    digest, signature = algorithm(SHA_256), algorithm(RSA, NULL)
    return tlv(0x30, integer(1), who, digest, attributes, signature, tlv(0x04, bytes(256)), behind)


def signed(
    *signers: bytes,
    version: int = 1,
    content: bytes = tlv(0xA0, tlv(0x04, b"Hello")),
    content_type: str = DATA,
    certificates: bytes = b"",
) -> bytes:
    body = tlv(0x30, oid(content_type), content)
    return content_info(
        SIGNED_DATA,
        tlv(0x30, integer(version), tlv(0x31, algorithm(SHA_256)), body, certificates, tlv(0x31, *signers)),
    )


def compressed(content: bytes = tlv(0xA0, tlv(0x04, b"x\x9c"))) -> bytes:
    zlib = algorithm("1.2.840.113549.1.9.16.3.8")
    return content_info(COMPRESSED_DATA, tlv(0x30, integer(0), zlib, tlv(0x30, oid(DATA), content)))


def built_by_hand() -> dict[str, bytes]:
    """One of each shape that the reader knows."""
    point = tlv(0x03, b"\0\4" + bytes(64))
    ephemeral = tlv(0xA1, algorithm(EC, oid(P_256)), point)
    agreed = tlv(0x30, tlv(0xA0, tlv(0x04, KEY_IDENTIFIER)), tlv(0x04, bytes(40)))
    attributes = tlv(0xA0, attribute(CONTENT_TYPE, oid(DATA)), attribute(MESSAGE_DIGEST, tlv(0x04, bytes(32))))
    return {
        "enveloped": enveloped(
            key_transport(), key_transport(tlv(0x80, KEY_IDENTIFIER)), key_agreement(ephemeral, agreed)
        ),
        "auth": auth_enveloped(key_transport(), behind=b"\xa1" + attributes[1:] + tlv(0x04, bytes(16))),
        "signed": signed(signer_info(attributes), signer_info(who=tlv(0x80, KEY_IDENTIFIER))),
        "detached": signed(signer_info(attributes), content=b""),
        "compressed": compressed(),
        "data": content_info(DATA, tlv(0x04, b"Hello")),
    }


def in_vectors(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every CMS object of the conformance data: name, octets."""
    for file in sorted((folder / "rfc4134").glob("[3-7].*.bin")):
        yield f"rfc4134/{file.name}", file.read_bytes()
    for file in sorted((folder / "asn1crypto-cms").glob("*.der")):
        yield f"asn1crypto-cms/{file.name}", file.read_bytes()
    for file in sorted((folder / "gnupg-cms").glob("*-[0-9].*sig*.pem")) + sorted(
        (folder / "gnupg-cms").glob("*.cms.asc")
    ):
        yield f"gnupg-cms/{file.name}", _armoured(file.read_text("latin-1"))
    for name in ("thunderbird-smime", "rfc9788-rebuilt", "rfc4134"):
        for file in sorted((folder / name).glob("*.eml")):
            for number, part in enumerate(email.message_from_bytes(file.read_bytes()).walk()):
                if "pkcs7" in part.get_content_type():
                    yield f"{name}/{file.name}/{number}", part.get_payload(decode=True)
    for file in sorted((folder / "pqc-cms").glob("*.zip")):
        with zipfile.ZipFile(file) as archive:
            for name in sorted(archive.namelist()):
                if "kemri" in name or name.endswith("attrs.der"):
                    yield f"pqc-cms/{name}", archive.read(name)


def _armoured(text: str) -> bytes:
    body = text.split("-----BEGIN", 1)[1].split("-----\n", 1)[1].split("-----END", 1)[0]
    return base64.b64decode(body.rpartition("\n\n")[2])
