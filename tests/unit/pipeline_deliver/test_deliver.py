"""The queue worker with a queue in memory and a next hop that answers as told."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes

import pytest

from ime_gateway.pipeline.deliver import Deliverer
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.queue import Envelope, Event, Parcel, Row
from ime_gateway.ports.relay import Content, OutboundMail, RelayReply, RelayResult
from ime_gateway.settings.model import Delivery, Listener, Settings, Smtp
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from tests.doubles.memory_queue import MemoryQueue, MemorySpool

YES = RelayReply(250, "2.0.0 ok")
LATER = RelayReply(451, "4.3.0 busy")
NEVER = RelayReply(550, "5.1.1 no such user")


@dataclass
class Sent:
    route: str
    domain: str
    mail: OutboundMail
    content: bytes
    use_tls: bool

    @property
    def recipients(self) -> list[str]:
        return [recipient.address for recipient in self.mail.recipients]


@dataclass
class FakeRelay:
    """Answers by recipient; `yes` where nothing else is said."""

    answers: dict[str, RelayReply | Exception] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    dsn: bool = False
    gate: asyncio.Event | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    under_way: int = 0
    most_under_way: dict[str, int] = field(default_factory=dict)

    async def send(
        self, route: str, domain: str, mail: OutboundMail, content: Content, *, use_tls: bool
    ) -> RelayResult:
        self.under_way += 1
        self.most_under_way[route] = max(self.most_under_way.get(route, 0), self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            pieces = [piece async for piece in content()]
            self.sent.append(Sent(route, domain, mail, b"".join(pieces), use_tls))
            replies = [self.answers.get(recipient.address, YES) for recipient in mail.recipients]
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            return RelayResult(replies, "mx.p.example [192.0.2.1]:25", dsn_supported=self.dsn)  # type: ignore[arg-type]
        finally:
            self.under_way -= 1

    def size_limit(self, route: str, domain: str) -> int | None:
        return self.sizes.get(route)

    def recall_sizes(self, sizes: Mapping[str, int]) -> None:
        self.sizes.update(sizes)


class FixedDirectory:
    def __init__(self) -> None:
        managed = ManagedDomain(name="acme.example", deliver_to="smtp://ex:25", return_to="smtp://ex:2525")
        self.seen = SiteView(1, Policy(), {"acme.example": managed}, {})

    def latest(self) -> SiteView | None:
        return None

    async def view(self) -> SiteView:
        return self.seen

    async def certificates(self, view: SiteView, addresses: Sequence[str]) -> Mapping[str, tuple[()]]:
        return {}


@dataclass
class World:
    now: float = 1_790_000_000.0
    relay: FakeRelay = field(default_factory=FakeRelay)
    spool: MemorySpool = field(default_factory=MemorySpool)
    directory: FixedDirectory = field(default_factory=FixedDirectory)
    delivery: Delivery = field(default_factory=lambda: Delivery(default_route="smtp://default:25"))
    numbers: int = 0

    def __post_init__(self) -> None:
        self.queue = MemoryQueue(lambda: self.now, self.spool)

    def deliverer(self) -> Deliverer:
        settings = Settings(
            smtp=Smtp(hostname="gw.acme.example"),
            listener=(Listener(name="internal", role="internal", port=0),),
            delivery=self.delivery,
        )

        class _Clock:
            def now(_) -> float:  # noqa: N805
                return self.now

        return Deliverer(
            self.queue,
            self.spool,
            self.relay,
            self.directory,
            _Clock(),
            os.urandom,
            settings,
            "worker",
            poll_seconds=0.001,
        )

    def parcel(
        self, *recipients: str, body: bytes = b"hello\r\n", head: bytes = b"Subject: s\r\n\r\n", **more: object
    ) -> Parcel:
        """Every recipient in one envelope; `row` sets fields of the rows."""
        self.numbers += 1
        name = f"m{self.numbers}"
        row: dict[str, object] = more.pop("row", {})  # type: ignore[assignment]
        body = b"hello\r\n"
        sealed = self.spool.write([body], len(body))
        envelope = Envelope(f"{name}-e", sealed.id, head, wire_size=len(head) + len(body))
        values: dict[str, object] = {
            "sender": "alice@acme.example",
            "message_id": f"<{name}@acme.example>",
            "origin": "internal",
            "received_at": self.now,
            "return_headers": b"Subject: s\r\n",
            **more,
        }
        row = {"copy": "recipient", "protection": "none", "reason": "not-required", "detail": "", **row}
        rows = [
            Row(f"{name}-r{number}", envelope.id, address, **row)  # type: ignore[arg-type]
            for number, address in enumerate(recipients)
        ]
        return Parcel(id=name, bodies=[sealed], envelopes=[envelope], rows=rows, **values)  # type: ignore[arg-type]

    async def accept(self, parcel: Parcel, deliverer: Deliverer | None = None) -> None:
        leased = await self.queue.enqueue(parcel, (), "worker" if deliverer else None)
        if deliverer:
            deliverer.submit(leased)

    def nothing_to_do(self) -> bool:
        return not any(row.due <= self.now or row.lease for row in self.queue.rows.values())

    def story(self, name: str = "") -> list[tuple[str, str]]:
        return [(event.recipient, event.event) for event in self.queue.events if not name or event.id == name]


@asynccontextmanager
async def running(deliverer: Deliverer) -> AsyncIterator[None]:
    task = asyncio.create_task(deliverer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await deliverer.drain(5)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it polls, up to a deadline
            await asyncio.sleep(0.001)


def run(world: World, *parcels: Parcel, done: Callable[[], bool] | None = None, hot: bool = True) -> World:
    async def scenario() -> None:
        deliverer = world.deliverer()
        async with running(deliverer):
            for parcel in parcels:
                await world.accept(parcel, deliverer if hot else None)
            await until(
                done or (lambda: not any(row.due <= world.now or row.lease for row in world.queue.rows.values()))
            )

    asyncio.run(scenario())
    return world


@pytest.mark.parametrize("hot", [True, False], ids=["handed over", "polled"])
def test_delivered(hot: bool) -> None:
    world = World()
    run(world, world.parcel("bob@p.example", "carol@q.example", envid="E1", ret="HDRS"), hot=hot)
    (sent,) = world.relay.sent
    assert sent.route == "smtp://default:25" and sent.recipients == ["bob@p.example", "carol@q.example"]
    assert sent.content == b"Subject: s\r\n\r\nhello\r\n" and sent.use_tls
    assert (sent.mail.sender, sent.mail.envid, sent.mail.ret, sent.mail.size) == (
        "alice@acme.example",
        "E1",
        "HDRS",
        21,
    )
    assert world.story() == [("bob@p.example", "delivered"), ("carol@q.example", "delivered")]
    assert not world.queue.rows and not world.spool.bodies


def test_each_recipient_goes_on_alone_and_only_the_deferred_is_tried_again() -> None:
    world = World(relay=FakeRelay({"later@p.example": LATER, "never@p.example": NEVER}))
    run(world, world.parcel("ok@p.example", "later@p.example", "never@p.example"))
    assert set(world.story("m1")) == {
        ("ok@p.example", "delivered"),
        ("later@p.example", "deferred"),
        ("never@p.example", "failed"),
        ("never@p.example", "reported"),
    }
    (waiting,) = world.queue.rows.values()
    assert waiting.row.recipient == "later@p.example" and waiting.last_reply == "451 4.3.0 busy"
    assert 300 <= waiting.due - world.now <= 330
    world.relay.answers.clear()
    world.relay.sent.clear()
    world.now += 331
    run(world)
    assert [sent.recipients for sent in world.relay.sent] == [["later@p.example"]]
    assert not world.queue.rows


def test_one_report_for_all_who_failed_and_it_goes_home() -> None:
    world = World(relay=FakeRelay({"a@p.example": NEVER, "b@p.example": NEVER}))
    run(world, world.parcel("a@p.example", "b@p.example", "c@p.example"))
    report = world.relay.sent[-1]
    assert len(world.relay.sent) == 2
    assert (report.mail.sender, report.recipients, report.route) == ("", ["alice@acme.example"], "smtp://ex:2525")
    parsed = message_from_bytes(report.content)
    assert parsed.get_content_type() == "multipart/report"
    blocks = parsed.get_payload()[1].get_payload()
    assert [block["Final-Recipient"] for block in blocks[1:]] == ["rfc822; a@p.example", "rfc822; b@p.example"]
    assert blocks[1]["Remote-MTA"] == "dns; mx.p.example"
    assert b"hello" not in report.content
    assert ("a@p.example", "reported") in world.story("m1")
    assert not world.queue.rows and not world.spool.bodies


@pytest.mark.parametrize(
    ("more", "row"),
    [({"sender": ""}, {}), ({}, {"notify": "NEVER"}), ({}, {"notify": "SUCCESS"}), ({}, {"copy": "sent"})],
    ids=["empty sender", "never", "success only", "sent copy"],
)
def test_no_report(more: dict[str, object], row: dict[str, object]) -> None:
    world = World(relay=FakeRelay({"a@p.example": NEVER}))
    run(world, world.parcel("a@p.example", row=row, **more))
    assert len(world.relay.sent) == 1
    assert world.story() == [("a@p.example", "failed")]


def test_a_report_that_fails_is_the_end() -> None:
    world = World(relay=FakeRelay({"a@p.example": NEVER, "alice@acme.example": NEVER}))
    run(world, world.parcel("a@p.example"))
    assert len(world.relay.sent) == 2
    assert world.story()[-1] == ("alice@acme.example", "failed")
    assert not world.queue.rows


@pytest.mark.parametrize(("dsn", "reports"), [(False, 1), (True, 0)])
def test_relayed_is_reported_where_the_hop_would_not(dsn: bool, reports: int) -> None:
    world = World(relay=FakeRelay(dsn=dsn))
    run(world, world.parcel("a@p.example", row={"notify": "SUCCESS,FAILURE"}))
    assert len(world.relay.sent) == 1 + reports
    if reports:
        assert b"Action: relayed" in world.relay.sent[1].content


def test_given_up_after_its_time_with_one_report() -> None:
    world = World(relay=FakeRelay({"a@p.example": LATER}))
    run(world, world.parcel("a@p.example", received_at=world.now - 119 * 3600))
    assert world.story() == [("a@p.example", "deferred")]
    world.now += 2 * 3600
    run(world)
    assert [event for _, event in world.story("m1")] == ["deferred", "failed", "reported"]
    assert b"Status: 4.4.7" in world.relay.sent[-1].content
    assert not world.queue.rows


def test_routes_and_envelopes_make_transactions() -> None:
    world = World()
    run(world, world.parcel("a@p.example", "x@acme.example", "b@p.example"), world.parcel("a@p.example"))
    assert sorted((sent.route, sent.recipients) for sent in world.relay.sent) == [
        ("smtp://default:25", ["a@p.example"]),
        ("smtp://default:25", ["a@p.example", "b@p.example"]),
        ("smtp://ex:2525", ["x@acme.example"]),
    ]


def test_mx_groups_by_domain_and_many_recipients_are_split() -> None:
    world = World(delivery=Delivery(default_route="mx"))
    run(world, world.parcel(*[f"u{n}@p.example" for n in range(250)], "v@q.example"))
    sizes = sorted((sent.domain, len(sent.recipients)) for sent in world.relay.sent)
    assert sizes == [("p.example", 50), ("p.example", 100), ("p.example", 100), ("q.example", 1)]


def test_mail_from_the_internet_never_goes_to_other_domains() -> None:
    world = World()
    run(world, world.parcel("x@acme.example", "out@p.example", origin="internet", sender="eve@x.example"))
    assert [(sent.route, sent.recipients) for sent in world.relay.sent if sent.mail.sender] == [
        ("smtp://ex:25", ["x@acme.example"])
    ]
    assert ("out@p.example", "failed") in world.story("m1")


def test_plain_mail_to_a_partner_who_has_become_mandatory_waits() -> None:
    world = World()
    partner = PartnerDomain(name="p.example", encryption="mandatory")
    world.directory.seen = replace(world.directory.seen, partners={"p.example": partner})
    run(
        world,
        world.parcel("a@p.example", "b@q.example"),
        world.parcel("c@p.example", row={"protection": "smime-domain"}),
        world.parcel("d@p.example", sender=""),
    )
    assert sorted(sent.recipients for sent in world.relay.sent) == [["b@q.example"], ["c@p.example"], ["d@p.example"]]
    assert world.story("m1") == [("a@p.example", "deferred"), ("b@q.example", "delivered")]


@pytest.mark.parametrize(("how", "reports"), [("report", 1), ("silent", 0)])
def test_dropped_rows_are_never_sent(how: str, reports: int) -> None:
    world = World()
    parcel = world.parcel("a@p.example", "b@p.example")

    async def scenario() -> None:
        await world.accept(parcel)
        world.queue.rows["m1-r0"].wish = how
        deliverer = world.deliverer()
        async with running(deliverer):
            await until(lambda: not world.queue.rows)

    asyncio.run(scenario())
    assert [sent.recipients for sent in world.relay.sent if sent.mail.sender] == [["b@p.example"]]
    assert ("a@p.example", "dropped") in world.story("m1")
    assert sum(not sent.mail.sender for sent in world.relay.sent) == reports


def test_a_damaged_body_waits_and_the_others_go_on() -> None:
    world = World()
    damaged, fine = world.parcel("a@p.example"), world.parcel("b@p.example")
    world.spool.damaged.add(damaged.bodies[0].id)
    run(world, damaged, fine)
    assert world.story() == [("a@p.example", "deferred"), ("b@p.example", "delivered")] or set(world.story()) == {
        ("a@p.example", "deferred"),
        ("b@p.example", "delivered"),
    }
    assert "damaged" in world.queue.rows["m1-r0"].last_reply


def test_an_unexpected_error_defers_its_rows_only() -> None:
    world = World(relay=FakeRelay({"a@p.example": ZeroDivisionError("secret subject")}))
    run(world, world.parcel("a@p.example"), world.parcel("b@p.example"))
    assert set(world.story()) == {("a@p.example", "deferred"), ("b@p.example", "delivered")}
    assert "secret" not in world.queue.rows["m1-r0"].last_reply


def test_an_error_in_reporting_loses_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ime_gateway.pipeline.settler.report_parcel", broken)
    world = World(relay=FakeRelay({"never@p.example": NEVER}))
    run(world, world.parcel("ok@p.example", "never@p.example"))
    assert set(world.story()) == {("ok@p.example", "delivered"), ("never@p.example", "deferred")}


@pytest.mark.parametrize(
    "method", ["settle", "return_headers", "record", "lease", "renew", "next_hop_sizes", "envelope"]
)
def test_a_store_that_is_away_for_a_moment_costs_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ime_gateway.pipeline.settler._PAUSES", (0.001,))
    world = World(relay=FakeRelay({"never@p.example": NEVER}))
    world.queue.failures[method] = 2
    parcel = world.parcel("ok@p.example", "never@p.example")
    run(world, parcel, hot=method != "lease")
    if method == "envelope":
        assert set(world.story()) == {("ok@p.example", "deferred"), ("never@p.example", "deferred")}
        return
    assert ("ok@p.example", "delivered") in world.story() and ("never@p.example", "failed") in world.story()
    assert sum(sent.recipients == ["ok@p.example", "never@p.example"] for sent in world.relay.sent) == 1
    assert sum(not sent.mail.sender for sent in world.relay.sent) == 1


def test_a_header_block_that_stays_unreadable_does_not_stop_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ime_gateway.pipeline.settler._PAUSES", (0.001,))
    world = World(relay=FakeRelay({"never@p.example": NEVER}))
    world.queue.failures["return_headers"] = 1_000_000
    run(world, world.parcel("never@p.example"))
    assert b"multipart/report" in world.relay.sent[-1].content and b"Subject: s" not in world.relay.sent[-1].content


def test_a_lost_lease_settles_and_reports_nothing() -> None:
    world = World(relay=FakeRelay({"never@p.example": NEVER}))

    async def scenario() -> None:
        world.relay.gate = asyncio.Event()
        deliverer = world.deliverer()
        await world.accept(world.parcel("never@p.example"), deliverer)
        await until(lambda: world.relay.under_way == 1)
        world.queue.rows["m1-r0"].lease = "somebody else's"
        world.relay.gate.set()
        await until(lambda: not deliverer._tasks)
        await deliverer.drain(5)

    asyncio.run(scenario())
    assert world.story() == [] and len(world.queue.rows) == 1
    assert len(world.spool.bodies) == 1, "the body of the report was discarded"


def test_the_lease_is_renewed_and_an_old_one_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ime_gateway.pipeline.deliver._TRUSTED_SECONDS", -1.0)
    world = World()
    world.relay.gate = asyncio.Event()

    async def scenario() -> None:
        deliverer = world.deliverer()
        await world.accept(world.parcel("a@p.example"), deliverer)
        await until(lambda: not deliverer._tasks)

    asyncio.run(scenario())
    assert world.relay.sent == []
    assert world.queue.rows["m1-r0"].due == world.now


def test_heartbeat() -> None:
    world = World()
    world.relay.gate = asyncio.Event()

    async def scenario() -> None:
        deliverer = world.deliverer()
        await world.accept(world.parcel("a@p.example"), deliverer)
        world.now += 100
        async with running(deliverer):
            await until(lambda: world.queue.rows["m1-r0"].due >= world.now + 100)
            assert world.relay.gate is not None
            world.relay.gate.set()
            await until(lambda: not world.queue.rows)

    asyncio.run(scenario())


def test_one_hop_takes_no_more_than_its_connections_and_leaves_room_for_others() -> None:
    world = World(delivery=Delivery(default_route="smtp://default:25", connections_per_hop=2))

    async def scenario() -> None:
        world.relay.gate = asyncio.Event()
        deliverer = world.deliverer()
        for _ in range(10):
            await world.accept(world.parcel("a@p.example"), deliverer)
        await until(lambda: world.relay.under_way == 2)
        await world.accept(world.parcel("x@acme.example"), deliverer)
        await until(lambda: world.relay.under_way == 3)
        world.relay.gate.set()
        await until(lambda: not world.queue.rows)
        assert world.relay.most_under_way["smtp://default:25"] <= 3

    asyncio.run(scenario())
    assert len(world.relay.sent) == 11


def test_draining_finishes_what_is_sent_and_gives_back_what_waits() -> None:
    world = World(delivery=Delivery(default_route="smtp://default:25", connections_per_hop=1))

    async def scenario() -> None:
        world.relay.gate = asyncio.Event()
        deliverer = world.deliverer()
        for _ in range(3):
            await world.accept(world.parcel("a@p.example"), deliverer)
        await until(lambda: world.relay.under_way == 1)
        draining = asyncio.create_task(deliverer.drain(10))
        await asyncio.sleep(0)
        world.relay.gate.set()
        await draining

    asyncio.run(scenario())
    assert len(world.relay.sent) == 1
    assert sorted(event for _, event in world.story()) == ["deferred", "deferred", "delivered"]
    assert all(row.due == world.now and not row.lease for row in world.queue.rows.values())


def test_draining_breaks_off_what_takes_too_long() -> None:
    world = World()

    async def scenario() -> None:
        world.relay.gate = asyncio.Event()
        deliverer = world.deliverer()
        await world.accept(world.parcel("a@p.example"), deliverer)
        await until(lambda: world.relay.under_way == 1)
        await deliverer.drain(0.01)

    asyncio.run(scenario())
    assert world.story() == [] and world.queue.rows["m1-r0"].lease


def test_sizes_are_kept_and_known_again() -> None:
    world = World()
    world.relay.sizes["smtp://default:25"] = 5000
    run(world, world.parcel("a@p.example"), done=lambda: world.queue.sizes == {"smtp://default:25": 5000})
    again = World()
    again.queue.sizes["smtp://ex:25"] = 77
    run(again, done=lambda: again.relay.sizes == {"smtp://ex:25": 77})


@pytest.mark.parametrize(
    ("asked", "head", "recipient", "needed"),
    [
        (True, b"Subject: s\r\n\r\n", "a@p.example", False),
        (True, b"Subject: \xc3\xa9\r\n\r\n", "a@p.example", True),
        (True, b"Subject: s\r\n\r\n", "\xe9@p.example", True),
        (False, b"Subject: s\r\n\r\n", "a@p.example", False),
    ],
)
def test_smtputf8_is_demanded_only_where_it_is_needed(asked: bool, head: bytes, recipient: str, needed: bool) -> None:
    world = World()
    run(world, world.parcel(recipient, head=head, smtputf8=asked))
    assert world.relay.sent[0].mail.smtputf8 is needed


def test_events_are_about_their_message() -> None:
    world = World()
    run(world, world.parcel("a@p.example"))
    event: Event = world.queue.events[0]
    assert (event.id, event.message_id, event.sender, event.row) == (
        "m1",
        "<m1@acme.example>",
        "alice@acme.example",
        "m1-r0",
    )
    assert event.detail == "mx.p.example [192.0.2.1]:25: 250 2.0.0 ok"
