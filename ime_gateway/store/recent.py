"""Keeps what was just stored in memory, because the usual mail is delivered a moment after it came.

Only ciphertext of bodies and the parts of envelopes lie here, within a fixed number of bytes; the
oldest go first. Losing an entry costs one read of the database and nothing else.
"""

import threading
from typing import Any

_OVERHEAD_BYTES = 500


class Recent:
    """Values by id, at most `limit_bytes` of them; safe for threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._values: dict[str, tuple[Any, int]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, value: Any, size: int) -> None:
        """Keep a value of about `size` bytes."""
        cost = size + _OVERHEAD_BYTES
        with self._lock:
            self._drop(key)
            self._values[key] = (value, cost)
            self._held += cost
            while self._held > self._limit:
                self._drop(next(iter(self._values)))

    def get(self, key: str) -> Any | None:
        """The value, or None."""
        found = self._values.get(key)
        return None if found is None else found[0]

    def drop(self, key: str) -> None:
        """Forget a value."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: str) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._held -= found[1]
