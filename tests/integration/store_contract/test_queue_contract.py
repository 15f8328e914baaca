"""The Queue of ports/queue keeps its promises on both engines."""

import asyncio
import time

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.queue import HeldEvidence
from ime_gateway.store.dialect import POSTGRESQL, SQLITE
from ime_gateway.store.lease_writes import ANY_DUE, TAKE
from tests.integration.store_contract.databases import SqliteDatabase, TestDatabase
from tests.integration.store_contract.parcels import make_event, make_parcel, read_all, settlement

TABLES = ("parcels", "bodies", "body_chunks", "envelopes", "queue_rows")


def counts(database: TestDatabase) -> dict[str, int]:
    return {table: int(str(database.query(f"SELECT count(*) FROM {table}")[0][0])) for table in TABLES}


async def lease_until(store: object, owner: str, count: int, seconds: float = 10.0) -> list:  # type: ignore[type-arg]
    """Lease until `count` rows came; leases of others may have to run out first."""
    deadline = time.monotonic() + seconds
    rows: list = []  # type: ignore[type-arg]
    while len(rows) < count and time.monotonic() < deadline:
        rows += await store.queue.lease(owner, count - len(rows))  # type: ignore[attr-defined]
        await asyncio.sleep(0.02)
    return rows


async def no_files_left(database: TestDatabase, seconds: float = 10.0) -> bool:
    """Files go soon after the commit, not within it."""
    deadline = time.monotonic() + seconds
    while True:
        if not list(database.folder.glob("spool/??/*")):
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)


def test_what_was_enqueued_is_leased_as_it_was_by_another_process(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(), database.open()
        parcel = make_parcel(
            store, groups=(("bob@partner.example", "carol@partner.example"), ("dora@partner.example",))
        )
        assert await store.queue.enqueue(parcel, [make_event("accepted", id=parcel.id)], None) == []
        leased = await other.queue.lease("w2", 10)
        assert {row.row for row in leased} == set(parcel.rows)
        for row in leased:
            assert (row.message, row.sender, row.message_id) == (parcel.id, parcel.sender, parcel.message_id)
            assert (row.origin, row.ret, row.envid, row.smtputf8) == ("internal", "HDRS", "QQ314159", True)
            assert (row.received_at, row.attempts, row.drop) == (parcel.received_at, 0, "")
        for envelope in parcel.envelopes:
            assert await other.queue.envelope(envelope.id) == envelope
            assert await store.queue.envelope(envelope.id) == envelope
        assert read_all(other, parcel.bodies[0].id) == read_all(store, parcel.bodies[0].id) == b"body\r\n"
        assert await other.queue.return_headers(parcel.id) == b"Subject: return\r\n\r\n"
        assert [event.event for event in other.registry.events(id=parcel.id)] == ["accepted"]

    asyncio.run(walk())


def test_rows_enqueued_with_an_owner_are_its_own(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(), database.open()
        parcel = make_parcel(store, groups=(("a@x.example", "b@x.example"),))
        leased = await store.queue.enqueue(parcel, [], "w1")
        assert [row.row for row in leased] == list(parcel.rows)
        assert await other.queue.lease("w2", 10) == []
        assert await store.queue.settle([settlement(row, "delivered") for row in leased]) == [r.id for r in parcel.rows]
        assert counts(database) == dict.fromkeys(TABLES, 0)

    asyncio.run(walk())


def test_two_owners_never_get_the_same_row(database: TestDatabase) -> None:
    async def walk() -> None:
        stores = [database.open() for _ in range(3)]
        for _ in range(30):
            await stores[0].queue.enqueue(make_parcel(stores[0], groups=(("a@x.example", "b@x.example"),)), [], None)
        taken: list[str] = []

        async def work(number: int) -> None:
            while rows := await stores[number].queue.lease(f"w{number}", 3):
                taken.extend(row.row.id for row in rows)

        await asyncio.gather(*(work(number) for number in range(3)), *(work(number) for number in range(3)))
        assert len(taken) == 60
        assert len(set(taken)) == 60

    asyncio.run(walk())


def test_the_lease_of_a_dead_worker_moves_and_the_dead_cannot_settle(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(lease_seconds=0.2), database.open()
        parcel = make_parcel(store)
        dead = await store.queue.enqueue(parcel, [], "w1")
        taken = await lease_until(other, "w2", 1)
        assert [row.row for row in taken] == list(parcel.rows)
        assert taken[0].lease != dead[0].lease
        assert await store.queue.settle([settlement(dead[0], "delivered")]) == []
        assert other.registry.events(id=parcel.id) == []
        assert counts(database)["queue_rows"] == 1
        assert await other.queue.settle([settlement(taken[0], "delivered")]) == [parcel.rows[0].id]
        assert await other.queue.settle([settlement(taken[0], "delivered")]) == []
        assert [event.event for event in other.registry.events(id=parcel.id)] == ["delivered"]

    asyncio.run(walk())


def test_a_new_worker_takes_back_what_its_predecessor_held_and_nothing_else(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        for owner in ("host#1/old", "host#1/new", "host#10/x", "else#1/x"):
            await store.queue.enqueue(make_parcel(store, groups=((f"{owner[-3:]}@x.example",),)), [], owner)
        assert await store.queue.reclaim("host#1/", "host#1/new") == 1
        assert [row.row.recipient for row in await store.queue.lease("host#1/new", 10)] == ["old@x.example"]

    asyncio.run(walk())


def test_reports_about_a_message_come_with_it_or_not_at_all(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(), database.open()
        parcel = make_parcel(store, groups=(("a@x.example",),))
        report = make_parcel(store, groups=(("sender@x.example",),))
        assert len(await store.queue.enqueue(parcel, [], "w1", [report])) == 1
        assert [row.message for row in await other.queue.lease("w2", 10)] == [report.id]
        again = make_parcel(store, groups=(("b@x.example",),))
        with pytest.raises(StoreUnavailable):
            await store.queue.enqueue(again, [], "w1", [report])
        assert await other.queue.lease("w2", 10) == []
        assert counts(database)["parcels"] == 2

    asyncio.run(walk())


def test_a_heartbeat_keeps_the_lease(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(lease_seconds=0.5), database.open()
        leased = await store.queue.enqueue(make_parcel(store), [], "w1")
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            await store.queue.renew("w1")
            assert await other.queue.lease("w2", 1) == []
        assert await store.queue.settle([settlement(leased[0], "delivered")]) == [leased[0].row.id]

    asyncio.run(walk())


def test_renewing_does_not_touch_the_leases_of_others(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(lease_seconds=0.2), database.open()
        await store.queue.enqueue(make_parcel(store), [], "w1")
        await other.queue.renew("w2")
        assert len(await lease_until(other, "w2", 1)) == 1

    asyncio.run(walk())


def test_a_deferred_row_waits_for_its_time_and_counts_attempts(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        leased = await store.queue.enqueue(make_parcel(store), [], "w1")
        later = time.time() + 300
        reply = "451 4.2.0 later"
        assert await store.queue.settle([settlement(leased[0], "deferred", next_attempt=later, last_reply=reply)])
        assert await store.queue.lease("w1", 10) == []
        (line,) = store.registry.queue_lines()
        assert (line.state, line.attempts, line.next_attempt, line.last_reply) == ("deferred", 1, later, reply)
        assert store.registry.retry([], "admin") == 1
        (again,) = await store.queue.lease("w1", 10)
        assert again.attempts == 1
        soon = time.time() + 0.2
        await store.queue.settle([settlement(again, "deferred", next_attempt=soon, last_reply=reply)])
        (third,) = await lease_until(store, "w1", 1)
        assert third.attempts == 2
        assert time.time() >= soon - 0.01

    asyncio.run(walk())


def test_the_longest_due_rows_come_first(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        parcels = [make_parcel(store, received_at=1000.0 + number) for number in range(5)]
        for parcel in parcels:
            await store.queue.enqueue(parcel, [], None)
            await asyncio.sleep(0.005)
        first = await store.queue.lease("w1", 2)
        second = await store.queue.lease("w1", 9)
        assert [row.message for row in first + second] == [parcel.id for parcel in parcels]

    asyncio.run(walk())


def test_bodies_and_envelopes_go_with_the_last_row_that_needs_them(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        parcel = make_parcel(store, content=b"x" * 700_000, groups=(("a@x.example", "b@x.example"), ("c@x.example",)))
        a, b, c = await store.queue.enqueue(parcel, [], "w1")
        await store.queue.settle([settlement(c, "failed")])
        assert counts(database) | {"body_chunks": 0} == {
            "parcels": 1, "bodies": 1, "body_chunks": 0, "envelopes": 1, "queue_rows": 2,
        }  # fmt: skip
        with pytest.raises(StoreUnavailable):
            await store.queue.envelope(parcel.envelopes[1].id)
        await store.queue.settle([settlement(a, "delivered")])
        assert read_all(store, parcel.bodies[0].id) == b"x" * 700_000
        await store.queue.settle([settlement(b, "dropped")])
        assert counts(database) == dict.fromkeys(TABLES, 0)
        assert await no_files_left(database)
        with pytest.raises(StoreUnavailable):
            read_all(store, parcel.bodies[0].id)

    asyncio.run(walk())


def test_two_workers_that_settle_the_last_two_rows_together_leave_nothing(database: TestDatabase) -> None:
    async def walk() -> None:
        one, two = database.open(), database.open()
        for _ in range(20):
            a, b = await one.queue.enqueue(make_parcel(one, groups=(("a@x.example", "b@x.example"),)), [], "w1")
            await asyncio.gather(
                one.queue.settle([settlement(a, "delivered")]), two.queue.settle([settlement(b, "delivered")])
            )
        assert counts(database) == dict.fromkeys(TABLES, 0)

    asyncio.run(walk())


def test_a_report_is_enqueued_with_the_failure_and_only_by_the_holder(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(lease_seconds=0.2), database.open()
        dead = await store.queue.enqueue(make_parcel(store, groups=(("a@x.example", "b@x.example"),)), [], "w1")
        taken = {row.row.id: row for row in await lease_until(other, "w2", 2)}
        report = make_parcel(store, sender="", groups=(("alice@acme.example",),))
        assert await store.queue.settle([settlement(row, "failed") for row in dead], [report]) == []
        assert counts(database)["parcels"] == 1
        rows = [taken[row.row.id] for row in dead]
        mixed = [settlement(rows[0], "delivered"), settlement(rows[1], "failed", lease=dead[1].lease)]
        assert await other.queue.settle(mixed, [report]) == [rows[0].row.id]
        assert counts(database)["parcels"] == 1
        report = make_parcel(other, sender="", groups=(("alice@acme.example",),))
        assert await other.queue.settle([settlement(rows[1], "failed")], [report]) == [rows[1].row.id]
        (leased,) = await other.queue.lease("w2", 10)
        assert (leased.message, leased.sender, leased.row.recipient) == (report.id, "", "alice@acme.example")

    asyncio.run(walk())


def test_one_bad_message_does_not_spoil_those_committed_with_it(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        good = [make_parcel(store) for _ in range(40)]
        bad = make_parcel(store)
        await store.queue.enqueue(bad, [], None)  # the same ids a second time cannot be stored
        tasks = [store.queue.enqueue(parcel, [make_event("accepted", id=parcel.id)], None) for parcel in good]
        tasks.insert(20, store.queue.enqueue(bad, [], None))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(20), StoreUnavailable)
        assert results == [[]] * 40
        assert counts(database)["parcels"] == 41
        assert len(store.registry.events()) == 40

    asyncio.run(walk())


def test_a_caller_who_went_away_leaves_no_leased_row(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        tasks = [asyncio.create_task(store.queue.enqueue(make_parcel(store), [], "w1")) for _ in range(30)]
        await asyncio.sleep(0)
        for number, task in enumerate(tasks):
            if number % 5 == 0:
                await asyncio.sleep(0.002)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        mine = {rows[0].message for rows in results if isinstance(rows, list)}
        stored = counts(database)["parcels"]
        orphans = await lease_until(store, "w2", stored - len(mine))
        assert len(orphans) == stored - len(mine)
        assert not mine & {row.message for row in orphans}

    asyncio.run(walk())


def test_text_that_no_database_takes_is_kept_readable(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        await store.queue.record([make_event("refused", id="nul", detail="a\0b \udcff ü")])
        (event,) = store.registry.events(id="nul")
        assert event.detail == "a\\0b \\udcff ü"

    asyncio.run(walk())


def test_failures_of_a_message_are_counted_for_a_day(database: TestDatabase) -> None:
    async def walk() -> None:
        store, other = database.open(), database.open()
        assert [await store.queue.count_failure("d1") for _ in range(2)] == [1, 2]
        assert await other.queue.count_failure("d1") == 3
        assert await other.queue.count_failure("d2") == 1
        database.clock.ahead = 86_401.0
        assert await store.queue.count_failure("d1") == 1

    asyncio.run(walk())


def test_evidence_comes_back_and_is_sealed(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        evidence = HeldEvidence(
            "h1", "d1", "alice@acme.example", ("bob@x.example",), b"Subject: marker-94025\r\n", "boom", 5.0, ("r1",)
        )
        await store.queue.hold_evidence(evidence)
        assert store.registry.held() == [evidence]
        assert b"marker-94025" not in database.raw_bytes()

    asyncio.run(walk())


def test_the_size_of_a_next_hop_is_remembered(database: TestDatabase) -> None:
    async def walk() -> None:
        store = database.open()
        assert await store.queue.next_hop_sizes() == {}
        await store.queue.remember_size("smtp://mx:25", 10_000_000)
        await store.queue.remember_size("smtp://mx:25", 20_000_000)
        assert await database.open().queue.next_hop_sizes() == {"smtp://mx:25": 20_000_000}

    asyncio.run(walk())


@pytest.mark.parametrize("statement", [ANY_DUE, TAKE])
def test_deferred_mail_is_not_walked_through_to_find_what_is_due(database: TestDatabase, statement: str) -> None:
    async def fill() -> None:
        store = database.open()
        parcel = make_parcel(store, groups=([f"u{number}@x.example" for number in range(3000)],))
        leased = await store.queue.enqueue(parcel, [], "w1")
        later = time.time() + 3600
        await store.queue.settle([settlement(row, "deferred", next_attempt=later) for row in leased])

    asyncio.run(fill())
    if isinstance(database, SqliteDatabase):
        text, explain, values = SQLITE.text(statement), "EXPLAIN QUERY PLAN", ("10", "120", "'t'", "'w'")
    else:
        text, explain, values = POSTGRESQL.text(statement), "EXPLAIN", ("10", "120", "'t'", "'w'")
        database.execute("ANALYZE queue_rows")
    for value in values:
        text = text.replace("?", value, 1).replace("%s", value, 1)
    plan = "\n".join(str(column) for row in database.query(f"{explain} {text}") for column in row)
    assert "ix_queue_rows_due" in plan
    assert "SCAN queue_rows" not in plan
    assert "Seq Scan on queue_rows" not in plan
