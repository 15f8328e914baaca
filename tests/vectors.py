"""Where the conformance data of others lies, for tests that need it while they are being collected."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def vectors_folder() -> Path:
    """IMEGW_VECTORS, by default ../shared/vectors beside the repository; it may be absent."""
    return Path(os.environ.get("IMEGW_VECTORS", REPOSITORY.parent / "shared" / "vectors"))
