"""One installation: its `gateway.toml`, master key and store, opened together and closed together.

Every process of the gateway (command, worker, web pages) begins here, so that all of them read the
same files by the same rules.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from ime_gateway.app.entropy import PooledRandomness
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.load import load_settings
from ime_gateway.settings.model import Settings
from ime_gateway.store.database import Store, open_store
from ime_gateway.store.master_key import read_master_key
from ime_gateway.store.migrations.run import SchemaState, newer_sentence


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
        """Raises ConfigurationError, saying what to do, when the database is of another version than this program."""
        sentence = schema_trouble(self.store.schema_state())
        if sentence:
            raise ConfigurationError(sentence)

    def upgrade_schema(self) -> SchemaState:
        """Bring an older database to this version; how it was before. Only the one `serve` or `upgrade` of an
        installation calls this. Raises ConfigurationError when there is no schema, or a newer one."""
        state = self.store.schema_state()
        if state.kind == "older":
            self.store.migrate()
        elif state.kind != "current":
            raise ConfigurationError(schema_trouble(state))
        return state


def schema_trouble(state: SchemaState) -> str:
    """What is wrong with the schema and what to do, in one sentence; empty when it is of this version."""
    match state.kind:
        case "current":
            return ""
        case "older":
            return (
                f"the database is of an older version of this program (schema {state.found}, needed {state.wanted});"
                " start ime-gateway serve, which upgrades it, or run: ime-gateway upgrade"
            )
        case "newer":
            return newer_sentence(state)
        case "missing":
            return "the database has no schema: it is empty or not the gateway's; see [store] url, or ime-gateway init"
        case _:
            assert_never(state.kind)


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


@contextmanager
def open_current_installation(config: Path) -> Iterator[Installation]:
    """The installation for a command: also raises ConfigurationError when the database is of another version, before
    anything is read as if it were of this one."""
    with open_installation(config) as installation:
        installation.require_current_schema()
        yield installation


def open_installed_store(settings: Settings, master_key: bytes, config: Path) -> Store:
    """The store that `settings` name; spooled bodies lie beside `gateway.toml`. Raises ConfigurationError."""
    folder = config.absolute().parent
    return open_store(settings.store.url, master_key, folder, SystemClock(), PooledRandomness())
