"""CandidateBook and PartnerTests of ports/exchange, and candidates that come with a message, on both engines."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ime_gateway.base.errors import UserError
from ime_gateway.ports.exchange import ANSWERS_A_DAY, CANDIDATE_SECONDS, PartnerTest
from ime_gateway.ports.incoming import CANDIDATES_OF_ONE_SENDER, Candidate, IncomingRecord
from ime_gateway.settings.site import PartnerDomain
from ime_gateway.store.database import Store
from tests.integration.store_contract.databases import TestDatabase
from tests.integration.store_contract.parcels import make_parcel
from tests.pki import Entity, make_user

BOB = "bob@partner.example"
DAY = 86_400.0
AT = 1_800_000_000.0


def brought(entity: Entity | None = None, **changes: Any) -> Candidate:
    entity = entity or make_user(BOB, kind="p256")
    made = Candidate(BOB, "person", entity.certificate, "harvested", "eve@x.example", "<1@x>", "signed with it", AT)
    return replace(made, **changes)


def rows(store: Store, **filters: Any) -> list[Candidate]:
    with store.registry.transaction(write=False) as live:
        return live.candidates.rows(**filters)


def bring(store: Store, *candidates: Candidate) -> list[bool]:
    with store.registry.transaction(write=True) as live:
        return [live.candidates.bring(one) for one in candidates]


def deliver(store: Store, *candidates: Candidate) -> None:
    """As a message from outside brings them."""
    parcel = make_parcel(store, groups=(("anna@acme.example",),))
    asyncio.run(store.queue.enqueue(parcel, [], None, incoming=IncomingRecord(candidates=candidates)))


def generation(store: Store) -> int:
    with store.registry.transaction(write=False) as live:
        return live.view().generation


def in_force(store: Store) -> list[str]:
    with store.registry.transaction(write=False) as live:
        return sorted(entry.certificate.thumbprint for entry in live.certificates(address=BOB))


@pytest.mark.parametrize("way", [bring, deliver])
def test_what_is_brought_is_found_as_it_was(database: TestDatabase, way: Any) -> None:
    store, one = database.open(), brought(evidence="Möller: \0, signed with it")
    before = generation(store)
    way(store, one)
    [found] = rows(store)
    assert found == replace(one, evidence=one.evidence.replace("\0", "\\0"))
    assert generation(store) == before, "candidates are used for nothing"
    thumbprint = one.certificate.thumbprint
    assert len(rows(store, state="pending", owner=BOB, thumbprint=thumbprint[:20])) == 1
    assert rows(store, state="approved") == rows(store, owner="x@x") == rows(store, thumbprint="sha256:%") == []


@pytest.mark.parametrize("way", [bring, deliver])
@pytest.mark.parametrize("state", ["pending", "approved", "rejected"])
def test_known_one_stays_as_it_was_decided(database: TestDatabase, way: Any, state: Any) -> None:
    store, one = database.open(), brought()
    bring(store, one)
    with store.registry.transaction(write=True) as live:
        assert live.candidates.set_state(BOB, one.certificate.thumbprint, state)
        assert not live.candidates.set_state("x@x", one.certificate.thumbprint, state)
    way(store, replace(one, at=AT + 5, sender="other@x.example"))
    assert [(each.state, each.at) for each in rows(store)] == [(state, AT)]


@pytest.mark.parametrize("way", [bring, deliver])
def test_certificate_in_use_is_no_candidate(database: TestDatabase, way: Any) -> None:
    store, one = database.open(), brought()
    with store.registry.transaction(write=True) as live:
        live.put_certificate(one.certificate, (BOB,), None)
    way(store, one)
    assert rows(store) == []


def test_domain_certificate_in_use_is_no_candidate(database: TestDatabase) -> None:
    store, one = database.open(), brought(owner="partner.example", kind="domain")
    with store.registry.transaction(write=True) as live:
        live.put_partner_domain(PartnerDomain(name="partner.example"), (one.certificate,))
    assert bring(store, one) == [False]


@pytest.mark.parametrize("way", [bring, deliver])
def test_one_sender_has_room_for_a_few_a_day(database: TestDatabase, way: Any) -> None:
    store = database.open()
    many = [brought(owner=f"p{number}@x.example") for number in range(CANDIDATES_OF_ONE_SENDER + 2)]
    way(store, *many)
    assert len(rows(store)) == CANDIDATES_OF_ONE_SENDER
    way(store, brought(owner="q@x.example", at=AT + DAY - 1), brought(owner="r@x.example", sender="b@x.example"))
    assert len(rows(store)) == CANDIDATES_OF_ONE_SENDER + 1
    way(store, brought(owner="q@x.example", at=AT + DAY + 1))
    assert len(rows(store)) == CANDIDATES_OF_ONE_SENDER + 2


@pytest.mark.parametrize("way", [bring, deliver])
def test_all_senders_together_fill_no_disk(database: TestDatabase, way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ime_gateway.store.candidate_rows.MOST_PENDING", 2)
    monkeypatch.setattr("ime_gateway.store.candidate_writes.MOST_PENDING", 2)
    store = database.open()
    for number in range(4):
        way(store, brought(sender=f"s{number}@x.example", at=AT + number))
    assert [one.sender for one in rows(store)] == ["s3@x.example", "s2@x.example"], "the oldest give way"


@pytest.mark.parametrize("way", [bring, deliver])
def test_announcements_give_way_to_nobody(database: TestDatabase, way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ime_gateway.store.candidate_rows.MOST_PENDING", 2)
    monkeypatch.setattr("ime_gateway.store.candidate_writes.MOST_PENDING", 2)
    store = database.open()
    announced = [
        brought(owner=f"x{number}.example", kind="domain", origin="announcement", vouched=True) for number in range(12)
    ]
    assert all(bring(store, *announced)), "neither the limit of a sender nor that of all holds them back"
    way(store, brought(at=AT + 1, sender="other@x.example"))
    assert {one.owner for one in rows(store)} == {one.owner for one in announced}


def test_approved_one_is_in_force_when_its_owner_has_none(database: TestDatabase) -> None:
    store = database.open()
    first, second, before = brought(state="approved"), brought(state="approved"), generation(store)
    deliver(store, first, second)
    taken = in_force(store)
    assert len(taken) == 1
    assert {one.state for one in rows(store)} == {"approved", "pending"}
    assert generation(store) == before + 1
    deliver(store, brought(state="approved"), first)
    assert in_force(store) == taken
    assert generation(store) == before + 1


def test_two_at_once_put_one_in_force(database: TestDatabase) -> None:
    """Two nodes take a first certificate of one person at the same moment."""
    stores, ones = (database.open(), database.open()), [brought(state="approved") for _ in range(6)]

    async def go() -> None:
        async def take(store: Store, one: Candidate) -> None:
            parcel = make_parcel(store, groups=(("anna@acme.example",),))
            await store.queue.enqueue(parcel, [], None, incoming=IncomingRecord(candidates=(one,)))

        await asyncio.gather(*(take(stores[number % 2], one) for number, one in enumerate(ones)))

    asyncio.run(go())
    assert len(in_force(stores[0])) == 1
    assert len(rows(stores[0])) == len(ones)


def test_undecided_ones_are_forgotten_in_time(database: TestDatabase) -> None:
    store, old, decided = database.open(), brought(), brought()
    young = brought(at=AT + CANDIDATE_SECONDS)
    bring(store, old, decided, young)
    with store.registry.transaction(write=True) as live:
        live.candidates.set_state(BOB, decided.certificate.thumbprint, "rejected")
    store.tidy(AT + CANDIDATE_SECONDS + 1)
    assert {one.certificate for one in rows(store)} == {decided.certificate, young.certificate}


def test_an_error_brings_nothing(database: TestDatabase) -> None:
    store = database.open()
    with pytest.raises(UserError), store.registry.transaction(write=True) as live:
        live.candidates.bring(brought())
        raise UserError("the thumbprint differs")
    assert rows(store) == []


def test_reading_changes_nothing(database: TestDatabase) -> None:
    store = database.open()
    with store.registry.transaction(write=False) as live, pytest.raises(RuntimeError):
        live.candidates.bring(brought())


def partner_test(token: str, **changes: Any) -> PartnerTest:
    made = PartnerTest(token, "bolt.example", "acme.example", "waiting", "{}", AT, AT + DAY)
    return replace(made, **changes)


def test_self_test_is_finished_once(database: TestDatabase) -> None:
    store, one = database.open(), partner_test("a" * 64)
    with store.registry.transaction(write=True) as live:
        live.partner_tests.begin(one)
        assert live.partner_tests.found("b" * 64) is None
    with store.registry.transaction(write=True) as live:
        assert live.partner_tests.found(one.token_hash) == one
        assert live.partner_tests.finish(one.token_hash, "passed", '{"x": "ö"}')
        assert not live.partner_tests.finish(one.token_hash, "failed", "{}")
        assert not live.partner_tests.finish("b" * 64, "passed", "{}")
    with store.registry.transaction(write=False) as live:
        assert live.partner_tests.rows() == [replace(one, state="passed", result='{"x": "ö"}')]
        assert live.partner_tests.rows("other.example") == []
    store.tidy(AT + DAY)
    with store.registry.transaction(write=False) as live:
        assert live.partner_tests.rows() == []


def test_partner_is_answered_once_and_so_often_a_day(database: TestDatabase) -> None:
    store = database.open()
    with store.registry.transaction(write=True) as live:
        theirs = partner_test("0", state="answered")
        assert live.partner_tests.answering(theirs)
        assert not live.partner_tests.answering(theirs)
        asked = [
            live.partner_tests.answering(partner_test(f"{number}", state="answered"))
            for number in range(1, ANSWERS_A_DAY + 1)
        ]
        assert asked.count(True) == ANSWERS_A_DAY - 1
        assert live.partner_tests.answering(partner_test("x", state="answered", partner="other.example"))
        assert live.partner_tests.answering(partner_test("y", state="answered", at=AT + DAY + 1))
