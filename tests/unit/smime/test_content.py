"""The content cipher: the library's one-shot functions open what was encrypted in pieces."""

import os
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.smime.content import CipherName, ContentEncryptor, ContentKey, ciphertext_size

CIPHERS: tuple[CipherName, ...] = ("aes-256-cbc", "aes-256-gcm")


def opened(key: ContentKey, ciphertext: bytes, tag: bytes) -> bytes:
    if key.cipher == "aes-256-gcm":
        return AESGCM(key.key).decrypt(key.nonce, ciphertext + tag, None)
    decryptor = Cipher(AES(key.key), CBC(key.nonce)).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()


def encrypted(key: ContentKey, chunks: Sequence[bytes]) -> tuple[bytes, bytes]:
    encryptor = ContentEncryptor(key)
    pieces = list(encryptor.chunks(chunks))  # a list: pieces must stay valid
    return b"".join(pieces), encryptor.tag


@pytest.mark.parametrize("cipher", CIPHERS)
@settings(deadline=None, max_examples=60)
@given(
    chunks=st.lists(st.one_of(st.binary(max_size=40), st.integers(4000, 70_000).map(os.urandom)), max_size=5),
)
def test_any_boundaries_give_the_same_content(cipher: CipherName, chunks: list[bytes]) -> None:
    key = ContentKey.generate(cipher, os.urandom)
    whole = b"".join(chunks)
    ciphertext, tag = encrypted(key, chunks)
    assert len(ciphertext) == ciphertext_size(cipher, len(whole))
    assert opened(key, ciphertext, tag) == whole


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 4096, 4097, 29_184, 29_185, 100_000])
def test_sizes_around_the_edges(cipher: CipherName, size: int) -> None:
    key = ContentKey.generate(cipher, os.urandom)
    content = os.urandom(size)
    ciphertext, tag = encrypted(key, [memoryview(content)])
    assert opened(key, ciphertext, tag) == content
    assert len(tag) == (16 if cipher == "aes-256-gcm" else 0)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_key_serves_one_content_and_the_tag_comes_last(cipher: CipherName) -> None:
    encryptor = ContentEncryptor(ContentKey.generate(cipher, os.urandom))
    pieces = encryptor.chunks([b"a", b"b"])
    next(pieces)
    with pytest.raises(ValueError, match="when all content"):
        _ = encryptor.tag
    list(pieces)
    assert encryptor.tag is not None
    with pytest.raises(ValueError, match="one content only"):
        encryptor.chunks([b"c"])


def test_keys_come_from_the_randomness_and_are_not_shown() -> None:
    key = ContentKey.generate("aes-256-cbc", lambda count: b"K" * count)
    assert (key.key, key.nonce) == (b"K" * 32, b"K" * 16)
    assert len(ContentKey.generate("aes-256-gcm", os.urandom).nonce) == 12
    assert "KK" not in repr(key)
    with pytest.raises(ValueError, match="needs 32 bytes"):
        ContentKey("aes-256-gcm", b"short", bytes(12))
