"""Any octets as parameters, keys and wrapped keys: an answer or None, at most UnreadableCms, never anything else."""

import contextlib
import os

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from hypothesis import example, given
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.certs import der
from ime_gateway.smime.content_decrypt import ContentCipher, open_content, read_cipher
from ime_gateway.smime.key_agreement import AgreementPrivateKey, agree_with_originator, read_method
from ime_gateway.smime.key_unwrap import KEY_WRAPS, read_transport, unwrap
from ime_gateway.smime.structures import AlgorithmIdentifier, Enveloped

SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.NULL)
OAEP = der.sequence(
    der.tlv(0xA0, SHA256),
    der.tlv(0xA1, der.sequence(der.oid("1.2.840.113549.1.1.8"), SHA256)),
    der.tlv(0xA2, der.sequence(der.oid("1.2.840.113549.1.1.9"), der.octet_string(b"label"))),
)
POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
EC_KEY = der.sequence(
    der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7")), der.tlv(3, b"\0" + POINT)
)
X25519_KEY = der.sequence(der.sequence(der.oid("1.3.101.110")), der.tlv(3, b"\0\x09" + bytes(31)))
SEEDS = (
    OAEP,
    EC_KEY,
    X25519_KEY,
    der.sequence(der.oid("2.16.840.1.101.3.4.1.45")),
    der.octet_string(bytes(16)),
    der.sequence(der.octet_string(bytes(12)), der.integer(16)),
    der.sequence(der.integer(58), der.octet_string(bytes(8))),
)
CIPHERS = [f"2.16.840.1.101.3.4.1.{last}" for last in (2, 6, 7)]
CIPHERS += ["1.2.840.113549.3.7", "1.2.840.113549.3.2", "1.2.840.113549.1.9.16.3.18"]
KEYS: tuple[AgreementPrivateKey, ...] = (
    ec.derive_private_key(7, ec.SECP256R1()),
    x25519.X25519PrivateKey.from_private_bytes(b"k" * 32),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A right value with a few octets changed, cut or doubled; or any octets at all."""
    octets = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(octets) - 1)))
        match draw(st.sampled_from(("set", "cut", "double"))):
            case "set":
                octets[at : at + 1] = bytes((draw(st.integers(0, 255)),))
            case "cut":
                del octets[at:]
            case _:
                octets[at:at] = octets[at : at + 8]
    return bytes(octets)


octets = damaged() | st.binary(max_size=80)


@given(octets)
@example(OAEP)
def test_algorithms_of_keys(parameters: bytes) -> None:
    for oid in ("1.2.840.113549.1.1.7", "1.2.840.113549.1.1.1"):
        read_transport(AlgorithmIdentifier(oid, parameters))
    read_method(AlgorithmIdentifier("1.3.132.1.11.1", parameters))


@given(octets)
@example(EC_KEY)
@example(X25519_KEY)
def test_keys_of_senders(originator: bytes) -> None:
    found = [agree_with_originator(key, originator) for key in KEYS]
    assert all(shared is None or len(shared) == 32 for shared in found)
    assert None in found, "no key lies on both curves"
    if originator in (EC_KEY, X25519_KEY):
        assert any(found)


@given(octets)
def test_wrapped_keys(encrypted: bytes) -> None:
    for one in KEY_WRAPS.values():
        assert unwrap(one, bytes(range(one.key_bytes)), encrypted) is None


@given(octets, st.sampled_from(CIPHERS), st.binary(max_size=64), st.none() | st.binary(max_size=20))
def test_algorithms_of_content(parameters: bytes, oid: str, ciphertext: bytes, tag: bytes | None) -> None:
    algorithm = AlgorithmIdentifier(oid, parameters)
    pieces = (memoryview(ciphertext),) if ciphertext else ()
    envelope = Enveloped(tag is not None, 0, (), "1.2.840.113549.1.7.1", algorithm, pieces, None, tag or b"")
    with contextlib.suppress(UnreadableCms):
        cipher = read_cipher(envelope)
        if isinstance(cipher, ContentCipher):
            opened = open_content(cipher, (os.urandom(cipher.key_bytes),), envelope)
            assert opened is None or not cipher.integrity
