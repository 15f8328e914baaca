"""Tracking events in the order in which people ask: this message, this recipient, then what happened.

The store keeps one line per event; a person who telephones wants one answer per recipient, with the
reason and the history behind it (P4).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol


class TrackEvent(Protocol):
    """What a page reads of an event; the shape of `track` in the design's 6.1."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def message_id(self) -> str: ...  # noqa: D102
    @property
    def sender(self) -> str: ...  # noqa: D102
    @property
    def recipient(self) -> str: ...  # noqa: D102
    @property
    def copy(self) -> str: ...  # noqa: D102
    @property
    def event(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def detail(self) -> str: ...  # noqa: D102
    @property
    def at(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class RecipientTrack:
    """One copy for one recipient."""

    recipient: str
    copy: str
    history: tuple[TrackEvent, ...]
    """Oldest first; never empty."""

    @property
    def latest(self) -> TrackEvent:
        """How it stands."""
        return self.history[-1]

    @property
    def decision(self) -> TrackEvent:
        """The event that tells the reason: the newest that has one."""
        return next((event for event in reversed(self.history) if event.reason), self.latest)


@dataclass(frozen=True, slots=True)
class MessageTrack:
    """One message with everybody who was to get it."""

    id: str
    message_id: str
    sender: str
    at: float
    """When we first saw it, seconds since 1970 UTC."""
    recipients: tuple[RecipientTrack, ...]


def by_message(events: Iterable[TrackEvent]) -> list[MessageTrack]:
    """Group events by message, newest message first, recipients in the order of their first event."""
    messages: dict[str, list[TrackEvent]] = {}
    for event in events:
        messages.setdefault(event.id, []).append(event)
    tracks = [_message(found) for found in messages.values()]
    return sorted(tracks, key=lambda track: (track.at, track.id), reverse=True)


def _message(events: list[TrackEvent]) -> MessageTrack:
    first_seen: dict[tuple[str, str], int] = {}
    for position, event in enumerate(events):
        first_seen.setdefault((event.recipient, event.copy), position)
    # Stable sorts: events of one recipient stay in the order of time.
    ordered = sorted(events, key=lambda event: first_seen[event.recipient, event.copy])
    recipients = tuple(
        RecipientTrack(recipient, copy, tuple(history))
        for (recipient, copy), history in groupby(ordered, key=lambda event: (event.recipient, event.copy))
    )
    message_id = next((event.message_id for event in events if event.message_id), "")
    return MessageTrack(events[0].id, message_id, events[0].sender, events[0].at, recipients)
