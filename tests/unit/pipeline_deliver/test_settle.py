"""What a reply means, recipient by recipient."""

from dataclasses import replace

import pytest

from ime_gateway.pipeline.settle import Attempt, reported_recipient, settlement_of
from ime_gateway.ports.queue import LeasedRow, Row
from ime_gateway.ports.relay import RelayReply
from ime_gateway.settings.model import Delivery

NOW = 1_790_000_000.0
DELIVERY = Delivery(retry_minutes=(5, 30, 60), give_up_hours=120)
ROW = Row("r1", "e1", "bob@partner.example", "recipient", "smime-personal", "personal-certificate", "sha256:…")
LEASED = LeasedRow(ROW, "m1", "alice@acme.example", "<1@x>", "internal", "", "", False, NOW - 60, 0, "l1")
LATER = RelayReply(451, "4.3.0 busy")
NEVER = RelayReply(550, "5.1.1 no such user")
YES = RelayReply(250, "2.0.0 queued")
SILENCE = RelayReply.own("4.4.2", "the server closed the connection")
PEER = "mx.partner.example [192.0.2.1]:25"


def leased(**changes: object) -> LeasedRow:
    row = {key: changes.pop(key) for key in ("notify", "copy", "orcpt") if key in changes}
    return replace(LEASED, row=replace(ROW, **row), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (YES, "delivered"),
        (LATER, "deferred"),
        (NEVER, "failed"),
        (SILENCE, "deferred"),
        (RelayReply(354, "x"), "deferred"),
    ],
)
def test_the_class_of_the_reply_decides(reply: RelayReply, outcome: str) -> None:
    found = settlement_of(Attempt(LEASED, reply, PEER), NOW, DELIVERY, 0.0)
    assert (found.outcome, found.event.event, found.row_id, found.lease) == (outcome, outcome, "r1", "l1")
    assert found.last_reply == reply.line
    assert found.event.reason == "personal-certificate"


@pytest.mark.parametrize(("attempts", "minutes"), [(0, 5), (1, 30), (2, 60), (3, 60), (50, 60)])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_schedule(attempts: int, minutes: int, chance: float) -> None:
    found = settlement_of(Attempt(leased(attempts=attempts), LATER), NOW, DELIVERY, chance)
    assert found.next_attempt == pytest.approx(NOW + minutes * 60 * (1 + 0.1 * chance))


@pytest.mark.parametrize(
    ("age_hours", "attempts", "outcome"),
    [(119.9, 40, "deferred"), (120, 40, "failed"), (120, 1, "failed"), (1000, 0, "deferred"), (-24, 5, "deferred")],
)
def test_giving_up(age_hours: float, attempts: int, outcome: str) -> None:
    old = leased(received_at=NOW - age_hours * 3600, attempts=attempts)
    attempt = Attempt(old, LATER, PEER)
    found = settlement_of(attempt, NOW, DELIVERY, 0.0)
    assert found.outcome == outcome
    told = reported_recipient(attempt, found)
    assert (told is not None) == (outcome == "failed")
    if told is not None:
        assert (told.action, told.status, told.diagnostic) == ("failed", "4.4.7", "451 4.3.0 busy")
        assert "given up" in found.event.detail


def told(attempt: Attempt) -> tuple[str, str, str] | None:
    found = reported_recipient(attempt, settlement_of(attempt, NOW, DELIVERY, 0.0))
    return (found.action, found.status, found.remote) if found else None


@pytest.mark.parametrize(
    ("notify", "dsn", "on_success", "on_failure"),
    [
        ("", False, None, "failed"),
        ("", True, None, "failed"),
        ("NEVER", False, None, None),
        ("FAILURE", False, None, "failed"),
        ("SUCCESS", False, "relayed", None),
        ("SUCCESS", True, None, None),
        ("SUCCESS,FAILURE", False, "relayed", "failed"),
        ("DELAY", False, None, None),
    ],
)
def test_who_is_told_what(notify: str, dsn: bool, on_success: str | None, on_failure: str | None) -> None:
    for reply, action in ((YES, on_success), (NEVER, on_failure), (LATER, None)):
        found = told(Attempt(leased(notify=notify), reply, PEER, dsn))
        assert (found[0] if found else None) == action


def test_remote_is_named_only_when_it_spoke() -> None:
    assert told(Attempt(LEASED, NEVER, PEER)) == ("failed", "5.1.1", "mx.partner.example")
    own = RelayReply.own("5.3.4", "too big")
    assert told(Attempt(LEASED, own, PEER)) == ("failed", "5.3.4", "")


@pytest.mark.parametrize("changes", [{"sender": ""}, {"copy": "sent"}, {"drop": "silent"}])
@pytest.mark.parametrize("reply", [YES, NEVER])
def test_nobody_is_told(changes: dict[str, object], reply: RelayReply) -> None:
    assert told(Attempt(leased(notify="SUCCESS,FAILURE", **changes), reply, PEER)) is None


def test_dropped_rows_are_over_and_reported() -> None:
    attempt = Attempt(leased(drop="report"), RelayReply.own("5.3.0", "withdrawn"))
    found = settlement_of(attempt, NOW, DELIVERY, 0.0)
    assert (found.outcome, found.event.event) == ("dropped", "dropped")
    assert told(attempt) == ("failed", "5.3.0", "")


def test_what_was_not_tried_comes_back_at_once() -> None:
    attempt = Attempt(leased(received_at=0.0, attempts=9), SILENCE, again_at=NOW)
    found = settlement_of(attempt, NOW, DELIVERY, 1.0)
    assert (found.outcome, found.next_attempt) == ("deferred", NOW)
