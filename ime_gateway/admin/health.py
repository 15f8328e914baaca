"""How the gateway is, in one value: what `/healthz`, the overview page and `check` speak about.

Load balancers and monitoring ask whether mail may be sent here; the answer is yes only when every
listener accepts, the store writes and its live data can be read, because only then can a message be decided and
become durable before its 250.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "starting", "degraded", "stopping"]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The contract of `GET /healthz` (design 6.2)."""

    status: Status
    checks: Mapping[str, str] = field(default_factory=dict)
    """What was looked at, and `ok` or one sentence without secrets about what is wrong."""
    listeners: Mapping[str, int] = field(default_factory=dict)
    """TCP port by listener name; the real one when the file says 0."""

    @property
    def healthy(self) -> bool:
        """True: mail may be sent here now."""
        return self.status == "ok"

    @property
    def troubles(self) -> Mapping[str, str]:
        """The checks that are not `ok`."""
        return {name: words for name, words in self.checks.items() if words != "ok"}
