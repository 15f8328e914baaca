"""The Registry of ports/registry: administrators' changes whole or not at all, on both engines."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ime_gateway.base.errors import StoreUnavailable, UserError
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.queue import LeasedRow
from ime_gateway.ports.registry import AdminAccount
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from ime_gateway.store.database import Store
from tests.integration.store_contract.databases import TestDatabase
from tests.integration.store_contract.parcels import make_event, make_parcel, settlement
from tests.pki import Entity, make_ca, make_user


@pytest.fixture(scope="module")
def root() -> Entity:
    return make_ca("Contract Root")


@pytest.fixture(scope="module")
def user(root: Entity) -> Entity:
    return make_user("bob@partner.example", root)


def generation(store: Store) -> int:
    with store.registry.transaction(write=False) as reading:
        return reading.view().generation


def enqueue(store: Store, owner: str | None = None, *recipients: str) -> list[LeasedRow]:
    parcel = make_parcel(store, groups=(recipients or ("bob@partner.example",),))
    return asyncio.run(store.queue.enqueue(parcel, [], owner))


def states(store: Store) -> list[str]:
    return [line.state for line in store.registry.queue_lines()]


def lease(store: Store) -> Sequence[LeasedRow]:
    return asyncio.run(store.queue.lease("w9", 100))


def test_live_data_of_a_newer_version_are_no_live_data(database: TestDatabase) -> None:
    """A node that was not upgraded yet says why it takes no mail, and never says what the settings hold."""
    store = database.open()
    store.registry.check_live_data()
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="mx"), [])
    store.registry.check_live_data()
    database.execute(
        'UPDATE domains SET settings = \'{"name": "acme.example", "deliver_to": "mx", "later": "kumquat"}\''
    )
    database.execute("UPDATE site SET generation = generation + 1")
    for ask in (store.registry.check_live_data, lambda: asyncio.run(store.directory.view())):
        with pytest.raises(StoreUnavailable, match="not of this version") as trouble:
            ask()
        assert "later" in trouble.value.evidence
        assert "kumquat" not in str(trouble.value) + trouble.value.evidence
    database.execute('UPDATE domains SET settings = \'{"name": "acme.example", "deliver_to": "mx"}\'')
    store.registry.check_live_data()


def test_an_error_undoes_the_whole_use_case(database: TestDatabase) -> None:
    store = database.open()
    before = generation(store)
    with pytest.raises(UserError), store.registry.transaction(write=True) as change:
        change.put_policy(Policy(result_tags=False))
        change.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="mx"), [])
        change.audit("admin", "apply", "half")
        raise UserError("the third file is missing")
    with store.registry.transaction(write=False) as reading:
        assert reading.view().managed == {}
        assert reading.view().policy == Policy()
        assert reading.audit_lines() == []
    assert generation(store) == before


def test_the_generation_rises_once_and_only_when_something_changed(
    database: TestDatabase, root: Entity, user: Entity
) -> None:
    store = database.open()
    before = generation(store)
    domain = ManagedDomain(name="acme.example", deliver_to="mx")
    entry = TrustEntry(user.certificate.thumbprint, "allow", allow_expired=True, note="by telephone")
    for results_expected in (True, False):
        with store.registry.transaction(write=True) as change:
            change.put_policy(Policy(result_tags=False))
            change.put_managed_domain(domain, [root.certificate])
            results = [
                change.put_root(root.certificate),
                change.put_trust(entry),
                change.put_certificate(user.certificate, ["bob@partner.example"], user.key_der),
            ]
            change.audit("admin", "apply", "same file")
        assert results == [results_expected] * 3
        assert generation(store) == before + 1
    with store.registry.transaction(write=True) as change:
        assert change.delete_domain("acme.example")
        assert not change.delete_domain("acme.example")
        assert change.delete_root(root.certificate.thumbprint)
        assert not change.delete_root(root.certificate.thumbprint)
        assert change.delete_trust(entry.thumbprint)
        assert not change.delete_trust(entry.thumbprint)
    assert generation(store) == before + 2


def test_a_transaction_for_reading_refuses_changes(database: TestDatabase) -> None:
    with database.open().registry.transaction(write=False) as reading, pytest.raises(RuntimeError):
        reading.put_policy(Policy())


def test_a_transaction_sees_its_own_changes(database: TestDatabase) -> None:
    with database.open().registry.transaction(write=True) as change:
        change.put_partner_domain(PartnerDomain(name="partner.example"), [])
        assert set(change.view().partners) == {"partner.example"}


def test_a_domain_changes_its_kind_and_certificates(database: TestDatabase, root: Entity, user: Entity) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as change:
        change.put_partner_domain(PartnerDomain(name="x.example"), [root.certificate, user.certificate])
        assert change.view().domain_certificates == {"x.example": (root.certificate, user.certificate)}
        change.put_managed_domain(ManagedDomain(name="x.example", deliver_to="mx"), [user.certificate])
        view = change.view()
    assert (set(view.managed), set(view.partners)) == ({"x.example"}, set())
    assert view.domain_certificates == {"x.example": (user.certificate,)}


def test_certificates_are_found_in_every_way(database: TestDatabase, user: Entity) -> None:
    store = database.open()
    thumbprint = user.certificate.thumbprint
    with store.registry.transaction(write=True) as change:
        assert change.put_certificate(user.certificate, ["bob@partner.example"], None)
        assert change.put_certificate(user.certificate, ["bob@partner.example", "rob@partner.example"], None)
        assert change.put_certificate(user.certificate, [], user.key_der)
        assert not change.put_certificate(user.certificate, ["rob@partner.example"], user.key_der)
    with store.registry.transaction(write=False) as reading:
        (entry,) = reading.certificates()
        assert entry.certificate == user.certificate
        assert entry.addresses == ("bob@partner.example", "rob@partner.example")
        assert entry.has_private_key
        for found in (
            reading.certificates(address="rob@partner.example"),
            reading.certificates(search="ROB@"),
            reading.certificates(search=user.certificate.subject[:6]),
            reading.certificates(search=thumbprint[12:30]),
        ):
            assert found == [entry]
        for missed in (
            reading.certificates(address="ob@partner.example"),
            reading.certificates(search="%"),
            reading.certificates(offset=1),
        ):
            assert missed == []
        assert reading.certificate(thumbprint) == entry
        assert reading.certificate(thumbprint[:20]) == entry
        assert reading.certificate(thumbprint.removeprefix("sha256:")[:12].upper()) == entry
        assert reading.certificate("sha256:" + "0" * 64) is None
        with pytest.raises(UserError):
            reading.certificate("sha256:ab")
        assert reading.private_key(thumbprint) == user.key_der
        assert reading.private_key("sha256:" + "0" * 64) is None


def test_an_ambiguous_thumbprint_is_refused(database: TestDatabase, user: Entity, root: Entity) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as change:
        change.put_certificate(user.certificate, [], None)
        change.put_certificate(root.certificate, [], None)
    database.execute("UPDATE certificates SET thumbprint = %s WHERE is_ca", user.certificate.thumbprint[:-1] + "x")
    with store.registry.transaction(write=False) as reading, pytest.raises(UserError):
        reading.certificate(user.certificate.thumbprint[:30])


def test_private_keys_lie_sealed_and_only_for_their_certificate(
    database: TestDatabase, root: Entity, user: Entity
) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as change:
        change.put_certificate(user.certificate, [], user.key_der)
        change.put_certificate(root.certificate, [], root.key_der)
    raw = database.raw_bytes()
    assert user.der[:200] in raw, "the search looks where the data lies"
    assert isinstance(user.key, rsa.RSAPrivateKey)
    secret = f"{user.key.private_numbers().d:0512x}"[2:202]  # without the first octet, which may be zero and left out
    assert bytes.fromhex(secret) in user.key_der
    assert bytes.fromhex(secret) not in raw
    database.execute(
        "UPDATE certificates SET sealed_private_key ="
        " (SELECT sealed_private_key FROM certificates WHERE thumbprint = %s)",
        user.certificate.thumbprint,
    )
    with store.registry.transaction(write=False) as reading:
        assert reading.private_key(user.certificate.thumbprint) == user.key_der
        with pytest.raises(StoreUnavailable):
            reading.private_key(root.certificate.thumbprint)


def test_administrators(database: TestDatabase) -> None:
    registry = database.open().registry
    assert registry.admin("admin") is None
    registry.put_admin(AdminAccount("admin", "$argon2id$1", must_change=True))
    registry.put_admin(AdminAccount("admin", "$argon2id$2", must_change=False))
    assert registry.admin("admin") == AdminAccount("admin", "$argon2id$2", must_change=False)


def test_events_are_found_by_all_filters_oldest_first(database: TestDatabase) -> None:
    store = database.open()
    events = [
        make_event("accepted", id="m1", recipient="bob@x.example", message_id="<1@a>"),
        make_event("deferred", id="m1", recipient="bob@x.example", message_id="<1@a>", row="r1"),
        make_event("accepted", id="m2", recipient="bob@x.example", message_id="<2@a>", sender="carol@acme.example"),
    ]
    asyncio.run(store.queue.record(events))
    find = store.registry.events
    assert find() == events
    assert find(limit=2) == events[1:]
    assert find(id="m1") == events[:2]
    assert find(message_id="<2@a>") == find(sender="Carol@acme.example") == events[2:]
    assert find(recipient="bob@x.example", id="m2") == events[2:]
    assert find(recipient="nobody@x.example") == []


def test_rows_that_are_held_wait_for_release(database: TestDatabase) -> None:
    store = database.open()
    enqueue(store, None, "a@x.example", "b@x.example")
    (first, second) = store.registry.queue_lines()
    assert store.registry.hold([first.row], "admin") == 1
    assert store.registry.hold([first.row], "admin") == 0
    assert store.registry.queue_counts() == {"queued": 1, "sending": 0, "deferred": 0, "held": 1}
    assert [row.row.id for row in lease(store)] == [second.row]
    assert [event.event for event in store.registry.events(id=first.id)] == ["held"]
    assert store.registry.retry([first.row], "admin") == 0
    assert store.registry.release([first.id], "admin") == 1
    assert [row.row.id for row in lease(store)] == [first.row]


def test_a_row_that_is_being_sent_is_held_after_the_attempt(database: TestDatabase) -> None:
    store = database.open()
    (leased,) = enqueue(store, "w1")
    assert store.registry.hold([leased.row.id], "admin") == 1
    assert states(store) == ["sending"]
    assert asyncio.run(store.queue.settle([settlement(leased, "deferred", next_attempt=1.0)])) == [leased.row.id]
    assert states(store) == ["held"]
    assert lease(store) == []


@pytest.mark.parametrize(("silent", "wish"), [(False, "report"), (True, "silent")])
def test_a_dropped_row_goes_to_the_next_worker_with_the_wish(database: TestDatabase, silent: bool, wish: str) -> None:
    store = database.open()
    enqueue(store)
    (line,) = store.registry.queue_lines()
    assert store.registry.hold([line.id], "admin") == 1
    assert store.registry.drop([line.id], "admin", silent=silent) == 1
    (leased,) = lease(store)
    assert leased.drop == wish
    assert asyncio.run(store.queue.settle([settlement(leased, "dropped")])) == [line.row]
    assert store.registry.queue_lines() == []
    with store.registry.transaction(write=False) as reading:
        newest = reading.audit_lines()[0]
    assert (newest.actor, "without report" in newest.action) == ("admin", silent)
    assert line.id in newest.detail


def test_a_row_that_is_being_sent_is_dropped_only_if_not_delivered(database: TestDatabase) -> None:
    store = database.open()
    one, two = enqueue(store, "w1", "a@x.example", "b@x.example")
    assert store.registry.drop([one.message], "admin", silent=False) == 2
    later = time.time() + 1000
    settled = [settlement(one, "delivered"), settlement(two, "deferred", next_attempt=later)]
    assert len(asyncio.run(store.queue.settle(settled))) == 2
    (leased,) = lease(store)
    assert (leased.row.id, leased.drop) == (two.row.id, "report")


def test_naming_nothing_changes_nothing(database: TestDatabase) -> None:
    store = database.open()
    enqueue(store)
    assert store.registry.hold([], "admin") == 0
    assert store.registry.drop([], "admin", silent=True) == 0
    assert store.registry.retry([], "admin") == 0
    assert states(store) == ["queued"]


def test_queue_lines_page_through_all_messages(database: TestDatabase) -> None:
    store = database.open()
    for _ in range(3):
        enqueue(store, None, "a@x.example", "b@x.example")
    lines = store.registry.queue_lines()
    assert [line.id for line in lines] == sorted(line.id for line in lines)
    assert store.registry.queue_lines(limit=2, offset=3) == lines[3:5]
    assert store.registry.queue_lines(id=lines[2].id) == lines[2:4]
    assert store.registry.queue_lines(id=lines[5].row) == lines[5:]
    assert lines[0].size == 106


def test_the_audit_trail_shows_tampering(database: TestDatabase) -> None:
    store = database.open()
    for number in range(4):
        with store.registry.transaction(write=True) as change:
            change.audit("admin", "apply", f"change {number}")
    with store.registry.transaction(write=False) as reading:
        assert [line.detail for line in reading.audit_lines(2)] == ["change 3", "change 2"]
    assert store.registry.audit_break() is None
    database.execute("UPDATE audit SET detail = 'nothing happened' WHERE sequence = 3")
    assert store.registry.audit_break() == 3
    database.execute("UPDATE audit SET detail = 'change 2' WHERE sequence = 3")
    assert store.registry.audit_break() is None
    database.execute("DELETE FROM audit WHERE sequence = 2")
    assert store.registry.audit_break() == 2


def test_changes_of_many_administrators_form_one_chain(database: TestDatabase) -> None:
    stores = [database.open() for _ in range(4)]
    before = generation(stores[0])

    def work(number: int) -> None:
        for step in range(5):
            with stores[number].registry.transaction(write=True) as change:
                change.put_partner_domain(PartnerDomain(name=f"p{number}-{step}.example"), [])
                change.audit(f"admin{number}", "add", str(step))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert generation(stores[0]) == before + 20
    assert stores[0].registry.audit_break() is None
    with stores[0].registry.transaction(write=False) as reading:
        assert len(reading.audit_lines()) == 20
        assert len(reading.view().partners) == 20


def test_the_store_proves_that_it_writes(database: TestDatabase) -> None:
    store = database.open()
    before = generation(store)
    store.registry.check_write()
    store.registry.check_write()
    assert generation(store) == before
