"""Time and chance as ports, so that tests can turn both (house rule: the core takes them as arguments)."""

from typing import Protocol


class Clock(Protocol):
    """Where the moment comes from."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        ...


class Randomness(Protocol):
    """Where keys, nonces and ids come from."""

    def __call__(self, count: int, /) -> bytes:
        """`count` bytes fit for cryptographic keys."""
        ...
