"""`ime-gateway init`: a new installation, complete enough that the next command can be `check`."""

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ime_gateway.admin.accounts import Accounts
from ime_gateway.app.cli.show import say
from ime_gateway.app.installation import open_installed_store
from ime_gateway.base.errors import ConfigurationError, UserError
from ime_gateway.settings.annotate import annotated_gateway_toml
from ime_gateway.settings.load import load_settings
from ime_gateway.store.master_key import create_master_key

ADMINISTRATOR = "admin"
_TAKEN = "that database belongs to an installation already; for another node, copy its gateway.toml and master.key"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the installation shall live; new or empty.", show_default=False)
    ],
    store: Annotated[
        str,
        typer.Option("--store", metavar="URL", help="sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DB."),
    ] = "sqlite:///gateway.db",
) -> None:
    """Make a new installation: gateway.toml, master.key, database, first administrator."""
    config = folder / "gateway.toml"
    with _new_folder(folder):
        _write_private(config, annotated_gateway_toml(hostname=_hostname(), store_url=store))
        settings = load_settings(config, {})
        key = create_master_key(folder / "master.key", secrets.token_bytes)
        try:
            opened = open_installed_store(settings, key, config)
        except ConfigurationError as error:
            raise UserError(_TAKEN, error.evidence) from None  # our key is new: the database has another's
        try:
            opened.migrate()
            if opened.registry.admin(ADMINISTRATOR) is not None:
                raise UserError(_TAKEN)
            password = Accounts(opened.registry, secrets.token_bytes).create(ADMINISTRATOR)
        finally:
            opened.close()
    say(f"Made a new installation in {folder}. Keep a copy of master.key in a safe place: nothing opens without it.")
    say(f"Administrator: {ADMINISTRATOR}")
    say(f"One-time password: {password}")
    say()
    say("Next:")
    say(f"  ime-gateway apply SITE.toml -c {config}     your domains, certificates and policy (see config/site.toml)")
    say(f"  ime-gateway check -c {config}               finds what is still wrong")
    say(f"  ime-gateway serve -c {config}")


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """The folder, made or empty; left as it was found when the block fails, so that init can be repeated."""
    try:
        existed = folder.is_dir()
        if existed and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty; choose a new folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be used: {error.strerror}") from None
    try:
        yield
    except BaseException:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not existed:
            folder.rmdir()
        raise


def _write_private(path: Path, text: str) -> None:
    """0600: the store's URL may hold a password."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _hostname() -> str:
    """The machine's name for the greeting; a name that no DNS knows is still better than none."""
    name = socket.gethostname().strip().lower().rstrip(".")
    return name or "localhost"
