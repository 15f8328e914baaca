"""Call-ahead: what is asked, what is remembered and for how long, and which answers refuse a recipient."""

import asyncio
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.pipeline import call_ahead
from ime_gateway.pipeline.call_ahead import CallAhead
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.recipient_probe import Knowledge
from ime_gateway.settings.site import ManagedDomain, Policy

ROUTE = "smtp://127.0.0.1:25"


@dataclass
class Server:
    """A mail server by its answers; `mailboxes` exist, of the others it says `others`."""

    mailboxes: set[str] = field(default_factory=lambda: {"anna@acme.example"})
    others: Knowledge = "unknown"
    down: bool = False
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    async def ask(self, route: str, recipient: Address, *, use_tls: bool) -> Knowledge:
        self.asked.append((route, recipient.key, use_tls))
        if self.down:
            return "unasked"
        return "known" if recipient.key in self.mailboxes else self.others

    def asked_about(self, name: str) -> int:
        return sum(key.startswith(f"{name}@") for _, key, _ in self.asked)


@dataclass
class Watch:
    moment: float = 1_000_000.0

    def now(self) -> float:
        return self.moment


@dataclass
class World:
    server: Server = field(default_factory=Server)
    watch: Watch = field(default_factory=Watch)
    deliver_to: str = ROUTE

    def __post_init__(self) -> None:
        self.ahead = CallAhead(self.server, self.watch, lambda count: bytes(range(count)))

    def refuses(self, address: str) -> bool:
        managed = ManagedDomain(name="acme.example", deliver_to=self.deliver_to, exchange_address="Keys@acme.example")
        view = SiteView(1, Policy(opportunistic_tls=False), {"acme.example": managed}, {})
        refused = asyncio.run(self.ahead.refusal(view, parse_path(address)))
        if refused is not None:
            assert (refused.reason, refused.address, refused.temporary) == (Reason.RECIPIENT_UNKNOWN, address, False)
        return refused is not None


def test_who_exists_is_taken_and_who_does_not_is_refused() -> None:
    world = World()
    assert not world.refuses("Anna@acme.example")
    assert world.refuses("nobody@acme.example")
    assert {(route, tls) for route, _, tls in world.server.asked} == {(ROUTE, False)}


def test_answers_are_remembered_for_their_time() -> None:
    world = World()
    for moment, annas, nobodys in ((0, 1, 1), (599, 1, 1), (601, 1, 2), (4 * 3600 - 1, 1, 3), (4 * 3600 + 1, 2, 3)):
        world.watch.moment = 1_000_000 + moment
        assert not world.refuses("anna@acme.example")
        assert world.refuses("nobody@acme.example")
        counted = world.server.asked_about("anna"), world.server.asked_about("nobody")
        assert counted == (annas, nobodys), moment


def test_a_mailbox_that_is_new_is_found_when_the_no_has_grown_old() -> None:
    world = World()
    assert world.refuses("fritz@acme.example")
    world.server.mailboxes.add("fritz@acme.example")
    world.watch.moment += 601
    assert not world.refuses("fritz@acme.example")


def test_a_server_that_takes_everything_is_not_asked_about_people() -> None:
    world = World(Server(others="known"))
    assert not world.refuses("anna@acme.example") and not world.refuses("nobody@acme.example")
    assert len(world.server.asked) == 1 and world.server.asked_about("anna") == 0
    world.server.others = "unknown"  # it is set up better now
    world.watch.moment += 4 * 3600 + 1
    assert world.refuses("nobody@acme.example")


def test_trouble_and_odd_answers_take_the_mail_as_before_and_are_asked_again_soon() -> None:
    world = World(Server(down=True))
    assert not world.refuses("nobody@acme.example")
    world.server.down = False
    assert not world.refuses("nobody@acme.example")
    world.watch.moment += 61
    assert world.refuses("nobody@acme.example")
    odd = World(Server(others="unsure"))
    assert not odd.refuses("nobody@acme.example")


def test_a_known_server_that_goes_down_refuses_nobody_new() -> None:
    world = World()
    assert world.refuses("nobody@acme.example")
    world.server.down = True
    assert not world.refuses("somebody@acme.example")


DOWN, UP = "recipients cannot be asked about", "recipients can be asked about again"


def test_an_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    """Once, however many recipients are asked about: backscatter must not begin in silence."""
    world = World()
    with capture_logs() as logs:
        assert world.refuses("nobody@acme.example")
        world.server.down = True
        for number in range(200):
            world.watch.moment += 100
            assert not world.refuses(f"new{number}@acme.example")
        (told,) = logs
        assert told["event"] == DOWN and told["log_level"] == "warning"
        assert (told["server"], told["domain"]) == (ROUTE, "acme.example")
        assert "unknown recipients are accepted" in told["meanwhile"] and "new0" not in str(told)
        world.server.down = False
        world.watch.moment += 61
        assert world.refuses("nobody@acme.example") and world.refuses("other@acme.example")
        assert [line["event"] for line in logs] == [DOWN, UP]
        world.server.down = True
        world.watch.moment += 4 * 3600 + 1
        assert not world.refuses("nobody@acme.example")
        assert [line["event"] for line in logs] == [DOWN, UP, DOWN]


def test_a_server_that_fails_now_and_then_does_not_fill_the_log() -> None:
    world = World()
    assert world.refuses("nobody@acme.example")
    with capture_logs() as logs:
        for number in range(100):
            world.server.down = number % 2 == 0
            world.watch.moment += 10
            world.refuses(f"x{number}@acme.example")
    assert [line["event"] for line in logs] == [DOWN]


def test_an_odd_answer_is_an_outage_only_where_it_is_about_everybody() -> None:
    world = World()
    with capture_logs() as logs:
        assert world.refuses("nobody@acme.example")
        world.server.others = "unsure"
        assert not world.refuses("full@acme.example")
        assert logs == []
        world.watch.moment += 4 * 3600 + 1
        assert not world.refuses("full@acme.example")
        world.server.others = "known"  # it takes everybody: nothing that waits to be mended
        world.watch.moment += 61
        assert not world.refuses("full@acme.example")
    assert [line["event"] for line in logs] == [DOWN, UP]


@pytest.mark.parametrize("address", ["postmaster@acme.example", "PostMaster@acme.example", "keys@acme.example"])
def test_some_are_known_without_asking(address: str) -> None:
    world = World(Server(mailboxes=set()))
    assert not world.refuses(address)
    assert world.server.asked == []


def test_other_domains_and_routes_that_are_no_server_are_left_alone() -> None:
    world = World(deliver_to="mx")
    assert not world.refuses("nobody@acme.example") and not world.refuses("nobody@elsewhere.example")
    assert world.server.asked == []


def test_what_one_server_said_is_nothing_of_another() -> None:
    """`deliver_to` was changed: the new server has other mailboxes, and may take everything."""
    world = World()
    assert world.refuses("nobody@acme.example")
    world.deliver_to = "smtp://127.0.0.2:25"
    world.server.others = "known"
    assert not world.refuses("nobody@acme.example")
    assert world.server.asked[-1][0] == "smtp://127.0.0.2:25"


def test_outsiders_cannot_fill_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_ahead, "_REMEMBERED", 10)
    world = World()
    for number in range(50):
        assert world.refuses(f"x{number}@acme.example")
    assert len(world.ahead._answers) == 10
    assert world.refuses("x49@acme.example") and world.server.asked_about("x49") == 1
