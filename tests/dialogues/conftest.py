"""TLS files for the dialogues, made once for all of them."""

from pathlib import Path

import pytest

from tests.pki import make_ca, make_user


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of the listener."""
    return make_user("gw@acme.example", make_ca("Listener CA")).write(tmp_path_factory.mktemp("tls"), "gw")
