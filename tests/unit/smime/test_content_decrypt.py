"""Content ciphers one by one, in any segments, judged by the library's one-shot functions and a plain padding rule."""

import os
import tracemalloc
from itertools import pairwise

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.certs import der
from ime_gateway.smime.content_decrypt import ContentCipher, open_content, padding_size, read_cipher
from ime_gateway.smime.structures import AlgorithmIdentifier, Enveloped

AES_OIDS = {"cbc": (2, 22, 42), "gcm": (6, 26, 46), "ccm": (7, 27, 47)}
CHACHA = "1.2.840.113549.1.9.16.3.18"
TRIPLE_DES, RC2_CBC = "1.2.840.113549.3.7", "1.2.840.113549.3.2"
DATA = "1.2.840.113549.1.7.1"
TEXT = bytes(range(256)) * 10 + b"the end"


def aes(mode: str, size: int) -> str:
    return f"2.16.840.1.101.3.4.1.{AES_OIDS[mode][size // 8 - 2]}"


def envelope(
    oid: str,
    parameters: bytes | None,
    ciphertext: bytes = b"",
    tag: bytes | None = None,
    *,
    attributes: bytes | None = None,
    cuts: tuple[int, ...] = (),
) -> Enveloped:
    """AuthEnvelopedData when there is a tag. cuts: where one segment ends and the next begins."""
    ends = (0, *sorted(min(cut, len(ciphertext)) for cut in cuts), len(ciphertext))
    view = memoryview(ciphertext)
    pieces = tuple(view[start:end] for start, end in pairwise(ends) if end > start)
    algorithm = AlgorithmIdentifier(oid, parameters)
    return Enveloped(tag is not None, 0, (), DATA, algorithm, pieces, attributes, tag or b"")


def cipher_of(sealed: Enveloped) -> ContentCipher:
    cipher = read_cipher(sealed)
    assert isinstance(cipher, ContentCipher), cipher
    return cipher


def opened(sealed: Enveloped, *keys: bytes) -> bytes | None:
    result = open_content(cipher_of(sealed), keys, sealed)
    return None if result is None else bytes(result.content)


def cbc(key: bytes, iv: bytes, padded: bytes) -> bytes:
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def pad(text: bytes, block: int = 16) -> bytes:
    count = block - len(text) % block
    return text + bytes((count,)) * count


@pytest.mark.parametrize("size", [16, 24, 32])
@given(text=st.binary(max_size=300), cuts=st.lists(st.integers(0, 320), max_size=8).map(tuple))
def test_cbc_in_any_segments(size: int, text: bytes, cuts: tuple[int, ...]) -> None:
    key, iv = b"k" * size, b"i" * 16
    ciphertext = cbc(key, iv, pad(text))
    sealed = envelope(aes("cbc", size), der.octet_string(iv), ciphertext, cuts=cuts)
    assert opened(sealed, key) == text
    assert not cipher_of(sealed).integrity and cipher_of(sealed).name == f"aes-{size * 8}-cbc"


@pytest.mark.parametrize("size", [16, 24, 32])
@given(text=st.binary(max_size=300), cuts=st.lists(st.integers(0, 320), max_size=8).map(tuple))
def test_gcm_in_any_segments(size: int, text: bytes, cuts: tuple[int, ...]) -> None:
    key, nonce = b"k" * size, b"n" * 12
    made = AESGCM(key).encrypt(nonce, text, b"attributes")
    parameters = der.sequence(der.octet_string(nonce), der.integer(16))
    sealed = envelope(aes("gcm", size), parameters, made[:-16], made[-16:], attributes=b"attributes", cuts=cuts)
    assert opened(sealed, key) == text
    assert cipher_of(sealed).integrity and cipher_of(sealed).name == f"aes-{size * 8}-gcm"


@pytest.mark.parametrize("cuts", [(), (1, 5, 700), (100_000,)])
@pytest.mark.parametrize("attributes", [None, b"attributes"])
@pytest.mark.parametrize("tag_bytes", [12, 14, 16])
def test_ccm_and_chacha20_poly1305(cuts: tuple[int, ...], attributes: bytes | None, tag_bytes: int) -> None:
    key, nonce = os.urandom(32), os.urandom(12)
    made = AESCCM(key, tag_bytes).encrypt(nonce, TEXT, attributes)
    parameters = der.sequence(der.octet_string(nonce), *([der.integer(tag_bytes)] if tag_bytes != 12 else []))
    sealed = envelope(
        aes("ccm", 32), parameters, made[:-tag_bytes], made[-tag_bytes:], attributes=attributes, cuts=cuts
    )
    assert opened(sealed, key) == TEXT
    made = ChaCha20Poly1305(key).encrypt(nonce, TEXT, attributes)
    sealed = envelope(CHACHA, der.octet_string(nonce), made[:-16], made[-16:], attributes=attributes, cuts=cuts)
    assert opened(sealed, key) == TEXT and cipher_of(sealed).name == "chacha20-poly1305"


def test_chacha20_poly1305_of_rfc_8439() -> None:
    # RFC 8439 section 2.8.2
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    ciphertext = bytes.fromhex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116"
    )
    sealed = envelope(
        CHACHA,
        der.octet_string(bytes.fromhex("070000004041424344454647")),
        ciphertext,
        bytes.fromhex("1ae10b594f09e26a7e902ecbd0600691"),
        attributes=bytes.fromhex("50515253c0c1c2c3c4c5c6c7"),
        cuts=(50,),
    )
    assert opened(sealed, bytes(range(0x80, 0xA0))) == text + b"sunscreen would be it."


def test_ccm_of_nist_sp_800_38c() -> None:
    # NIST SP 800-38C, example 4: the longest tag there is 14 octets.
    ciphertext = bytes.fromhex("69915dad1e84c6376a68c2967e4dab615ae0fd1faec44cc484828529463ccf72")
    sealed = envelope(
        aes("ccm", 16),
        der.sequence(der.octet_string(bytes(range(0x10, 0x1D))), der.integer(14)),
        ciphertext,
        bytes.fromhex("b4ac6bec93e8598e7f0dadbcea5b"),
        attributes=bytes(range(256)) * 256,
    )
    assert opened(sealed, bytes(range(0x40, 0x50))) == bytes(range(0x20, 0x40))


@pytest.mark.parametrize("mode", ["gcm", "ccm", "chacha"])
def test_nothing_comes_out_under_a_wrong_tag_key_or_attribute(mode: str) -> None:
    key, nonce = os.urandom(32), os.urandom(12)
    sealer = {"gcm": AESGCM(key), "ccm": AESCCM(key, 16), "chacha": ChaCha20Poly1305(key)}[mode]
    made = sealer.encrypt(nonce, TEXT, b"attributes")
    oid = CHACHA if mode == "chacha" else aes(mode, 32)
    right = der.octet_string(nonce) if mode == "chacha" else der.sequence(der.octet_string(nonce), der.integer(16))
    ciphertext, tag = made[:-16], made[-16:]
    assert opened(envelope(oid, right, ciphertext, tag, attributes=b"attributes"), key) == TEXT
    flipped = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    for wrong in (
        envelope(oid, right, flipped, tag, attributes=b"attributes"),
        envelope(oid, right, ciphertext[:-1], tag, attributes=b"attributes"),
        envelope(oid, right, ciphertext, tag[:-1] + bytes((tag[-1] ^ 1,)), attributes=b"attributes"),
        envelope(oid, right, ciphertext, tag[:12], attributes=b"attributes"),
        envelope(oid, right, ciphertext, tag + b"\0", attributes=b"attributes"),
        envelope(oid, right, ciphertext, tag, attributes=b"attribute"),
        envelope(oid, right, ciphertext, tag),
    ):
        assert opened(wrong, key) is None
    assert opened(envelope(oid, right, ciphertext, tag, attributes=b"attributes"), os.urandom(32)) is None


def test_gcm_tags_of_twelve_to_sixteen_octets_as_announced() -> None:
    key, nonce = os.urandom(32), os.urandom(12)
    made = AESGCM(key).encrypt(nonce, TEXT, None)
    ciphertext, tag = made[:-16], made[-16:]
    for size in range(12, 17):
        parameters = der.sequence(der.octet_string(nonce), der.integer(size))
        assert opened(envelope(aes("gcm", 32), parameters, ciphertext, tag[:size]), key) == TEXT
        for other in set(range(17)) - {size}:
            assert opened(envelope(aes("gcm", 32), parameters, ciphertext, tag[:other]), key) is None
    unsaid = der.sequence(der.octet_string(nonce))  # aes-ICVlen DEFAULT 12
    assert opened(envelope(aes("gcm", 32), unsaid, ciphertext, tag[:12]), key) == TEXT
    assert opened(envelope(aes("gcm", 32), unsaid, ciphertext, tag), key) is None


@pytest.mark.parametrize("size", [8, 13, 16, 60, 128])
def test_gcm_nonces_of_other_sizes(size: int) -> None:
    key, nonce = os.urandom(16), os.urandom(size)
    made = AESGCM(key).encrypt(nonce, TEXT, None)
    parameters = der.sequence(der.octet_string(nonce), der.integer(16))
    assert opened(envelope(aes("gcm", 16), parameters, made[:-16], made[-16:]), key) == TEXT


def test_of_several_keys_the_one_that_fits() -> None:
    key, nonce, iv = os.urandom(32), os.urandom(12), os.urandom(16)
    made = AESGCM(key).encrypt(nonce, TEXT, None)
    parameters = der.sequence(der.octet_string(nonce), der.integer(16))
    sealed = envelope(aes("gcm", 32), parameters, made[:-16], made[-16:])
    found = open_content(cipher_of(sealed), [bytes(32), key, b"\1" * 32], sealed)
    assert found is not None and found.key == key and found.content == TEXT
    chained = envelope(aes("cbc", 32), der.octet_string(iv), cbc(key, iv, pad(TEXT)))
    # Keys under which the padding comes out wrong: one in 256 would not do.
    wrong = [one for one in (bytes((number,)) * 32 for number in range(9)) if opened(chained, one) is None][:3]
    found = open_content(cipher_of(chained), [wrong[0], wrong[1], key, wrong[2]], chained)
    assert found is not None and found.key == key and found.content == TEXT


@pytest.mark.parametrize("block", [8, 16])
def test_padding_by_the_plain_rule(block: int) -> None:
    def plain_rule(octets: bytes) -> int:
        count = octets[-1]
        return count if 1 <= count <= block and octets.endswith(bytes((count,)) * count) else 0

    for last in range(256):
        for filler in (0, 1, last, 255):
            octets = bytes((filler,)) * (block - 1) + bytes((last,))
            assert padding_size(octets) == plain_rule(octets)
    for count in range(1, block + 1):
        good = bytes(block - count) + bytes((count,)) * count
        assert padding_size(good) == count
        for position in range(block - count, block - 1):
            bad = bytearray(good)
            bad[position] ^= 0x80
            assert padding_size(bytes(bad)) == 0


def test_cbc_of_impossible_sizes() -> None:
    for size in (0, 1, 15, 17, 31):
        assert opened(envelope(aes("cbc", 32), der.octet_string(bytes(16)), bytes(size)), bytes(32)) is None


def test_the_old_ciphers() -> None:
    for oid, algorithm, parameters, name, legacy in (
        (TRIPLE_DES, TripleDES(bytes(range(24))), der.octet_string(b"i" * 8), "3des-cbc", "triple_des"),
        (
            RC2_CBC,
            RC2(bytes(range(16))),
            der.sequence(der.integer(58), der.octet_string(b"i" * 8)),
            "rc2-128-cbc",
            "rc2",
        ),
    ):
        encryptor = Cipher(algorithm, CBC(b"i" * 8)).encryptor()
        sealed = envelope(oid, parameters, encryptor.update(pad(TEXT, 8)) + encryptor.finalize(), cuts=(3, 10, 900))
        cipher = cipher_of(sealed)
        assert (cipher.name, cipher.legacy, cipher.integrity) == (name, legacy, False)
        assert opened(sealed, bytes(range(cipher.key_bytes))) == TEXT


@pytest.mark.parametrize(
    ("sealed", "word"),
    [
        (envelope("1.2.3", None), "1.2.3"),
        (envelope(aes("gcm", 32), None), "EnvelopedData"),
        (envelope(aes("cbc", 32), None, tag=bytes(16)), "AuthEnvelopedData"),
        (envelope(TRIPLE_DES, None, tag=bytes(16)), "AuthEnvelopedData"),
        (envelope(aes("gcm", 32), der.sequence(der.octet_string(bytes(12)), der.integer(11)), tag=b"x"), "tag of 11"),
        (envelope(aes("gcm", 32), der.sequence(der.octet_string(bytes(12)), der.integer(17)), tag=b"x"), "tag of 17"),
        (envelope(aes("ccm", 32), der.sequence(der.octet_string(bytes(12)), der.integer(13)), tag=b"x"), "tag of 13"),
        (envelope(aes("ccm", 32), der.sequence(der.octet_string(bytes(12)), der.integer(8)), tag=b"x"), "tag of 8"),
        (envelope(aes("gcm", 32), der.sequence(der.octet_string(bytes(12)), der.integer(-4)), tag=b"x"), "tag of -4"),
        (envelope(aes("gcm", 32), der.sequence(der.octet_string(bytes(7)), der.integer(16)), tag=b"x"), "nonce of 7"),
        (envelope(aes("gcm", 32), der.sequence(der.octet_string(bytes(129)), der.integer(16)), tag=b"x"), "nonce of"),
        (envelope(aes("ccm", 32), der.sequence(der.octet_string(bytes(14)), der.integer(16)), tag=b"x"), "nonce of 14"),
        (envelope(CHACHA, der.octet_string(bytes(8)), tag=b"x"), "nonce of 8"),
        (envelope(RC2_CBC, der.sequence(der.integer(160), der.octet_string(bytes(8)))), "version 160"),
        (envelope(RC2_CBC, der.octet_string(bytes(8))), "effective bits"),
    ],
)
def test_what_we_do_not_open_is_named(sealed: Enveloped, word: str) -> None:
    said = read_cipher(sealed)
    assert isinstance(said, str) and word in said


@pytest.mark.parametrize(
    ("oid", "parameters"),
    [
        (aes("cbc", 32), None),
        (aes("cbc", 32), b""),
        (aes("cbc", 32), der.NULL),
        (aes("cbc", 32), der.octet_string(bytes(8))),
        (aes("cbc", 32), der.octet_string(bytes(16)) + b"\0"),
        (aes("cbc", 32), der.sequence(der.octet_string(bytes(16)), der.octet_string(bytes(16)))),
        (aes("cbc", 32), b"\x04\x80"),
        (TRIPLE_DES, der.octet_string(bytes(16))),
        (RC2_CBC, der.sequence(der.integer(58), der.octet_string(bytes(16)))),
        (aes("gcm", 32), None),
        (aes("gcm", 32), der.sequence()),
        (aes("gcm", 32), der.sequence(der.integer(16))),
        (aes("gcm", 32), der.sequence(der.octet_string(bytes(12)), der.octet_string(b"\x10"))),
        (aes("gcm", 32), der.sequence(der.octet_string(bytes(12)), der.integer(16), der.integer(16))),
        (CHACHA, der.sequence(der.octet_string(bytes(12)), der.integer(16))),
    ],
)
def test_parameters_without_sense(oid: str, parameters: bytes | None) -> None:
    authenticated = oid in (CHACHA, aes("gcm", 32))
    with pytest.raises(UnreadableCms):
        read_cipher(envelope(oid, parameters, tag=bytes(16) if authenticated else None))


@pytest.mark.parametrize("mode", ["cbc", "gcm"])
@pytest.mark.parametrize("segment", [1024, 100_000, 8 * 1024 * 1024])
def test_memory_is_the_plaintext_once(mode: str, segment: int) -> None:
    size, key = 8 * 1024 * 1024, os.urandom(32)
    cuts = tuple(range(segment, size, segment))
    if mode == "cbc":
        iv = os.urandom(16)
        sealed = envelope(aes("cbc", 32), der.octet_string(iv), cbc(key, iv, pad(bytes(size))), cuts=cuts)
    else:
        made = AESGCM(key).encrypt(bytes(12), bytes(size), None)
        parameters = der.sequence(der.octet_string(bytes(12)), der.integer(16))
        sealed = envelope(aes("gcm", 32), parameters, made[:-16], made[-16:], cuts=cuts)
        del made
    cipher = cipher_of(sealed)
    tracemalloc.start()
    try:
        result = open_content(cipher, [key], sealed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result is not None and len(result.content) == size
    assert size <= peak < size + 600_000  # numpy's memory is traced: were it not, the left side would fail


def test_nothing_secret_in_any_text() -> None:
    key, iv = os.urandom(32), b"i" * 16
    sealed = envelope(aes("cbc", 32), der.octet_string(iv), cbc(key, iv, pad(b"very secret")))
    result = open_content(cipher_of(sealed), [key], sealed)
    assert "secret" not in repr(result) and repr(key) not in repr(result)
