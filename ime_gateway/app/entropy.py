"""Random bytes from the operating system, fetched in blocks: a message needs a dozen small pieces of chance.

Each system call costs more than the bytes; a block is used up piece by piece and never twice. Only for
processes that are spawned, never forked: a forked copy would hand out the same bytes.
"""

import os
import threading

_BLOCK_BYTES = 8192


class PooledRandomness:
    """`ports.clock.Randomness` over `os.urandom`; may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._block = b""
        self._used = 0

    def __call__(self, count: int, /) -> bytes:
        """`count` fresh bytes, fit for cryptographic keys."""
        if count > _BLOCK_BYTES // 8:
            return os.urandom(count)
        with self._lock:
            if self._used + count > len(self._block):
                self._block = os.urandom(_BLOCK_BYTES)
                self._used = 0
            start = self._used
            self._used += count
            return self._block[start : self._used]
