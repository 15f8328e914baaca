"""Read by Python before any program: the time of day is that of the machine, moved by what a file says.

See tests/servers/moved_clock.py, which puts this folder on PYTHONPATH.
"""

import os
import time
from pathlib import Path

_genuine = time.time


def _moved() -> float:
    return _genuine() + float(Path(os.environ["MOVED_CLOCK_FILE"]).read_text())


if "MOVED_CLOCK_FILE" in os.environ:
    time.time = _moved
