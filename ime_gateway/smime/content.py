"""Encrypt the content of an S/MIME message once, in pieces, whoever will read it.

AES-CBC is what every mail program since S/MIME 3.1 opens, AES-GCM is what RFC 8551 section
2.7 wants (AuthEnvelopedData); recipients only ever get the key (`recipient_info`), so one ciphertext
serves all of them. Memory is constant in the size of the message.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM

from ime_gateway.base.octets import Buffer

CipherName = Literal["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "aes-128-gcm", "aes-192-gcm", "aes-256-gcm"]
"""What can be written; policy chooses among the two of 256 bits."""

KEY_BYTES: Final[Mapping[CipherName, int]] = MappingProxyType(
    {
        "aes-128-cbc": 16,
        "aes-192-cbc": 24,
        "aes-256-cbc": 32,
        "aes-128-gcm": 16,
        "aes-192-gcm": 24,
        "aes-256-gcm": 32,
    }
)
AUTHENTICATED: Final[frozenset[CipherName]] = frozenset({"aes-128-gcm", "aes-192-gcm", "aes-256-gcm"})
"""Ciphers that make AuthEnvelopedData (RFC 5083)."""
BLOCK_BYTES = 16
GCM_NONCE_BYTES = 12
GCM_TAG_BYTES = 16
_PIECE_BYTES = 29_184
"""What is encrypted in one call: fits the cache, and is a whole number of base64 lines and AES blocks."""
_SMALL_BYTES = 4_096
"""Up to here the allocation inside `update` is cheaper than a scratch buffer of our own."""


@dataclass(frozen=True, slots=True)
class ContentKey:
    """A key and nonce for one content, used once (RFC 5084 section 3.2: a nonce must never recur)."""

    cipher: CipherName
    key: bytes = field(repr=False)
    """As many bytes as KEY_BYTES says."""
    nonce: bytes = field(repr=False)
    """CBC: the initialisation vector, 16 bytes. GCM: the nonce, 12 bytes."""

    def __post_init__(self) -> None:
        """Refuse sizes that the cipher would refuse later."""
        key_bytes, nonce_bytes = KEY_BYTES[self.cipher], _nonce_bytes(self.cipher)
        if len(self.key) != key_bytes or len(self.nonce) != nonce_bytes:
            raise ValueError(f"{self.cipher} needs {key_bytes} bytes of key and {nonce_bytes} of nonce")

    @classmethod
    def generate(cls, cipher: CipherName, randomness: Callable[[int], bytes]) -> "ContentKey":
        """A fresh key; `randomness(n)` gives n bytes fit for cryptographic keys."""
        return cls(cipher, randomness(KEY_BYTES[cipher]), randomness(_nonce_bytes(cipher)))


def ciphertext_size(cipher: CipherName, size: int) -> int:
    """Bytes of ciphertext for `size` bytes of content: CBC always pads (RFC 5652 section 6.3)."""
    return size if cipher in AUTHENTICATED else size + BLOCK_BYTES - size % BLOCK_BYTES


class ContentEncryptor:
    """Encrypts one content: ask for `chunks` once and to the end, then for `tag`."""

    def __init__(self, key: ContentKey) -> None:
        self._key = key
        self._tag: bytes | None = None
        self._started = False

    def chunks(self, content: Iterable[Buffer]) -> Iterator[bytes | memoryview]:
        """The ciphertext of the concatenated content. Chunks may be of any size and stay valid.

        Raises ValueError when asked for a second time: the same nonce would serve two contents.
        """
        if self._started:
            raise ValueError("a content key encrypts one content only")
        self._started = True
        return self._encrypt(content)

    @property
    def tag(self) -> bytes:
        """GCM: the 16 bytes of authentication tag; CBC: empty. Raises ValueError before the end."""
        if self._tag is None:
            raise ValueError("the tag is known when all content is encrypted")
        return self._tag

    def _encrypt(self, content: Iterable[Buffer]) -> Iterator[bytes | memoryview]:
        if self._key.cipher in AUTHENTICATED:
            sealing = Cipher(AES(self._key.key), GCM(self._key.nonce)).encryptor()
            for chunk in content:
                yield from _update(sealing, chunk)
            sealing.finalize()
            self._tag = sealing.tag
            return
        chaining = Cipher(AES(self._key.key), CBC(self._key.nonce)).encryptor()
        size = 0
        for chunk in content:
            size += len(chunk)
            yield from _update(chaining, chunk)
        padding = BLOCK_BYTES - size % BLOCK_BYTES
        yield chaining.update(bytes((padding,)) * padding) + chaining.finalize()
        self._tag = b""


def _nonce_bytes(cipher: CipherName) -> int:
    return GCM_NONCE_BYTES if cipher in AUTHENTICATED else BLOCK_BYTES


def _update(encryptor: CipherContext, chunk: Buffer) -> Iterator[bytes | memoryview]:
    """Encrypt a chunk in pieces. Every piece gets memory of its own: readers may keep it."""
    if len(chunk) <= _SMALL_BYTES:
        yield encryptor.update(chunk)
        return
    view = memoryview(chunk)
    for start in range(0, len(view), _PIECE_BYTES):
        piece = view[start : start + _PIECE_BYTES]
        # numpy hands out memory without zeroing it first, unlike bytearray.
        scratch = np.empty(len(piece) + BLOCK_BYTES, np.uint8).data
        yield scratch[: encryptor.update_into(piece, scratch)]
