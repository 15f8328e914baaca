"""One text for two engines, and few texts for many rows."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.store.dialect import POSTGRESQL, SQLITE, Transaction, batch_sizes


@given(st.integers(0, 100_000), st.integers(1, 64))
def test_batches_add_up_in_few_sizes(count: int, largest: int) -> None:
    sizes = list(batch_sizes(count, largest))
    assert sum(sizes) == count
    assert len(set(sizes)) <= 8
    assert max(sizes, default=0) <= largest


def test_each_engine_gets_its_own_text() -> None:
    template = "INSERT INTO t VALUES [(?, {now} + ?)]"
    assert SQLITE.text("SELECT ? {skip_locked}").strip() == "SELECT ?"
    assert POSTGRESQL.text("SELECT ? {skip_locked}") == "SELECT %s FOR UPDATE SKIP LOCKED"
    assert POSTGRESQL.text(template, 2).count("statement_timestamp()") == 2
    assert POSTGRESQL.text("x IN ({list})", 3) == "x IN (%s,%s,%s)"


@pytest.fixture
def transaction() -> Iterator[Transaction]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a, b)")
        yield Transaction(connection.cursor(), SQLITE)


def test_many_rows_and_many_keys(transaction: Transaction) -> None:
    rows = [(number, f"v{number}") for number in range(201)]
    transaction.insert("INSERT INTO t (a, b) VALUES [(?, ?)]", rows)
    assert transaction.run("SELECT a, b FROM t ORDER BY a") == rows
    found = transaction.run_for("SELECT a FROM t WHERE a IN ({list})", list(range(150, 300)))
    assert sorted(found) == [(number,) for number in range(150, 201)]
    transaction.insert("INSERT INTO t (a, b) VALUES [(?, ?)]", [])
    assert transaction.run_for("SELECT a FROM t WHERE a IN ({list})", []) == []


def test_the_clock_of_the_database_is_the_time(transaction: Transaction) -> None:
    ((ours, theirs),) = transaction.run("SELECT {now}, strftime('%s', 'now')".replace("%", "%"))
    assert abs(ours - int(theirs)) <= 1.0
