"""Migrations make exactly the schema that the store describes, on both engines."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from ime_gateway.store.migrations import run
from ime_gateway.store.schema import metadata
from tests.integration.store_contract.databases import TestDatabase


def test_the_migrated_schema_is_the_described_one(database: TestDatabase) -> None:
    engine = create_engine(database.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_names_of_the_files_are_what_alembic_reads_in_them() -> None:
    script = ScriptDirectory(str(Path(run.__file__).parent))
    assert sorted(revision.revision for revision in script.walk_revisions()) == run.KNOWN
    assert run.KNOWN[-1] == script.get_current_head()


def test_migrating_again_changes_nothing(database: TestDatabase) -> None:
    store = database.open()
    store.migrate()
    assert store.schema_is_current()
    assert database.query("SELECT generation FROM site") == [(1,)]


def test_a_newer_schema_is_not_current(database: TestDatabase) -> None:
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert not database.open().schema_is_current()


def test_a_new_database_file_is_for_its_owner_alone(database: TestDatabase) -> None:
    for path in database.folder.glob("gateway.db*"):
        assert path.stat().st_mode & 0o077 == 0, path
