"""The same contract on both engines: every test that asks for `database` runs twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.postgresql_server import PostgresqlServer
from tests.integration.store_contract.databases import PostgresqlDatabase, SqliteDatabase, TestDatabase


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestDatabase]:
    if request.param == "sqlite":
        made: TestDatabase = SqliteDatabase(tmp_path)
    else:
        made = PostgresqlDatabase(request.getfixturevalue("postgresql_server"), tmp_path)
    yield made
    made.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteDatabase]:
    made = SqliteDatabase(tmp_path)
    yield made
    made.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresqlDatabase]:
    """A PostgreSQL that the test may stop."""
    with PostgresqlServer() as server:
        made = PostgresqlDatabase(server, tmp_path)
        yield made
        made.close()
