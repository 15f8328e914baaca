"""Whatever a mail says about itself, the walk through its S/MIME layers ends with an answer; seeds are real mails."""

import base64
import random
import secrets
import subprocess
import tempfile
import zlib
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.capabilities import own_capabilities, read_capabilities
from ime_gateway.certs.der import sequence
from ime_gateway.mail.header_protection import hide_subject, read_protected
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.smime.compressed import CompressionLimits, decompress
from ime_gateway.smime.entity import cms_object, signed_entity
from ime_gateway.smime.layers import LayerLimits, Opened, SignedLayer, open_layers
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.structures import AlgorithmIdentifier, Compressed
from tests.pki import Entity, make_user
from tests.vectors import vectors_folder

TEXT = b"Content-Type: text/plain\r\n\r\nThe meeting is at nine.\r\n"
LIMITS = LayerLimits(layers=5, total_bytes=1_000_000)
LINES = (
    *(b"Content-Type: application/pkcs7-mime\r\n", b"Content-Type: multipart/signed; boundary=x\r\n"),
    *(
        b"Content-Type: text/plain; hp=cipher\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"HP-Outer: Subject: x\r\n",
    ),
    *(b"Content-Type: application/octet-stream; name=a.p7m\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"),
    *(b"--x\r\n", b"--x--\r\n", b"\r\n", b"\r\n\r\n", b"MIIB", b"\x30\x80", b"\xff\x00", b"=", b";", b'"', b":"),
)


@cache
def bob() -> Entity:
    return make_user("bob@acme.example")


@cache
def keys() -> tuple[OwnedKey, ...]:
    """Bob's, and that of Thunderbird's Bob where the data are."""
    made = OwnedKey(bob().certificate, bob().key)
    folder = vectors_folder() / "thunderbird-smime"
    if not folder.is_dir():
        return (made,)
    bundle = read_bundle((folder / "Bob.p12").read_bytes(), "nss")
    (entry,) = bundle.private_keys
    (own,) = (one for one in bundle.certificates if one.thumbprint == entry.thumbprint)
    return made, OwnedKey.from_pkcs8(own, entry.pkcs8_der)


def _made(arguments: list[str], entity: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        certificate, key = (str(path) for path in bob().write(Path(name), "bob"))
        files = {"-sign": ["-signer", certificate, "-inkey", key], "-encrypt": [certificate]}
        command = ["openssl", "cms", *arguments, "-binary", *files[arguments[0]]]
        made = subprocess.run(command, input=entity, capture_output=True, check=True).stdout
    return made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@cache
def seeds() -> tuple[bytes, ...]:
    """Mails with one layer and with several; made here, and those of others where they are."""
    opaque, clear = _made(["-sign", "-nodetach"], TEXT), _made(["-sign"], TEXT)
    made = [opaque, clear, _made(["-encrypt", "-aes256"], clear), _made(["-encrypt", "-aes-256-gcm"], opaque)]
    made.append(_made(["-sign", "-nodetach"], _made(["-encrypt", "-stream", "-aes128"], opaque)))
    folder = vectors_folder()
    others = [*folder.glob("thunderbird-smime/*.eml"), *folder.glob("rfc9788-rebuilt/*.eml")]
    made += [path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for path in sorted(others)]
    return tuple(made)


def walk(data: bytes) -> Opened | None:
    """Everything that looks at layers, over one mail; None when it is no mail at all."""
    try:
        message = parse_message(data)
    except UnreadableMail:
        return None
    look_at(message)
    found = open_layers(message, keys(), LIMITS, secrets.token_bytes)
    assert bool(found.evidence) <= (found.end != "open")
    assert len(found.layers) <= LIMITS.layers
    for layer in found.layers:
        look_at(layer.inside)
    if found.authentic:
        assert found.layers
    return found


def look_at(message: Message) -> None:
    for look in (cms_object, signed_entity, read_protected, hide_subject):
        try:
            look(message)
        except (UnreadableMail, UnreadableCms) as refused:
            assert str(refused).isprintable()


def intact(found: Opened | None) -> list[bytes]:
    """What intact signatures cover, outermost first."""
    if found is None:
        return []
    signed = [layer for layer in found.layers if isinstance(layer, SignedLayer)]
    return [
        b"".join(bytes(chunk) for chunk in layer.inside.chunks())
        for layer in signed
        if layer.whole_body and any(signer.intact for signer in layer.report.signers)
    ]


def test_the_seeds_open() -> None:
    for data in seeds():
        found = walk(data)
        assert found is not None and found.end in ("open", "undecryptable") and found.layers, found


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_mail_never_brings_a_new_signed_text(seed: int) -> None:
    """One to three octets of base64 or structure: an intact signature covers what it covered before, or nothing."""
    choose = random.Random(seed)
    for data in seeds():
        known = intact(walk(data))
        start = data.index(b"\r\n\r\n")
        for _ in range(25):
            changed = bytearray(data)
            for _ in range(choose.randrange(1, 4)):
                changed[choose.randrange(start, len(data))] = choose.choice(b"AZaz09+/=- \r\n\x00\x80\xff")
            assert set(intact(walk(bytes(changed)))) <= set(known)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A mail with lines cut, doubled, put in, or taken from another one; also inside its base64."""
    data = draw(st.sampled_from(seeds()))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from((0, 1, 3, 78, 400))))
        match draw(st.integers(0, 5)):
            case 0:
                data = data[:at] + data[end:]
            case 1:
                data = data[:at] + draw(st.sampled_from(LINES)) + data[end:]
            case 2:
                data = data[:end] + data[at:end] + data[end:]
            case 3:
                other = draw(st.sampled_from(seeds()))
                data = data[:at] + other[draw(st.integers(0, len(other))) :]
            case 4:
                line = data.find(b"\r\n", at) + 2
                data = data[:line] + draw(st.sampled_from(LINES)) + data[line:]
            case _:
                data = data[:at] + draw(st.binary(max_size=4)) + data[at:]
    return data


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_damage_ends_with_an_answer(data: bytes) -> None:
    walk(data)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=30))
def test_lines_in_any_order_end_with_an_answer(lines: list[bytes]) -> None:
    walk(b"".join(lines))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=3))
def test_octets_after_decryption_end_with_an_answer(inside: bytes, at: int, change: bytes) -> None:
    """What a broken ciphertext decrypts to can be anything at all."""
    body = (TEXT + inside)[:at] + change + (TEXT + inside)[at:]
    walk(
        b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(body)
    )


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=4))
def test_capabilities_of_any_octets(tail: bytes, cuts: list[int]) -> None:
    own = bytearray(own_capabilities() + tail)
    for at in cuts:
        own[at % len(own)] ^= 1 + at % 255
    for encoded in (bytes(own), tail, sequence(tail), sequence(bytes(own))):
        found = read_capabilities(encoded)
        assert len(found.ciphers) <= 12 and len(found.key_agreement) <= 8


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3_000), st.integers(0, 8))
def test_compressed_octets_stay_within_their_limits(noise: bytes, at: int, cut: int) -> None:
    whole = zlib.compress(b"A" * 30_000 + noise)
    data = whole[: at % len(whole)] + noise + whole[cut + at % len(whole) :]
    limits = CompressionLimits(most_bytes=20_000, ratio=50, free_bytes=1_000)
    compressed = Compressed(
        AlgorithmIdentifier("1.2.840.113549.1.9.16.3.8", None), "1.2.840.113549.1.7.1", (memoryview(data),)
    )
    try:
        assert len(decompress(compressed, limits)) <= 20_000
    except UnreadableCms as refused:
        assert str(refused)
