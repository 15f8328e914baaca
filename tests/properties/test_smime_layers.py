"""S/MIME entities out of random pieces: reading them ends, in an answer or in the one error that says so."""

import base64
import secrets
import zlib
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.certs import der
from ime_gateway.mail.base64_body import decode_base64_body
from ime_gateway.mail.header_protection import hide_subject, read_protected
from ime_gateway.mail.message import parse_message
from ime_gateway.mail.signed_multipart import split_signed
from ime_gateway.smime.compressed import CompressionLimits, decompress
from ime_gateway.smime.encrypt import encrypt_entity
from ime_gateway.smime.entity import cms_object, read_entity, signed_entity
from ime_gateway.smime.layers import LayerLimits, open_layers
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.sign import SigningKey, sign_detached, sign_opaque
from ime_gateway.smime.structures import AlgorithmIdentifier, Compressed
from tests.pki import Entity, make_user

TEXT = b"Content-Type: text/plain\r\n\r\nHello.\r\n"


@cache
def person() -> Entity:
    return make_user("anna@acme.example")


@cache
def objects() -> tuple[bytes, ...]:
    """One true object of each kind, so that changes hit the inside of real ones."""
    key = SigningKey(person().certificate, person().key)  # type: ignore[arg-type]
    body = b"".join(encrypt_entity([TEXT], len(TEXT), [person().certificate], "aes-256-cbc", lambda size: bytes(size)))
    inside = der.sequence(der.oid("1.2.840.113549.1.7.1"), der.tlv(0xA0, der.octet_string(zlib.compress(TEXT))))
    algorithm = der.sequence(der.oid("1.2.840.113549.1.9.16.3.8"))
    data = der.tlv(0xA0, der.sequence(der.integer(0), algorithm, inside))
    return (
        sign_opaque(TEXT, key, moment=1.8e9),
        sign_detached([TEXT], key, moment=1.8e9),
        base64.b64decode(body),
        der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), data),
    )


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A CMS object with a few octets changed, cut or added."""
    octets = bytearray(draw(st.sampled_from(objects())))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(octets) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                octets[place] = draw(st.integers(0, 255))
            case 1:
                del octets[place : place + draw(st.integers(1, 40))]
            case _:
                octets[place:place] = draw(st.binary(max_size=20))
        octets = octets or bytearray(b"0")
    return bytes(octets)


def coded(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


FIELDS = st.sampled_from(
    [
        b"Content-Type: application/pkcs7-mime\r\n",
        b"Content-Type: application/octet-stream; name=x.p7m\r\n",
        b"Content-Type: application/pkcs7-signature\r\n",
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n',
        b"Content-Type: multipart/signed; boundary=b\r\n",
        b'Content-Type: text/plain; hp="cipher"\r\n',
        b"Content-Type: multipart/alternative; boundary=b\r\n",
        b"Content-Type: text/html; charset=iso-8859-1\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Transfer-Encoding: binary\r\n",
        b"Subject: Merger with Tulip\r\n",
        b"HP-Outer: Subject: [...]\r\n",
        b"HP-Outer\r\n",
        b"no field\r\n",
    ]
)
PIECES = st.one_of(
    damaged(),
    damaged().map(coded),
    st.sampled_from(
        [b"--b\r\n", b"\r\n--b\r\n", b"\r\n--b--\r\n", b"--bb\r\n", b"\r\n", b"\n", b"\r", b"=3D", TEXT, b"<body>"]
    ),
    FIELDS,
    st.binary(max_size=30),
)
MAILS = st.builds(
    lambda fields, pieces: b"".join(fields) + b"\r\n" + b"".join(pieces),
    st.lists(FIELDS, max_size=3),
    st.lists(PIECES, max_size=5),
)


@given(MAILS)
@settings(max_examples=400, deadline=None)
def test_entities_answer_or_say_that_they_are_unreadable(octets: bytes) -> None:
    try:
        message = parse_message(octets)
    except UnreadableMail:
        return
    for read in (cms_object, signed_entity, split_signed, read_protected):
        try:
            read(message)
        except (UnreadableMail, UnreadableCms):
            continue


@given(MAILS)
@settings(max_examples=300, deadline=None)
def test_opening_layers_never_raises(octets: bytes) -> None:
    try:
        message = parse_message(octets)
    except UnreadableMail:
        return
    keys = [OwnedKey.from_pkcs8(person().certificate, person().key_der)]
    opened = open_layers(message, keys, LayerLimits(), secrets.token_bytes)
    assert len(opened.layers) <= 10
    assert opened.layers or opened.message is message


@given(MAILS)
@settings(max_examples=300, deadline=None)
def test_a_hidden_subject_is_never_outside(octets: bytes) -> None:
    try:
        message = parse_message(octets)
        secured = hide_subject(message)
    except UnreadableMail:
        return
    assert b"tulip" not in secured.outer.to_bytes().lower()
    inside = parse_message(secured.inner.to_bytes() + b"\r\n" + b"".join(secured.body))
    assert len(inside.headers.all("subject")) == len(message.headers.all("subject"))


@given(st.binary(max_size=400) | damaged())
@settings(max_examples=300, deadline=None)
def test_content_of_layers(octets: bytes) -> None:
    for read in (read_entity, decode_base64_body):
        try:
            read(memoryview(octets))
        except UnreadableMail:
            continue


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(0, 200), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_inflating_damaged_streams(content: bytes, piece: int, place: int, octet: int) -> None:
    stream = bytearray(zlib.compress(content))
    stream[place % len(stream)] = octet
    view = memoryview(bytes(stream))
    pieces = tuple(view[at : at + piece] for at in range(0, len(view), piece))
    compressed = Compressed(AlgorithmIdentifier("1.2.840.113549.1.9.16.3.8", None), "1.2.840.113549.1.7.1", pieces)
    try:
        assert len(decompress(compressed, CompressionLimits(200, 10, 200))) <= 200
    except UnreadableCms:
        return


@given(st.binary(max_size=500), st.integers(1, 90))
@settings(max_examples=200, deadline=None)
def test_base64_comes_back_however_it_is_cut(octets: bytes, length: int) -> None:
    text = base64.b64encode(octets)
    lines = b"\r\n".join(text[at : at + length] for at in range(0, len(text), length))
    assert decode_base64_body(memoryview(lines)) == octets
