"""The queue worker: room, other hops, what policy says of TLS, and reports that came to nothing."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.directory import SiteView
from ime_gateway.settings.model import Delivery
from ime_gateway.settings.site import ManagedDomain, Policy
from tests.unit.pipeline_deliver.test_deliver import NEVER, FakeRelay, World, run, running, until


def test_there_is_room_again_after_delivery_and_none_while_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ime_gateway.pipeline.deliver._ROWS_IN_HAND", 2)
    world = World()

    async def scenario() -> None:
        world.relay.gate = asyncio.Event()
        deliverer = world.deliverer()
        await world.accept(world.parcel("a@p.example", "b@p.example"), deliverer)
        assert not deliverer.has_room
        world.relay.gate.set()
        await until(lambda: not world.queue.rows and not deliverer._tasks)
        assert deliverer.has_room
        await deliverer.drain(1)
        assert not deliverer.has_room

    asyncio.run(scenario())


def test_a_hop_without_work_is_forgotten() -> None:
    world = World()

    async def scenario() -> None:
        deliverer = world.deliverer()
        await world.accept(world.parcel("a@p.example"), deliverer)
        await until(lambda: not world.queue.rows and not deliverer._tasks)
        assert deliverer._hops == {}

    asyncio.run(scenario())


@pytest.mark.parametrize("wanted", [True, False])
def test_policy_says_whether_tls_is_tried(wanted: bool) -> None:
    world = World()
    managed = ManagedDomain(name="acme.example", deliver_to="smtp://ex:25")
    world.directory.seen = SiteView(1, Policy(opportunistic_tls=wanted), {"acme.example": managed}, {})
    run(world, world.parcel("a@p.example"))
    assert world.relay.sent[0].use_tls is wanted


def test_old_rows_go_by_the_routes_of_today() -> None:
    world = World()
    today = world.directory.seen
    stale: list[SiteView] = [SiteView(0, Policy(), {}, {})]

    async def view() -> SiteView:
        stale[0] = today
        return today

    world.directory.latest = lambda: stale[0]  # type: ignore[method-assign]
    world.directory.view = view  # type: ignore[method-assign]
    run(world, world.parcel("x@acme.example"), hot=False)
    assert world.relay.sent[0].route == "smtp://ex:2525"


def test_a_size_that_could_not_be_kept_is_kept_with_the_next_message() -> None:
    world = World()
    world.relay.sizes["smtp://default:25"] = 5000
    remember, failures = world.queue.remember_size, [StoreUnavailable("away")]

    async def flaky(route: str, size: int) -> None:
        if failures:
            raise failures.pop()
        await remember(route, size)

    world.queue.remember_size = flaky  # type: ignore[method-assign]

    async def scenario() -> None:
        deliverer = world.deliverer()
        for _ in range(2):
            await world.accept(world.parcel("a@p.example"), deliverer)
            await until(lambda: not world.queue.rows and not deliverer._tasks)

    asyncio.run(scenario())
    assert world.queue.sizes == {"smtp://default:25": 5000}


def test_slow_hops_leave_the_worker_with_a_limit() -> None:
    world = World(delivery=Delivery(default_route="mx", connections_per_hop=1))

    async def scenario() -> None:
        world.relay.gate = asyncio.Event()
        deliverer = world.deliverer()
        for number in range(12):
            await world.accept(world.parcel(f"a@p{number}.example"), deliverer)
        await until(lambda: world.relay.under_way == 4)
        for _ in range(50):
            await asyncio.sleep(0)
        assert world.relay.under_way == 4
        world.relay.gate.set()
        await until(lambda: not world.queue.rows)

    asyncio.run(scenario())


def test_a_report_of_a_broken_off_settlement_leaves_no_body() -> None:
    world = World(relay=FakeRelay({"a@p.example": NEVER}))
    entered = asyncio.Event()

    async def settle(*_: Any) -> list[str]:
        entered.set()
        await asyncio.Event().wait()
        return []

    world.queue.settle = settle  # type: ignore[method-assign]

    async def scenario() -> None:
        deliverer = world.deliverer()
        await world.accept(world.parcel("a@p.example"), deliverer)
        async with asyncio.timeout(10):
            await entered.wait()
        assert len(world.spool.bodies) == 2
        await deliverer.drain(0.01)

    asyncio.run(scenario())
    assert len(world.spool.bodies) == 1


def test_the_postmaster_hears_of_a_message_that_nobody_else_hears_of() -> None:
    world = World(relay=FakeRelay({"a@p.example": NEVER}))
    with capture_logs() as lines:
        run(world, world.parcel("a@p.example", sender=""))
    assert [line["id"] for line in lines if line["log_level"] == "error"] == ["m1"]


def test_a_full_lease_is_followed_by_the_next_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ime_gateway.pipeline.deliver._ROWS_PER_LEASE", 1)
    world = World()

    async def scenario() -> None:
        deliverer = world.deliverer()
        deliverer._poll_seconds = 3600.0
        for _ in range(5):
            await world.accept(world.parcel("a@p.example"))
        async with running(deliverer):
            await until(lambda: not world.queue.rows)

    asyncio.run(scenario())
