"""What an apply did, or with a dry run would do: one line for each object, in the words that people see."""

from dataclasses import dataclass
from typing import Literal

ChangeKind = Literal["added", "changed", "removed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one object."""

    kind: ChangeKind
    what: str
    """`policy`, `managed domain`, `partner domain`, `certificate`, `root`, `trust` or `IME key`."""
    name: str


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What an apply did, or with a dry run would do."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """Certificates of the file that are stored but not used as things stand, and why."""

    def count(self, kind: ChangeKind) -> int:
        """How many objects were of that kind."""
        return sum(change.kind == kind for change in self.changes)

    @property
    def changed(self) -> bool:
        """True: the live data is (or would be) another than before."""
        return self.count("unchanged") < len(self.changes)
