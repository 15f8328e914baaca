"""A clock that a test can move while programs run: theirs reads how far from a file, at every look.

    clock = MovedClock(folder)
    Gateway(folder, environment=clock.environment)
    clock.move(days=400)          # at once, for every program with that environment

Only the time of day moves: waiting and time-outs go by the monotonic clock, and leases by the database's. The
gateway has no seam for it, Python has (`sitecustomize`); libfaketime 0.9.10 breaks `time.sleep`.
"""

from pathlib import Path


class MovedClock:
    """One clock, shared by all programs that get its `environment`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.move(days=0)
        self.environment = {
            "PYTHONPATH": str(Path(__file__).parent / "clock"),
            "MOVED_CLOCK_FILE": str(self._file),
        }

    def move(self, *, days: float) -> None:
        """Programs live that many days after now."""
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(str(days * 86_400.0))
        fresh.replace(self._file)  # never half written
