"""Brings a database to the schema of this version, from inside the program: nobody runs a tool by hand.

Only upwards: a database of a newer version is left alone, because going back would throw away what only the
newer version knows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.store.connections import Connections
from ime_gateway.store.schema import meta, site


@dataclass(frozen=True, slots=True)
class SchemaState:
    """How the schema of a database stands to this program."""

    kind: Literal["missing", "older", "current", "newer"]
    found: str
    """Number of the last migration that was run; empty when there is none."""
    wanted: str
    """Number of the last migration that this program knows."""


def upgrade(connections: Connections, key_id: str) -> None:
    """Run all migrations that are missing, in one transaction; a new store also gets its first rows.

    Raises StoreUnavailable, and changes nothing, when the schema is newer than this program."""
    with connections.create() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(4724801)"))  # one node migrates, the others wait
        state = _state(connection)
        if state.kind == "newer":
            raise StoreUnavailable(newer_sentence(state))
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
        _first_rows(connection, key_id)


def schema_state(connections: Connections) -> SchemaState:
    """How the schema stands to this program; StoreUnavailable when it cannot be read."""
    with connections.read() as connection:
        return _state(connection)


def newer_sentence(state: SchemaState) -> str:
    """What to do about a database that a newer program has made."""
    return (
        f"the database was made or upgraded by a newer version of this program (schema {state.found}, this program"
        f" knows {state.wanted}) and is left as it is; install that version again"
    )


def _state(connection: Connection) -> SchemaState:
    """A number that this program does not know was given by a newer one: released migrations never go away."""
    found = "".join(MigrationContext.configure(connection).get_current_heads()[:1])
    script = ScriptDirectory.from_config(_configuration())
    wanted = script.get_current_head() or ""
    if found == wanted:
        return SchemaState("current", found, wanted)
    if not found:
        return SchemaState("missing", found, wanted)
    known = {revision.revision for revision in script.walk_revisions()}
    return SchemaState("older" if found in known else "newer", found, wanted)


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
