"""The built-in CA in the store, on both engines: kept, sealed, found, revoked, and seen by every worker."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.authorities import IssuedEntry, KeyRequest
from tests.doubles.memory_registry import MemoryRegistry
from tests.integration.store_contract.databases import PostgresqlDatabase, TestDatabase
from tests.pki import Entity, make_ca, make_user

CANARY = b"canary-private-key-of-a-ca"


@pytest.fixture(scope="module")
def root() -> Entity:
    return make_ca("Contract Root", kind="p256")


@pytest.fixture(scope="module")
def issuing(root: Entity) -> Entity:
    return make_ca("Contract CA", root, kind="p256")


class Books:
    """A registry with a clock that can be moved: of a database, or the double."""

    def __init__(self, database: TestDatabase | None) -> None:
        self._database = database
        self._double = MemoryRegistry()

    def open(self) -> Any:
        """The registry as one more process sees it."""
        return self._double if self._database is None else self._database.open().registry

    def later(self) -> None:
        if self._database is None:
            self._double.now += 10
        else:
            self._database.clock.ahead += 10


@pytest.fixture(params=["sqlite", "postgresql", "double"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    if request.param == "postgresql":
        made = PostgresqlDatabase(request.getfixturevalue("postgresql_server"), tmp_path)
        yield Books(made)
        made.close()
    else:
        yield Books(request.getfixturevalue("sqlite") if request.param == "sqlite" else None)


def issued(issuer: Entity, owner: str, at: float) -> IssuedEntry:
    made = make_user(owner, issuer, kind="p256")
    return IssuedEntry(issuer.certificate.thumbprint, made.certificate, owner, "user", at)


def test_authorities_are_kept_and_ordered(books: Books, root: Entity, issuing: Entity) -> None:
    registry = books.open()
    with registry.transaction(write=True) as live:
        live.authorities.put(issuing.certificate, "issuing", b"one")
        live.authorities.put(root.certificate, "root", b"two")
        first, second = live.authorities.list()
    assert (first.certificate, first.role, first.state, first.crl_number) == (root.certificate, "root", "active", 0)
    assert (first.crl, first.crl_next_update, first.has_private_key) == (None, None, True)
    assert first.name == "root-" + root.certificate.thumbprint[7:23] and second.role == "issuing"
    later = make_ca("Later CA", root, kind="p256")
    books.later()
    with registry.transaction(write=True) as live:
        live.authorities.put(later.certificate, "issuing", b"three")
        live.authorities.set_state(issuing.certificate.thumbprint, "retired")
        live.authorities.put_crl(root.certificate.thumbprint, 7, b"list", 1234.5)
    with books.open().transaction(write=False) as live:
        found = live.authorities.list()
        assert [one.certificate for one in found] == [root.certificate, later.certificate, issuing.certificate]
        assert (found[0].crl_number, found[0].crl, found[0].crl_next_update) == (7, b"list", 1234.5)
        assert live.authorities.private_key(later.certificate.thumbprint) == b"three"


def test_keys_lie_sealed_each_for_its_row(database: TestDatabase, root: Entity, issuing: Entity) -> None:
    registry = database.open().registry
    request = KeyRequest("r1", "anna@acme.example", "user", b"request", 1.0)
    with registry.transaction(write=True) as live:
        live.authorities.put(root.certificate, "root", CANARY)
        live.authorities.put(issuing.certificate, "issuing", CANARY)
        live.authorities.put_request(request, CANARY)
        assert live.authorities.request_key("r1") == live.authorities.private_key(root.certificate.thumbprint) == CANARY
    assert CANARY not in database.raw_bytes()
    database.execute(
        "UPDATE authorities SET sealed_private_key = (SELECT sealed_private_key FROM authorities WHERE role = 'root')"
    )
    with registry.transaction(write=False) as live:
        assert live.authorities.private_key(root.certificate.thumbprint) == CANARY
        with pytest.raises(StoreUnavailable):
            live.authorities.private_key(issuing.certificate.thumbprint)


def test_a_key_goes_offline_and_comes_back(books: Books, root: Entity) -> None:
    registry, thumbprint = books.open(), root.certificate.thumbprint
    with registry.transaction(write=True) as live:
        live.authorities.put(root.certificate, "root", CANARY)
        live.authorities.put_private_key(thumbprint, None)
        assert live.authorities.private_key(thumbprint) is None
        assert not live.authorities.list()[0].has_private_key
    with registry.transaction(write=True) as live:
        live.authorities.put_private_key(thumbprint, CANARY)
        assert live.authorities.private_key(thumbprint) == CANARY


def test_what_was_issued_is_found_in_every_way(books: Books, root: Entity, issuing: Entity) -> None:
    registry = books.open()
    anna, bert = issued(issuing, "anna@acme.example", 10.0), issued(issuing, "bert@acme.example", 20.0)
    below = replace(issued(root, "ca@acme.example", 5.0), purpose="authority")
    with registry.transaction(write=True) as live:
        live.authorities.put(root.certificate, "root", b"x")
        for entry in (anna, bert, below):
            live.authorities.put_issued(entry)
        assert live.authorities.revoke(bert.certificate.thumbprint, 30.0, "keyCompromise")
        assert not live.authorities.revoke(bert.certificate.thumbprint, 40.0, "superseded"), "once for all"
        assert not live.authorities.revoke("sha256:unknown", 40.0, "superseded")
    revoked = replace(bert, revoked_at=30.0, revocation_reason="keyCompromise")
    with books.open().transaction(write=False) as live:
        found = live.authorities
        assert found.issued() == [revoked, anna, below]
        assert found.issued(limit=1, offset=1) == [anna]
        assert found.issued(authority=root.certificate.thumbprint) == [below]
        assert found.issued(owner="anna@acme.example") == [anna]
        assert found.issued(revoked=True, limit=None) == [revoked]
        assert found.issued(revoked=False) == [anna, below]
        assert found.issued(thumbprint=anna.certificate.thumbprint[:20]) == [anna]
        assert found.issued(thumbprint="sha256:%") == []
        assert found.thumbprints() == {one.certificate.thumbprint for one in (anna, bert, below)} | {
            root.certificate.thumbprint
        }


def test_a_revocation_reaches_every_worker(database: TestDatabase, issuing: Entity) -> None:
    writer, reader = database.open(), database.open()
    anna = issued(issuing, "anna@acme.example", 10.0)
    with writer.registry.transaction(write=True) as live:
        live.authorities.put_issued(anna)
    before = asyncio.run(reader.directory.view()).generation
    with writer.registry.transaction(write=True) as live:
        live.authorities.revoke(anna.certificate.thumbprint, 20.0, "superseded")
    assert asyncio.run(reader.directory.view()).generation == before + 1


def test_requests_wait_until_they_are_answered(books: Books) -> None:
    registry = books.open()
    first = KeyRequest("b", "anna@acme.example", "user", b"1", 1.0)
    second = KeyRequest("a", "acme.example", "domain", b"2", 2.0)
    with registry.transaction(write=True) as live:
        live.authorities.put_request(second, b"k2")
        live.authorities.put_request(first, b"k1")
    with registry.transaction(write=True) as live:
        assert live.authorities.requests() == [first, second]
        assert live.authorities.requests("acme.example") == [second]
        assert live.authorities.delete_request("a") and not live.authorities.delete_request("a")
        assert live.authorities.request_key("a") is None
        assert live.authorities.requests() == [first]


def test_a_transaction_for_reading_changes_nothing(database: TestDatabase, root: Entity) -> None:
    with database.open().registry.transaction(write=False) as live, pytest.raises(RuntimeError):
        live.authorities.put(root.certificate, "root", b"x")


def test_an_error_undoes_it(books: Books, root: Entity) -> None:
    registry = books.open()
    with pytest.raises(KeyError), registry.transaction(write=True) as live:
        live.authorities.put(root.certificate, "root", b"x")
        raise KeyError
    with registry.transaction(write=False) as live:
        assert live.authorities.list() == []
