"""Domain keys, address settings, archive certificates, checks and notices: the same on both engines and in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ime_gateway.ports.registry import Registry
from ime_gateway.ports.thumbprint_checks import ThumbprintCheck
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy
from ime_gateway.store.database import Store
from tests.doubles.memory_registry import MemoryRegistry
from tests.integration.store_contract.databases import PostgresqlDatabase, SqliteDatabase, TestDatabase
from tests.pki import Entity, make_ca, make_user

ACME = ManagedDomain(name="acme.example", deliver_to="mx")


@pytest.fixture(scope="module")
def keys() -> list[Entity]:
    return [make_user("domain-confidentiality-authority@acme.example") for _ in range(3)]


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    if request.param == "memory":
        yield MemoryRegistry()
        return
    if request.param == "sqlite":
        database: TestDatabase = SqliteDatabase(tmp_path)
    else:
        database = PostgresqlDatabase(request.getfixturevalue("postgresql_server"), tmp_path)
    yield database.open().registry
    database.close()


def states(registry: Registry) -> dict[str, str]:
    with registry.transaction(write=False) as live:
        return {key.certificate.thumbprint: key.state for key in live.domain_keys.list("acme.example")}


def put(registry: Registry, key: Entity, state: str) -> bool:
    with registry.transaction(write=True) as live:
        return live.domain_keys.put("acme.example", key.certificate, key.key_der, state)


def test_a_domain_has_one_current_and_one_next_key(registry: Registry, keys: list[Entity]) -> None:
    one, two, three = (key.certificate.thumbprint for key in keys)
    assert put(registry, keys[0], "current")
    assert put(registry, keys[1], "next")
    assert states(registry) == {one: "current", two: "next"}
    assert put(registry, keys[2], "next")
    assert states(registry) == {one: "current", three: "next", two: "older"}
    with registry.transaction(write=True) as live:
        assert live.domain_keys.set_state("acme.example", three, "current")
        assert not live.domain_keys.set_state("acme.example", three, "current")
        assert not live.domain_keys.set_state("other.example", three, "next")
    assert states(registry) == {three: "current", one: "older", two: "older"}
    with registry.transaction(write=False) as live:
        assert [key.state for key in live.domain_keys.list()] == ["current", "older", "older"]
        assert live.domain_keys.list("other.example") == []


def test_a_known_key_only_changes_its_state(registry: Registry, keys: list[Entity]) -> None:
    assert put(registry, keys[0], "current")
    assert not put(registry, keys[0], "current")
    assert put(registry, keys[0], "older")
    thumbprint = keys[0].certificate.thumbprint
    assert states(registry) == {thumbprint: "older"}
    with registry.transaction(write=True) as live:
        assert live.domain_keys.set_announced("acme.example", thumbprint, 5.0)
        assert not live.domain_keys.set_announced("acme.example", "sha256:00", 5.0)
    with registry.transaction(write=True) as live:
        (key,) = live.domain_keys.list()
        assert key.announced_at == 5.0
        assert live.domain_keys.private_key("acme.example", thumbprint) == keys[0].key_der
        assert live.domain_keys.private_key("other.example", thumbprint) is None
        assert live.domain_keys.delete("acme.example", thumbprint)
        assert not live.domain_keys.delete("acme.example", thumbprint)
        assert live.domain_keys.private_key("acme.example", thumbprint) is None


def test_addresses_and_the_archive_are_part_of_the_view(registry: Registry, keys: list[Entity]) -> None:
    dave = AddressSettings(address="dave@x.example", encryption="mandatory")
    with registry.transaction(write=True) as live:
        assert live.put_address(dave)
        assert live.put_additional_certificates([keys[0].certificate, keys[1].certificate])
    with registry.transaction(write=False) as live:
        view = live.view()
        assert view.addresses == {"dave@x.example": dave}
        assert view.addresses["dave@x.example"].as_stored() == dave.as_stored()
        assert view.additional_certificates == (keys[0].certificate, keys[1].certificate)
    with registry.transaction(write=True) as live:
        assert live.delete_address("dave@x.example")
        assert not live.delete_address("dave@x.example")
        assert live.put_additional_certificates([])
        assert live.view().addresses == {} and live.view().additional_certificates == ()


def test_checks_and_notices(registry: Registry) -> None:
    first = ThumbprintCheck("sha256:aa", 1.0, "cli:ada", "phone", "Bea \u2603", "note")
    second = ThumbprintCheck("sha256:aa", 2.0, "cli:ada", "letter", "Bea")
    with registry.transaction(write=True) as live:
        assert live.checks.put(first) and live.checks.put(second)
        assert not live.checks.put(first)
        assert live.checks.put(ThumbprintCheck("sha256:bb", 1.0, "cli:ada", "other", "Cid"))
        assert live.notices.tell("a", 10.0) and live.notices.tell("b", 20.0)
        assert not live.notices.tell("a", 30.0)
    with registry.transaction(write=True) as live:
        assert live.checks.list("sha256:aa") == [second, first]
        assert len(live.checks.list()) == 3
        assert live.notices.told("a") and not live.notices.told("c")
        assert live.notices.forget(10.0) == 1
        assert not live.notices.told("a") and live.notices.told("b")


def test_ends_of_people_are_walked_through_page_by_page(registry: Registry) -> None:
    root = make_ca()
    people = [make_user(f"u{number}@x.example", root) for number in range(5)]
    with registry.transaction(write=True) as live:
        live.put_certificate(root.certificate, (), None)
        for person in people:
            live.put_certificate(person.certificate, person.certificate.addresses, None)
    with registry.transaction(write=False) as live:
        first = live.people_ends(limit=3)
        rest = live.people_ends(after=first[-1].thumbprint, limit=3)
    found = {one.addresses: one.not_after for one in (*first, *rest)}
    assert found == {tuple(one.certificate.addresses): one.certificate.not_after for one in people}
    assert len(rest) == 2


def test_domain_keys_go_with_their_domain_and_stay_when_it_changes(database: TestDatabase, keys: list[Entity]) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(ACME, ())
    assert put(store.registry, keys[0], "current")
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(ACME.model_copy(update={"deliver_to": "smtp://h:25"}), ())
    assert len(states(store.registry)) == 1
    with store.registry.transaction(write=True) as live:
        live.delete_domain("acme.example")
    assert states(store.registry) == {}


def test_domain_keys_lie_sealed_for_their_domain(database: TestDatabase, keys: list[Entity]) -> None:
    store = database.open()
    put(store.registry, keys[0], "current")
    engine = create_engine(database.url)
    with engine.begin() as connection:
        (sealed,) = connection.execute(text("SELECT sealed_private_key FROM domain_keys")).one()
        assert keys[0].key_der not in bytes(sealed) and bytes(sealed)[-100:] not in keys[0].key_der
        connection.execute(text("UPDATE domain_keys SET domain = 'evil.example'"))
    engine.dispose()
    with store.registry.transaction(write=False) as live, pytest.raises(Exception, match="cannot be opened"):
        live.domain_keys.private_key("evil.example", keys[0].certificate.thumbprint)


def generation(store: Store) -> int:
    with store.registry.transaction(write=False) as live:
        return live.view().generation


def test_what_mail_depends_on_raises_the_generation(database: TestDatabase, keys: list[Entity]) -> None:
    store = database.open()
    before = generation(store)
    with store.registry.transaction(write=True) as live:
        live.checks.put(ThumbprintCheck("sha256:aa", 1.0, "cli:ada", "phone", "Bea"))
        live.notices.tell("a", 10.0)
        live.put_additional_certificates([])
        live.delete_address("nobody@x.example")
    assert generation(store) == before, "nothing of it concerns mail"
    put(store.registry, keys[0], "current")
    assert generation(store) == before + 1
    with store.registry.transaction(write=True) as live:
        live.put_address(AddressSettings(address="a@x.example", encryption="never"))
    assert generation(store) == before + 2
    with store.registry.transaction(write=True) as live:
        live.put_address(AddressSettings(address="a@x.example", encryption="never"))
    assert generation(store) == before + 2, "said again"


def test_a_key_that_names_the_default_is_kept_as_named(database: TestDatabase) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as live:
        live.put_policy(Policy(encryption="on-request"))
        live.put_partner_domain(PartnerDomain(name="x.example", route=""), ())
    with store.registry.transaction(write=False) as live:
        view = live.view()
    assert view.policy.as_stored() == {"encryption": "on-request"}
    assert view.partners["x.example"].as_stored() == {"name": "x.example", "route": ""}


def test_a_reading_transaction_changes_nothing(database: TestDatabase, keys: list[Entity]) -> None:
    registry = database.open().registry
    for change in (
        lambda live: live.domain_keys.put("acme.example", keys[0].certificate, keys[0].key_der, "current"),
        lambda live: live.checks.put(ThumbprintCheck("sha256:aa", 1.0, "a", "phone", "Bea")),
        lambda live: live.notices.tell("a", 1.0),
        lambda live: live.put_address(AddressSettings(address="a@x.example")),
        lambda live: live.put_additional_certificates([keys[0].certificate]),
    ):
        with registry.transaction(write=False) as live, pytest.raises(RuntimeError):
            change(live)
    assert states(registry) == {}
