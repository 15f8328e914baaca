"""Seals small secrets and data keys under the master key, so that the database alone opens nothing.

A copy of the database, a backup or a stolen disk must not yield a private key or a mail (P2, P8).
Every sealed value has a sub-key of its own, derived from the master key and a fresh 16-byte salt
(HKDF's expand step, RFC 5869 section 2.3), so the limit of 2**32 random nonces under one AES-GCM
key (NIST SP 800-38D section 8.3) is never approached however long a gateway lives.
"""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.clock import Randomness

_VERSION = b"\x01"
_SALT_BYTES = 16
_HEADER_BYTES = len(_VERSION) + _SALT_BYTES
_ONE_TIME_NONCE = bytes(12)  # every sub-key seals exactly one value, so a fixed nonce never repeats


class SecretBox:
    """Seals values so that each opens only in the table and row for which it was sealed."""

    def __init__(self, master_key: bytes, randomness: Randomness) -> None:
        """`master_key`: 32 bytes."""
        if len(master_key) != 32:
            raise ValueError(f"a master key has 32 bytes, got {len(master_key)}")
        self._root = hmac.digest(master_key, b"ime-gateway sealing v1", "sha256")
        self._randomness = randomness
        self.key_id = hmac.digest(master_key, b"ime-gateway key check v1", "sha256").hex()[:32]
        """Names the master key without telling anything about it; kept in the database."""

    def random(self, count: int) -> bytes:
        """Fresh random bytes."""
        return self._randomness(count)

    def seal(self, table: str, row: str, secret: bytes) -> bytes:
        """Seal `secret` for one row of one table."""
        salt = self._randomness(_SALT_BYTES)
        sealed = self._cipher(salt).encrypt(_ONE_TIME_NONCE, secret, self._place(table, row))
        return b"".join((_VERSION, salt, sealed))

    def open(self, table: str, row: str, sealed: bytes) -> bytes:
        """The secret; StoreUnavailable when it was changed, moved, or sealed by another master key."""
        salt = bytes(sealed[len(_VERSION) : _HEADER_BYTES])
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._cipher(salt).decrypt(_ONE_TIME_NONCE, sealed[_HEADER_BYTES:], self._place(table, row))
        except InvalidTag as error:
            raise StoreUnavailable(
                "a sealed value in the store cannot be opened", f"{table} row {row}: changed, moved or foreign key"
            ) from error

    def authentic(self, label: str, data: bytes) -> bytes:
        """32 bytes that only a holder of the master key can compute over `data` (HMAC-SHA-256)."""
        return hmac.digest(hmac.digest(self._root, label.encode(), "sha256"), data, "sha256")

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._root, salt, "sha256"))

    def _place(self, table: str, row: str) -> bytes:
        return f"{table}\0{row}\0{self.key_id}".encode()
