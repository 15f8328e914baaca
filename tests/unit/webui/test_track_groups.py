"""Events become one answer per recipient."""

from ime_gateway.ports.queue import Event
from webui.admin.track_groups import by_message
from webui.words import count_of, groups, utc


def event(id: str, recipient: str, name: str, at: float, reason: str = "", copy: str = "recipient") -> Event:  # noqa: A002
    return Event(id, "", "ada@acme.example", recipient, copy, name, reason, "", at)  # type: ignore[arg-type]


def test_newest_message_first_and_recipients_in_their_order() -> None:
    tracks = by_message(
        [
            event("old", "z@x", "accepted", 1, "personal-certificate"),
            event("old", "a@x", "accepted", 1, "domain-certificate"),
            event("new", "b@x", "refused", 2, "no-certificate"),
            event("old", "z@x", "deferred", 3),
            event("old", "z@x", "delivered", 4),
        ]
    )
    assert [track.id for track in tracks] == ["new", "old"]
    z, a = tracks[1].recipients
    assert (z.recipient, a.recipient) == ("z@x", "a@x")
    assert [one.event for one in z.history] == ["accepted", "deferred", "delivered"]
    assert z.latest.event == "delivered" and z.decision.reason == "personal-certificate"
    assert tracks[1].at == 1


def test_the_sent_copy_is_a_recipient_of_its_own() -> None:
    (track,) = by_message([event("m", "ada@x", "accepted", 1), event("m", "ada@x", "accepted", 1, copy="sent")])
    assert [one.copy for one in track.recipients] == ["recipient", "sent"]


def test_a_reason_that_came_later_counts() -> None:
    (track,) = by_message([event("m", "b@x", "accepted", 1, "not-required"), event("m", "b@x", "failed", 2, "loop")])
    assert track.recipients[0].decision.reason == "loop"


def test_words() -> None:
    assert utc(1_795_385_700) == "2026-11-22 22:15 Z"
    assert utc(0) == "" and utc(1e18) == "beyond the calendar"
    assert groups("sha256:abcdef0123") == "ABCD EF01 23"
    assert (count_of(1, "message"), count_of(2000, "message")) == ("1 message", "2,000 messages")
