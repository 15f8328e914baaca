"""One installation: its `gateway.toml`, master key and store, opened together and closed together.

Every process of the gateway (command, worker, web pages) begins here, so that all of them read the
same files by the same rules.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ime_gateway.app.entropy import PooledRandomness
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.load import load_settings
from ime_gateway.settings.model import Settings
from ime_gateway.store.database import Store, open_store
from ime_gateway.store.master_key import read_master_key


@dataclass(frozen=True, slots=True)
class LoadedInstallation:
    """What the files say, before the store is opened."""

    config: Path
    settings: Settings
    master_key: bytes


@dataclass(frozen=True, slots=True)
class Installation:
    """An open installation."""

    config: Path
    settings: Settings
    master_key: bytes
    store: Store

    def require_current_schema(self) -> None:
        """Raises ConfigurationError when the database is of another version than this program."""
        if not self.store.schema_is_current():
            raise ConfigurationError(
                "the database is of another version than this program; use the version that made it"
            )


def load_installation(config: Path) -> LoadedInstallation:
    """Read `gateway.toml`, with this process's environment, and the master key.

    Raises ConfigurationError, naming the file and, where there is one, line and key.
    """
    settings = load_settings(config, os.environ)
    return LoadedInstallation(config, settings, read_master_key(settings.secrets.master_key_file))


@contextmanager
def open_installation(config: Path) -> Iterator[Installation]:
    """The installation with its store; raises ConfigurationError or StoreUnavailable."""
    loaded = load_installation(config)
    store = open_installed_store(loaded.settings, loaded.master_key, config)
    try:
        yield Installation(loaded.config, loaded.settings, loaded.master_key, store)
    finally:
        store.close()


def open_installed_store(settings: Settings, master_key: bytes, config: Path) -> Store:
    """The store that `settings` name; spooled bodies lie beside `gateway.toml`. Raises ConfigurationError."""
    folder = config.absolute().parent
    return open_store(settings.store.url, master_key, folder, SystemClock(), PooledRandomness())
