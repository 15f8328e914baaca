"""A disk that is full for this process: it may still read, rename and remove, but write no further byte into a file."""

import resource
from types import TracebackType


class FullDisk:
    """Full inside `with`, or from `fill` on until `with` ends."""

    def __init__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """From now on (RLIMIT_FSIZE; Python ignores SIGXFSZ, so a write fails as on a full disk)."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._limits[1]))

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
