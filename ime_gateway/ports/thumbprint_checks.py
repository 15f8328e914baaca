"""Who compared a thumbprint with whom, and what administrators were told: what trust over years rests on.

A certificate that came by mail or file is believed because somebody read its thumbprint to its owner; years later
someone asks who that was. Parts of `RegistryTransaction`.
"""

from dataclasses import dataclass
from typing import Protocol

from ime_gateway.settings.site import CheckMethod as CheckMethod


@dataclass(frozen=True, slots=True)
class ThumbprintCheck:
    """One comparison of a thumbprint with its owner."""

    thumbprint: str
    """`sha256:` and 64 hexadecimal digits."""
    at: float
    """Seconds since 1970 UTC."""
    actor: str
    """The administrator."""
    method: CheckMethod
    person: str
    """With whom: name, and how that person was reached."""
    note: str = ""


class ThumbprintChecks(Protocol):
    """`checks` of a `RegistryTransaction`."""

    def list(self, thumbprint: str = "") -> list[ThumbprintCheck]:
        """Checks of one thumbprint or of all, newest first."""
        ...

    def put(self, check: ThumbprintCheck) -> bool:
        """Record a check; False when it is recorded already."""
        ...


class Notices(Protocol):
    """`notices` of a `RegistryTransaction`."""

    def told(self, name: str) -> bool:
        """Whether this was told before."""
        ...

    def tell(self, name: str, keep_until: float) -> bool:
        """Remember that this is told now, until then (seconds since 1970 UTC); False when it was told before."""
        ...

    def forget(self, moment: float) -> int:
        """Forget what has had its time by `moment`; how many."""
        ...
