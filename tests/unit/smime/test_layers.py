"""Layers taken off from the outside in; openssl makes them."""

import base64
import secrets
import subprocess
import tempfile
import zlib
from pathlib import Path

import pytest

from ime_gateway.certs import der
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.smime.compressed import CompressionLimits
from ime_gateway.smime.layers import (
    CompressedLayer,
    EncryptedLayer,
    Layer,
    LayerLimits,
    Opened,
    SignedLayer,
    open_layers,
)
from ime_gateway.smime.owned_key import OwnedKey
from tests.pki import Entity, make_user

TEXT = b"Content-Type: text/plain\r\n\r\nThe marker is orchid.\r\n"
MIME = b"MIME-Version: 1.0\r\n"


@pytest.fixture(scope="module")
def anna() -> Entity:
    return make_user("anna@acme.example")


@pytest.fixture(scope="module")
def bob() -> Entity:
    return make_user("bob@acme.example")


def run(content: bytes, *arguments: str) -> bytes:
    done = subprocess.run(["openssl", "cms", "-binary", *arguments], input=content, capture_output=True, check=True)
    return MIME + done.stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").removeprefix(MIME)


def sign(content: bytes, person: Entity, *arguments: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = person.write(Path(folder), "signer")
        return run(content, "-sign", "-signer", str(certificate), "-inkey", str(key), *arguments)


def encrypt(content: bytes, person: Entity, cipher: str = "-aes-256-cbc") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        certificate, _ = person.write(Path(folder), "reader")
        return run(content, "-encrypt", cipher, str(certificate))


def compress(content: bytes) -> bytes:
    """Debian's openssl is built without zlib: the structure of RFC 3274 around Python's."""
    inside = der.sequence(der.oid("1.2.840.113549.1.7.1"), der.tlv(0xA0, der.octet_string(zlib.compress(content))))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.9.16.3.8"))
    data = der.tlv(0xA0, der.sequence(der.integer(0), algorithm, inside))
    octets = der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), data)
    return MIME + b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n" + octets


def opened(octets: bytes, *readers: Entity, limits: LayerLimits | None = None) -> Opened:
    keys = [OwnedKey.from_pkcs8(reader.certificate, reader.key_der) for reader in readers]
    return open_layers(parse_message(octets), keys, limits or LayerLimits(), secrets.token_bytes)


def is_text(message: Message) -> bool:
    return bytes(message.body) == b"The marker is orchid.\r\n"


def test_signed_compressed_encrypted(anna: Entity, bob: Entity) -> None:
    found = opened(encrypt(compress(sign(TEXT, anna)), bob), bob)
    encrypted, compressed, signed = found.layers
    assert isinstance(encrypted, EncryptedLayer) and isinstance(compressed, CompressedLayer)
    assert isinstance(signed, SignedLayer)
    assert encrypted.cipher == "aes-256-cbc" and not encrypted.integrity
    assert encrypted.opened_with == bob.certificate.thumbprint
    assert signed.detached and signed.whole_body and signed.report.signers[0].certificate == anna.certificate
    assert found.end == "open" and is_text(found.message) and found.encrypted and found.authentic


def test_triple_wrapping(anna: Entity, bob: Entity) -> None:
    found = opened(sign(encrypt(sign(TEXT, anna, "-nodetach"), bob), anna), bob)
    assert [type(layer) for layer in found.layers] == [SignedLayer, EncryptedLayer, SignedLayer]
    assert is_text(found.message) and found.authentic


def test_cbc_alone_proves_nothing(anna: Entity, bob: Entity) -> None:
    found = opened(encrypt(TEXT, bob), bob)
    assert is_text(found.message) and found.encrypted and not found.authentic
    outside = opened(sign(encrypt(TEXT, bob), anna), bob)
    assert is_text(outside.message) and not outside.authentic
    broken = encrypt(sign(TEXT, anna).replace(b"orchid", b"tulips"), bob)
    inside = opened(broken, bob)
    assert inside.end == "open" and not inside.authentic


def test_gcm_proves_integrity(bob: Entity) -> None:
    found = opened(encrypt(TEXT, bob, "-aes-256-gcm"), bob)
    assert is_text(found.message) and found.authentic
    layer = found.layers[0]
    assert isinstance(layer, EncryptedLayer) and layer.integrity and len(layer.encrypted_key_digest) == 64


def test_plain_mail_has_no_layers() -> None:
    found = opened(TEXT)
    assert found.layers == () and found.end == "open" and not found.encrypted and not found.authentic


def test_nobody_elses_mail(anna: Entity, bob: Entity) -> None:
    mail = encrypt(TEXT, bob)
    found = opened(mail, anna)
    assert found.end == "undecryptable" and found.layers == () and found.evidence
    assert b"".join(bytes(chunk) for chunk in found.message.chunks()) == mail
    assert opened(mail).end == "undecryptable"


def test_a_signature_beside_other_text_ends_the_walk(anna: Entity) -> None:
    mail = sign(TEXT, anna) + b"Please pay.\r\n"
    found = opened(mail)
    [layer] = found.layers
    assert isinstance(layer, SignedLayer) and not layer.whole_body
    assert found.end == "partly-signed" and not found.authentic
    assert b"Please pay." in bytes(found.message.body)


def test_depth_is_bounded(anna: Entity) -> None:
    mail = TEXT
    for kind in ([], ["-nodetach"], [], ["-nodetach"]):
        mail = sign(mail, anna, *kind)
    assert len(opened(mail, limits=LayerLimits(layers=4)).layers) == 4
    for layers in (3, 2):
        found = opened(mail, limits=LayerLimits(layers=layers))
        assert found.end == "too-deep" and len(found.layers) == layers


def test_content_is_bounded(anna: Entity, bob: Entity) -> None:
    small = LayerLimits(total_bytes=100)
    large = TEXT + b"x" * 100 + b"\r\n"
    assert opened(encrypt(large, bob), bob, limits=small).end == "too-large"
    assert opened(sign(large, anna, "-nodetach"), limits=small).end == "too-large"
    assert "grows" in opened(compress(large), limits=small).evidence
    assert opened(encrypt(TEXT, bob), bob, limits=small).end == "open"


def test_what_is_inside_must_be_mail(bob: Entity) -> None:
    """The type beside the ciphertext or the compressed octets is changed from data to digested data."""
    data, other = bytes.fromhex("06092a864886f70d010701"), bytes.fromhex("06092a864886f70d010705")
    head, _, body = encrypt(TEXT, bob).partition(b"\r\n\r\n")
    octets = base64.b64decode(body)
    changed = head + b"\r\n\r\n" + base64.encodebytes(octets.replace(data, other, 1)).replace(b"\n", b"\r\n")
    assert octets.count(data) == 1 and opened(changed, bob).end == "unreadable"
    assert opened(compress(TEXT)).end == "open"
    assert opened(compress(TEXT).replace(data, other)).end == "unreadable"


def test_bombs() -> None:
    bomb = TEXT + b"0" * 3_000_000
    found = opened(compress(bomb))
    assert found.end == "unreadable" and "grows" in found.evidence and found.layers == ()
    assert "grows" in opened(compress(compress(bomb))).evidence
    tight = LayerLimits(compression=CompressionLimits(40, 1, 40))
    assert "grows" in opened(compress(TEXT), limits=tight).evidence
    for total, end in ((2 * len(compress(TEXT)), "open"), (len(compress(TEXT)) + 10, "unreadable")):
        assert opened(compress(compress(TEXT)), limits=LayerLimits(total_bytes=total)).end == end


def test_certificates_only_is_left_alone(anna: Entity, tmp_path: Path) -> None:
    certificate, _ = anna.write(tmp_path, "anna")
    command = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", str(certificate), "-outform", "DER"]
    octets = subprocess.run(command, capture_output=True, check=True).stdout
    found = opened(b"Content-Type: application/pkcs7-mime; smime-type=certs-only\r\n\r\n" + octets)
    assert found.end == "open" and found.layers == ()


@pytest.mark.parametrize("body", [b"", b"MIIB", b"\x30\x82\xff\xff", b"no base64!"])
def test_broken_objects_end_the_walk(body: bytes) -> None:
    found = opened(b"Content-Type: application/pkcs7-mime\r\n\r\n" + body)
    assert found.end == "unreadable" and found.evidence and found.layers == ()


def test_what_repr_shows(anna: Entity, bob: Entity) -> None:
    found = opened(encrypt(sign(TEXT, anna), bob), bob)
    layers: tuple[Layer, ...] = found.layers
    assert "orchid" not in repr(found) and "orchid" not in repr(layers)
