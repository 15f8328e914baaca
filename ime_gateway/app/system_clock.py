"""The real clock behind `ports.clock.Clock`."""

import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()
