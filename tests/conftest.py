"""What every test may ask for: the shared conformance data, free ports, a clean environment."""

import os
from pathlib import Path

import pytest

from tests import pki
from tests.servers.listening import free_port
from tests.vectors import vectors_folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before fixtures of any scope."""
    pki.begin_test(item.path.name)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the caller's shell never reach a test."""
    for name in list(os.environ):
        if name.startswith("IMEGW_") and name not in ("IMEGW_VECTORS", "IMEGW_TEST_POSTGRESQL"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of conformance data that others made; tests say so when it is absent."""
    folder = vectors_folder()
    if not folder.is_dir():
        pytest.skip(f"no conformance data at {folder}")
    return folder


@pytest.fixture(name="free_port")
def given_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    return free_port()
