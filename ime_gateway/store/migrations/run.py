"""Brings a database to the schema of this version, from inside the program: nobody runs a tool by hand.

Only upwards: a database of a newer version is left alone, because going back would throw away what only the
newer version knows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, inspect, text

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.store.connections import Connections
from ime_gateway.store.schema import meta, site

KNOWN = sorted(file.name[1:5] for file in (Path(__file__).parent / "versions").glob("v[0-9]*.py"))
"""Numbers of all migrations of this program, each from the name of its file."""


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
        _run_missing(connection)
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
    found, wanted = _found(connection), KNOWN[-1]
    if found == wanted:
        return SchemaState("current", found, wanted)
    if not found:
        return SchemaState("missing", found, wanted)
    return SchemaState("older" if found in KNOWN else "newer", found, wanted)


def _found(connection: Connection) -> str:
    """What Alembic has noted in the database; asked whenever it is opened, and Alembic takes long to load."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _run_missing(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")


def _first_rows(connection: Connection, key_id: str) -> None:
    found = connection.execute(meta.select().where(meta.c.name == "key_check")).one_or_none()
    if found is None:
        connection.execute(meta.insert().values(name="key_check", value=key_id))
        connection.execute(site.insert().values(id=1, generation=1, policy="{}"))
    elif found.value != key_id:
        raise StoreUnavailable("this database was sealed by another master key than the one in use")
