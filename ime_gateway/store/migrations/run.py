"""Brings a database to the schema of this version, from inside the program: nobody runs a tool by hand."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.store.connections import Connections
from ime_gateway.store.schema import meta, site


def upgrade(connections: Connections, key_id: str) -> None:
    """Run all migrations that are missing, in one transaction; a new store also gets its first rows."""
    with connections.create() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(4724801)"))  # one node migrates, the others wait
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
        _first_rows(connection, key_id)


def schema_is_current(connections: Connections) -> bool:
    """Whether every migration of this version was run and no newer one."""
    with connections.read() as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    return set(current) == set(ScriptDirectory.from_config(_configuration()).get_heads())


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return configuration


def _first_rows(connection: Connection, key_id: str) -> None:
    found = connection.execute(meta.select().where(meta.c.name == "key_check")).one_or_none()
    if found is None:
        connection.execute(meta.insert().values(name="key_check", value=key_id))
        connection.execute(site.insert().values(id=1, generation=1, policy="{}"))
    elif found.value != key_id:
        raise StoreUnavailable("this database was sealed by another master key than the one in use")
